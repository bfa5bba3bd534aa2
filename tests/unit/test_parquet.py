"""The sink `parquet`: what is written is read back by the library's own reader of data sets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from monitor_plugins.parquet import Parquet, archive, parts
from sink_kit import HERE, event, flr, golden_products, product

from monitor.errors import MonitorError
from monitor.plugins import StoredProduct
from monitor.testing import check_sink, stored_products


def sink_at(path: Path, **options: Any) -> Parquet:
    return Parquet(Parquet.Options(path=str(path), **options), HERE)


async def archived(path: Path, *batches: Sequence[StoredProduct], **options: Any) -> None:
    sink = sink_at(path, **options)
    await sink.open()
    for batch in batches:
        await sink.write(batch)
    await sink.close()


def rows(path: Path, kind: str) -> list[dict[str, Any]]:
    """As the how-to says that it is read."""
    folder = path / f"kind={kind}"
    columns = pyarrow.parquet.read_schema(folder / "_common_metadata")
    found = pyarrow.dataset.dataset(
        folder, schema=columns.append(pyarrow.field("date", pyarrow.string())), partitioning="hive"
    )
    return list(found.to_table().to_pylist())


def objects(path: Path, kind: str) -> Counter[bytes]:
    return Counter(row["object"].encode() for row in rows(path, kind))


async def test_every_golden_product_is_there_once_with_its_columns(tmp_path: Path) -> None:
    products = list(golden_products())
    await archived(tmp_path, products[:500], products[500:], roll_rows=700)
    for kind in {one.kind for one in products}:
        expected = Counter(one.payload for one in products if one.kind == kind)
        assert objects(tmp_path, kind) == expected
    for row in rows(tmp_path, "flr"):
        document = json.loads(row["object"])
        assert row["subject"] == row["pair"] == document["pair"]
        assert row["time"].isoformat().replace("+00:00", "Z") == document["time"]
        assert row["date"] == document["time"][:10]
        assert row["revision"] == document["revision"]
        assert row["label"] == document["label"]
        assert row["frequency_mHz"] == document["frequency_mHz"]
        assert row["physical_coherence"] == document["physical"]["coherence"]
        assert json.loads(row["flags"]) == document["flags"]
    # What a health object calls its kind is not the kind of the product.
    assert {row["object_kind"] for row in rows(tmp_path, "health")} == {"station", "spacecraft"}


def test_files_are_few_and_nothing_else_is_left(tmp_path: Path) -> None:
    batches = [*([flr(row)] for row in range(20)), [flr(21, time="2017-09-08T00:00:00Z")]]
    asyncio.run(archived(tmp_path, *batches))
    files = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file())
    assert [Path(one).parent.as_posix() for one in files if one.endswith(".parquet")] == [
        "kind=flr/date=2017-09-07",
        "kind=flr/date=2017-09-08",
    ]
    assert [one for one in files if not one.endswith(".parquet")] == [".lock", "kind=flr/_common_metadata"]


async def test_what_comes_twice_is_there_once_and_every_revision_is(tmp_path: Path) -> None:
    first, second = flr(1), flr(2, revision=1, label="NoFreq", frequency_mHz=None)
    await archived(tmp_path, [first, second], [second], [event(3), event(3)])
    await archived(tmp_path, [first, event(3)], [second])
    assert objects(tmp_path, "flr") == {first.payload: 1, second.payload: 1}
    assert objects(tmp_path, "event") == {event(3).payload: 1}


async def test_removal_takes_nothing_away(tmp_path: Path) -> None:
    await archived(tmp_path, [flr(1)], [product(2, "flr", "TAR-BRZ", None)])
    assert objects(tmp_path, "flr") == {flr(1).payload: 1}


async def test_column_keeps_its_type_and_what_does_not_fit_is_in_the_object(tmp_path: Path) -> None:
    await archived(tmp_path, [flr(1, note=None)])
    await archived(tmp_path, [flr(2, note=2.5, frequency_mHz="much")])
    await archived(tmp_path, [flr(3, note="text", frequency_mHz=7)])
    found = {json.loads(row["object"])["note"]: row for row in rows(tmp_path, "flr")}
    assert {note: (row["note"], row["frequency_mHz"]) for note, row in found.items()} == {
        None: (None, 13.4),
        2.5: (2.5, None),
        "text": (None, 7.0),
    }
    assert json.loads(found[2.5]["object"])["frequency_mHz"] == "much"


KILLED = """
import asyncio, os, sys
sys.path.insert(0, {unit!r})
from sink_kit import HERE, flr
from monitor_plugins.parquet import Parquet
async def main():
    sink = Parquet(Parquet.Options(path={path!r}), HERE)
    await sink.open()
    for row in range(5):
        await sink.write([flr(row, f"P-{{row}}")])
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def test_power_failure_loses_nothing_that_was_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = KILLED.format(unit=str(Path(__file__).parent), path=str(tmp_path))
    died = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert died.returncode == -9, died.stderr
    (journal,) = tmp_path.glob(".journal-*")
    # The line that was being written came to half.
    with journal.open("ab") as file:
        file.write(b'["flr","P-5",15047')
    asyncio.run(archived(tmp_path, [flr(4, "P-4"), flr(5, "P-5")]))
    assert "damaged" not in caplog.text
    assert Counter(row["pair"] for row in rows(tmp_path, "flr")) == {f"P-{row}": 1 for row in range(6)}


@pytest.mark.parametrize("dies_at", range(17))
async def test_crash_anywhere_while_parquet_is_made_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    turn = 0
    real = parts._durably

    class Crash(BaseException):
        """The end of the process: nothing catches it."""

    def dying(step: Any) -> Any:
        def stepped(*arguments: Any) -> Any:
            nonlocal turn
            turn += 1
            if turn == dies_at + 1:
                raise Crash
            return step(*arguments)

        return stepped

    products = [flr(1), event(2), flr(3, "MUO-PEL", time="2017-09-08T00:00:00Z")]
    sink = sink_at(tmp_path)
    await sink.open()
    await sink.write(products)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "_durably", dying(real))
        patch.setattr(parts, "sync_folder", dying(parts.sync_folder))
        patch.setattr(archive, "sync_folder", dying(archive.sync_folder))
        try:
            sink._archive.close()
        except Crash:
            assert turn == dies_at + 1
    await sink.close()
    await archived(tmp_path, products)
    for kind, count in (("flr", 2), ("event", 1)):
        found = objects(tmp_path, kind)
        assert (len(found), set(found.values())) == (count, {1})


async def test_disk_that_is_full_spoils_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = sink_at(tmp_path)
    await sink.open()
    await sink.write([flr(1, "A-B")])

    @contextmanager
    def full() -> Iterator[None]:
        def write(handle: int, content: bytes) -> int:
            if len(content) > 100:
                return real(handle, content[:100])
            raise OSError(28, "No space left on device")

        real = archive.os.write
        with monkeypatch.context() as patch:
            patch.setattr(archive.os, "write", write)
            yield

    with full(), pytest.raises(MonitorError, match="No space left on device"):
        await sink.write([flr(2, "C-D")])
    await sink.write([flr(2, "C-D")])
    await sink.close()
    assert Counter(row["pair"] for row in rows(tmp_path, "flr")) == {"A-B": 1, "C-D": 1}


async def test_folder_belongs_to_one_daemon(tmp_path: Path) -> None:
    first, second = sink_at(tmp_path), sink_at(tmp_path)
    await first.open()
    with pytest.raises(MonitorError, match="another daemon archives there"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_foreign_file_is_named_and_keeps_nothing_from_the_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = tmp_path / "kind=flr" / "date=2017-09-07" / "mine.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("no parquet")
    sink = sink_at(tmp_path, roll_rows=1)
    await sink.open()
    await sink.write([flr(1)])
    assert "mine.parquet: is no part of the archive" in caplog.text
    foreign.unlink()
    await sink.write([flr(2, "MUO-PEL")])
    await sink.close()
    assert {row["pair"] for row in rows(tmp_path, "flr")} == {"TAR-BRZ", "MUO-PEL"}


async def test_holds_to_what_every_sink_has_to(tmp_path: Path) -> None:
    path = tmp_path / "archive"

    @asynccontextmanager
    async def down() -> AsyncIterator[None]:
        path.rename(tmp_path / "away")
        path.write_text("in the way")
        yield
        path.unlink()
        (tmp_path / "away").rename(path)

    await archived(path)
    await check_sink(
        lambda: sink_at(path), stored_products(6), lambda: objects(path, "flr").items(), down=down
    )
