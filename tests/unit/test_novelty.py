"""What is unlike the training rows is flagged, and next to nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest

from monitor.science.novelty import Novelty, fit_novelty
from monitor.types import Float32Array, FloatArray, IntArray

BINS = 50
COUNT = 3 * BINS + 1


def spectra(n: int, seed: int) -> tuple[Float32Array, IntArray]:
    """Phase, logarithm of the ratio and coherence of resonances in smoothed noise; 20 windows a sequence.

    Some bins of the phase are masked; the last feature has one value in most rows.
    """
    rng = np.random.default_rng(seed)
    x, sequence = np.linspace(-1.2, 1.2, BINS), np.arange(n) // 20
    sequences = int(sequence[-1]) + 1
    place = rng.uniform(-0.6, 0.6, sequences)[sequence] + rng.normal(0.0, 0.05, n)
    width = np.exp(rng.uniform(-2.5, -1.0, sequences))[sequence]
    height = rng.uniform(0.2, 1.2, sequences)[sequence] * rng.choice([1, 1, 0, -1], sequences)[sequence]
    z = (x - place[:, None]) / width[:, None]
    noise = rng.normal(0.0, 0.25, (3, n, BINS + 4))
    noise = sum(noise[:, :, k : k + BINS] for k in range(5)) / np.sqrt(5.0)
    phase = height[:, None] / (1.0 + z**2) + noise[0]
    ratio = height[:, None] * z / (1.0 + z**2) + noise[1] + rng.normal(0.0, 0.3, (n, 1))
    coherence = np.clip(0.9 - 0.3 * np.abs(x) * rng.random((n, 1)) + 0.3 * noise[2], 0.0, 1.0)
    phase[x > rng.uniform(0.6, 1.3, (n, 1))] = np.nan
    rows = np.concatenate([phase, ratio, coherence, (sequence % 5 == 0)[:, None]], axis=1)
    return rows.astype(np.float32), sequence


@pytest.fixture(scope="module")
def learnt() -> Novelty:
    features, sequence = spectra(20_000, seed=1)
    return fit_novelty(features, components=20, groups=sequence)


@pytest.fixture(scope="module")
def fresh() -> Float32Array:
    return spectra(20_000, seed=2)[0]


def test_false_alarms_on_fresh_sequences_are_as_rare_as_asked(learnt: Novelty, fresh: Float32Array) -> None:
    """One in a thousand of 20,000: 20, by a Poisson bound wide enough for 20 windows of a sequence going
    together.
    """
    assert 5 <= int(learnt.is_novel(fresh).sum()) <= 50
    features, sequence = spectra(20_000, seed=1)
    broad = fit_novelty(features, components=20, groups=sequence, quantile=0.95)
    assert broad.is_novel(fresh).mean() == pytest.approx(0.05, abs=0.01)


def test_rows_that_nothing_measured_looks_like_are_flagged(learnt: Novelty, fresh: Float32Array) -> None:
    rng = np.random.default_rng(3)
    known = fresh[:300]
    strange = {
        "white noise": learnt.centre + 1.5 * learnt.width * rng.normal(0.0, 1.0, (300, COUNT)),
        "bins in another order": known[:, rng.permutation(COUNT)],
        "inverted": -known,
        "frequency axis reversed": known[:, ::-1],
        "three times too large": 3.0 * known,
        "ten times too small": 0.1 * known,
        "zero": np.zeros((1, COUNT)),
        "constant": np.full((1, COUNT), 0.7),
        "the mean of all": learnt.centre[None] + learnt.width * learnt.mean,
        "saturated": np.full((1, COUNT), np.inf),
        "huge": np.full((1, COUNT), -1e30),
        "half unknown": np.where(np.arange(COUNT) % 2, np.nan, known),
        "alternating": np.where(np.arange(COUNT) % 2, 1.0, -1.0)[None],
    }
    for name, rows in strange.items():
        assert learnt.is_novel(rows.astype(np.float32)).mean() > 0.95, name


def test_row_that_knows_nothing_is_infinitely_novel(learnt: Novelty, fresh: Float32Array) -> None:
    rows = fresh[:3].copy()
    rows[1] = np.nan
    assert np.isinf(learnt.score(rows)).tolist() == [False, True, False]
    assert learnt.is_novel(rows)[1]


def test_score_of_a_row_does_not_depend_on_its_company(learnt: Novelty, fresh: Float32Array) -> None:
    together = learnt.score(fresh[:2500])
    alone = np.concatenate([learnt.score(fresh[row : row + 1]) for row in range(300)])
    among_strange = np.concatenate(
        [np.full((1, COUNT), np.inf, dtype=np.float32), 1e20 * fresh[300:301], fresh[:300]]
    )
    assert alone == pytest.approx(together[:300], rel=1e-9)
    assert learnt.score(among_strange)[2:] == pytest.approx(together[:300], rel=1e-9)
    assert learnt.score(fresh[:2500][::-1])[::-1] == pytest.approx(together, rel=1e-9)
    assert learnt.score(fresh[:0]).shape == (0,)


def test_distances_are_those_of_a_singular_value_decomposition() -> None:
    """Complete rows without outliers: T² and Q computed the other way round, against the limits."""
    rng = np.random.default_rng(6)
    rows = rng.normal(0.0, 1.0, (2000, 12)) @ rng.normal(0.0, 1.0, (12, 12))
    found = fit_novelty(rows, components=4, groups=np.arange(2000), clip=100.0)
    scaled = (rows - np.median(rows, axis=0)) / found.width
    off = scaled - scaled.mean(axis=0)
    _, values, turned = np.linalg.svd(off, full_matrices=False)
    inside = ((off @ turned[:4].T / values[:4]) ** 2).sum(axis=1) * 2000
    beside = ((off @ turned[4:].T) ** 2).mean(axis=1) * 8 / 12
    expected = np.max(
        [inside / found.limit_inside, beside / found.limit_beside, found.limit_clean / beside], axis=0
    )
    assert found.score(rows) == pytest.approx(expected, rel=1e-8)


def test_limits_are_those_of_held_out_sequences() -> None:
    """Few sequences of one shape each: rows look near to axes that have seen their sequence, and are not."""
    rng = np.random.default_rng(7)
    shape = rng.normal(0.0, 1.0, (24, 60))
    rows = np.repeat(shape, 100, axis=0) + rng.normal(0.0, 0.1, (2400, 60))
    apart = fit_novelty(rows, components=23, groups=np.repeat(np.arange(24), 100))
    leaking = fit_novelty(rows, components=23, groups=np.arange(2400))
    assert apart.limit_beside > 10.0 * leaking.limit_beside
    unseen = np.random.default_rng(8).normal(0.0, 1.0, (500, 60))
    assert leaking.is_novel(unseen).all()
    assert apart.is_novel(unseen).mean() < 0.1


def test_one_wild_training_row_does_not_widen_known_territory(fresh: Float32Array) -> None:
    features, sequence = spectra(20_000, seed=1)
    spoilt = features.copy()
    spoilt[::5000] = 1e6
    plain, robust = (fit_novelty(rows, components=20, groups=sequence) for rows in (features, spoilt))
    assert robust.limit_beside == pytest.approx(plain.limit_beside, rel=0.2)
    strange = 3.0 * fresh[:300]
    assert robust.is_novel(strange).mean() > 0.95


def test_feature_unknown_or_constant_in_training_does_no_harm() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(0.0, 1.0, (2000, 20))
    rows[:, 3], rows[:, 4] = np.nan, 7.0
    found = fit_novelty(rows, components=5, groups=np.arange(2000))
    fresh = rng.normal(0.0, 1.0, (2000, 20))
    fresh[:, 3], fresh[:, 4] = np.nan, 7.0
    assert found.is_novel(fresh).mean() < 0.01
    fresh[:, 4] = 7.0 + 100.0
    assert found.is_novel(fresh).all()


def test_novelty_survives_an_npz_file_without_pickle(learnt: Novelty, fresh: Float32Array) -> None:
    stream = io.BytesIO()
    np.savez(stream, **learnt.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as stored:
        again = Novelty.from_arrays(dict(stored))
    assert np.array_equal(again.score(fresh[:100]), learnt.score(fresh[:100]))
    assert isinstance(again.limit_beside, float)


def test_fit_is_deterministic() -> None:
    features, sequence = spectra(2000, seed=10)
    first, second = (fit_novelty(features, components=5, groups=sequence).to_arrays() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_input_is_not_changed(learnt: Novelty, fresh: Float32Array) -> None:
    before = fresh[:50].copy()
    learnt.score(fresh[:50])
    assert np.array_equal(before, fresh[:50], equal_nan=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", np.array("novelty/7"), "novelty/7"),
        ("width", np.zeros(COUNT), "width must be positive"),
        ("axes", np.zeros((COUNT, 3)), r"axes must have shape \(151, 20\), got \(151, 3\)"),
        ("centre", np.full(COUNT, np.nan), "centre holds a value that is not finite"),
        ("limit_inside", np.array(-1.0), r"limit_inside must be positive, got -1\.0"),
        ("limit_inside", np.ones(2), r"limit_inside must have shape \(\), got \(2,\)"),
        ("surplus", np.ones(2), "surplus"),
    ],
)
def test_damaged_arrays_are_refused(learnt: Novelty, name: str, value: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Novelty.from_arrays({**learnt.to_arrays(), name: value})


def test_bad_input_is_named(learnt: Novelty) -> None:
    features, sequence = spectra(2000, seed=11)
    with pytest.raises(ValueError, match=r"got \(2000, 151\) and \(5,\)"):
        fit_novelty(features, components=5, groups=sequence[:5])
    with pytest.raises(ValueError, match=r"quantile 0\.999 needs at least 999 rows, got 998"):
        fit_novelty(features[:998], components=5, groups=sequence[:998])
    with pytest.raises(ValueError, match="at least 2 groups, got 1"):
        fit_novelty(features, components=5, groups=np.zeros(2000))
    with pytest.raises(ValueError, match="components must lie between 1 and 150, got 151"):
        fit_novelty(features, components=151, groups=sequence)
    with pytest.raises(ValueError, match=r"quantile must lie between 0 and 1, got 1\.0"):
        fit_novelty(features, components=5, groups=sequence, quantile=1.0)
    with pytest.raises(ValueError, match=r"clip must be positive, got 0\.0"):
        fit_novelty(features, components=5, groups=sequence, clip=0.0)
    with pytest.raises(ValueError, match=r"\(n, 151\), got \(3, 7\)"):
        learnt.score(np.zeros((3, 7)))
    features[12, 34] = np.inf
    with pytest.raises(ValueError, match="feature 34 of row 12 is infinite"):
        fit_novelty(features, components=5, groups=sequence)
    features[12] = np.nan
    with pytest.raises(ValueError, match="row 12 knows no feature"):
        fit_novelty(features, components=5, groups=sequence)
