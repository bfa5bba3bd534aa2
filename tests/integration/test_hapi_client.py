"""Every dataset, read by the public Python client of HAPI, has the values of the store."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hapi_kit import (
    CADENCE_S,
    CHAIN,
    CRAFT,
    PAIRS,
    SHADOWS,
    T0_NS,
    offering_in_thread,
    product,
    spectrum,
    stored,
    time_of,
)
from hapiclient import hapi
from monitor_plugins.hapi.protocol import read_binary, read_csv, read_info

from monitor.io.store import Store
from monitor.io.store.spectra import spectrum_row
from monitor.types import REGIONS, SECOND_NS

FILL = -1e31
START, STOP = "2017-09-07T00:00:00Z", "2017-09-08T00:00:00Z"
EVER = (0, 1 << 62)
FORMATS = ("csv", "binary")
Form = Literal["csv", "binary"]
LABELS = ("NoFreq", "Freq", "PBL")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with stored(tmp_path_factory.mktemp("hapi") / "monitor.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[str]:
    with offering_in_thread(store.path) as url:
        yield f"{url}/hapi"


def read(server: str, dataset: str, form: Form, parameters: str = "", stop: str = STOP) -> Any:
    data, _ = hapi(server, dataset, parameters, START, stop, format=form, cache=False, usecache=False)
    return data


def number(value: float | None) -> float:
    return FILL if value is None else value


def numbers(values: list[float | None] | None, count: int) -> list[float]:
    return [FILL] * count if values is None else [number(value) for value in values]


def text(value: str | None) -> str:
    return "?" if value is None else value


def words(values: list[str]) -> str:
    return " ".join(values) or "none"


def time(value: str | None) -> bytes:
    return b"0000-00-00T00:00:00.000Z" if value is None else value.replace("Z", ".000Z").encode()


def expected(form: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a product has to hold, written down from the description of the object."""
    match form:
        case "flr":
            physical = document["physical"]
            return {
                "effective_time": time(document["effective_time"]),
                "label": document["label"],
                "probability": numbers(
                    document["probability"] and [document["probability"][one] for one in LABELS], 3
                ),
                "stage_one": text(document["stage_one"]),
                "track_probability": [document["track_probability"][one] for one in LABELS],
                "frequency_mHz": number(document["frequency_mHz"]),
                "frequency_interval_mHz": numbers(document["frequency_interval_mHz"], 2),
                "physical_label": physical["label"],
                "physical_frequency_mHz": number(physical["frequency_mHz"]),
                "physical_sigma_mHz": number(physical["sigma_mHz"]),
                "physical_cross_phase_deg": number(physical["cross_phase_deg"]),
                "physical_coherence": number(physical["coherence"]),
                "physical_agrees": -1 if physical["agrees"] is None else int(physical["agrees"]),
                "density_amu_cm3": number(document["density_amu_cm3"]),
                "l_shell": document["l_shell"],
                "mlt_h": document["mlt_h"],
                "illumination": document["illumination"],
                "coverage": [document["coverage"][one] for one in document["pair"].split("-")],
                "flags": words(document["flags"]),
                "classifier": document["model"]["classifier"],
                "regressor": document["model"]["regressor"],
                "revision": document["revision"],
            }
        case "density":
            density = document["density_amu_cm3"]
            return {
                "effective_time": time(document["effective_time"]),
                "rho": number(density),
                "rho_interval": numbers(document["density_interval_amu_cm3"], 2),
                "rho_si": FILL if density is None else pytest.approx(density * 1.66053907e-21, rel=1e-12),
                "density_index": number(document["density_index"]),
                "harmonic": -1 if document["harmonic"] is None else document["harmonic"],
                "frequency_mHz": number(document["frequency_mHz"]),
                "l_shell": document["l_shell"],
                "mlt": document["mlt_h"],
                "illumination": document["illumination"],
                "label": document["label"],
                "flags": words(document["flags"]),
                "revision": document["revision"],
            }
        case "spectrum":
            names = ("cross_phase_deg", "amplitude_ratio", "coherence")
            return {
                **{name: (numbers(document[name], 60) + [FILL] * 60)[:60] for name in names},
                "smoothing_bins": document["smoothing_bins"],
                "revision": document["revision"],
            }
        case "profile":
            names = ("gsm_lat", "gsm_lon", "gsm_z", "rho_si", "rho", "distance", "lt", "mlt", "l_shell")
            ends = [one or [None, None] for one in document["rho_interval"]]
            return {
                "effective_time": time(document["effective_time"]),
                **{name: numbers(document[name], 2) for name in names},
                "rho_low": [number(low) for low, _ in ends],
                "rho_high": [number(high) for _, high in ends],
                "fit_density_at_l4": FILL,
                "fit_exponent": FILL,
                "revision": document["revision"],
            }
        case "plasmapause":
            empirical = document["empirical"] or {}
            return {
                "effective_time": time(document["effective_time"]),
                "l_shell": number(document["l_shell"]),
                "l_interval": numbers(document["l_interval"], 2),
                "confidence": document["confidence"],
                "mlt_h": document["mlt_h"],
                "reason": text(document["reason"]),
                "by_label": number(document["by_label"]),
                "by_gradient": number(document["by_gradient"]),
                "carpenter_anderson_1992": number(empirical.get("carpenter_anderson_1992")),
                "moldwin_2002": number(empirical.get("moldwin_2002")),
                "pairs_used": words(document["pairs_used"]),
                "flags": words(document["flags"]),
                "revision": document["revision"],
            }
        case "region":
            chances = document["probability"]
            return {
                "label": text(document["label"]),
                "stage_one": text(document["stage_one"]),
                "probability": numbers(chances and [chances[str(one)] for one in REGIONS], 10),
                "confidence": number(document["confidence"]),
                "quality": document["quality"],
                "bridged": document["bridged"],
                "support_s": document["support_s"],
                "cam": numbers(document["cam"], 40),
                "missing": words(document["missing"]),
                "flags": words(document["flags"]),
                "classifier": document["model"]["classifier"],
                "revision": document["revision"],
            }
        case _:
            about = document["properties"]
            return {
                "kind": about["kind"],
                "subject": about["subject"],
                "direction": about["direction"],
                "state": about["state"],
                "outcome": text(about.get("outcome")),
                "start": time(about["start_datetime"]),
                "end": time(about.get("end_datetime")),
                "l_shell": about["l_shell"],
                "l_interval": [FILL, FILL],
                "confidence": about["confidence"],
                "position": document["geometry"]["coordinates"],
                "update": about["update"],
                "data_id": about["data_id"],
                "id": document["id"],
            }


def assert_holds(record: Any, document: Mapping[str, Any], form: str) -> None:
    wanted = expected(form, document)
    assert list(record.dtype.names) == ["Time", *wanted]
    own_time = document["time"] if form != "events" else document["properties"]["start_datetime"]
    assert record["Time"] == time(own_time)
    for name, value in wanted.items():
        found = record[name]
        if isinstance(value, list):
            np.testing.assert_array_equal(found, value, err_msg=name)
        else:
            assert found == value, name


def test_catalog_is_what_is_stored_without_injected_signals(server: str) -> None:
    catalog = hapi(server, cache=False, usecache=False)["catalog"]
    assert {one["id"] for one in catalog} == {
        *(f"{pair}/{form}" for pair in PAIRS for form in ("flr", "density")),
        "TAR-BRZ/spectrum",
        f"{CHAIN}/profile",
        f"{CHAIN}/plasmapause",
        f"{CRAFT}/region",
        "events",
    }
    assert not any(shadow in str(catalog) for shadow in SHADOWS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("TAR-BRZ/flr", "flr"),
        ("MUO-PEL/flr", "flr"),
        ("TAR-BRZ/density", "flr"),
        ("TAR-BRZ/spectrum", "spectrum"),
        (f"{CHAIN}/profile", "profile"),
        (f"{CHAIN}/plasmapause", "plasmapause"),
        (f"{CRAFT}/region", "region"),
    ],
)
def test_dataset_has_the_values_of_the_store(
    server: str, store: Store, dataset: str, kind: str, form: Form
) -> None:
    subject, _, name = dataset.partition("/")
    documents = list(store.products(kind, subject, *EVER))
    data = read(server, dataset, form)
    assert len(data) == len(documents) == 12
    for record, document in zip(data, documents, strict=True):
        assert_holds(record, document, name)


@pytest.mark.parametrize("form", FORMATS)
def test_events_are_there_in_their_newest_update(server: str, store: Store, form: Form) -> None:
    """Also where two of a subject have the same start and count from thousands of their own."""
    updates = list(store.products("event", None, *EVER, latest_revision=False))
    newest = {one["properties"]["data_id"]: one for one in updates if one["properties"]["update"] < 1000}
    again = [one for one in updates if one["properties"]["update"] >= 1000]
    data = read(server, "events", form)
    assert len(data) == len(newest) + len(again) == 5
    by_id = {one["id"]: one for one in [*newest.values(), *again]}
    assert sorted(data["id"].tolist()) == sorted(by_id)
    for record in data:
        assert_holds(record, by_id[record["id"]], "events")
    assert data["Time"].tolist() == sorted(data["Time"].tolist())


@pytest.mark.parametrize("form", FORMATS)
def test_some_parameters_of_a_shorter_stretch(server: str, store: Store, form: Form) -> None:
    data = read(server, "TAR-BRZ/flr", form, "label,coverage,revision", "2017-09-07T13:30:00Z")
    assert data.dtype.names == ("Time", "label", "coverage", "revision")
    assert data["Time"].tolist() == [
        b"2017-09-07T12:00:00.000Z",
        b"2017-09-07T12:30:00.000Z",
        b"2017-09-07T13:00:00.000Z",
    ]
    assert data["revision"].tolist() == [1, 0, 0]
    assert data["coverage"][2].tolist() == [1.0, 0.0]


def test_stop_may_be_left_to_the_client(server: str, store: Store) -> None:
    """It takes stopDate then, cuts the time at days, and asks for some that hold nothing."""
    data, meta = hapi(
        server, "TAR-BRZ/flr", "label", "2017-09-06T00:00:00Z", None, cache=False, usecache=False
    )
    assert len(data) == 12
    assert meta["stopDate"] == "2017-09-07T18:00:00.000Z"


def test_cache_of_the_client_takes_the_ids(server: str, tmp_path: Path) -> None:
    """They become names of files there."""
    options = {"cache": True, "usecache": True, "cachedir": str(tmp_path)}
    first, _ = hapi(server, "TAR-BRZ/density", "rho", START, STOP, **options)
    again, meta = hapi(server, "TAR-BRZ/density", "rho", START, STOP, **options)
    assert first.tolist() == again.tolist()
    assert meta["parameters"][1]["name"] == "rho"


def test_own_source_of_hapi_reads_the_same(server: str, store: Store) -> None:
    """Written from the specification by itself: what it takes from other servers it takes from this one."""

    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"{server}/{path}") as answer:
            body: bytes = answer.read()
            return body

    asked = "dataset=TAR-BRZ/density&parameters=rho,rho_interval,mlt"
    info = read_info(get(f"info?{asked}"), "here")
    assert [(one.name, one.kind, one.columns) for one in info.parameters] == [
        ("Time", "isotime", 1),
        ("rho", "double", 1),
        ("rho_interval", "double", 2),
        ("mlt", "double", 1),
    ]
    assert info.parameters[1].fills == (FILL,)
    assert (info.major, info.cadence_ns, info.location) == (3, 1800 * SECOND_NS, "end")
    data = f"data?{asked}&start={START}&stop={STOP}"
    text = read_csv(get(data), 4, "here")
    binary = read_binary(get(f"{data}&format=binary"), info.parameters[0], info.parameters[1:], "here")
    documents = list(store.products("flr", "TAR-BRZ", *EVER))
    assert text.refused == binary.refused == 0
    np.testing.assert_array_equal(
        text.times_ns, [T0_NS + place * CADENCE_S * SECOND_NS for place in range(12)]
    )
    np.testing.assert_array_equal(text.values[:, 0], [number(one["density_amu_cm3"]) for one in documents])
    np.testing.assert_array_equal(binary.times_ns, text.times_ns)
    np.testing.assert_array_equal(binary.values, text.values)


def test_spectra_that_are_not_published_are_given_out_as_they_were_kept(tmp_path: Path) -> None:
    """The store keeps a week of them packed, in steps that are stated."""
    numbers = range(5)
    products = [product("spectrum", "TAR-BRZ", spectrum(number)) for number in numbers]
    path = tmp_path / "store.sqlite"
    with Store.open(
        path, retention_ns=1 << 62, product_retention_ns=None, spectra_retention_ns=1 << 62
    ) as store:
        store.commit([], {}, [spectrum_row(one) for one in products])
    with offering_in_thread(path) as url:
        assert "TAR-BRZ/spectrum" in {one["id"] for one in hapi(f"{url}/hapi")["catalog"]}
        data, meta = hapi(
            f"{url}/hapi", "TAR-BRZ/spectrum", "", time_of(0), time_of(5), cache=False, usecache=False
        )
    assert len(data) == len(numbers)
    bins = next(one for one in meta["parameters"] if one["name"] == "cross_phase_deg")["bins"][0]
    np.testing.assert_allclose(bins["centers"], spectrum(0)["frequency_mHz"], rtol=1e-5)
    for row, number in zip(data, numbers, strict=True):
        expected = spectrum(number)
        np.testing.assert_allclose(row["cross_phase_deg"], expected["cross_phase_deg"], atol=0.0051)
        np.testing.assert_allclose(row["amplitude_ratio"], expected["amplitude_ratio"], rtol=5.1e-4)
        assert row["coherence"][3] == -1e31
        np.testing.assert_allclose(np.delete(row["coherence"], 3), 0.5, atol=0.5 / 254)
