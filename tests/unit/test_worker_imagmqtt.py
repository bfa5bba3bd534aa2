"""ImagMQTT through the worker: two levels, resends, nulls, minutes, and the scalar that comes by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.config import Config
from monitor.daemon.worker import Worker
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.types import SECOND_NS, FloatArray, Json, Message, iso_time

Make = Callable[[str, int, FloatArray], Message]

T0_NS = 1_504_771_200 * SECOND_NS  # 2017-09-07T08:00:00Z
END = "2017-09-07T08:10:00Z"
RECEIVED_NS = 1_700_000_000 * SECOND_NS
CONFIG = Config.model_validate(
    {
        "pairs": ["TAR-BRZ"],
        "outputs": {"spectra": True},
        "windows": {"length_s": 600, "cadence_s": 300, "lateness_s": 60.0, "revise_s": 3600.0},
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def worker_on(store: Store) -> Worker:
    worker = Worker(CONFIG, store, Metrics([entry.decoder for entry in CONFIG.inputs]))
    assert worker.restore()
    return worker


def message(
    code: str,
    second: int,
    columns: dict[str, Json],
    level: int = 1,
    cadence: str = "pt1s",
    kind: str = "hdzs",
) -> Message:
    start = iso_time(T0_NS + second * SECOND_NS).removesuffix("Z")
    document = {"startDate": start, **{f"geomagneticField{name}": cells for name, cells in columns.items()}}
    topic = f"impf/{code.lower()}/{cadence}/{level}/{kind}"
    return Message(topic, json.dumps(document).encode(), RECEIVED_NS)


def field(code: str) -> FloatArray:
    return np.random.default_rng(len(code) + ord(code[0])).normal(20_000.0, 1.0, 660).round(2)


def hdz(code: str, second: int, values: FloatArray, level: int = 1) -> Message:
    columns = {"H": values.tolist(), "D": [4.5] * values.size, "Z": [4e4] * values.size}
    return message(code, second, columns, level)


def dif(code: str, second: int, values: FloatArray, level: int = 1) -> Message:
    columns = {"D": [4.5] * values.size, "I": [60.0] * values.size, "F": (2.0 * values).tolist()}
    return message(code, second, columns, level, kind="difs")


def scalar(code: str, second: int, count: int, cadence: str = "pt1s") -> Message:
    return message(code, second, {"S": [48_000.25] * count}, cadence=cadence, kind="hdzs")


def minutes(tar: Make, brz: Make, first: int = 0) -> list[Message]:
    """Eleven minutes of both stations, as they come: one after the other."""
    found = []
    for minute in range(11):
        for code, make in (("TAR", tar), ("BRZ", brz)):
            found.append(make(code, (first + minute) * 60, field(code)[minute * 60 : minute * 60 + 60]))
    return found


def run(worker: Worker, batch: list[Message]) -> None:
    worker.compute(worker.take(batch))
    worker.commit()


def spectrum(store: Store) -> Json:
    """The newest spectrum of the first whole window, and what of the window was covered."""
    newest: dict[str, Json] = {}
    for row in store.outbox(1000):
        document = json.loads(row.payload)
        if row.kind in ("flr", "spectrum") and document["time"] == END:
            newest[row.kind] = document
    arrays = ("cross_phase_deg", "amplitude_ratio", "coherence")
    return {name: newest["spectrum"][name] for name in arrays} | {"coverage": newest["flr"]["coverage"]}


def plain(folder: Path) -> Json:
    """The spectrum of the whole samples, as H D Z at one level."""
    with Store.open(folder / "plain.sqlite", retention_ns=1 << 60, product_retention_ns=None) as store:
        worker = worker_on(store)
        run(worker, minutes(hdz, hdz))
        assert worker.read().rejected == {}
        return spectrum(store)


def test_angles_and_total_give_the_label_of_the_horizontal_component(store: Store, tmp_path: Path) -> None:
    worker = worker_on(store)
    run(worker, minutes(dif, hdz))
    found, expected = spectrum(store), plain(tmp_path)
    for name in ("cross_phase_deg", "amplitude_ratio", "coherence"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)


def test_resends_nulls_and_levels_end_with_the_best_of_all(store: Store, tmp_path: Path) -> None:
    worker = worker_on(store)
    tar = field("TAR")
    wrong = tar + np.random.default_rng(9).normal(0.0, 50.0, tar.size)
    holes = [None if place % 3 == 0 else value for place, value in enumerate(wrong.tolist())]
    nulls = message("TAR", 0, {"H": holes, "D": [None] * 660, "Z": [1.0] * 660}, 2)
    run(worker, minutes(lambda code, second, _: hdz(code, second, wrong[second : second + 60]), hdz))
    assert spectrum(store) != plain(tmp_path)
    # Better ones with holes; the right ones; once more from the level below, which is too late; and nothing but nulls.
    gone = message("TAR", 0, {"H": [None] * 660, "D": [None] * 660, "Z": [None] * 660}, 4)
    for batch in ([nulls], [hdz("TAR", 0, tar, level=3)], [hdz("TAR", 0, wrong, level=2)], [gone]):
        run(worker, batch)
    # What was revised rests until later samples have come.
    run(worker, minutes(hdz, hdz, first=11))
    assert worker.read().rejected == {}
    assert spectrum(store) == plain(tmp_path)


def test_scalar_beside_the_vector_is_stored_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    worker = worker_on(store)
    # Ahead of the vector and with a step of its own: a clock that it moved would close windows over gaps.
    run(worker, [scalar("TAR", 0, 300, cadence="pt10s"), scalar("BRZ", 600, 60)])
    assert worker.read().source_clocks == {}
    run(worker, [scalar("TAR", 0, 60), *minutes(hdz, hdz)])
    run(worker, [scalar("TAR", 660, 600)])
    assert worker.read().rejected == {}
    assert worker.read().source_clocks == dict.fromkeys(("BRZ", "TAR"), T0_NS + 660 * SECOND_NS)
    assert spectrum(store) == plain(tmp_path)
    assert sum(block.is_scalar for _, block in store.samples(None, -1)) == 4
    # What is stored of it is read at the next start, and passed by there too.
    again = worker_on(store)
    assert again.read().source_clocks == worker.read().source_clocks
    run(again, minutes(hdz, hdz, first=11))
    assert again.read().rejected == {}
    assert again.read().latest["TAR-BRZ"]["coverage"] == {"TAR": 1.0, "BRZ": 1.0}


def test_minutes_are_refused_with_a_reason_of_their_own_beside_the_seconds(
    store: Store, tmp_path: Path
) -> None:
    worker = worker_on(store)
    means = message("TAR", 0, {"H": [2e4] * 11, "D": [4.5] * 11, "Z": [4e4] * 11}, 2, cadence="pt1m")
    run(worker, [means, *minutes(hdz, hdz), means])
    assert worker.read().rejected == {"imagmqtt: minute_data": 2}
    assert spectrum(store) == plain(tmp_path)
