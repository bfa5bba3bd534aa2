"""The mappings that ship against the masters of CDAWeb, and what the options of the source refuse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monitor_plugins.hapi.mappings import MAPPINGS, known_parameters
from monitor_plugins.hapi.options import FeedOptions, HapiOptions
from monitor_plugins.hapi.protocol import HapiError, Info, Parameter, Records, read_info
from monitor_plugins.hapi.samples import plan_of, series_of
from pydantic import ValidationError

from monitor.config import load_config
from monitor.decoders.native import CRAFT_FILL
from monitor.errors import ConfigurationError
from monitor.plugins import installed
from monitor.types import CELL_NS, SECOND_NS

MASTERS = Path(__file__).parents[3] / "shared" / "data" / "space" / "cdaweb_masters"
ALL = {
    "mms_fgm": ("MMS1", {"Bx", "By", "Bz", "B"}, "gse"),
    "mms_fpi": ("MMS1", {"N", "Vx", "Vy", "Vz", "Tpar", "Tperp"}, "gse"),
    "cluster_fgm": ("C1", {"Bx", "By", "Bz", "B"}, "gse"),
    "cluster_hia": ("C1", {"N", "Vx", "Vy", "Vz", "Tpar", "Tperp"}, "gse"),
    "themis_fgm": ("THA", {"Bx", "By", "Bz", "B"}, "gse"),
    "themis_mom": ("THA", {"N", "Vx", "Vy", "Vz", "Tpar", "Tperp"}, "gse"),
    "themis_esa": ("THB", {"N", "Vx", "Vy", "Vz", "Tpar", "Tperp"}, "gse"),
    "cluster_codif": ("C1", {"N", "Vx", "Vy", "Vz", "Tpar", "Tperp"}, "gse"),
}


def parameter(name: str, units: str | None = "nT", columns: int = 1, fill: float | None = -1e31) -> Parameter:
    return Parameter(name, "double", columns, 0, (units,) * columns, (fill,) * columns)


def info(*parameters: Parameter, location: str = "center") -> Info:
    time = Parameter("Time", "isotime", 1, 24, (None,), (None,))
    return Info(3, (time, *parameters), None, None, None, None, location, None)


def master(dataset: str) -> Info:
    """What a server says that gives out a master's data variables as they are."""
    import cdflib

    name = dataset.partition("@")[0].lower().replace("_cis_", "_cis-")  # as CDAWeb has it
    cdf = cdflib.CDF(MASTERS / f"{name}_00000000_v01.cdf")
    found = cdf.cdf_info()
    parameters = []
    for name in (*found.zVariables, *found.rVariables):
        if len(parameters) > 4 and not re.search(
            "b_g|bulkv|temp|density|B_|gse|btotal|t3|magt3|vel|T_p", name
        ):
            continue  # some masters have hundreds, which take seconds to ask about
        about, attributes = cdf.varinq(name), cdf.varattsget(name)
        if attributes.get("VAR_TYPE") == "data" and about.Data_Type in (21, 22, 44, 45):
            fill = np.atleast_1d(attributes.get("FILLVAL", np.nan))[0]
            columns = int(np.prod(about.Dim_Sizes)) if about.Dim_Sizes else 1
            parameters.append(parameter(name, str(attributes.get("UNITS", "")), columns, float(fill)))
    return info(*parameters)


@pytest.mark.realdata
@pytest.mark.parametrize("name", [name for name, one in MAPPINGS.items() if one.is_craft])
def test_mappings_find_their_components_in_the_masters_of_cdaweb(name: str) -> None:
    craft, components, frame = ALL[name]
    feed = FeedOptions(craft=craft, mapping=name)
    plan = plan_of(feed, master(str(feed.dataset_id)), "here")
    assert (set(plan.components), plan.frame) == (components, frame)
    factors = {column.component[0]: column.factor for column in plan.columns}
    assert factors.get("B", 1.0) == factors.get("N", 1.0) == factors.get("V", 1.0) == 1.0
    # Cluster's temperatures are in megakelvin.
    kelvin = 86.17 if name.startswith("cluster") else 1.0
    assert factors.get("T", kelvin) == pytest.approx(kelvin, rel=1e-4)
    # Every fill value is one that is known as such even where a server gives another, or none.
    fills = [fill for one in plan.parameters for fill in one.fills if fill is not None and np.isfinite(fill)]
    assert all(CRAFT_FILL[0] <= abs(fill) <= CRAFT_FILL[1] for fill in fills)
    assert plan.shift == (0.5 if name == "mms_fpi" else 0.0)


def test_mappings_know_their_datasets() -> None:
    ids = {
        name: one.dataset_of(ALL[name][0]) if name in ALL else one.dataset_of("ESK")
        for name, one in MAPPINGS.items()
    }
    assert ids == {
        "mms_fgm": "MMS1_FGM_SRVY_L2@0",
        "mms_fpi": "MMS1_FPI_FAST_L2_DIS-MOMS",
        "cluster_fgm": "C1_CP_FGM_SPIN",
        "cluster_hia": "C1_CP_CIS_HIA_ONBOARD_MOMENTS",
        "cluster_codif": "C1_CP_CIS_CODIF_HS_H1_MOMENTS",
        "themis_fgm": "THA_L2_FGM@0",
        "themis_mom": "THA_L2_MOM@0",
        "themis_esa": "THB_L2_ESA@0",
        "intermagnet_xyzf": "esk/best-avail/PT1S/xyzf",
        "intermagnet_hdzf": "esk/best-avail/PT1S/hdzf",
    }


def test_parameters_are_known_as_each_archive_calls_them() -> None:
    cleaned = ["mms2_fgm_b_gse_srvy_l2_clean", "mms2_fgm_b_gsm_srvy_l2_clean", "mms1_fgm_b_gse_srvy_l2"]
    assert [one.name for one in known_parameters(cleaned, "MMS2_FGM_SRVY_L2@0", "MMS2")] == [cleaned[0]]
    both = ["mms1_fgm_b_gse_srvy_l2_clean", "mms1_fgm_b_gse_srvy_l2"]
    assert [one.name for one in known_parameters(both, "MMS1_FGM_SRVY_L2@0", "MMS1")] == [both[1]]
    short = ["half_interval", "B_vec_xyz_gse", "B_mag"]
    assert [one.name for one in known_parameters(short, "C3_CP_FGM_SPIN", "C3")] == short[1:]
    quick = ["mms1_dfg_srvy_dmpa", "mms1_dis_bulkv_dbcs_fast"]
    assert [one.known.frame for one in known_parameters(quick, "anything", "MMS1")] == ["dmpa", "dbcs"]
    flagged = ["tha_fgs_gseQ", "tha_fgs_btotalQ"]
    assert [one.components for one in known_parameters(flagged, "THA_L2_FGM@0", "THA")] == [
        ("Bx", "By", "Bz"),
        ("B",),
    ]


CSA = """{"HAPI": "3.2", "cadence": "PT0.044610S", "parameters": [
 {"type": "isotime", "units": "UTC", "name": "time_tags", "length": 24, "fill": null},
 {"type": "double", "name": "half_interval", "units": "s", "fill": "-1e30"},
 {"type": "double", "name": "B_vec_xyz_gse", "units": "nT", "fill": "-1e30", "size": [3]},
 {"type": "double", "name": "B_mag", "units": "nT", "fill": "-1.0E30"},
 {"type": "double", "name": "sc_pos_xyz_gse", "units": "km", "fill": "-1.0E30", "size": [3]},
 {"type": "integer", "name": "range", "units": "Unitless", "fill": "-9"}],
 "startDate": "2000-12-02T07:00Z", "stopDate": "2024-09-29T09:00Z"}"""
CDAWEB = """{"startDate": "2019-02-01T00:00Z", "stopDate": "2024-09-30T23:58:58Z", "cadence": "PT4.299S",
 "maxRequestDuration": "PT4319850S", "resourceID": " ", "parameters": [
 {"name": "Time", "type": "isotime", "units": "UTC", "length": 24, "fill": null, "x_cdf_DataType": "CDF_EPOCH"},
 {"name": "Status__C1_UP_FGM", "type": "integer", "fill": "255", "units": " ", "size": [4]},
 {"name": "B_xyz_gse__C1_UP_FGM", "type": "double", "fill": "-1.0E31", "units": "nT", "size": [3]}]}"""


@pytest.mark.parametrize(
    ("dataset", "answer", "names", "cadence_ns"),
    [
        ("C1_CP_FGM_FULL", CSA, ["B_vec_xyz_gse", "B_mag"], 44_610_000),
        ("C1_UP_FGM", CDAWEB, ["B_xyz_gse__C1_UP_FGM"], 4_299_000_000),
    ],
)
def test_recorded_answers_of_the_archives_are_understood(
    dataset: str, answer: str, names: list[str], cadence_ns: int
) -> None:
    """Shortened from what the Cluster Science Archive and CDAWeb said of these datasets in 2024."""
    about = read_info(answer.encode(), "here")
    plan = plan_of(FeedOptions(craft="C1", dataset=dataset), about, "here")
    assert [one.name for one in plan.parameters] == names
    assert (plan.frame, about.cadence_ns, about.location) == ("gse", cadence_ns, "center")


def test_components_that_the_operator_names_are_taken_in_his_units() -> None:
    feed = FeedOptions(station="ESK", dataset="d", components={"X": "V[1]", "Z": "S"}, units="uT")
    plan = plan_of(feed, info(parameter("S"), parameter("other"), parameter("V", None, 3)), "here")
    assert [one.name for one in plan.parameters] == ["S", "V"]
    assert [(one.component, one.columns, one.factor) for one in plan.columns] == [
        ("X", (2,), 1e3),
        ("Z", (0,), 1e3),
    ]


@pytest.mark.parametrize(
    ("feed", "parameters", "says"),
    [
        ({"station": "ESK", "components": {"X": "Q"}}, [parameter("V")], "has no parameter 'Q', but V"),
        ({"station": "ESK", "components": {"X": "V"}}, [parameter("V", "nT", 3)], "write V\\[0\\]"),
        ({"station": "ESK", "components": {"X": "V[3]"}}, [parameter("V", "nT", 3)], "has 3 columns"),
        ({"station": "ESK"}, [parameter("V")], "name the components of ESK"),
        ({"station": "ESK"}, [parameter("X", "furlong")], "is in 'furlong', which cannot be brought to nT"),
        ({"station": "ESK"}, [parameter("X", None)], "name its units"),
        ({"craft": "MMS1"}, [parameter("V")], "holds no field or ion moments of MMS1"),
        ({"craft": "MMS1"}, [parameter("mms1_dis_numberdensity_fast", "m")], "cannot be brought to cm"),
    ],
)
def test_dataset_that_does_not_have_what_is_wanted_is_named(
    feed: dict[str, Any], parameters: list[Parameter], says: str
) -> None:
    with pytest.raises(HapiError, match=says):
        plan_of(FeedOptions(dataset="d", **feed), info(*parameters), "here")


@pytest.mark.parametrize(("location", "shift"), [("begin", 1), ("center", 0), ("end", -1), ("other", 0)])
def test_times_are_of_the_place_that_the_server_names(location: str, shift: int) -> None:
    feed = FeedOptions(craft="MMS1", dataset="d", components={"N": "n"})
    about = info(parameter("n", "cm^-3"), location=location)
    times = (400_000_000 + np.arange(20)) * CELL_NS + CELL_NS // 2
    records = Records(times - shift * CELL_NS // 2, np.arange(20.0)[:, np.newaxis], 0)
    plan = plan_of(feed, about, "here")
    series, _ = series_of(feed, plan, records, 0, int(times[-1]) + CELL_NS, complete=True, where="here")
    assert [(one.t0_ns, one.values.tolist()) for one in series] == [
        (400_000_000 * CELL_NS, [list(range(20))])
    ]


def test_few_records_take_the_step_that_is_known() -> None:
    feed = FeedOptions(station="ESK", dataset="d")
    plan = plan_of(feed, info(parameter("X"), parameter("Y")), "here")
    times = np.array([1_000_000_000, 1_000_000_003]) * SECOND_NS
    records = Records(times, np.ones((2, 2)), 0)
    steps = {}
    for known in ([], [SECOND_NS], [10 * SECOND_NS]):
        series, _ = series_of(feed, plan, records, 0, 1 << 62, steps_ns=known, complete=True, where="here")
        steps[tuple(known)] = [(one.step_ns, one.count) for one in series]
    assert steps == {
        (): [(3 * SECOND_NS, 2)],
        (SECOND_NS,): [(SECOND_NS, 4)],
        (10 * SECOND_NS,): [(3 * SECOND_NS, 2)],
    }


@pytest.mark.parametrize(
    ("feed", "says"),
    [
        ({"dataset": "d"}, "name a station or a spacecraft"),
        ({"dataset": "d", "station": "ESK", "craft": "MMS1"}, "one of the two"),
        ({"station": "ESK"}, "name the dataset of ESK"),
        ({"craft": "MMS7", "mapping": "mms_fgm"}, "name the dataset of MMS7"),
        ({"station": "ESK", "mapping": "mms_fgm"}, "is for a spacecraft"),
        ({"craft": "MMS1", "mapping": "intermagnet_xyzf"}, "is for a station"),
        ({"craft": "MMS1", "mapping": "voyager"}, "known are mms_fgm"),
        ({"station": "ESK", "dataset": "d", "components": {"D": "d"}}, "found components D"),
        ({"station": "ESK", "dataset": "d", "components": {"X": "d[x]"}}, "write the name of a parameter"),
        ({"station": "Eskdalemuir", "dataset": "d"}, "2 to 8 letters or digits"),
    ],
)
def test_options_of_a_feed_that_make_no_sense_are_refused(feed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FeedOptions(**feed)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "ftp://example.org/hapi"}, "begins with http:// or https://"),
        ({"url": "https://me:secret@example.org/hapi"}, "credentials do not belong in a URL"),
        ({"url": "https://example.org/hapi?x=1"}, "leave out what comes after"),
        ({"username": "me"}, "belong together"),
        ({"start": "yesterday"}, "write it as"),
        ({"feeds": []}, "at least 1 item"),
        ({"feeds": [{"station": "ESK", "dataset": "d"}] * 2}, "is there twice"),
    ],
)
def test_options_of_the_source_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    good = {"url": "https://example.org/hapi", "feeds": [{"station": "ESK", "dataset": "d"}]}
    assert HapiOptions.model_validate(good).feeds[0].subject == "ESK"
    with pytest.raises(ValidationError, match=says) as raised:
        HapiOptions.model_validate({**good, **options})
    assert "secret" not in str([error["msg"] for error in raised.value.errors()])


def test_faults_of_the_options_have_a_place_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "pairs: [NUR-TAR]\n"
        "plugins:\n"
        "  hapi:\n"
        "    url: ftp://example.org\n"
        "    poll_s: 0\n"
        "    feeds:\n"
        "      - {station: NUR, dataset: d, role: x}\n"
        "      - {craft: MMS1}\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        load_config(path, installed())
    places = {(fault.line, fault.column): fault.message for fault in raised.value.faults}
    assert "begins with http://" in places[4, 10]
    assert "at least 0.1" in places[5, 13]
    assert "one of 'live', 'backfill'" in places[7, 42]
    assert "name the dataset of MMS1" in places[8, 9]
