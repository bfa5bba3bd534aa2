"""A copy of the store while somebody writes: one moment of it, whole, and under its name only then."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor import cli
from monitor.errors import StoreError
from monitor.io.store import Store
from monitor.io.store.backup import back_up
from monitor.types import SECOND_NS, Product, SampleBlock

WRITER = """
import sys
from pathlib import Path
import numpy as np
from monitor.io.store import Store
from monitor.types import Product, SampleBlock

store = Store.open(Path(sys.argv[1]), retention_ns=10**18, product_retention_ns=None)
for n in range(10**6):
    store.write_samples([SampleBlock("TAR", ("H",), n * 10**12, 10**9, np.full((1, 1000), float(n)))])
    product = Product("flr", "A-B", n, 0, True, {"n": n})
    store.commit([(product, product.encode(n))], {"window": str(n)})
    print(n, flush=True)
"""


def open_store(path: Path) -> Store:
    return Store.open(path, retention_ns=1 << 60, product_retention_ns=None)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.sqlite"
    with open_store(path) as store:
        store.write_samples([SampleBlock("TAR", ("H",), 0, SECOND_NS, np.ones((1, 3000)))])
        product = Product("flr", "A-B", 0, 0, True, {"n": 0})
        store.commit([(product, product.encode(0))], {})
    return path


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the store and writes for ever; some hundred rows are there already."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "monitor.sqlite")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    for _ in range(200):
        assert process.stdout.readline()
    # Somebody has to read on, or the writer would wait.
    drain = threading.Thread(target=process.stdout.read)
    drain.start()
    yield process
    process.kill()
    drain.join()
    process.stdout.close()
    process.wait()


def test_copy_taken_while_another_process_writes_is_one_moment_of_the_store(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    target = tmp_path / "copy.sqlite"
    steps: list[tuple[int, int]] = []
    made = back_up(tmp_path / "monitor.sqlite", target, lambda done, total: steps.append((done, total)))
    assert writer.poll() is None
    # It was never begun again, though the store grew meanwhile.
    assert len(steps) > 1
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert len({total for _, total in steps}) == 1
    assert made.size == target.stat().st_size
    with open_store(target) as copy:
        numbers = [float(block.values[0, 0]) for _, block in copy.samples(None, -1)]
        assert numbers == [float(n) for n in range(len(numbers))]
        assert len(numbers) == made.samples >= 200
        products = [json.loads(row.payload)["n"] for row in copy.outbox(10**6)]
        assert products == list(range(made.products))
        # Samples are committed before the products that rest on them.
        assert made.products <= made.samples <= made.products + 1
        assert copy.states() == {"window": str(made.products - 1)}
    assert list(tmp_path.glob("*.partial*")) == []


def test_target_that_is_there_is_refused_and_left_as_it_is(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    target.write_text("mine")
    with pytest.raises(StoreError, match=r"copy\.sqlite: is there already; name another file with -o"):
        back_up(filled, target)
    assert target.read_text() == "mine"


def test_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"monitor\.sqlite: there is no store"):
        back_up(tmp_path / "monitor.sqlite", tmp_path / "copy.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "other.sqlite")
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="is a database of another program"):
        back_up(tmp_path / "other.sqlite", tmp_path / "copy.sqlite")
    assert not (tmp_path / "copy.sqlite").exists()


def test_copy_of_a_damaged_store_is_refused_and_taken_away(filled: Path, tmp_path: Path) -> None:
    with sqlite3.connect(filled) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sample_by_end'"
        ).fetchone()
    connection.close()
    with filled.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(bytes(4096))
    with pytest.raises(StoreError, match="the copy is not sound"):
        back_up(filled, tmp_path / "copy.sqlite")
    assert list(tmp_path.glob("copy*")) == []
    assert list(tmp_path.glob("*.partial*")) == []


def test_place_that_cannot_be_written_is_named(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"absent/copy\.sqlite"):
        back_up(filled, tmp_path / "absent" / "copy.sqlite")


def test_command_says_what_it_copied(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"pairs": ["TAR-BRZ"], "store": {"path": str(filled)}}))
    target = tmp_path / "copy.sqlite"
    assert cli.main(["backup", "-c", str(config), "-o", str(target)]) == 0
    assert f"{target.stat().st_size} bytes, 1 rows of samples, 1 products" in capsys.readouterr().err
    assert cli.main(["backup", "-c", str(config), "-o", str(target)]) == 1
    assert "is there already" in capsys.readouterr().err
