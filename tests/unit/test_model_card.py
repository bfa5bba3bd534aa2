"""Model cards and folders: what is written is read back, and whatever was changed is refused by name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import ModelError, MonitorError
from monitor.models import base, card
from monitor.models.base import (
    DataSource,
    ModelCard,
    ModelInfo,
    OpenModel,
    SchemaRecord,
    bundled,
    file_digests,
    open_model,
    pack_arrays,
    read_card,
    unpack_arrays,
    write_card,
    write_model,
)
from monitor.models.card import CARD_SCHEMA, content_digest, model_digest
from monitor.models.card_page import card_page
from monitor.types import Json

SCHEMA = SchemaRecord.of(
    "flr-window", {"version": 1, "grid": {"first": -1.45, "step": 0.05}, "names": ["a", "b", "l_shell"]}
)
ARRAYS = {"mean": np.arange(6, dtype=np.float32).reshape(2, 3), "edges": np.array([1.5, np.nan, 6.5])}
CONTENTS = {
    "parameters.json": b'{"weights": [0.5, 0.3, 0.2]}',
    "novelty.npz": pack_arrays(ARRAYS),
}


def example(**changes: Any) -> ModelCard:
    """A whole card of the files in CONTENTS."""
    whole = ModelCard(
        name="pairs",
        version="1",
        kind="flr",
        created="2026-11-21",
        intended_use="Labels of windows of two hours | of station pairs.",
        data=(
            DataSource(
                "random pairs",
                True,
                60_000,
                "training",
                {"seeds": [1, 2], "l_shell": {"from": 1.5, "to": 6.5}},
            ),
            DataSource("Muonio–Pello", False, 12, "test", {"file": "pel_muo"}),
        ),
        feature_schema=SCHEMA,
        files=file_digests(CONTENTS),
        hyper_parameters={"classifier": {"max_depth": 6, "eta": 0.1}, "folds": None},
        search="Forty draws from ranges, the best on validation.",
        metrics={"freq_found": {"day": 0.93, "night": None}, "confusion": [[90, 8, 2], [5, 95, 0]]},
        tolerance={"freq_found.day": 0.01},
        limits=("It never saw an instrument.", "South of L = 1.5 nothing is known."),
        libraries={"xgboost": "3.2.0"},
    )
    return replace(whole, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as it should be."""
    home = tmp_path / "model"
    write_model(home, example(), CONTENTS)
    return home


def refused(call: Callable[[], object]) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(ModelError) as caught:
        call()
    text = str(caught.value)
    assert text.startswith(f"{caught.value.path}: ")
    assert "\n" not in text
    return text


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Change the card on disk, and return how its model is refused."""
    path = folder / "card.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return refused(lambda: open_model(folder, "flr"))


class TestCard:
    def test_card_is_read_back_as_it_was_written(self, tmp_path: Path) -> None:
        write_card(tmp_path / "new" / "folder", example())
        assert read_card(tmp_path / "new" / "folder") == example()

    def test_writing_what_was_read_gives_the_same_bytes(self) -> None:
        data = example().to_json()
        assert ModelCard.from_json(data, "card.json").to_json() == data

    @pytest.mark.parametrize("field", sorted(set(ModelCard.__dataclass_fields__)))
    def test_missing_field_is_named(self, folder: Path, field: str) -> None:
        assert f"lacks {field}" in edit(folder, lambda document: document.pop(field))

    def test_all_missing_fields_are_named(self, folder: Path) -> None:
        def change(document: dict[str, Any]) -> None:
            del document["limits"], document["search"]

        assert "lacks search, limits" in edit(folder, change)

    def test_missing_field_inside_is_named_with_its_place(self, folder: Path) -> None:
        text = edit(folder, lambda document: document["data"][1].pop("split"))
        assert "`split`" in text
        assert "data[" in text

    def test_unknown_fields_are_named_with_their_places(self, folder: Path) -> None:
        def change(document: dict[str, Any]) -> None:
            document["colour"] = "red"
            document["data"][1]["weight"] = 1
            document["feature_schema"]["units"] = []

        assert edit(folder, change).endswith(": data.1.weight, feature_schema.units, colour")

    @pytest.mark.parametrize("schema", ["geospace/model-card/2", None, 7])
    def test_other_card_schema_is_refused_with_both_named(self, folder: Path, schema: Json) -> None:
        text = edit(folder, lambda document: document.update(schema=schema))
        assert CARD_SCHEMA in text
        assert repr(schema) in text

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("name", "Two Words", "Two Words"),
            ("version", "../1", "../1"),
            ("kind", "", "kind"),
            ("created", "yesterday", "yesterday"),
            ("created", "2026-02-30", "day"),
            ("created", "2026-W47-6", "2026-W47-6"),
            ("data", [], "data"),
            ("files", {}, "files"),
            ("limits", [], "limits"),
            ("limits", ["  "], "limits"),
            ("metrics", {"day": {"found": "most"}}, "metrics.day.found"),
            ("tolerance", {"found": -0.1}, "found"),
            ("tolerance", {"found": "small"}, "float"),
            ("hyper_parameters", [], "object"),
        ],
    )
    def test_impossible_value_is_refused_with_its_field(
        self, folder: Path, field: str, value: Json, said: str
    ) -> None:
        assert said in edit(folder, lambda document: document.update({field: value}))

    @pytest.mark.parametrize(
        "change",
        [
            {"metrics": {"found": float("nan")}},
            {"hyper_parameters": {"eta": float("inf")}},
            {"hyper_parameters": {"weights": np.ones(3)}},
            {"limits": ()},
            {"tolerance": {"found": float("nan")}},
        ],
    )
    def test_card_that_json_could_not_keep_is_not_made(self, change: dict[str, Any]) -> None:
        with pytest.raises((ValueError, TypeError)):
            example(**change)

    def test_negative_count_is_refused(self, folder: Path) -> None:
        assert "-3" in edit(folder, lambda document: document["data"][0].update(count=-3))

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"schema": NaN}', b"[" * 100_000, b"\x80\x04K\x01."]
    )
    def test_card_that_is_no_card_gives_one_line(self, folder: Path, data: bytes) -> None:
        (folder / "card.json").write_bytes(data)
        assert "card.json: expected" in refused(lambda: read_card(folder))

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_truncated_card_gives_one_line(self, folder: Path, share: float) -> None:
        path = folder / "card.json"
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        assert "expected JSON" in refused(lambda: read_card(folder))

    def test_page_tells_all_that_the_card_says(self, folder: Path) -> None:
        page = (folder / "card.md").read_text(encoding="utf-8")
        assert page == card_page(example())
        for said in (
            "# Model pairs, version 1", "- It never saw an instrument.", "| freq_found.day | 0.93 |",
            "| freq_found.night | – |", "synthetic | 60000 | training", "measured | 12 | test", SCHEMA.sha256,
            file_digests(CONTENTS)["novelty.npz"], "| classifier.max_depth | 6 |", "| xgboost | 3.2.0 |",
        ):  # fmt: skip
            assert said in page

    def test_page_keeps_its_tables_whatever_the_card_says(self) -> None:
        nasty = "a | b\n## c"
        page = card_page(
            example(data=(DataSource(nasty, True, 1, nasty, {}),), limits=(nasty,), tolerance={})
        )
        rows = [line for line in page.splitlines() if line.startswith("| a ")]
        assert [row.replace("\\|", "").count("|") for row in rows] == [6]
        assert "\n## c" not in page


class TestSchemaRecord:
    def test_digest_is_that_of_sorted_json_without_spaces(self) -> None:
        text = '{"grid":{"first":-1.45,"step":0.05},"names":["a","b","l_shell"],"version":1}'
        assert SCHEMA.sha256 == hashlib.sha256(text.encode()).hexdigest()

    def test_changed_content_is_refused_with_both_digests(self, folder: Path) -> None:
        names = ["b", "a", "l_shell"]
        text = edit(folder, lambda document: document["feature_schema"]["content"].update(names=names))
        assert SCHEMA.sha256 in text
        assert content_digest({**SCHEMA.content, "names": names}) in text

    @pytest.mark.parametrize(
        "content", [{}, {"names": ["a"]}, {"names": [], "version": 1}, {"names": [1], "version": 1}]
    )
    def test_record_without_version_or_names_is_refused(self, content: Mapping[str, Json]) -> None:
        with pytest.raises(ValueError, match="content must have"):
            SchemaRecord.of("x", content)

    def test_required_schema_that_differs_is_refused_with_both_digests(self) -> None:
        example().require_schema(SCHEMA.sha256, "model")
        text = refused(lambda: example().require_schema("0" * 64, "here/card.json"))
        assert text.startswith("here/card.json: ")
        assert "0" * 64 in text
        assert SCHEMA.sha256 in text


class TestDigest:
    def test_digest_follows_files_and_nothing_else(self) -> None:
        first = model_digest(example())
        assert model_digest(example(limits=("Another sentence.",), name="other")) == first
        for contents in (
            {**CONTENTS, "parameters.json": b'{"weights": [0.5, 0.3, 0.1]}'},
            {"parameters.json": CONTENTS["parameters.json"]},
            {"p.json": CONTENTS["parameters.json"], "novelty.npz": CONTENTS["novelty.npz"]},
        ):
            assert model_digest(example(files=file_digests(contents))) != first

    def test_digest_does_not_depend_on_the_order_of_files(self) -> None:
        turned = dict(reversed(file_digests(CONTENTS).items()))
        assert list(turned) != list(example().files)
        assert model_digest(example(files=turned)) == model_digest(example())

    def test_info_names_model_and_twelve_digits(self) -> None:
        info = example().info
        assert info == ModelInfo("flr", "pairs", "1", model_digest(example()))
        assert len(info.sha256) == 64
        assert info.label == f"pairs/1@{info.sha256[:12]}"


class TestOpen:
    def test_model_is_opened_with_its_files(self, folder: Path) -> None:
        model = open_model(folder, "flr")
        assert model.card == example()
        assert model.info == example().info
        assert model.read("parameters.json") == CONTENTS["parameters.json"]
        assert model.document("parameters.json") == {"weights": [0.5, 0.3, 0.2]}
        found = model.arrays("novelty.npz")
        assert found.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype

    def test_files_beside_the_model_are_left_alone(self, folder: Path) -> None:
        (folder / "notes.txt").write_text("mine", encoding="utf-8")
        assert set(open_model(folder, "flr").contents) == set(CONTENTS)

    def test_changed_byte_is_refused_with_both_hashes_and_the_file(self, folder: Path) -> None:
        path = folder / "parameters.json"
        changed = CONTENTS["parameters.json"].replace(b"0.5", b"0.6")
        path.write_bytes(changed)
        text = refused(lambda: open_model(folder, "flr"))
        assert text.startswith(f"{path}: ")
        assert file_digests(CONTENTS)["parameters.json"] in text
        assert hashlib.sha256(changed).hexdigest() in text

    def test_changed_hash_is_refused_with_both_hashes(self, folder: Path) -> None:
        text = edit(folder, lambda document: document["files"].update({"novelty.npz": "a" * 64}))
        assert "a" * 64 in text
        assert file_digests(CONTENTS)["novelty.npz"] in text

    def test_other_kind_is_refused_with_both_named(self, folder: Path) -> None:
        text = refused(lambda: open_model(folder, "region"))
        assert "kind region, found flr" in text

    @pytest.mark.parametrize("name", ["card.json", "parameters.json", "novelty.npz"])
    def test_missing_file_is_named(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        text = refused(lambda: open_model(folder, "flr"))
        assert text.startswith(f"{folder / name}: ")
        assert "No such file" in text

    def test_folder_in_place_of_a_file_is_refused(self, folder: Path) -> None:
        (folder / "parameters.json").unlink()
        (folder / "parameters.json").mkdir()
        assert "something else" in refused(lambda: open_model(folder, "flr"))

    def test_pipe_in_place_of_a_file_does_not_hang(self, folder: Path) -> None:
        (folder / "parameters.json").unlink()
        os.mkfifo(folder / "parameters.json")
        assert "something else" in refused(lambda: open_model(folder, "flr"))

    def test_truncated_file_is_refused(self, folder: Path) -> None:
        (folder / "novelty.npz").write_bytes(CONTENTS["novelty.npz"][:-10])
        assert "novelty.npz: expected SHA-256" in refused(lambda: open_model(folder, "flr"))

    def test_oversized_file_is_refused_unread(self, folder: Path) -> None:
        with (folder / "novelty.npz").open("wb") as stream:
            stream.truncate(base.LARGEST_BYTES + 1)
        assert f"found {base.LARGEST_BYTES + 1}" in refused(lambda: open_model(folder, "flr"))

    def test_files_together_may_not_exceed_the_limit(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        total = sum(len(data) for data in CONTENTS.values())
        monkeypatch.setattr(base, "LARGEST_BYTES", total)
        assert open_model(folder, "flr")
        monkeypatch.setattr(base, "LARGEST_BYTES", total - 1)
        assert "at most" in refused(lambda: open_model(folder, "flr"))

    @pytest.mark.parametrize(
        "name",
        [
            "../secret.json",
            "/etc/hostname",
            "a/b.json",
            "..",
            ".",
            "",
            ".hidden",
            "a\\b",
            "a\0b",
            "card.json",
            "x" * 200,
        ],
    )
    def test_name_that_is_no_plain_name_is_refused(self, folder: Path, name: str) -> None:
        (folder.parent / "secret.json").write_bytes(b"{}")
        digest = hashlib.sha256(b"{}").hexdigest()
        assert "plain names" in edit(folder, lambda document: document["files"].update({name: digest}))

    @pytest.mark.parametrize("name", ["parameters.json", "card.json"])
    def test_link_out_of_the_folder_is_refused(self, folder: Path, name: str) -> None:
        outside = folder.parent / "outside"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)
        text = refused(lambda: open_model(folder, "flr"))
        assert f"link to {outside.resolve()}" in text

    def test_link_within_the_folder_and_to_the_folder_is_followed(self, folder: Path) -> None:
        (folder / "parameters.json").rename(folder / "kept")
        (folder / "parameters.json").symlink_to("kept")
        (folder.parent / "current").symlink_to(folder)
        assert open_model(folder.parent / "current", "flr").info == example().info

    def test_circle_of_links_is_refused(self, folder: Path) -> None:
        (folder / "parameters.json").unlink()
        (folder / "parameters.json").symlink_to("parameters.json")
        assert "found none to read" in refused(lambda: open_model(folder, "flr"))

    def test_file_that_the_card_does_not_name_is_refused(self, folder: Path) -> None:
        text = refused(lambda: open_model(folder, "flr").read("other.json"))
        assert "other.json" in text
        assert "novelty.npz, parameters.json" in text

    def test_document_that_is_no_json_is_refused_with_its_path(self, folder: Path) -> None:
        text = refused(lambda: open_model(folder, "flr").document("novelty.npz"))
        assert text.startswith(f"{folder / 'novelty.npz'}: expected JSON")

    def test_card_that_does_not_describe_the_files_is_not_written(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="the card describes"):
            write_model(tmp_path, example(), {"parameters.json": b"{}"})
        assert not list(tmp_path.iterdir())

    def test_refusal_is_one_of_the_package_and_has_a_path(self, folder: Path) -> None:
        with pytest.raises(MonitorError) as caught:
            open_model(folder / "nowhere", "flr")
        assert isinstance(caught.value, ModelError)
        assert caught.value.path == str(folder / "nowhere" / "card.json")


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in members.items():
            packed.writestr(name.replace("_npy", ".npy"), data)
    return stream.getvalue()


def saved(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


class Trap:
    """Sets a mark when it is unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return Trap.spring, ()

    @staticmethod
    def spring() -> None:
        Trap.sprung = True


class TestArrays:
    def test_same_arrays_give_the_same_bytes(self) -> None:
        turned = {name: ARRAYS[name].copy() for name in reversed(ARRAYS)}
        assert pack_arrays(turned) == CONTENTS["novelty.npz"]

    def test_pickled_object_is_never_unpickled(self) -> None:
        trapped = np.array([Trap()], dtype=object)
        for data in (zipped(a_npy=saved(trapped)), saved(trapped)):
            assert "x.npz: expected an NPZ file" in refused(lambda data=data: unpack_arrays(data, "x.npz"))  # type: ignore[misc]  # the default binds the loop's value
        assert not Trap.sprung

    def test_object_array_is_not_packed(self) -> None:
        with pytest.raises(ValueError, match="array a holds objects"):
            pack_arrays({"a": np.array([None, 1])})

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"PK\x03\x04",
            b"\x80\x04K\x01.",
            CONTENTS["novelty.npz"][:-30],
            CONTENTS["novelty.npz"][:40] + b"\xff" * 40 + CONTENTS["novelty.npz"][80:],
            saved(np.ones(3)),
            zipped(a_npy=saved(np.ones(3))[:-8]),
            zipped(a_npy=b"\x93NUMPY\x01\x00"),
            zipped(readme=b"no array"),
        ],
    )
    def test_what_is_no_npz_gives_one_line(self, data: bytes) -> None:
        assert "x.npz: expected" in refused(lambda: unpack_arrays(data, "x.npz"))

    def test_array_that_unpacks_beyond_the_limit_is_refused_unread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = io.BytesIO()
        np.savez_compressed(stream, a=np.zeros(1_000_000))
        assert len(stream.getvalue()) < 20_000
        monkeypatch.setattr(base, "LARGEST_BYTES", 1_000_000)
        assert "at most 1000000 bytes" in refused(lambda: unpack_arrays(stream.getvalue(), "x.npz"))

    def test_array_that_claims_more_than_it_has_is_refused(self) -> None:
        header = saved(np.ones(3)).replace(b"(3,)", b"(9999999999999,)")[:128]
        assert "x.npz: expected" in refused(lambda: unpack_arrays(zipped(a_npy=header), "x.npz"))


class TestBundled:
    def test_unknown_name_is_refused_with_the_known_ones(self) -> None:
        text = refused(lambda: bundled("nothing-of-this-name"))
        assert "'nothing-of-this-name'" in text

    @pytest.mark.parametrize("name", ["", ".", "..", "../bundled", "/tmp"])
    def test_name_that_leads_elsewhere_is_refused(self, name: str) -> None:
        assert repr(name) in refused(lambda: bundled(name))

    def test_model_in_the_package_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_model(tmp_path / "bundled" / "pairs-1", example(), CONTENTS)
        monkeypatch.setattr(base, "files", {"monitor.models": tmp_path}.__getitem__)
        assert bundled("pairs-1") == tmp_path / "bundled" / "pairs-1"
        assert isinstance(open_model(bundled("pairs-1"), "flr"), OpenModel)
        assert "expected one of pairs-1, found" in refused(lambda: bundled("pairs"))


def test_card_schema_is_named_in_the_card() -> None:
    assert json.loads(example().to_json())["schema"] == CARD_SCHEMA == "geospace/model-card/1"
    assert card.CARD_FILES == ("card.json", "card.md")
