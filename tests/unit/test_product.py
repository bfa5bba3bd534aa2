"""The `flr` objects of the contract: their fields, their flags and their revisions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from monitor.stages.product import ProductStage
from monitor.types import (
    SECOND_NS,
    Finding,
    Illumination,
    Label,
    LineEnds,
    MassDensity,
    Pair,
    PhysicalReading,
    Reading,
    Tick,
)

S = SECOND_NS
T_NS = 1_504_785_600 * S  # 2017-09-07T12:00:00Z
CADENCE, LATENESS = 1800, 120
MODEL = "test/1@0123456789ab"
NAN = math.nan
SEEN = PhysicalReading(Label.FREQ, 13.4e-3, 0.4e-3, math.radians(47.0), 0.91, 0.2, 0.1)
UNSEEN = PhysicalReading(Label.NO_FREQ, NAN, NAN, NAN, NAN, 0.2, 0.1)


def stage(model: str | None = MODEL) -> ProductStage:
    return ProductStage(CADENCE * S, LATENESS * S, 86_400 * S, model=model)


def finding(time_ns: int = T_NS, frequency_Hz: float = 13.5e-3, **changes: Any) -> Finding:
    """A resonance that the learned chain and the physical estimate see."""
    one = Finding(
        pair=Pair("TAR", "BRZ", 2.9),
        end_ns=time_ns,
        length_ns=7200 * S,
        coverage=(("TAR", 1.0), ("BRZ", 0.998)),
        physical=SEEN,
        illumination=Illumination.DAY,
        mlt_h=13.25,
        probability=(0.05, 0.93, 0.02),
        stage_one=Label.FREQ,
        as_freq=Reading(frequency_Hz, 12.5e-3, 14.5e-3),
        as_pbl=Reading(25e-3, 20e-3, 30e-3),
        label=Label.FREQ,
        track_probability=(0.01, 0.985, 0.005),
    )
    return replace(one, **changes)


def nothing(**changes: Any) -> Finding:
    """No resonance, in the eyes of both."""
    quiet: dict[str, Any] = {"label": Label.NO_FREQ, "stage_one": Label.NO_FREQ, "physical": UNSEEN}
    return finding(**quiet | {"probability": (0.95, 0.04, 0.01), "as_freq": None, "as_pbl": None} | changes)


def alone(**changes: Any) -> Finding:
    """A window about which no model was asked."""
    nobody: dict[str, Any] = {"probability": None, "stage_one": None, "track_probability": None}
    return finding(**nobody | {"as_pbl": None, "flags": frozenset({"physical_only"})} | changes)


def body(one: Finding, model: str | None = MODEL) -> dict[str, Any]:
    (product,) = stage(model).feed([one])
    return dict(product.body)


class TestDensity:
    STATED = MassDensity(1520.0, 1340.0, 1730.0, 1.0, 1, LineEnds.FIXED)
    OTHER = MassDensity(18_600.0, 16_400.0, 21_200.0, 1.0, 3, LineEnds.FIXED)

    def test_stated_density_comes_with_interval_index_and_mode(self) -> None:
        document = body(finding(density=self.STATED))
        assert document["density_amu_cm3"] == 1520.0
        assert document["density_interval_amu_cm3"] == [1340.0, 1730.0]
        assert (document["density_index"], document["harmonic"]) == (1.0, 1)
        assert document["density_alternatives"] == []

    def test_alternatives_say_mode_and_ends(self) -> None:
        document = body(finding(alternatives=(self.STATED, self.OTHER)))
        assert document["density_amu_cm3"] is None
        assert document["density_alternatives"] == [
            {
                "harmonic": one.harmonic,
                "ends": "fixed-fixed",
                "density_amu_cm3": one.density_amu_cm3,
                "density_interval_amu_cm3": [one.low_amu_cm3, one.high_amu_cm3],
                "density_index": 1.0,
            }
            for one in (self.STATED, self.OTHER)
        ]

    def test_harmonic_of_the_physical_estimate_is_that_of_its_density(self) -> None:
        learned, bare = finding(density=self.OTHER), alone(density=self.STATED)
        assert body(learned)["harmonic"] == 3
        assert body(bare)["harmonic"] == 1
        assert body(alone())["harmonic"] is None


class TestContent:
    def test_resonance_has_the_fields_of_the_contract(self) -> None:
        (product,) = stage().feed([finding()])
        document = json.loads(product.encode(T_NS + 3_123_456_789))
        assert product.topic == "flr/TAR-BRZ"
        assert product.retained
        assert document == {
            "schema": "geospace/flr/1",
            "id": "flr/TAR-BRZ/2017-09-07T12:00:00Z/0",
            "pair": "TAR-BRZ",
            "time": "2017-09-07T12:00:00Z",
            "effective_time": "2017-09-07T11:00:00Z",
            "window_s": 7200.0,
            "revision": 0,
            "label": "Freq",
            "probability": {"NoFreq": 0.05, "Freq": 0.93, "PBL": 0.02},
            "stage_one": "Freq",
            "track_probability": {"NoFreq": 0.01, "Freq": 0.985, "PBL": 0.005},
            "frequency_mHz": 13.5,
            "frequency_interval_mHz": [12.5, 14.5],
            "interval_level": 0.9,
            "physical": {
                "label": "Freq",
                "frequency_mHz": 13.4,
                "sigma_mHz": 0.4,
                "cross_phase_deg": pytest.approx(47.0, rel=1e-6),
                "coherence": 0.91,
                "agrees": True,
                "timing_offset_s": 0.2,
                "timing_sigma_s": 0.1,
            },
            "harmonic": 1,
            "density_amu_cm3": None,
            "density_interval_amu_cm3": None,
            "density_index": None,
            "density_alternatives": [],
            "l_shell": 2.9,
            "mlt_h": 13.25,
            "illumination": "day",
            "coverage": {"TAR": 1.0, "BRZ": 0.998},
            "flags": [],
            "model": {"classifier": MODEL, "regressor": MODEL},
            "published": "2017-09-07T12:00:03.123Z",
            "valid_until": "2017-09-07T12:35:00Z",
        }

    def test_frequency_is_that_of_the_final_label(self) -> None:
        reversed_one = body(finding(label=Label.PBL, flags=frozenset({"relabelled"})))
        assert reversed_one["frequency_mHz"] == 25.0
        assert reversed_one["frequency_interval_mHz"] == [20.0, 30.0]
        assert reversed_one["stage_one"] == "Freq"
        assert reversed_one["flags"] == ["relabelled"]

    def test_no_freq_has_no_frequency_and_says_why(self) -> None:
        (product,) = stage().feed([nothing(flags=frozenset({"incoherent"}))])
        for name in ("frequency_mHz", "frequency_interval_mHz", "harmonic", "density_amu_cm3"):
            assert product.body[name] is None
        assert product.body["physical"]["frequency_mHz"] is None
        assert product.body["probability"] == {"NoFreq": 0.95, "Freq": 0.04, "PBL": 0.01}
        assert product.body["flags"] == ["incoherent"]
        assert b"NaN" not in product.encode(T_NS)

    def test_no_freq_has_no_frequency_though_one_was_read(self) -> None:
        dropped = body(finding(label=Label.NO_FREQ, flags=frozenset({"dropped"})))
        assert dropped["frequency_mHz"] is None
        assert dropped["harmonic"] is None
        assert dropped["physical"]["frequency_mHz"] == 13.4

    def test_what_is_not_known_of_the_place_is_null(self) -> None:
        unknown = body(finding(illumination=None, mlt_h=None, pair=Pair("TAR", "BRZ")))
        assert (unknown["illumination"], unknown["mlt_h"], unknown["l_shell"]) == (None, None, None)

    def test_infinite_error_is_null(self) -> None:
        found = body(nothing(physical=replace(UNSEEN, timing_sigma_s=math.inf)))
        assert found["physical"]["timing_sigma_s"] is None
        assert found["physical"]["timing_offset_s"] == 0.2

    def test_physical_estimate_alone_is_told_as_such(self) -> None:
        found = body(alone())
        for name in ("probability", "stage_one", "track_probability", "harmonic"):
            assert found[name] is None
        assert found["physical"]["agrees"] is None
        assert found["frequency_mHz"] == 13.5
        assert found["flags"] == ["physical_only"]
        # Beside pairs that are learned about, too.
        assert found["model"] == {"classifier": "physical/1", "regressor": "physical/1"}

    def test_without_a_model_the_physical_estimate_is_named(self) -> None:
        assert body(alone(), None)["model"] == {"classifier": "physical/1", "regressor": "physical/1"}

    def test_tick_makes_nothing(self) -> None:
        assert stage().feed(Tick(S)) == []

    def test_one_object_for_each_finding_in_their_order(self) -> None:
        other = finding(pair=Pair("MUO", "PEL", 5.4))
        assert [product.subject for product in stage().feed([finding(), other])] == ["TAR-BRZ", "MUO-PEL"]


class TestSecondOpinion:
    @pytest.mark.parametrize(
        ("physical", "agrees"),
        [
            (SEEN, True),
            # The 90 % intervals just meet, and just do not: 14.5 mHz above, 1.645 × 0.4 mHz below.
            (replace(SEEN, frequency_Hz=15.15e-3), True),
            (replace(SEEN, frequency_Hz=15.17e-3), False),
            (replace(SEEN, frequency_Hz=11.83e-3), False),
            (replace(SEEN, frequency_Hz=11.85e-3), True),
            (replace(SEEN, label=Label.PBL), False),
            (UNSEEN, False),
        ],
    )
    def test_agreement_is_of_label_and_interval(self, physical: PhysicalReading, agrees: bool) -> None:
        assert body(finding(physical=physical))["physical"]["agrees"] is agrees

    def test_two_that_see_nothing_agree(self) -> None:
        assert body(nothing())["physical"]["agrees"] is True

    def test_physical_resonance_that_the_chain_does_not_confirm_is_flagged(self) -> None:
        found = body(nothing(physical=SEEN))
        assert found["flags"] == ["unconfirmed"]
        assert found["physical"]["label"] == "Freq"
        assert found["physical"]["agrees"] is False

    def test_nobody_disagrees_where_no_model_could_be_asked(self) -> None:
        strange = nothing(
            physical=SEEN, probability=None, stage_one=None, flags=frozenset({"out_of_distribution"})
        )
        found = body(strange)
        assert found["flags"] == ["out_of_distribution"]
        assert found["physical"]["agrees"] is None
        assert found["probability"] is None
        assert found["model"]["classifier"] == MODEL

    @pytest.mark.parametrize("reason", ["incoherent", "no_resonance"])
    def test_physical_reason_is_not_said_against_a_learned_resonance(self, reason: str) -> None:
        flags = frozenset({reason, "decimated"})
        assert body(finding(physical=UNSEEN, flags=flags))["flags"] == ["decimated"]
        assert body(nothing(flags=flags))["flags"] == ["decimated", reason]

    def test_flags_stand_in_alphabetical_order(self) -> None:
        flags = frozenset({"rescued", "bridged", "despiked", "decimated"})
        assert body(finding(flags=flags))["flags"] == ["bridged", "decimated", "despiked", "rescued"]


class TestRevisions:
    def test_same_content_is_not_sent_again(self) -> None:
        products = stage()
        assert len(products.feed([finding()])) == 1
        assert products.feed([finding()]) == []

    def test_changed_content_rises_by_one_and_there_is_no_way_back(self) -> None:
        products = stage()
        found = [products.feed([finding(frequency_Hz=f)])[0] for f in (13e-3, 14e-3, 13e-3)]
        assert [product.revision for product in found] == [0, 1, 2]
        assert found[2].body["id"].endswith("/2")

    @pytest.mark.parametrize(
        "changes",
        [
            {"track_probability": (0.02, 0.975, 0.005)},
            {"flags": frozenset({"rescued"})},
            {"illumination": Illumination.PENUMBRA},
            {"physical": UNSEEN},
        ],
    )
    def test_whatever_is_said_counts_as_content(self, changes: dict[str, Any]) -> None:
        products = stage()
        products.feed([finding()])
        (again,) = products.feed([finding(**changes)])
        assert again.revision == 1

    def test_change_beyond_seven_digits_is_none(self) -> None:
        products = stage()
        products.feed([finding(frequency_Hz=13e-3)])
        assert products.feed([finding(frequency_Hz=13e-3 * (1 + 1e-12))]) == []

    def test_older_revision_goes_out_unretained(self) -> None:
        products = stage()
        products.feed([finding()])
        products.feed([finding(T_NS + CADENCE * S)])
        (older,) = products.feed([finding(frequency_Hz=14e-3)])
        (newest,) = products.feed([finding(T_NS + CADENCE * S, frequency_Hz=14e-3)])
        assert not older.retained
        assert newest.retained

    def test_revisions_go_on_after_a_restart(self) -> None:
        first, second = stage(), stage()
        first.feed([finding()])
        second.restore(json.loads(json.dumps(first.snapshot())))
        assert second.feed([finding()]) == []
        assert second.feed([finding(frequency_Hz=14e-3)])[0].revision == 1

    def test_another_model_is_another_content(self) -> None:
        first, second = stage(), stage("test/2@ba9876543210")
        first.feed([finding()])
        second.restore(first.snapshot())
        assert second.feed([finding()])[0].revision == 1
