"""What comes back of a damaged store: every row that can be read, under its own number, and nothing that was not there."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import StoreDamagedError, StoreError
from monitor.io.store import Store
from monitor.io.store import opening as store_opening
from monitor.io.store.salvage import LOST_CURSOR
from monitor.types import SECOND_NS, Product, SampleBlock

T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z
PAGE = 4096
MINUTES = 150
CURSOR = 2 * MINUTES - 10


def open_store(path: Path) -> Store:
    return Store.open(path, retention_ns=1 << 60, product_retention_ns=None)


def minute(number: int, source: str) -> SampleBlock:
    """A minute of one component; every tenth is three hours long, on pages of its own."""
    count = 10_800 if number % 10 == 0 else 60
    values = 20_000.0 + number + np.arange(float(count))[np.newaxis] / 16.0
    return SampleBlock(source, ("H",), T0_NS + number * 10_800 * SECOND_NS, SECOND_NS, values)


def product(number: int) -> Product:
    body = {"n": number, "revision": 0, "text": "x" * (number % 7) * 900}
    return Product("flr", "TAR-BRZ", T0_NS + number, 0, True, body)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 300 rows of two stations, 150 products, and states that have seen all rows but ten."""
    path = tmp_path_factory.mktemp("sound") / "monitor.sqlite"
    with open_store(path) as store:
        for n in range(MINUTES):
            store.write_samples([minute(n, "TAR")])
            store.write_samples([minute(n, "BRZ")])
        store.commit(
            [(product(n), product(n).encode(T0_NS)) for n in range(MINUTES)],
            {"window": '{"version":1}', "cursor": json.dumps({"row": CURSOR, "windows": {}})},
        )
        store.mark_published(range(1, 101))
    return path


Contents = tuple[dict[int, tuple[object, ...]], dict[int, tuple[object, ...]]]


def contents(path: Path) -> Contents:
    """All rows of samples and of products, by number."""
    connection = sqlite3.connect(path)
    try:
        samples, products = (
            {row[0]: row[1:] for row in connection.execute(f"SELECT * FROM {table}")}
            for table in ("sample", "product")
        )
    finally:
        connection.close()
    return samples, products


def damaged_copy(sound: Path, directory: Path, pages: Mapping[int, bytes]) -> Path:
    path = directory / "monitor.sqlite"
    data = bytearray(sound.read_bytes())
    for number, page in pages.items():
        data[number * PAGE : number * PAGE + len(page)] = page
    path.write_bytes(data)
    return path


def pages_of(path: Path, name: str) -> list[int]:
    """Where the pages of a table or index are (from 0), the root first."""
    connection = sqlite3.connect(path)
    try:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    finally:
        connection.close()
    data, found, ahead = path.read_bytes(), [], [root - 1]
    while ahead:
        page = ahead.pop(0)
        found.append(page)
        at = page * PAGE
        if data[at] in (2, 5):  # an inner page: its children
            cells = int.from_bytes(data[at + 3 : at + 5], "big")
            places = [int.from_bytes(data[at + 12 + 2 * n : at + 14 + 2 * n], "big") for n in range(cells)]
            children = [int.from_bytes(data[at + p : at + p + 4], "big") for p in places]
            ahead += [child - 1 for child in (*children, int.from_bytes(data[at + 8 : at + 12], "big"))]
    return found


def test_unreadable_leaf_costs_its_rows_and_they_are_named(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, *leaves = pages_of(sound, "sample")
    assert len(leaves) > 20
    path = damaged_copy(sound, tmp_path, {leaves[10]: bytes(PAGE)})
    before_samples, before_products = contents(sound)
    with open_store(path) as store:
        assert store.write_samples([]) == 2 * MINUTES
        assert store.states() == {
            "window": '{"version":1}',
            "cursor": f'{{"row": {CURSOR}, "windows": {{}}}}',
        }
        assert [row.row for row in store.outbox(1000)] == list(range(101, MINUTES + 1))
        clocks = store.sources()
    samples, products = contents(path)
    lost = sorted(before_samples.keys() - samples.keys())
    assert 1 <= len(lost) <= 30
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert samples == {row: before_samples[row] for row in samples}
    assert products == before_products
    assert clocks == {
        "TAR": minute(290, "TAR").end_ns + 9 * 10_800 * SECOND_NS - 10_740 * SECOND_NS,
        **clocks,
    }
    (line,) = [record.getMessage() for record in caplog.records]
    names = [f"{name} {sum(before_samples[row][0] == name for row in lost)} row" for name in ("BRZ", "TAR")]
    assert all(name in line for name in names), line
    assert f"salvaged {len(samples)} rows of samples, {MINUTES} products, the states of the stages" in line
    assert "\n" not in line


def test_sample_that_the_states_have_not_seen_is_lost_and_the_states_with_it(
    sound: Path, tmp_path: Path
) -> None:
    path = damaged_copy(sound, tmp_path, {pages_of(sound, "sample")[-1]: bytes(PAGE)})
    with open_store(path) as store:
        assert store.states() == {"cursor": LOST_CURSOR}
        # The numbers of what is lost are not given away again.
        assert store.write_samples([minute(400, "TAR")]) == 2 * MINUTES + 1
    samples, _ = contents(path)
    assert samples.keys() < set(range(1, 2 * MINUTES + 2))


def test_what_decoders_remember_stays_where_the_states_of_the_stages_go(sound: Path, tmp_path: Path) -> None:
    path = damaged_copy(sound, tmp_path, {pages_of(sound, "sample")[-1]: bytes(PAGE)})
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO state (stage, json) VALUES ('decoder:martas:+/+', '{\"version\":1}')")
    connection.close()
    with open_store(path) as store:
        assert store.states() == {"cursor": LOST_CURSOR, "decoder:martas:+/+": '{"version":1}'}


def test_numbers_of_lost_products_are_not_given_away_again(sound: Path, tmp_path: Path) -> None:
    """A sink that had taken them would pass over the new ones."""
    path = damaged_copy(sound, tmp_path, {pages_of(sound, "product")[-1]: bytes(PAGE)})
    with open_store(path) as store:
        assert store.last_product_row() == MINUTES
        assert len(store.products_after(0, 1000)) < MINUTES
        store.commit([(product(900), product(900).encode(T0_NS))], {})
        assert [one.row for one in store.products_after(MINUTES, 10)] == [MINUTES + 1]


def test_state_that_is_no_json_takes_the_others_with_it(sound: Path, tmp_path: Path) -> None:
    path = damaged_copy(sound, tmp_path, {})
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE state SET json = '{broken' WHERE stage = 'window'")
    connection.close()
    (tmp_path / "monitor.sqlite.damaged").write_text("a test\n")
    with open_store(path) as store:
        assert store.states() == {"cursor": LOST_CURSOR}
    assert contents(path) == contents(sound)


@pytest.mark.parametrize("at", [0, 16, 20, 100, 3000])
def test_store_without_its_first_page_is_read_by_the_layout_of_a_fresh_one(
    sound: Path, tmp_path: Path, at: int
) -> None:
    path = damaged_copy(sound, tmp_path, {0: sound.read_bytes()[:at] + b"\xff" * 24})
    with open_store(path) as store:
        assert set(store.states()) == {"window", "cursor"}
    assert contents(path) == contents(sound)
    assert sorted(name.name.partition(".corrupt")[0] for name in tmp_path.iterdir()) == [
        "monitor.sqlite",
        "monitor.sqlite",
        "monitor.sqlite.lock",
    ]


def test_file_that_was_cut_off_gives_what_is_left(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite"
    data = sound.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4 // PAGE * PAGE])
    with open_store(path) as store:
        assert store.write_samples([]) == 2 * MINUTES
    samples, products = contents(path)
    before_samples, before_products = contents(sound)
    assert len(samples) > MINUTES
    assert samples == {row: before_samples[row] for row in samples}
    assert products.items() <= before_products.items()


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_gives_back_only_rows_that_were_there(sound: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    count = sound.stat().st_size // PAGE
    spoilt = {
        chance.randrange(count): bytes(PAGE) if chance.random() < 0.5 else chance.randbytes(PAGE)
        for _ in range(chance.choice([1, 3, 40]))
    }
    path = damaged_copy(sound, tmp_path, spoilt)
    # The check at the start may see nothing wrong with a page inside a long row.
    (tmp_path / "monitor.sqlite.damaged").write_text("a test\n")
    before_samples, before_products = contents(sound)
    with open_store(path) as store:
        assert set(store.states()) in ({"cursor"}, {"window", "cursor"})
        assert store.write_samples([minute(500, "TAR")]) > max(CURSOR, 0) or len(spoilt) == 40
    samples, products = contents(path)
    samples.pop(max(samples))
    assert samples.items() <= before_samples.items()
    assert products.items() <= before_products.items()
    if len(spoilt) == 1 and not {*spoilt} & {pages_of(sound, "sample")[0], pages_of(sound, "product")[0]}:
        assert len(samples) >= 2 * MINUTES - 40
        assert len(products) >= MINUTES - 40


def test_damage_found_while_running_is_marked_and_salvaged_at_the_next_start(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = damaged_copy(sound, tmp_path, {})
    leaf = pages_of(sound, "sample_by_end")[-1]
    with open_store(path) as store:
        with path.open("r+b") as file:
            file.seek(leaf * PAGE)
            file.write(bytes(PAGE))
        with pytest.raises(
            StoreDamagedError, match="a restart sets it aside and goes on with what can be read"
        ):
            list(store.samples("TAR", 0))
    assert (tmp_path / "monitor.sqlite.damaged").exists()
    with open_store(path) as store:
        assert store.write_samples([]) == 2 * MINUTES
    assert "the last run found: database disk image is malformed" in caplog.text
    assert not (tmp_path / "monitor.sqlite.damaged").exists()
    assert contents(path) == contents(sound)


def test_log_that_was_not_yet_in_the_file_is_salvaged_too(sound: Path, tmp_path: Path) -> None:
    path = damaged_copy(sound, tmp_path, {})
    with open_store(path) as store:
        store.write_samples([minute(700, "NUR")])
        # As a killed process leaves it.
        copies = [
            (name, name.read_bytes()) for name in tmp_path.glob("monitor.sqlite*") if name.suffix != ".lock"
        ]
    killed = tmp_path / "killed"
    killed.mkdir()
    for name, data in copies:
        (killed / name.name).write_bytes(data)
    (killed / "monitor.sqlite.damaged").write_text("a test\n")
    with open_store(killed / "monitor.sqlite") as store:
        assert store.sources()["NUR"] == minute(700, "NUR").end_ns


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_replacement_that_is_cut_off_is_done_again_or_finished(
    sound: Path, tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damaged_copy(sound, tmp_path, {0: b"\xff" * 100})
    done = 0
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal done
        if done == steps:
            raise KeyboardInterrupt
        done += 1
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(store_opening.Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_store(path)
    with open_store(path) as store:
        assert set(store.states()) == {"window", "cursor"}
    assert contents(path) == contents(sound)
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1


def test_no_room_for_the_copy_is_said_and_the_damaged_file_stays(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damaged_copy(sound, tmp_path, {0: b"\xff" * 100})
    before = path.read_bytes()

    def full(*_: object) -> str:
        raise StoreError(f"{path}.salvage: the disk is full; free space there, or lower store.retention_h")

    with monkeypatch.context() as patch:
        patch.setattr(store_opening, "salvage", full)
        with pytest.raises(StoreError, match="disk is full; free space"):
            open_store(path)
    assert path.read_bytes() == before
    with open_store(path):
        pass
    assert contents(path) == contents(sound)
