"""What holds for the store whatever it is given: round trips, the order of overlaps, no surprise from bad bytes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitor.errors import StoreError
from monitor.io.store import Store, coalesce
from monitor.types import SECOND_NS, Domain, Product, SampleBlock

# A file per example: fewer examples keep the whole run short.
settings.register_profile("store", max_examples=40)
on_disk = settings.get_profile("store")


@st.composite
def blocks(draw: st.DrawFn) -> SampleBlock:
    """Blocks of few sources on a small grid, so that following, overlapping and repeating are all common."""
    count = draw(st.integers(0, 6))
    components = draw(st.sampled_from([("H",), ("H", "E")]))
    values = draw(hnp.arrays(np.float64, (len(components), count), elements=st.floats(allow_nan=True)))
    return SampleBlock(
        draw(st.sampled_from(["TAR", "BRZ"])),
        components,
        draw(st.integers(0, 12)) * SECOND_NS,
        SECOND_NS,
        values,
        draw(st.sampled_from(Domain)),
        draw(st.integers(0, 1)),
        draw(st.sampled_from([None, "LEMI"])),
    )


@contextmanager
def fresh_store(**retention: int) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "monitor.sqlite"
        with Store.open(
            path, retention_ns=retention.get("retention_ns", 1 << 60), product_retention_ns=None
        ) as store:
            yield store


def samples_in_order(given_blocks: Sequence[SampleBlock]) -> dict[str, list[tuple[object, ...]]]:
    """Every single sample of a source with all that is known of it, in the order of arrival (NaN by its bits)."""
    samples: dict[str, list[tuple[object, ...]]] = {}
    for block in given_blocks:
        for n in range(block.count):
            about = (block.domain, block.components, block.level, block.sensor, block.frame, block.step_ns)
            sample = (block.t0_ns + n * block.step_ns, block.values[:, n].tobytes(), *about)
            samples.setdefault(block.source, []).append(sample)
    return samples


@given(st.lists(blocks(), max_size=20))
def test_coalescing_keeps_every_sample_of_a_source_in_order(given_blocks: list[SampleBlock]) -> None:
    before = [block.values.tobytes() for block in given_blocks]
    joined = coalesce(given_blocks)
    assert samples_in_order(joined) == samples_in_order(given_blocks)
    assert len(joined) <= len(given_blocks)
    assert [block.values.tobytes() for block in given_blocks] == before


@on_disk
@given(st.lists(st.lists(blocks(), max_size=8), max_size=5))
def test_any_calls_give_back_every_sample_in_order(calls: list[list[SampleBlock]]) -> None:
    everything = [block for call in calls for block in call]
    with fresh_store() as store:
        rows = [store.write_samples(call) for call in calls]
        stored = list(store.samples(None, -1))
        assert samples_in_order([block for _, block in stored]) == samples_in_order(everything)
        assert [row for row, _ in stored] == list(range(1, (rows[-1] if rows else 0) + 1))
        ends = {
            b.source: max(o.end_ns for o in everything if o.count and o.source == b.source) for _, b in stored
        }
        assert store.sources() == ends
        for source in ("TAR", "BRZ"):
            alone = [block for _, block in store.samples(source, -1)]
            assert samples_in_order(alone) == samples_in_order([b for b in everything if b.source == source])


@on_disk
@given(
    st.lists(st.lists(blocks(), max_size=8), min_size=1, max_size=4), st.integers(0, 20), st.integers(0, 20)
)
def test_row_and_time_limits_select_what_a_scan_would(
    calls: list[list[SampleBlock]], start_s: int, after_row: int
) -> None:
    with fresh_store() as store:
        for call in calls:
            store.write_samples(call)
        everything = list(store.samples(None, -1))
        start_ns = start_s * SECOND_NS
        chosen = [row for row, _ in store.samples("TAR", start_ns, after_row=after_row)]
        assert chosen == [
            r for r, b in everything if r > after_row and b.end_ns > start_ns and b.source == "TAR"
        ]


@on_disk
@given(st.lists(st.lists(blocks(), max_size=8), max_size=4), st.integers(0, 12))
def test_pruning_takes_exactly_what_is_past_the_retention(
    calls: list[list[SampleBlock]], retention_s: int
) -> None:
    with fresh_store(retention_ns=retention_s * SECOND_NS) as store:
        for call in calls:
            store.write_samples(call)
        before = list(store.samples(None, -1))
        clocks = store.sources()
        while store.prune():
            pass
        kept = [row for row, _ in store.samples(None, -1)]
        assert kept == [r for r, b in before if b.end_ns > clocks[b.source] - retention_s * SECOND_NS]
        assert store.sources() == clocks


texts = st.text(st.characters(codec="utf-8"), max_size=8)
products = st.builds(
    lambda subject, time_ns, revision, text: Product("flr", subject, time_ns, revision, True, {"text": text}),
    st.sampled_from(["A-B", "C-D"]),
    st.integers(0, 3),
    st.integers(0, 2),
    texts,
)


@on_disk
@given(st.lists(st.lists(products, max_size=4), max_size=6))
def test_commits_are_all_or_nothing_and_ids_keep_their_first_content(commits: list[list[Product]]) -> None:
    model: dict[tuple[str, int, int], str] = {}
    with fresh_store() as store:
        for number, batch in enumerate(commits):
            after = dict(model)
            clash = False
            for product in batch:
                key = (product.subject, product.time_ns, product.revision)
                clash |= after.setdefault(key, product.body["text"]) != product.body["text"]
            encoded = [(product, product.encode(number)) for product in batch]
            if clash:
                with pytest.raises(StoreError, match="published twice"):
                    store.commit(encoded, {"n": str(number)})
            else:
                store.commit(encoded, {"n": str(number)})
                model = after
            assert (store.states().get("n") == str(number)) is not clash
        waiting = {
            (row.subject, row.time_ns, row.revision): json.loads(row.payload)["text"]
            for row in store.outbox(99)
        }
        assert waiting == model
        newest = {subject: max(key for key in model if key[0] == subject) for subject, _, _ in model}
        latest = {subject: document["text"] for subject, document in store.latest("flr").items()}
        assert latest == {subject: model[key] for subject, key in newest.items()}


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "monitor.sqlite"
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        for n in range(30):
            store.write_samples(
                [SampleBlock("TAR", ("H",), n * SECOND_NS, SECOND_NS, np.full((1, 1), float(n)))]
            )
            product = Product("flr", "A-B", n, 0, True, {"n": n})
            store.commit([(product, product.encode(n))], {"window": "{}"})
    return path


def spoil_bytes(data: bytes, spots: Sequence[tuple[float, int]]) -> bytes:
    spoiled = bytearray(data)
    for place, mask in spots:
        spoiled[int(place * len(spoiled))] ^= mask
    return bytes(spoiled)


@on_disk
@given(
    spots=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20
    ),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_spoiled_file_opens_is_set_aside_or_is_refused_and_nothing_else(
    sound_file: Path, spots: list[tuple[float, int]], cut: float | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "monitor.sqlite"
        shutil.copy(sound_file, path)
        data = spoil_bytes(path.read_bytes(), spots)
        path.write_bytes(data if cut is None else data[: int(cut * len(data))])
        try:
            store = Store.open(path, retention_ns=1 << 60, product_retention_ns=None)
        except StoreError:
            return
        with store:
            use: list[Callable[[], object]] = [
                lambda: list(store.samples(None, -1)),
                lambda: store.latest("flr"),
                lambda: list(store.products("flr", None, 0, 1 << 60)),
                store.states,
                lambda: store.outbox(100),
                lambda: store.write_samples([SampleBlock("X", ("H",), 0, SECOND_NS, np.zeros((1, 1)))]),
                store.prune,
            ]
            for step in use:
                try:
                    step()
                except StoreError:
                    continue
