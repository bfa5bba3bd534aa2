"""Events of pairs and of chains: once a storm, revised, restarted, taken over, and never said twice."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from crossing_kit import (
    CADENCE_NS,
    DAY,
    EMMA,
    GEOMETRY,
    PAIRS,
    REMEMBER_NS,
    T0_NS,
    URL,
    lines,
    properties,
    stage,
    standing,
    state,
    states_of,
)

from monitor.stages.crossing import FIRST, HOUR_NS, PLASMAPAUSE, SECOND, Crossing
from monitor.stages.event import EventStage
from monitor.stages.event_records import Record, new_name
from monitor.types import Chain, ChainState, Product, Tick, iso_time

IN, OUT = 0.98, 0.02
TAR_BRZ = Chain("TAR-BRZ", (PAIRS[4],))


def told(stage_: EventStage, states: list[ChainState]) -> list[Product]:
    """What a stage says of states that come one by one."""
    return [product for one in states for product in stage_.feed([one])]


def hours(product: Product, key: str) -> float:
    """A time of a notification in hours after `T0_NS`, where it lies on the quarter hours of the first days."""
    wanted = properties(product)[key]
    [found] = [n / 4 for n in range(-8, 4000) if iso_time(T0_NS + n * HOUR_NS // 4) == wanted]
    return found


def storm() -> list[ChainState]:
    """A quiet morning, erosion from L 6.2 to 2.6 in four hours, a night, and refilling over four days."""
    places = [6.3] * 16
    places += [6.3 - 3.7 * (number + 1) / 8 for number in range(8)] + [2.6] * 24
    refill = 4 * DAY
    places += [2.6 + 3.7 * number / refill for number in range(refill)] + [6.3] * 2 * DAY
    night = {number: number % DAY >= 36 or number % DAY < 6 for number in range(len(places))}
    return states_of(places, night=night)


@pytest.fixture(scope="module")
def storm_said() -> list[Product]:
    return told(stage(), storm())


class TestStorm:
    def test_storm_is_one_event_each_way_on_the_chain(self, storm_said: list[Product]) -> None:
        of_chain = [one for one in lines(storm_said, "emma") if "update" not in one]
        assert of_chain == [
            "emma inward begin",
            "emma inward end passed",
            "emma outward begin",
            "emma outward end passed",
        ]

    def test_every_pair_crosses_once_each_way(self, storm_said: list[Product]) -> None:
        for pair in PAIRS:
            said = [one for one in lines(storm_said, pair.name) if "update" not in one]
            assert said == [
                f"{pair.name} inward begin",
                f"{pair.name} inward end passed",
                f"{pair.name} outward begin",
                f"{pair.name} outward end passed",
            ]

    def test_pairs_cross_from_the_outside_in_and_back(self, storm_said: list[Product]) -> None:
        names = [pair.name for pair in PAIRS]
        ends = [properties(one) for one in storm_said if properties(one)["state"] == "end"]
        of_chain = {one["direction"]: one for one in ends if one["subject"] == "emma"}
        assert of_chain["inward"]["pairs"] == names
        assert of_chain["outward"]["pairs"] == names[::-1]
        for one in ends:
            if one["subject"] != "emma":
                assert one["part_of"] == of_chain[one["direction"]]["data_id"]

    def test_begin_is_that_of_the_first_pair_and_in_time(self, storm_said: list[Product]) -> None:
        first = storm_said[0]
        assert properties(first)["subject"] == "emma"
        # L 5.9 is left behind for sure in the second half hour of erosion: windows 17 and 18 (their ends).
        assert hours(first, "time") == 18 / 2
        assert hours(first, "start_datetime") == 17 / 2 - 1
        assert properties(first)["l_shell"] == pytest.approx(6.3 - 3.7 * 3 / 8)
        assert properties(storm_said[1])["subject"] == "KEV-IVA"

    def test_updates_say_further_pairs_and_the_plasmapause(self, storm_said: list[Product]) -> None:
        inward = [
            properties(one)
            for one in storm_said
            if properties(one)["subject"] == "emma" and properties(one)["direction"] == "inward"
        ]
        assert [one["update"] for one in inward] == list(range(len(inward)))
        for before, after in pairwise(inward[:-1]):
            moved = abs(after["l_shell"] - before["l_shell"]) >= 0.25
            assert moved or len(after["pairs"]) > len(before["pairs"])
        assert min(one["l_shell"] for one in inward) == pytest.approx(2.6)

    def test_times_are_those_of_the_schema(self, storm_said: list[Product]) -> None:
        for one in map(properties, storm_said):
            over = one["state"] == "end"
            assert ("datetime" in one, "end_datetime" in one, "outcome" in one) == (not over, over, over)
            assert one["start_datetime"] <= one["end_datetime" if over else "datetime"] < one["time"]
            assert None not in one.values()

    def test_members_are_products_of_the_windows_it_rests_on(self, storm_said: list[Product]) -> None:
        chain, pair = storm_said[0], storm_said[1]
        first, second = (iso_time(T0_NS + number * CADENCE_NS) for number in (17, 18))
        expected = [
            f"flr/KEV-IVA/{first}/0",
            f"plasmapause/emma/{first}/0",
            f"flr/KEV-IVA/{second}/0",
            f"plasmapause/emma/{second}/0",
        ]
        assert properties(pair)["members"] == properties(chain)["members"] == expected

    def test_event_stands_where_its_pair_stands(self, storm_said: list[Product]) -> None:
        for product in storm_said:
            one, point = properties(product), product.body["geometry"]["coordinates"]
            nearest = min(PAIRS, key=lambda pair: abs((pair.l_shell or 0.0) - one["l_shell"]))
            assert point == list(GEOMETRY[nearest.name if one["subject"] == "emma" else one["subject"]])

    def test_product_is_what_the_contract_says(self, storm_said: list[Product]) -> None:
        product = storm_said[0]
        assert product.topic == "event/plasmapause_crossing/emma"
        assert (product.retained, product.valid_until_ns, product.revision) == (False, None, 0)
        data_id = f"plasmapause_crossing/emma/{iso_time(product.time_ns)}/inward"
        assert properties(product)["data_id"] == data_id
        assert product.body["links"][0]["href"] == f"{URL}events/{product.body['id']}"
        keys = [(one.subject, one.time_ns, one.revision) for one in storm_said]
        assert len(set(keys)) == len(keys)
        assert len({one.body["id"] for one in storm_said}) == len(storm_said)


def windows(*insides: float | None, first: int = 0) -> list[ChainState]:
    """States in which the outermost pair alone does something; None is a window without evidence."""
    return [
        state(number, [OUT if inside is None else inside, *[IN] * 4], fresh=inside is not None)
        for number, inside in enumerate(insides, first)
    ]


class TestNothing:
    def test_flicker_of_one_window_is_no_event(self) -> None:
        assert told(stage(), windows(IN, IN, IN, OUT, IN, IN, OUT, IN)) == []

    def test_false_pbl_alone_is_no_event(self) -> None:
        # What one false label does to an estimate: everything is less sure for some windows.
        doubted = [state(number, [0.4, 0.45, 0.5, 0.3, 0.97], 3.0) for number in (4, 5, 6)]
        calm = [state(number, [IN] * 5, None) for number in range(12)]
        assert told(stage(), [*calm[:4], *doubted, *calm[7:]]) == []

    def test_night_is_no_event(self) -> None:
        assert told(stage(), windows(IN, IN, *[None] * 30, IN, IN)) == []

    def test_unknown_probabilities_move_nothing(self) -> None:
        lost = [state(number, [float("nan")] * 5) for number in range(2, 6)]
        assert told(stage(), [*windows(IN, IN), *lost]) == []

    def test_nothing_in_nothing_out(self) -> None:
        assert stage().feed([]) == []
        assert stage().feed(Tick(10**12)) == []
        assert stage().feed([state(0, [], chain=Chain("empty", ()))]) == []

    def test_unknown_chain_is_named(self) -> None:
        with pytest.raises(ValueError, match="chain image is not configured; there are emma"):
            stage().feed([state(0, [IN] * 5, chain=Chain("image", PAIRS))])


class TestChains:
    def test_returned_pair_leaves_the_chain_returned(self) -> None:
        said = told(stage(merge_ns=3 * HOUR_NS), windows(IN, IN, OUT, OUT, *[IN] * 12))
        # The updates: the confidence fell.
        for subject in ("emma", "KEV-IVA"):
            assert lines(said, subject) == [
                f"{subject} inward begin",
                f"{subject} inward update",
                f"{subject} inward end returned",
            ]

    def test_return_and_again_is_one_event_of_the_chain(self) -> None:
        said = told(stage(), windows(IN, IN, OUT, OUT, IN, IN, *[OUT] * 12, *[None] * 60))
        of_chain = [one for one in lines(said, "emma") if "update" not in one]
        assert of_chain == ["emma inward begin", "emma inward end passed"]
        assert [one for one in lines(said, "KEV-IVA") if "begin" in one] == ["KEV-IVA inward begin"] * 2

    def test_other_direction_ends_the_event(self) -> None:
        said = told(stage(), windows(IN, IN, *[OUT] * 6, *[IN] * 6))
        assert [one for one in lines(said, "emma") if "update" not in one] == [
            "emma inward begin",
            "emma inward end passed",
            "emma outward begin",
        ]

    def test_event_ends_when_nothing_followed(self) -> None:
        said = told(stage(), windows(IN, IN, *[OUT] * 60))
        [end] = [one for one in said if lines([one]) == ["emma inward end passed"]]
        # Confirmed in window 3: over with its centre, and known a day and a window later.
        assert hours(end, "end_datetime") == 3 / 2 - 1
        assert hours(end, "time") == 3 / 2 + 24.5

    def test_pair_alone_has_no_event_of_a_chain(self) -> None:
        alone = [state(n, [inside], chain=TAR_BRZ) for n, inside in enumerate([IN, IN, *[OUT] * 6])]
        said = told(stage((TAR_BRZ,)), alone)
        assert lines(said) == ["TAR-BRZ inward begin", "TAR-BRZ inward end passed"]
        assert all("part_of" not in properties(one) and "pairs" not in properties(one) for one in said)
        members = properties(said[0])["members"]
        assert [one.split("/")[:2] for one in members] == [["flr", "TAR-BRZ"]] * 2
        assert properties(said[0])["l_shell"] == 2.9

    def test_pair_of_two_chains_has_its_events_once(self) -> None:
        south = Chain("south", PAIRS[2:])
        both = stage((EMMA, south))
        said = []
        for number, inside in enumerate([IN, IN, *[OUT] * 6]):
            said += both.feed(
                [state(number, [OUT] * 2 + [inside] * 3), state(number, [inside] * 3, chain=south)]
            )
        begins = [one for one in lines(said) if "begin" in one]
        assert sorted(begins) == sorted(
            f"{subject} inward begin" for subject in ("emma", "south", "OUJ-HAN", "HAN-NUR", "TAR-BRZ")
        )

    def test_window_without_the_pairs_product_is_no_member(self) -> None:
        silent = frozenset({"KEV-IVA"})
        quiet = [
            replace(one, findings=state(0, [IN] * 5, silent=silent).findings)
            for one in windows(IN, IN, OUT, OUT)
        ]
        said = told(stage(), quiet)
        assert all(member.startswith("plasmapause/emma/") for member in properties(said[1])["members"])
        assert properties(said[1])["members"]


class TestRevisions:
    def test_same_states_again_say_nothing(self) -> None:
        running, states = stage(), windows(IN, IN, *[OUT] * 5)
        assert told(running, states) != []
        assert told(running, states) == []

    def test_event_that_is_no_more_is_withdrawn_once(self) -> None:
        running = stage()
        told(running, windows(IN, IN, OUT, OUT))
        said = running.feed(windows(IN, first=3))
        assert lines(said) == ["emma inward end withdrawn", "KEV-IVA inward end withdrawn"]
        assert all("end_datetime" in properties(one) for one in said)
        assert [one.body["geometry"]["coordinates"] for one in said] == [[25.0, 68.0]] * 2
        assert told(running, windows(IN, IN, first=4)) == []

    def test_withdrawn_event_that_comes_back_begins_again_under_its_name(self) -> None:
        running = stage()
        first = told(running, windows(IN, IN, OUT, OUT))
        running.feed(windows(IN, first=3))
        again = running.feed(windows(OUT, first=3))
        assert lines(again) == ["emma inward begin", "KEV-IVA inward begin"]
        assert [one.revision for one in again] == [2, 2]
        assert [properties(one)["data_id"] for one in again] == [properties(one)["data_id"] for one in first]

    def test_event_whose_start_moves_keeps_its_name(self) -> None:
        running = stage()
        first = told(running, windows(IN, IN, IN, OUT, OUT))
        said = running.feed(windows(OUT, first=2))
        assert lines(said) == ["emma inward update", "KEV-IVA inward update"]
        for before, after in zip(first, said, strict=True):
            assert properties(before)["data_id"] == properties(after)["data_id"]
            assert hours(after, "start_datetime") == hours(before, "start_datetime") - 0.5
            assert (after.revision, after.time_ns) == (1, before.time_ns)

    def test_past_event_that_is_found_late_begins_and_ends(self) -> None:
        running = stage()
        told(running, windows(IN, IN, IN, *[UNSURE] * 3, *[IN] * 4))
        said = running.feed(windows(OUT, OUT, first=3))
        assert lines(said, "KEV-IVA") == ["KEV-IVA inward begin", "KEV-IVA inward end returned"]

    def test_ended_event_that_is_open_again_goes_on(self) -> None:
        running = stage()
        told(running, windows(IN, IN, *[OUT] * 6))
        said = running.feed(windows(None, first=7))
        assert lines(said, "KEV-IVA") == ["KEV-IVA inward update"]
        assert "outcome" not in properties(said[-1])

    def test_other_direction_from_the_same_start_has_its_own_numbers(self) -> None:
        running = stage()
        first = told(running, windows(IN, IN, OUT, OUT))
        said = running.feed(windows(OUT, OUT, IN, IN))
        assert lines(said, "KEV-IVA") == ["KEV-IVA inward end withdrawn", "KEV-IVA outward begin"]
        keys = [(one.subject, one.time_ns, one.revision) for one in [*first, *said]]
        assert len(set(keys)) == len(keys)

    def test_state_of_longer_ago_is_left_out(self) -> None:
        running = stage(remember_ns=4 * HOUR_NS)
        told(running, windows(*[IN] * 12))
        assert running.feed(windows(OUT, OUT, first=1)) == []

    def test_revised_product_is_the_member(self) -> None:
        running = stage()
        end_ns = T0_NS + 2 * CADENCE_NS
        revised = [
            Product("flr", "KEV-IVA", end_ns, 3, False, {}),
            Product("plasmapause", "emma", end_ns, 1, False, {}),
            Product("health", "KEV", end_ns, 7, False, {}),
        ]
        told(running, windows(IN, IN, OUT))
        said = running.feed([*revised, *windows(OUT, first=3)])
        time = iso_time(end_ns)
        assert properties(said[0])["members"][:2] == [f"flr/KEV-IVA/{time}/3", f"plasmapause/emma/{time}/1"]


UNSURE = 0.6


def same(one: Product) -> tuple[Any, ...]:
    return (one.topic, one.time_ns, one.revision, json.dumps(one.body))


class TestRestart:
    def test_restart_anywhere_neither_repeats_nor_forgets(self, storm_said: list[Product]) -> None:
        states = storm()
        for every in (1, 7):
            running, said = stage(), []
            for number, one in enumerate(states):
                said += running.feed([one])
                if number % every == 0 and (every > 1 or 14 <= number <= 90):
                    stored = json.dumps(running.snapshot())
                    running = stage()
                    running.restore(json.loads(stored))
            assert [same(one) for one in said] == [same(one) for one in storm_said]

    def test_snapshot_is_the_same_object_until_something_changes(self) -> None:
        running = stage()
        states = windows(IN, IN, OUT)
        told(running, states)
        before = running.snapshot()
        running.feed([states[-1], Product("flr", "KEV-IVA", T0_NS, 0, True, {})])
        running.feed(Tick(5))
        assert running.snapshot() is before
        running.feed(windows(OUT, first=3))
        assert running.snapshot() is not before

    def test_state_of_another_version_or_setting_is_refused(self) -> None:
        with pytest.raises(ValueError, match="version 9"):
            stage().restore({"version": 9})
        with pytest.raises(ValueError, match="set otherwise"):
            stage(confirm=0.8).restore(stage().snapshot())

    def test_chain_with_other_pairs_goes_on_with_what_was_said(self) -> None:
        running = stage()
        told(running, windows(IN, IN, OUT, OUT))
        shorter = Chain("emma", PAIRS[:4])
        changed = stage((shorter,))
        changed.restore(running.snapshot())
        later = [state(number, [OUT, *[IN] * 3], chain=shorter) for number in range(4, 12)]
        said = told(changed, later)
        assert lines(said) == ["KEV-IVA inward end passed"]

    def test_what_is_open_of_a_removed_subject_ends(self) -> None:
        running = stage()
        told(running, windows(IN, IN, OUT, OUT))
        changed = stage((TAR_BRZ,))
        changed.restore(running.snapshot())
        said = changed.feed([state(5, [IN], chain=TAR_BRZ)])
        assert lines(said) == ["emma inward end unobserved", "KEV-IVA inward end unobserved"]
        assert changed.feed([state(6, [IN], chain=TAR_BRZ)]) == []


def stored(said: list[Product]) -> list[dict[str, Any]]:
    """The newest notification of each event, as the store has it."""
    newest = {properties(one)["data_id"]: json.loads(one.encode(T0_NS)) for one in said}
    return list(newest.values())


class TestTotalLoss:
    @pytest.mark.parametrize("cut", [18, 20, 24, 30, 47, 60, 80, 120])
    @pytest.mark.parametrize("back", [0, 2, 20, 48])
    def test_nothing_is_said_again(self, storm_said: list[Product], cut: int, back: int) -> None:
        states = storm()
        before = told(stage(), states[:cut])
        running = stage()
        running.adopt(stored(before))
        first = max(cut - back, 0)
        assert told(running, states[first:cut]) == []
        after = told(running, states[cut:])
        begun = {properties(one)["data_id"] for one in before}
        begins = [properties(one) for one in after if properties(one)["state"] == "begin"]
        assert begun.isdisjoint(one["data_id"] for one in begins)
        assert not any("withdrawn" in one for one in lines(after))
        newest = {one["properties"]["data_id"]: one["properties"]["update"] for one in stored(before)}
        for one in map(properties, after):
            assert one["update"] == newest.get(one["data_id"], -1) + 1
            newest[one["data_id"]] = one["update"]
        if back >= 20:
            # With less of the past, no side is known of the pairs that have not crossed yet.
            events = sorted((one[0], one[1]) for one in standing(before + after))
            assert events == sorted((one[0], one[1]) for one in standing(storm_said))

    def test_event_that_is_found_as_it_was_said_goes_on_without_delay(self) -> None:
        # The first doubt is the last that was said; the second ends the event.
        seen, after = windows(IN, IN, IN, IN, OUT, OUT, IN), windows(IN, first=7)
        undisturbed = stage()
        said = told(undisturbed, seen)
        assert lines(said, "KEV-IVA") == ["KEV-IVA inward begin", "KEV-IVA inward update"]
        rebuilt = stage()
        rebuilt.adopt(stored(said))
        assert told(rebuilt, seen) == []
        ended = told(undisturbed, after)
        assert "KEV-IVA inward end returned" in lines(ended)
        assert [one.body for one in told(rebuilt, after)] == [one.body for one in ended]

    def test_event_that_the_rebuilt_machine_does_not_find_is_withdrawn(self) -> None:
        said = told(stage(), windows(IN, IN, *[IN] * 8, OUT, OUT))
        running = stage()
        running.adopt(stored(said))
        later = told(running, windows(*[IN] * 20))
        assert lines(later) == ["emma inward end withdrawn", "KEV-IVA inward end withdrawn"]

    def test_events_of_other_kinds_are_left_alone(self) -> None:
        running = stage()
        [document, *_] = stored(told(stage(), windows(IN, IN, OUT, OUT)))
        document["properties"]["kind"] = "timing_offset"
        running.adopt([document])
        assert running.snapshot()["records"] == []

    def test_document_that_is_no_event_is_named(self) -> None:
        with pytest.raises(ValueError, match="stored event 'abc' cannot be read"):
            stage().adopt([{"id": "abc", "properties": {}}])


def test_feeding_changes_no_input_and_old_things_are_forgotten() -> None:
    running = stage()
    said = 0
    for day in range(6):
        places = [6.3] * 14 + [2.6] * 10 + [6.3] * 24
        said += len(told(running, states_of(places, first=day * DAY)))
        revisions = [
            Product("flr", "KEV-IVA", T0_NS + (day * DAY + number) * CADENCE_NS, 1, False, {})
            for number in range(DAY)
        ]
        running.feed(revisions)
    assert said > 60
    kept = running.snapshot()
    assert len(kept["chains"]["emma"][3]) <= REMEMBER_NS // CADENCE_NS + 1
    assert len(kept["revisions"]["flr/KEV-IVA"]) <= REMEMBER_NS // CADENCE_NS + 1
    assert len(kept["records"]) <= 3 * 12


def test_events_that_start_together_never_share_the_number_of_an_update() -> None:
    """One that was withdrawn may be said again after the other has begun: each counts on in its own thousand."""
    crossing = Crossing(SECOND, T0_NS, T0_NS, T0_NS, T0_NS, None, 0.9, ())
    records: list[Record] = []
    for to in (FIRST, SECOND, SECOND):
        one = replace(crossing, to=to)
        data_id, number = new_name(PLASMAPAUSE, "emma", one, records)
        # Begun, ended, withdrawn.
        records.append(Record("emma", to, data_id, T0_NS, number + 2, "end", T0_NS, T0_NS, T0_NS, {}))
    assert [record.number for record in records] == [2, 1002, 2002]
    assert len({record.data_id for record in records}) == 3
