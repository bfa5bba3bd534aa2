"""Regions on real measurements: how they are read, what a rule of thresholds makes of them, and the bundled network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from monitor.config import Config
from monitor.decoders.base import parse_time_ns
from monitor.errors import ModelError
from monitor.jobs.region.baselines import Thresholds
from monitor.jobs.region.judged import CONTEXT, ISOLATED, Predict, judge, judged_by, pattern_of, there
from monitor.jobs.region.measures import measure
from monitor.jobs.region.real import UPSTREAM, measure_hour, shock_score
from monitor.jobs.region.real_data import (
    cluster_hour,
    region_windows,
    shock_windows,
    solar_wind_windows,
)
from monitor.models.base import bundled
from monitor.models.region import NAME, RegionModel
from monitor.pipeline import Pipeline
from monitor.types import (
    CELL_NS,
    REGIONS,
    SECOND_NS,
    VARIABLES,
    WINDOW_CELLS,
    Domain,
    Region,
    SampleBlock,
    iso_time,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "space"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the measurements in ../shared/data/space are not there"),
]
FORMS = (ISOLATED, CONTEXT)
RULE: Predict = Thresholds().predict


@pytest.fixture(scope="module")
def model() -> RegionModel:
    try:
        return RegionModel.load(bundled(NAME))
    except ModelError as error:
        pytest.skip(f"there is no bundled network of regions: {error}")


def column(name: str) -> int:
    return VARIABLES.index(name)


class TestReaders:
    def test_windows_have_six_regions_and_three_quantities(self) -> None:
        alone, _ = region_windows(DATA)
        counts = {REGIONS[code].value: n for code, n in enumerate(np.bincount(alone.label).tolist()) if n}
        assert counts == {"SW": 101, "FS": 102, "MSH": 101, "MSP": 101, "PS": 101, "LOBE": 86}
        assert set(pattern_of(there(alone))) == {"|B|, N and T only"}

    def test_context_is_what_the_neighbours_hold(self) -> None:
        alone, inside = region_windows(DATA)
        assert 400 < len(inside) < len(alone)
        assert np.isfinite(inside.values[:, :, column("B")]).all()
        # The windows themselves are among those that stand alone.
        window = slice(6, 6 + WINDOW_CELLS)
        known = {row.tobytes() for row in alone.values[:, window, column("B")]}
        assert all(row.tobytes() in known for row in inside.values[:, window, column("B")])

    def test_shocks_slow_heat_and_compress(self) -> None:
        drawn = shock_windows(DATA)
        assert len(drawn.names) == 46
        upstream, downstream = (side.values.mean(axis=1) for side in (drawn.upstream, drawn.downstream))
        assert (downstream[:, column("T")] > upstream[:, column("T")]).mean() > 0.95
        assert (downstream[:, column("N")] > upstream[:, column("N")]).all()
        assert (downstream[:, column("Vx")] > upstream[:, column("Vx")]).all()
        assert 18.0 < np.median(upstream[:, column("T")]) < 121.0

    def test_drawn_windows_have_the_listed_mean(self) -> None:
        first = shock_windows(DATA, draws=1).upstream.values[0]
        # 20160102_015400: Bx 1.968 ± 0.574 nT, Ni 11.23 ± 0.42 cm⁻³, Pi 0.2042 nPa, hence 113 eV.
        assert first[:, column("Bx")].mean() == pytest.approx(1.968, abs=0.01)
        assert first[:, column("Bx")].std() == pytest.approx(0.574, abs=0.02)
        assert first[:, column("N")].mean() == pytest.approx(11.23, abs=0.05)
        assert np.median(first[:, column("T")]) == pytest.approx(113.0, rel=0.1)

    def test_solar_wind_is_slow_and_of_one_piece(self) -> None:
        windows = solar_wind_windows(DATA)
        assert len(windows) == 299
        speed = windows.values[:, :, column("V")]
        assert 290.0 < speed.min() < speed.max() < 360.0
        assert windows.values[0, 0, column("T")] == pytest.approx(97.3, abs=0.5)
        cold = solar_wind_windows(DATA, kilokelvin=True)
        assert cold.values[0, 0, column("T")] == pytest.approx(8.4, abs=0.1)

    def test_hour_of_cluster_has_field_and_flow_in_every_cell(self) -> None:
        t0_ns, cells = cluster_hour(DATA)
        assert iso_time(t0_ns).startswith("2002-03-18T14:15:0")
        assert len(cells) == pytest.approx(3600 / 4.5, abs=3)
        known = np.isfinite(cells).all(axis=0)
        assert [name for name, there_is in zip(VARIABLES, known, strict=True) if there_is] == [
            "Bx", "By", "Bz", "B", "Vx", "Vy", "Vz", "V",
        ]  # fmt: skip


class TestRule:
    def test_thresholds_from_the_literature_reach_nine_tenths(self) -> None:
        alone, _ = region_windows(DATA)
        accuracy = measure(judged_by(RULE, alone), "rule").accuracy.value
        assert accuracy is not None
        assert accuracy > 0.9

    def test_thresholds_know_the_sides_of_most_shocks(self) -> None:
        drawn = shock_windows(DATA)
        score = shock_score(drawn, judged_by(RULE, drawn.upstream), judged_by(RULE, drawn.downstream))
        assert len(score.upstream_wrong) <= 5
        assert len(score.downstream_wrong) <= 5


class TestBundled:
    @pytest.mark.parametrize("form", FORMS)
    def test_windows_of_six_regions_are_told_apart_among_ten(self, model: RegionModel, form: str) -> None:
        windows = region_windows(DATA)[FORMS.index(form)]
        found = measure(judge(model, windows, form), "real")
        assert found.accuracy.value is not None
        assert found.accuracy.value >= 0.85
        recalls = {one.region: one.recall.value for one in found.classes if one.recall.count}
        assert len(recalls) == 6
        assert min(value or 0.0 for value in recalls.values()) >= 0.7, recalls

    @pytest.mark.parametrize("form", FORMS)
    def test_sides_of_shocks_are_known(self, model: RegionModel, form: str) -> None:
        drawn = shock_windows(DATA)
        score = shock_score(drawn, judge(model, drawn.upstream, form), judge(model, drawn.downstream, form))
        assert len(score.upstream_wrong) <= 3, score.upstream_wrong
        assert len(score.downstream_wrong) <= 3, score.downstream_wrong

    @pytest.mark.parametrize("form", FORMS)
    def test_solar_wind_is_solar_wind_or_foreshock(self, model: RegionModel, form: str) -> None:
        called = judge(model, solar_wind_windows(DATA), form).called
        assert np.isin(called, [REGIONS.index(region) for region in UPSTREAM]).mean() >= 0.95

    def test_labels_of_cluster_change_when_field_and_flow_do(self, model: RegionModel) -> None:
        hour = measure_hour(model, *cluster_hour(DATA))
        assert abs(hour.change_ns - hour.measured_ns) < 300 * SECOND_NS
        assert hour.agreement > 0.8
        before = [
            name for name, end_ns in zip(hour.called, hour.ends_ns, strict=True) if end_ns < hour.change_ns
        ]
        after = [name for name, end_ns in zip(hour.called, hour.ends_ns, strict=True) if end_ns > hour.change_ns + 360 * SECOND_NS]  # fmt: skip
        inner = {Region.MAGNETOSPHERE, Region.LOBE, Region.PLASMA_SHEET, Region.PLASMA_SHEET_BOUNDARY_LAYER}
        assert sum(name in inner for name in before) > 0.9 * len(before)
        # The field turns about once more behind the change (MP); what is inside the magnetopause never comes back.
        assert Counter(after).most_common(1)[0][0] == Region.MAGNETOSHEATH
        assert not inner & set(after)

    def test_cluster_leaves_through_the_magnetopause_once(self, model: RegionModel) -> None:
        hour = measure_hour(model, *cluster_hour(DATA))
        pipeline = Pipeline(Config.model_validate({"craft": ["C1"]}))
        block = SampleBlock("C1", VARIABLES, hour.t0_ns, CELL_NS, hour.cells.T, Domain.CRAFT)
        said = [*pipeline.feed([block]), *pipeline.flush()]
        (begin,) = [
            product.body["properties"]
            for product in said
            if product.kind == "event" and product.body["properties"]["state"] == "begin"
        ]
        assert (begin["kind"], begin["direction"]) == ("magnetopause_crossing", "outbound")
        start_ns = parse_time_ns(begin["start_datetime"])
        assert abs(start_ns - hour.measured_ns) < 300 * SECOND_NS, iso_time(start_ns)
