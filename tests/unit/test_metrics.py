"""The metrics: names of the contract, values that vanish, and text that a strict parser takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor.io.metrics import STATION_STATES, Metrics, Watched, WatchedPair
from monitor.io.mqtt.watch import LinkReading
from monitor.models.base import ModelInfo
from monitor.types import REGIONS, SECOND_NS, Json, Product, Quality

T0_NS = 1_504_785_600 * SECOND_NS
VALID_NS = 2100 * SECOND_NS

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(metrics: Metrics) -> Series:
    """Every sample of the text format by name and labels; fails on a duplicate."""
    found: Series = {}
    for family in parse_text(metrics.render("")[0].decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return series(metrics).get((name, frozenset(labels.items())))


def flr(
    time_s: int = 0,
    revision: int = 0,
    label: str = "Freq",
    frequency_mHz: float | None = 13.4,
    pair: str = "TAR-BRZ",
) -> Product:
    body: Mapping[str, Json] = {
        "pair": pair,
        "label": label,
        "frequency_mHz": frequency_mHz,
        "coverage": {"TAR": 1.0, "BRZ": 0.5},
    }
    time_ns = T0_NS + time_s * SECOND_NS
    return Product("flr", pair, time_ns, revision, True, body, time_ns + VALID_NS)


def plasmapause(l_shell: float | None = 4.1, time_s: int = 0, revision: int = 0) -> Product:
    time_ns = T0_NS + time_s * SECOND_NS
    body = {"chain": "emma", "l_shell": l_shell}
    return Product("plasmapause", "emma", time_ns, revision, True, body, time_ns + VALID_NS)


def region(
    label: str | None = "MSH", confidence: float | None = 0.9, time_s: int = 0, revision: int = 0
) -> Product:
    time_ns = T0_NS + time_s * SECOND_NS
    body = {"craft": "MMS1", "label": label, "confidence": confidence}
    return Product("region", "MMS1", time_ns, revision, True, body, time_ns + VALID_NS)


def event(
    state: str, number: int = 0, data_id: str = "a", subject: str = "emma", kind: str = "plasmapause_crossing"
) -> Product:
    properties = {"kind": kind, "subject": subject, "state": state, "data_id": data_id, "update": number}
    return Product("event", f"{kind}/{subject}", T0_NS, number, False, {"id": "x", "properties": properties})


def health(state: str, time_s: int = 0, station: str = "TAR") -> Product:
    return Product("health", station, T0_NS + time_s * SECOND_NS, 0, True, {"state": state})


class TestFlr:
    def test_product_gives_a_state_set_hertz_coverage_and_time(self) -> None:
        metrics = Metrics()
        metrics.product(flr())
        labels = {
            name: value(metrics, "geospace_flr_label", pair="TAR-BRZ", label=name)
            for name in ("NoFreq", "Freq", "PBL")
        }
        assert labels == {"NoFreq": 0.0, "Freq": 1.0, "PBL": 0.0}
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") == pytest.approx(0.0134)
        assert value(metrics, "geospace_flr_data_timestamp_seconds", pair="TAR-BRZ") == T0_NS / SECOND_NS
        assert value(metrics, "geospace_window_coverage_ratio", pair="TAR-BRZ", station="BRZ") == 0.5

    def test_frequency_vanishes_when_the_next_product_has_none(self) -> None:
        metrics = Metrics()
        metrics.product(flr())
        metrics.product(flr(1800, label="NoFreq", frequency_mHz=None))
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") is None
        assert value(metrics, "geospace_flr_label", pair="TAR-BRZ", label="NoFreq") == 1.0

    def test_late_revision_of_an_older_window_does_not_overwrite(self) -> None:
        metrics = Metrics()
        metrics.product(flr(1800))
        metrics.product(flr(0, revision=3, label="PBL", frequency_mHz=9.0))
        assert value(metrics, "geospace_flr_label", pair="TAR-BRZ", label="Freq") == 1.0
        assert (
            value(metrics, "geospace_flr_data_timestamp_seconds", pair="TAR-BRZ") == T0_NS / SECOND_NS + 1800
        )

    def test_higher_revision_of_the_same_window_does_and_a_lower_does_not(self) -> None:
        metrics = Metrics()
        metrics.product(flr(revision=1, label="PBL"))
        metrics.product(flr(revision=0, label="NoFreq"))
        assert value(metrics, "geospace_flr_label", pair="TAR-BRZ", label="PBL") == 1.0
        metrics.product(flr(revision=2, label="Freq"))
        assert value(metrics, "geospace_flr_label", pair="TAR-BRZ", label="PBL") == 0.0

    def test_values_vanish_past_valid_until_and_the_timestamp_stays(self) -> None:
        metrics = Metrics()
        metrics.product(flr())
        metrics.product(flr(pair="MUO-PEL"))
        clocks = {"TAR-BRZ": T0_NS + VALID_NS, "MUO-PEL": T0_NS}
        metrics.expire(clocks.get)
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") is not None
        clocks["TAR-BRZ"] += 1
        metrics.expire(clocks.get)
        left = {name for name, labels in series(metrics) if ("pair", "TAR-BRZ") in labels}
        assert left == {"geospace_flr_data_timestamp_seconds"}
        assert value(metrics, "geospace_flr_frequency_hertz", pair="MUO-PEL") is not None
        metrics.product(flr(1800))
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") is not None

    def test_older_window_does_not_come_back_after_expiry(self) -> None:
        metrics = Metrics()
        metrics.product(flr(1800))
        metrics.expire(lambda pair: T0_NS + 10 * VALID_NS)
        metrics.product(flr(0, revision=9))
        assert value(metrics, "geospace_flr_label", pair="TAR-BRZ", label="Freq") is None

    def test_unknown_clock_expires_nothing(self) -> None:
        metrics = Metrics()
        metrics.product(flr())
        metrics.expire(lambda pair: None)
        assert value(metrics, "geospace_flr_label", pair="TAR-BRZ", label="Freq") == 1.0

    def test_pair_that_is_configured_no_more_leaves_nothing(self) -> None:
        metrics = Metrics()
        for pair in ("TAR-BRZ", "MUO-PEL"):
            metrics.product(flr(pair=pair))
        for source in ("TAR", "MUO"):
            metrics.source_clock(source, T0_NS)
        metrics.expect_events("plasmapause_crossing", ["TAR-BRZ", "MUO-PEL"])
        metrics.samples_stored("TAR", 5)
        for _ in range(2):
            metrics.keep_only(
                {"flr": {"MUO-PEL"}, "health": {"MUO", "PEL"}}, {"plasmapause_crossing": {"MUO-PEL"}}
            )
        gone = {("pair", "TAR-BRZ"), ("subject", "TAR-BRZ"), ("source", "TAR")}
        shown = {name for name, labels in series(metrics) if gone & labels}
        # What was counted stays counted.
        assert shown == {"geospace_samples_stored_total", "geospace_events_total"}
        assert value(metrics, "geospace_flr_label", pair="MUO-PEL", label="Freq") == 1.0
        assert value(metrics, "geospace_source_lag_seconds", source="MUO") is not None
        assert value(metrics, "geospace_event_active", kind="plasmapause_crossing", subject="MUO-PEL") == 0.0

    @pytest.mark.parametrize("frequency", [math.nan, math.inf, "13.4"])
    def test_frequency_that_is_no_finite_number_is_not_shown(self, frequency: Json) -> None:
        metrics = Metrics()
        metrics.product(flr(frequency_mHz=frequency))
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") is None

    def test_density_is_shown_where_it_is_stated(self) -> None:
        metrics = Metrics()
        name = "geospace_flr_density_amu_per_cubic_centimeter"
        dense = flr()
        metrics.product(replace(dense, body={**dense.body, "density_amu_cm3": 1520.0}))
        assert value(metrics, name, pair="TAR-BRZ") == 1520.0
        later = flr(1800)
        metrics.product(replace(later, body={**later.body, "density_amu_cm3": None}))
        assert value(metrics, name, pair="TAR-BRZ") is None
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") is not None

    def test_product_of_another_kind_is_ignored(self) -> None:
        metrics = Metrics()
        before = set(series(metrics))
        metrics.product(Product("status", "", T0_NS, 0, True, {"state": "online"}))
        assert set(series(metrics)) == before


def full(**changes: Json) -> Product:
    """A product of a pair with all that a gauge shows."""
    product = flr()
    body: dict[str, Json] = {
        **product.body,
        "probability": {"NoFreq": 0.06, "Freq": 0.93, "PBL": 0.01},
        "frequency_interval_mHz": [12.6, 14.2],
        "physical": {"frequency_mHz": 13.3, "cross_phase_deg": 45.0, "coherence": 0.91},
        "density_amu_cm3": 1520.0,
        "density_interval_amu_cm3": [1340.0, 1730.0],
        "l_shell": 2.9,
        "mlt_h": 13.5,
        "flags": ["despiked", "harmonic_ambiguous"],
    }
    return replace(product, body=body | changes)


class TestWhatIsKnownOfAPair:
    def test_numbers_come_in_base_units(self) -> None:
        metrics = Metrics()
        metrics.product(full())
        shown = {
            name: value(metrics, f"geospace_flr_{name}", pair="TAR-BRZ")
            for name in (
                "frequency_lower_hertz",
                "frequency_upper_hertz",
                "density_lower_amu_per_cubic_centimeter",
                "density_upper_amu_per_cubic_centimeter",
                "l_shell",
                "magnetic_local_time_seconds",
                "physical_frequency_hertz",
                "cross_phase_radians",
                "coherence_ratio",
            )
        }
        expected = [0.0126, 0.0142, 1340.0, 1730.0, 2.9, 48600.0, 0.0133, math.pi / 4, 0.91]
        assert list(shown.values()) == pytest.approx(expected)

    def test_probabilities_and_flags_stand_by_name(self) -> None:
        metrics = Metrics()
        metrics.product(full())
        name = "geospace_flr_probability_ratio"
        assert value(metrics, name, pair="TAR-BRZ", label="Freq") == 0.93
        assert value(metrics, "geospace_flr_flag", pair="TAR-BRZ", flag="despiked") == 1.0
        metrics.product(replace(full(flags=[], probability=None), revision=1))
        assert value(metrics, name, pair="TAR-BRZ", label="Freq") is None
        assert value(metrics, "geospace_flr_flag", pair="TAR-BRZ", flag="despiked") is None

    @pytest.mark.parametrize("interval", [None, [None, 14.2], [12.6, math.nan]])
    def test_interval_has_both_ends_or_none(self, interval: Json) -> None:
        metrics = Metrics()
        metrics.product(full(frequency_interval_mHz=interval))
        for end in ("lower", "upper"):
            assert value(metrics, f"geospace_flr_frequency_{end}_hertz", pair="TAR-BRZ") is None

    def test_everything_but_the_time_vanishes_together(self) -> None:
        metrics = Metrics()
        metrics.product(full())
        before = {name for name, labels in series(metrics) if ("pair", "TAR-BRZ") in labels}
        metrics.expire({"TAR-BRZ": T0_NS + VALID_NS + 1}.get)
        after = {name for name, labels in series(metrics) if ("pair", "TAR-BRZ") in labels}
        assert len(before) == 16
        assert after == {"geospace_flr_data_timestamp_seconds"}


class TestWatched:
    def test_subjects_and_times_are_shown_and_replaced_as_a_whole(self) -> None:
        metrics = Metrics()
        assert not [name for name, _ in series(metrics) if name.startswith("geospace_pair")]
        pairs = (WatchedPair("TAR-BRZ", "TAR", "BRZ", "emma"), WatchedPair("OUJ-HAN", "OUJ", "HAN"))
        metrics.watch(Watched(pairs, ("MMS1",), (("flr", 1800.0),), (("flr", 120.0),)))
        named = {"pair": "TAR-BRZ", "poleward": "TAR", "equatorward": "BRZ", "chain": "emma"}
        assert value(metrics, "geospace_pair_info", **named) == 1.0
        assert value(metrics, "geospace_craft_info", craft="MMS1") == 1.0
        assert value(metrics, "geospace_product_cadence_seconds", product="flr") == 1800.0
        assert value(metrics, "geospace_product_lateness_seconds", product="flr") == 120.0
        metrics.watch(Watched(pairs[1:]))
        assert value(metrics, "geospace_pair_info", **named) is None
        assert value(metrics, "geospace_craft_info", craft="MMS1") is None


class TestPlasmapause:
    def test_interval_and_local_time_are_shown(self) -> None:
        metrics = Metrics()
        product = plasmapause()
        metrics.product(replace(product, body={**product.body, "l_interval": [3.9, 4.4], "mlt_h": 6.0}))
        assert value(metrics, "geospace_plasmapause_lower_l_shell", chain="emma") == 3.9
        assert value(metrics, "geospace_plasmapause_upper_l_shell", chain="emma") == 4.4
        assert value(metrics, "geospace_plasmapause_magnetic_local_time_seconds", chain="emma") == 21600.0

    def test_l_shell_is_shown_and_vanishes_when_it_is_unknown_or_no_longer_valid(self) -> None:
        metrics = Metrics()
        metrics.product(plasmapause())
        assert value(metrics, "geospace_plasmapause_l_shell", chain="emma") == 4.1
        metrics.product(plasmapause(None, 1800))
        assert value(metrics, "geospace_plasmapause_l_shell", chain="emma") is None
        metrics.product(plasmapause(3.9, 3600))
        metrics.expire({"emma": T0_NS + 3600 * SECOND_NS + VALID_NS + 1}.get)
        assert value(metrics, "geospace_plasmapause_l_shell", chain="emma") is None
        stamp = value(metrics, "geospace_plasmapause_data_timestamp_seconds", chain="emma")
        assert stamp == T0_NS / SECOND_NS + 3600

    def test_revision_of_an_older_window_does_not_overwrite(self) -> None:
        metrics = Metrics()
        metrics.product(plasmapause(4.1, 1800))
        metrics.product(plasmapause(5.0, 0, revision=2))
        assert value(metrics, "geospace_plasmapause_l_shell", chain="emma") == 4.1


class TestRegion:
    def test_product_gives_a_state_set_confidence_and_time(self) -> None:
        metrics = Metrics()
        metrics.product(region())
        states = {
            one: value(metrics, "geospace_region_label", craft="MMS1", label=str(one)) for one in REGIONS
        }
        assert states == {one: float(one == "MSH") for one in REGIONS}
        assert value(metrics, "geospace_region_confidence_ratio", craft="MMS1") == 0.9
        stamp = value(metrics, "geospace_region_data_timestamp_seconds", craft="MMS1")
        assert stamp == T0_NS / SECOND_NS

    def test_probabilities_and_quality_are_shown(self) -> None:
        metrics = Metrics()
        product = region()
        metrics.product(
            replace(product, body={**product.body, "probability": {"MSH": 0.9}, "quality": "poor"})
        )
        assert value(metrics, "geospace_region_probability_ratio", craft="MMS1", label="MSH") == 0.9
        qualities = {
            one: value(metrics, "geospace_region_quality", craft="MMS1", quality=str(one)) for one in Quality
        }
        assert qualities == {one: float(one == "poor") for one in Quality}

    def test_hole_shows_its_time_alone(self) -> None:
        metrics = Metrics()
        metrics.product(region())
        metrics.product(region(None, None, 180))
        assert value(metrics, "geospace_region_label", craft="MMS1", label="MSH") is None
        assert value(metrics, "geospace_region_confidence_ratio", craft="MMS1") is None
        stamp = value(metrics, "geospace_region_data_timestamp_seconds", craft="MMS1")
        assert stamp == T0_NS / SECOND_NS + 180

    def test_label_vanishes_when_it_is_no_longer_valid(self) -> None:
        metrics = Metrics()
        metrics.product(region())
        metrics.expire({"MMS1": T0_NS + VALID_NS}.get)
        assert value(metrics, "geospace_region_label", craft="MMS1", label="MSH") == 1.0
        metrics.expire({"MMS1": T0_NS + VALID_NS + 1}.get)
        assert value(metrics, "geospace_region_label", craft="MMS1", label="MSH") is None
        assert value(metrics, "geospace_region_data_timestamp_seconds", craft="MMS1") is not None

    def test_newer_revision_replaces_and_an_older_window_does_not(self) -> None:
        metrics = Metrics()
        metrics.product(region(time_s=180))
        metrics.product(region("SW", 0.7, 180, revision=1))
        metrics.product(region("LOBE", 0.6, 0, revision=2))
        assert value(metrics, "geospace_region_label", craft="MMS1", label="SW") == 1.0


class TestEvents:
    @staticmethod
    def active(metrics: Metrics, subject: str = "emma") -> float | None:
        return value(metrics, "geospace_event_active", kind="plasmapause_crossing", subject=subject)

    @staticmethod
    def total(metrics: Metrics, subject: str = "emma") -> float | None:
        return value(metrics, "geospace_events_total", kind="plasmapause_crossing", subject=subject)

    def test_expected_subjects_begin_at_zero_and_others_are_not_there(self) -> None:
        metrics = Metrics()
        metrics.expect_events("plasmapause_crossing", ["emma", "TAR-BRZ"])
        assert (self.active(metrics), self.total(metrics)) == (0.0, 0.0)
        assert (self.active(metrics, "TAR-BRZ"), self.total(metrics, "TAR-BRZ")) == (0.0, 0.0)
        assert (self.active(metrics, "OUJ-HAN"), self.total(metrics, "OUJ-HAN")) == (None, None)

    def test_event_is_active_from_its_begin_to_its_end(self) -> None:
        metrics = Metrics()
        for number, (state, shown) in enumerate([("begin", 1.0), ("update", 1.0), ("end", 0.0)]):
            metrics.product(event(state, number))
            assert self.active(metrics) == shown

    def test_subject_is_active_while_any_of_its_events_is(self) -> None:
        metrics = Metrics()
        metrics.product(event("begin"))
        metrics.product(event("begin", data_id="b"))
        metrics.product(event("end", 1))
        assert self.active(metrics) == 1.0
        metrics.product(event("end", 1, data_id="b"))
        assert self.active(metrics) == 0.0

    @pytest.mark.parametrize(
        ("kind", "direction", "other"),
        [("plasmapause_crossing", "outward", "inward"), ("bow_shock_crossing", "inbound", "outbound")],
    )
    def test_newest_open_event_is_described_until_it_ends(
        self, kind: str, direction: str, other: str
    ) -> None:
        metrics = Metrics()
        subject = {"kind": kind, "subject": "emma"}

        def told(data_id: str, start: str, state: str = "begin", **about: Json) -> None:
            product = event(state, data_id=data_id, kind=kind)
            properties = {**product.body["properties"], "start_datetime": start, **about}
            metrics.product(replace(product, body={"id": "x", "properties": properties}))

        told("new", "2017-09-07T13:00:00Z", direction=direction, l_shell=4.2, confidence=0.97)
        told("old", "2017-09-07T12:00:00Z", direction=other, l_shell=3.1, confidence=0.6)
        assert value(metrics, "geospace_event_direction", **subject, direction=direction) == 1.0
        assert value(metrics, "geospace_event_direction", **subject, direction=other) == 0.0
        assert value(metrics, "geospace_event_l_shell", **subject) == 4.2
        assert value(metrics, "geospace_event_confidence_ratio", **subject) == 0.97
        assert value(metrics, "geospace_event_start_timestamp_seconds", **subject) == T0_NS / SECOND_NS + 3600
        told("new", "2017-09-07T13:00:00Z", "end")
        assert value(metrics, "geospace_event_l_shell", **subject) == 3.1
        told("old", "2017-09-07T12:00:00Z", "end")
        assert value(metrics, "geospace_event_l_shell", **subject) is None
        assert value(metrics, "geospace_event_direction", **subject, direction=direction) is None

    def test_kinds_and_subjects_are_counted_apart(self) -> None:
        metrics = Metrics()
        metrics.expect_events("plasmapause_crossing", ["emma"])
        metrics.event_began("plasmapause_crossing", "emma")
        metrics.event_began("plasmapause_crossing", "emma")
        metrics.event_began("timing_offset", "emma")
        assert self.total(metrics) == 2.0
        assert value(metrics, "geospace_events_total", kind="timing_offset", subject="emma") == 1.0


class TestHealth:
    @pytest.mark.parametrize("state", STATION_STATES)
    def test_state_set_has_exactly_one(self, state: str) -> None:
        metrics = Metrics()
        metrics.product(health("ok"))
        metrics.product(health(state, time_s=1))
        shown = {
            name: value(metrics, "geospace_station_state", station="TAR", state=name)
            for name in STATION_STATES
        }
        assert shown == {name: float(name == state) for name in STATION_STATES}

    def test_unknown_state_is_not_shown_as_none_of_them(self) -> None:
        metrics = Metrics()
        metrics.product(health("melted"))
        assert not [name for name, _ in series(metrics) if name == "geospace_station_state"]


class TestCounters:
    def test_configured_decoders_begin_at_zero(self) -> None:
        metrics = Metrics(["imagmqtt", "native"], reasons=["not_json"])
        assert value(metrics, "geospace_messages_received_total", decoder="native") == 0.0
        assert (
            value(metrics, "geospace_messages_rejected_total", decoder="imagmqtt", reason="not_json") == 0.0
        )

    def test_counters_and_histograms_count(self) -> None:
        metrics = Metrics(["native"])
        metrics.message_received("native")
        metrics.message_received("native", 2)
        metrics.message_rejected("native", "unknown_station")
        metrics.samples_stored("TAR", 60)
        metrics.stage_duration("spectrum", 0.02)
        metrics.product_latency("flr", 121.0)
        assert value(metrics, "geospace_messages_received_total", decoder="native") == 3.0
        assert (
            value(metrics, "geospace_messages_rejected_total", decoder="native", reason="unknown_station")
            == 1.0
        )
        assert value(metrics, "geospace_samples_stored_total", source="TAR") == 60.0
        assert value(metrics, "geospace_stage_duration_seconds_bucket", stage="spectrum", le="0.01") == 0.0
        assert value(metrics, "geospace_stage_duration_seconds_bucket", stage="spectrum", le="0.05") == 1.0
        assert value(metrics, "geospace_product_latency_seconds_sum", product="flr") == 121.0

    def test_lag_vanishes_when_it_is_not_known(self) -> None:
        now_ns = T0_NS + 3_500_000_000
        metrics = Metrics(wall_ns=lambda: now_ns)
        metrics.source_clock("TAR", None)
        metrics.source_clock("TAR", T0_NS)
        assert value(metrics, "geospace_source_lag_seconds", source="TAR") == 3.5
        now_ns += SECOND_NS
        assert value(metrics, "geospace_source_lag_seconds", source="TAR") == 4.5
        metrics.source_clock("TAR", None)
        assert value(metrics, "geospace_source_lag_seconds", source="TAR") is None

    def test_link_is_read_at_each_scrape(self) -> None:
        metrics = Metrics()
        names = {
            "geospace_mqtt_connected": 1.0,
            "geospace_mqtt_connections_total": 3.0,
            "geospace_mqtt_unacknowledged_messages": 17.0,
            "geospace_intake_held_seconds_total": 2.5,
            "geospace_mqtt_last_message_timestamp_seconds": 1.5e9,
        }
        before = [value(metrics, name) for name in names]
        assert before == [0.0, 0.0, 0.0, 0.0, None]  # no message: no time, and no sentinel
        metrics.link(lambda: LinkReading(True, 3, 17, 2.5, 1_500_000_000 * SECOND_NS))
        assert {name: value(metrics, name) for name in names} == names

    def test_gauges_follow_what_is_set(self) -> None:
        metrics = Metrics(build={"commit": "abc"})
        assert value(metrics, "geospace_mqtt_connected") == 0.0
        metrics.queue_depth("store", 7)
        assert value(metrics, "geospace_queue_depth", queue="store") == 7.0
        metrics.store_size(4096, 1 << 40)
        assert value(metrics, "geospace_store_bytes") == 4096.0
        assert value(metrics, "geospace_store_free_bytes") == float(1 << 40)
        [info] = [labels for name, labels in series(metrics) if name == "geospace_build_info"]
        assert {"version", "python", "commit"} == {name for name, _ in info}


class TestModels:
    def test_model_is_shown_with_twelve_digits_and_goes_when_another_comes(self) -> None:
        metrics = Metrics()
        metrics.models([ModelInfo("flr", "pairs", "1", "ab" * 32)])
        shown = {"kind": "flr", "model": "pairs/1", "sha256": "abababababab"}
        assert value(metrics, "geospace_model_info", **shown) == 1.0
        metrics.models([ModelInfo("flr", "pairs", "2", "cd" * 32)])
        assert value(metrics, "geospace_model_info", **shown) is None
        shown |= {"model": "pairs/2", "sha256": "cdcdcdcdcdcd"}
        assert value(metrics, "geospace_model_info", **shown) == 1.0

    def test_no_model_is_shown_where_there_is_none(self) -> None:
        assert not [name for name, _ in series(Metrics()) if name == "geospace_model_info"]


class TestInjection:
    def test_outcomes_are_there_from_the_start_and_the_ratio_once_it_is_known(self) -> None:
        metrics = Metrics()
        metrics.expect_injection("INJECT", ["recovered", "missing"])
        metrics.injection_recovered("INJECT", None)
        counted = "geospace_injection_windows_total"
        assert value(metrics, counted, subject="INJECT", outcome="missing") == 0.0
        assert value(metrics, "geospace_injection_recovered_ratio", subject="INJECT") is None
        assert value(metrics, "geospace_injection_data_timestamp_seconds", subject="INJECT") is None
        metrics.injection_judged("INJECT", "recovered", 1800.0)
        metrics.injection_recovered("INJECT", 1.0)
        assert value(metrics, counted, subject="INJECT", outcome="recovered") == 1.0
        assert value(metrics, "geospace_injection_recovered_ratio", subject="INJECT") == 1.0
        assert value(metrics, "geospace_injection_data_timestamp_seconds", subject="INJECT") == 1800.0
        metrics.injection_recovered("INJECT", None)
        assert value(metrics, "geospace_injection_recovered_ratio", subject="INJECT") is None


def filled() -> Metrics:
    metrics = Metrics(["native"], reasons=["not_json"])
    metrics.product(full())
    metrics.product(plasmapause())
    metrics.product(region())
    metrics.product(event("begin"))
    metrics.event_began("plasmapause_crossing", "emma")
    metrics.product(health("gap"))
    metrics.samples_stored("TAR", 1)
    metrics.source_clock("TAR", T0_NS)
    metrics.stage_duration("window", 0.001)
    metrics.product_latency("flr", 1.0)
    metrics.queue_depth("store", 0)
    metrics.models([ModelInfo("flr", "pairs", "1", "ab" * 32)])
    metrics.models_missing({"flr": False, "region": True})
    metrics.part_failed("regress")
    metrics.degraded("model_region", degraded=True)
    metrics.injection_judged("INJP-INJQ", "recovered", 1.0)
    metrics.injection_recovered("INJP-INJQ", 1.0)
    return metrics


CONTRACT = {
    "geospace_http_refused": ("counter", {"reason"}),
    "geospace_flr_label": ("gauge", {"pair", "label"}),
    "geospace_flr_frequency_hertz": ("gauge", {"pair"}),
    "geospace_flr_density_amu_per_cubic_centimeter": ("gauge", {"pair"}),
    "geospace_flr_data_timestamp_seconds": ("gauge", {"pair"}),
    "geospace_plasmapause_l_shell": ("gauge", {"chain"}),
    "geospace_plasmapause_data_timestamp_seconds": ("gauge", {"chain"}),
    "geospace_region_label": ("gauge", {"craft", "label"}),
    "geospace_region_confidence_ratio": ("gauge", {"craft"}),
    "geospace_region_data_timestamp_seconds": ("gauge", {"craft"}),
    "geospace_events": ("counter", {"kind", "subject"}),
    "geospace_event_active": ("gauge", {"kind", "subject"}),
    "geospace_messages_received": ("counter", {"decoder"}),
    "geospace_messages_rejected": ("counter", {"decoder", "reason"}),
    "geospace_samples_stored": ("counter", {"source"}),
    "geospace_source_lag_seconds": ("gauge", {"source"}),
    "geospace_window_coverage_ratio": ("gauge", {"pair", "station"}),
    "geospace_stage_duration_seconds": ("histogram", {"stage"}),
    "geospace_product_latency_seconds": ("histogram", {"product"}),
    "geospace_mqtt_connected": ("gauge", set()),
    "geospace_mqtt_connections": ("counter", set()),
    "geospace_mqtt_unacknowledged_messages": ("gauge", set()),
    "geospace_mqtt_last_message_timestamp_seconds": ("gauge", set()),
    "geospace_intake_held_seconds": ("counter", set()),
    "geospace_queue_depth": ("gauge", {"queue"}),
    "geospace_event_loop_tasks": ("gauge", set()),
    "geospace_store_bytes": ("gauge", set()),
    "geospace_store_free_bytes": ("gauge", set()),
    "geospace_injection_recovered_ratio": ("gauge", {"subject"}),
    "geospace_injection_windows": ("counter", {"subject", "outcome"}),
    "geospace_injection_data_timestamp_seconds": ("gauge", {"subject"}),
    "geospace_build": ("info", {"version", "python"}),
    "geospace_model": ("info", {"kind", "model", "sha256"}),
    "geospace_model_missing": ("gauge", {"kind"}),
    "geospace_part_failures": ("counter", {"part"}),
    "geospace_degraded": ("gauge", {"concern"}),
    "geospace_station_state": ("gauge", {"station", "state"}),
}


def families(metrics: Metrics) -> dict[str, Metric]:
    text, content_type = metrics.render("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    return {family.name: family for family in parse_openmetrics(text.decode())}  # type: ignore[no-untyped-call]  # untyped in the library


def test_names_types_and_labels_are_those_of_the_contract() -> None:
    found = {name: family for name, family in families(filled()).items() if name.startswith("geospace_")}
    about = {
        name: (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
        for name, family in found.items()
    }
    # What came later is held by the reference page (test_contract).
    assert {name: about.get(name) for name in CONTRACT} == CONTRACT


def test_every_family_has_help_and_no_series_is_nan_timestamped_or_created() -> None:
    for family in families(filled()).values():
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            assert math.isfinite(sample.value), sample
            assert sample.timestamp is None, sample
            assert not sample.name.endswith("_created"), sample


def test_process_metrics_are_there() -> None:
    names = set(families(Metrics()))
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= names


def test_two_instances_share_nothing() -> None:
    first, second = Metrics(["native"]), Metrics(["native"])
    first.message_received("native")
    assert value(second, "geospace_messages_received_total", decoder="native") == 0.0


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/html", "text/plain;version=0.0.4", "application/openmetrics;q=x"]
)
def test_plain_text_is_the_answer_to_any_other_accept(accept: str) -> None:
    text, content_type = Metrics().render(accept)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in text


class TestReload:
    def test_configuration_of_the_start_is_in_force(self) -> None:
        metrics = Metrics(wall_ns=lambda: T0_NS)
        assert value(metrics, "geospace_config_last_reload_successful") == 1.0
        time_s = value(metrics, "geospace_config_last_reload_success_timestamp_seconds")
        assert time_s == T0_NS / SECOND_NS

    def test_refused_one_leaves_the_time_of_the_one_in_force(self) -> None:
        now = iter([T0_NS, T0_NS + SECOND_NS, T0_NS + 2 * SECOND_NS])
        metrics = Metrics(wall_ns=lambda: next(now))
        name = "geospace_config_last_reload_success_timestamp_seconds"
        metrics.config_reloaded(False)
        assert value(metrics, "geospace_config_last_reload_successful") == 0.0
        assert value(metrics, name) == T0_NS / SECOND_NS
        metrics.config_reloaded(True)
        assert value(metrics, "geospace_config_last_reload_successful") == 1.0
        assert value(metrics, name) == T0_NS / SECOND_NS + 1

    def test_counters_of_the_link_go_on_with_the_next_link(self) -> None:
        metrics = Metrics()
        first = LinkReading(connected=True, connections=3, held_s=1.5, last_message_ns=T0_NS)
        metrics.link(lambda: first)
        metrics.link(lambda: LinkReading(connections=1, held_s=0.25))
        assert value(metrics, "geospace_mqtt_connected") == 0.0
        assert value(metrics, "geospace_mqtt_connections_total") == 4.0
        assert value(metrics, "geospace_intake_held_seconds_total") == 1.75
        assert value(metrics, "geospace_mqtt_last_message_timestamp_seconds") == T0_NS / SECOND_NS
        metrics.link(lambda: LinkReading(connections=1, last_message_ns=T0_NS + SECOND_NS))
        assert value(metrics, "geospace_mqtt_connections_total") == 5.0
        assert value(metrics, "geospace_mqtt_last_message_timestamp_seconds") == T0_NS / SECOND_NS + 1
