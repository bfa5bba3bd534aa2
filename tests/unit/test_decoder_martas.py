"""The MARTAS decoder: what its lines say, what waits for what, and what is refused and why."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.decoders.base import REASONS
from monitor.decoders.martas import MartasDecoder
from monitor.decoders.martas.pending import MOST_BYTES, MOST_BYTES_IN_ALL, MOST_MESSAGES
from monitor.errors import DecodeError
from monitor.testing import check_decoder
from monitor.types import SECOND_NS, FloatArray, IntArray, Message, SampleBlock, Surroundings

RECEIVED_NS = 1_504_789_200 * SECOND_NS
T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z
SENSOR = "FGE_S0252_0001"
PLAIN = "[x,y,z] [X,Y,Z] [nT,nT,nT] [1000,1000,1000] 6hLlll 28"


def decoder(**options: object) -> MartasDecoder:
    return MartasDecoder(MartasDecoder.Options.model_validate(options), Surroundings("martas"))


def message(leaf: str, payload: str, sensor: str = SENSOR, station: str = "wic") -> Message:
    return Message(f"{station}/{sensor}/{leaf}", payload.encode(), RECEIVED_NS)


def meta(about: str = PLAIN, sensor: str = SENSOR) -> Message:
    return message("meta", f"# MagPyBin {sensor} {about}", sensor)


def row(second: float, *values: object) -> str:
    whole, part = divmod(round(second * 1e6), 1_000_000)
    time = f"2017,9,7,12,{whole // 60},{whole % 60},{part}"
    return ",".join([time, *(str(value) for value in values or (20_500_000 + whole, 1_250_000, 43_750_000))])


def data(seconds: Iterable[float], sensor: str = SENSOR) -> Message:
    return message("data", ";".join(row(second) for second in seconds), sensor)


def all_of(found: MartasDecoder, messages: Iterable[Message]) -> list[SampleBlock]:
    return [block for one in messages for block in found.decode(one)]


def samples(blocks: Iterable[SampleBlock]) -> tuple[IntArray, FloatArray]:
    """Times (ns) and values of blocks, which must all have the same components."""
    blocks = list(blocks)
    times = [block.t0_ns + block.step_ns * np.arange(block.count) for block in blocks]
    return np.concatenate(times), np.hstack([block.values for block in blocks])


def reason(found: MartasDecoder, one: Message) -> str:
    with pytest.raises(DecodeError) as caught:
        found.decode(one)
    assert caught.value.reason in REASONS | {"unknown_station"}
    return caught.value.reason


def first_values(about: str, *values: object, **options: object) -> dict[str, float]:
    """The first sample of five equal ones under a meta."""
    found = decoder(**options)
    lines = ";".join(row(second, *values) for second in range(5))
    (block,) = all_of(found, [meta(about), message("data", lines)])
    return dict(zip(block.components, block.values[:, 0].tolist(), strict=True))


# -- columns ------------------------------------------------------------------------------------------------------


def test_value_is_field_by_multiplier() -> None:
    assert first_values(PLAIN, 20_500_123, -1_250_000, 43_750_000) == {
        "X": 20500.123,
        "Y": -1250.0,
        "Z": 43750.0,
    }


def test_microteslas_of_a_lemi_become_nanoteslas_by_their_multiplier() -> None:
    lemi = "[x,y,z,t1,t2,var2] [X,Y,Z,T_sensor,T_elec,VDD] [nT,nT,nT,deg_C,deg_C,V] [0.001,0.001,0.001,100,100,10] 6hLffflll 40"
    found = first_values(lemi, 20.5, -1.25, 43.75, 2150, 2240, 123)
    assert found == pytest.approx({"X": 20_500.0, "Y": -1_250.0, "Z": 43_750.0}, abs=1e-9)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("uT", 1e3), ("\N{MICRO SIGN}T", 1e3), ("mT", 1e6), ("T", 1e9), ("pT", 1e-3), ("nT", 1.0)],
)
def test_unit_of_meta_counts(unit: str, factor: float) -> None:
    value = 20_500.0 / factor
    found = first_values(f"[x,y] [H,E] [{unit},{unit}] [1,1] 6hLll 24", value, value / 10)
    assert found == pytest.approx({"H": 20_500.0, "E": 2_050.0})


@pytest.mark.parametrize(("unit", "value"), [("deg", 2.5), ("arcmin", 150.0), ("rad", np.radians(2.5))])
def test_declination_comes_out_in_degrees_and_a_field_to_the_east_as_such(unit: str, value: float) -> None:
    hdz = first_values(f"[x,y,z] [H,D,Z] [nT,{unit},nT] [1,1,1] 6hLlll 28", 20_500, value, 43_750)
    assert hdz == pytest.approx({"H": 20_500.0, "D": 2.5, "Z": 43_750.0})
    assert first_values("[x,y] [H,D] [nT,nT] [1,1] 6hLll 24", 20_500, 70) == {"H": 20_500.0, "E": 70.0}


def test_second_time_takes_seven_fields_or_one() -> None:
    about = "[x,sectime,y] [H,ntp,E] [nT,none,nT] [1,1,1] 6hLl6hLl 48"
    wide = (20_500, 2017, 9, 7, 12, 0, 0, 250_000, 70)
    assert first_values(about, *wide) == {"H": 20_500.0, "E": 70.0}
    # As MARTAS reads it out of files and tables.
    assert first_values(about, 20_500, 999_990_000, 70) == {"H": 20_500.0, "E": 70.0}


def test_second_clock_is_taken_where_it_is_asked_for() -> None:
    about = "[x,y,sectime] [X,Y,ntp] [nT,nT,none] [1,1,1] 6hLll6hL 48"
    lines = ";".join(row(second, 1, 2, 2017, 9, 7, 12, 30, second, 0) for second in range(5))
    found = decoder(sensors={SENSOR: {"clock": "secondary"}})
    (block,) = all_of(found, [meta(about), message("data", lines)])
    assert block.t0_ns == T0_NS + 1800 * SECOND_NS
    other = decoder(clock="secondary")
    other.decode(meta())
    assert reason(other, data([0])) == "missing_key"


def test_missing_marks_and_words_are_gaps() -> None:
    about = "[x,y] [X,Y] [nT,nT] [10000,1] 6hLll 24"
    lines = [
        row(0, 999_990_000, 1),
        row(1, "", "nan"),
        row(2, 10_000, 88_888),
        row(3, "None", 999_999),
        row(4, "-", 5),
    ]
    (block,) = all_of(decoder(), [meta(about), message("data", ";".join(lines))])
    np.testing.assert_array_equal(
        block.values, [[np.nan, np.nan, 1, np.nan, np.nan], [1, np.nan, np.nan, np.nan, 5]]
    )


def test_options_say_what_a_sensor_does_not() -> None:
    instrument = {
        "sensors": {SENSOR: {"components": {"x": "H", "y": "E", "z": "-"}, "nT_per_unit": {"x": 0.5, "y": 2}}}
    }
    assert first_values("[x,y,z] [A,B,C] [mV,mV,mV] [1,1,1] 6hLlll 28", 100, 10, 1, **instrument) == {
        "H": 50.0,
        "E": 20.0,
    }
    assert first_values(
        "[x,y] [X,Y] [none,none] [1,1] 6hLll 24", 3, 4, sensors={SENSOR: {"nT_per_unit": 1}}
    ) == {
        "X": 3.0,
        "Y": 4.0,
    }


@pytest.mark.parametrize(
    ("about", "word", "says"),
    [
        (
            "[f,var1,sectime] [f,errorcode,internaltime] [nT,none,none] [1000,1,1] 6hLLL6hL 40",
            "scalar_only",
            SENSOR,
        ),
        (
            "[t1,t2,var1] [T,DewPoint,RH] [degC,degC,per] [1000,1000,1000] 6hLllL 28",
            "not_magnetic",
            "DewPoint",
        ),
        ("[x,t2] [GIC,T] [mA,degC] [1000,1000] 6hLll 24", "not_magnetic", "GIC"),
        ("[x,y,z] [TA,B,TB] [pT,pT,pT] [1000,1000,1000] 6hLlll 28", "no_component", "components"),
        ("[x,y,z] [X,Y,Z] [mV,mV,mV] [1000,1000,1000] 6hLlll 28", "unit_unknown", "nT_per_unit"),
        ("[x,y,z] [X,Y,Z] [None,None,None] [1000,1000,1000] 6HLqqq 40", "unit_unknown", "nT_per_unit"),
    ],
)
def test_sensor_without_a_usable_vector_is_refused_by_name(about: str, word: str, says: str) -> None:
    found = decoder()
    assert all_of(found, [meta(about)]) == []
    count = len(about.split("]")[0].split(",")) + 6 * ("time]" in about.split(" ")[0])
    with pytest.raises(DecodeError) as caught:
        found.decode(message("data", row(0, *[2017] * count)))
    assert caught.value.reason == word
    assert says in caught.value.detail
    assert SENSOR in caught.value.detail


# -- lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ("", "empty"),
        (";;", "empty"),
        ("1777,4,30,0,0,0,0,1,2,3", "empty"),
        ("2017,9,7,12,0,0,0", "bad_row"),
        ("hello", "bad_row"),
        (row(0) + ";" + row(1, 1), "bad_row"),
        (row(0, 1, 2, "1e5x"), "bad_row"),
        (row(0, 1, 2, "1_000"), "bad_row"),
        ("2017,9,31,12,0,0,0,1,2,3", "bad_time"),
        ("2017,9,7,12,0,60,0,1,2,3", "bad_time"),
        ("2017,9,7,12,0,0.5,0,1,2,3", "bad_time"),
        ("1980,9,7,12,0,0,0,1,2,3", "time_out_of_range"),
        ("2030,9,7,12,0,0,0,1,2,3", "time_out_of_range"),
        (row(0, "1e99", 2, 3), "out_of_range"),
        ("2017,9,7,12,0,0,0,\N{ARABIC-INDIC DIGIT ONE},2,3", "bad_row"),
    ],
)
def test_bad_line_is_refused_before_and_after_meta(payload: str, word: str) -> None:
    known = decoder()
    known.decode(meta())
    assert reason(known, message("data", payload)) == word
    if word != "out_of_range" and "x" not in payload and "_" not in payload:
        assert reason(decoder(), message("data", payload)) == word


def test_rows_without_a_time_are_left_out_and_year_may_have_two_digits() -> None:
    lines = [row(0), "", "1777,4,30,0,0,0,0,1,2,3", *(row(second)[2:] for second in range(1, 5)), ""]
    (block,) = all_of(decoder(), [meta(), message("data", ";".join(lines))])
    assert (block.t0_ns, block.count) == (T0_NS, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# MagPyBin",
        f"# MagPyBin OTHER_1_0001 {PLAIN}",
        f"# MagPyBin {SENSOR} [] [] [] [1] 6hL 16",
        f"# MagPyBin {SENSOR} {PLAIN}" + " " * 5000 + "x",
    ],
)
def test_bad_meta_is_refused_and_the_one_before_counts_on(text: str) -> None:
    found = decoder()
    found.decode(meta())
    assert reason(found, message("meta", text)) == "bad_meta"
    assert len(all_of(found, [data(range(5))])) == 1


@pytest.mark.parametrize("multipliers", ["1000", "1000,0", "1000,nan", "1000,x"])
def test_component_without_a_multiplier_is_refused(multipliers: str) -> None:
    found = decoder()
    found.decode(meta(f"[x,y] [X,Y] [nT,nT] [{multipliers}] 6hLll 24"))
    assert reason(found, message("data", row(0, 1, 2))) == "bad_meta"


@pytest.mark.parametrize(
    ("about", "word"),
    [
        # As protocols of MARTAS 2.0.1 write them: GNSSHAT, DS2438, 4PL, BNO085, GP20S3, ObsDAQ's other channels.
        ("[x,y,sectime] [lat,lon,gpstime] [deg,deg,] [1000000000,1000000000,0] 6hLqq6hL 80", "not_magnetic"),
        (
            "[t1,var1,var2,var3,var4] [T,RH,VDD,VAD,VIS] [degC,per,V,V,V,V] [1000,1000] 6hLlllll 40",
            "not_magnetic",
        ),
        ("[x,y,z,f,var3] [U0,U90,Rho,Phase,F] [mV,mV,Ohm*m,mrad,Hz] [1,1,1,1,1] 6hLlllll 40", "not_magnetic"),
        ("[mag_x,mag_y,mag_z] [mag_X,mag_Y,mag_Z] [nT,nT,nT] [10000,10000,10000] 6hLqqq 40", "no_component"),
        (
            "[x,y,z,dx,sectime] [NS,N,S,SNS,None] [pT,pT,pT,pT,None] [1000,1000,1000,1000,1] 6hLQQQq6hL 80",
            "no_component",
        ),
        ("[var1,var2] [VOBSDAQ,TOBSDAQ] [V,degC] [10000,1000] 6hLlll6hL 72", "not_magnetic"),
    ],
)
def test_meta_of_other_instruments_is_taken_and_says_why_they_are_not_used(about: str, word: str) -> None:
    found = decoder()
    assert found.decode(meta(about)) == []
    keys = about[1 : about.index("]")].split(",")
    assert reason(found, message("data", row(0, *[7] * len(keys)))) == word


def test_sensor_may_have_any_printable_name() -> None:
    found = decoder()
    sensor = "FLUKE289\N{MICRO SIGN}VDC_1_0001"
    assert found.decode(meta("[var1] [FLUKE] [\N{MICRO SIGN}VDC] [10000] 6hLl 20", sensor)) == []
    assert reason(found, message("data", row(0, 7), sensor)) == "not_magnetic"


def test_meta_with_blanks_in_its_lists_is_read() -> None:
    about = "[x, y, z, t1] [X, Y, Z, Temp] [nT, nT, nT, deg C] [1000, 1000, 1000, 10] 6hLllll 32"
    assert first_values(about, 1000, 2000, 3000, 215) == {"X": 1.0, "Y": 2.0, "Z": 3.0}


@pytest.mark.parametrize(
    "topic", ["wic/data", "wic/FGE_1_0001/other", "wic/FGE 1/data", "observatory/FGE_1_0001/data"]
)
def test_topic_that_names_no_sensor_of_a_station_is_refused(topic: str) -> None:
    assert reason(decoder(), Message(topic, row(0).encode(), RECEIVED_NS)) == "bad_topic"


def test_stations_and_sensors_are_mapped() -> None:
    named = decoder(
        stations={"observatory": "WIC"},
        sensors={"FGE_2_0001": {"station": "NUR"}, "GSM_1_0001": {"ignore": True}},
    )
    for sensor in (SENSOR, "FGE_2_0001", "GSM_1_0001"):
        for one in (meta(sensor=sensor), data(range(5), sensor)):
            blocks = named.decode(
                Message(f"a/b/observatory/{sensor}/{one.topic.rpartition('/')[2]}", one.payload, RECEIVED_NS)
            )
    assert list(blocks) == []
    again = named.decode(Message("observatory/FGE_2_0001/dict", b"anything", RECEIVED_NS))
    assert list(again) == []
    known = MartasDecoder(MartasDecoder.Options(), Surroundings("martas", stations=("NUR",)))
    assert reason(known, data([0])) == "unknown_station"


def test_sensor_is_named_in_its_blocks() -> None:
    found = decoder(sensors={SENSOR: {"station": "NUR"}})
    (block,) = all_of(found, [meta(), data(range(5))])
    assert (block.source, block.sensor) == ("NUR", SENSOR)


@pytest.mark.parametrize(
    "options",
    [
        {"clock": "tertiary"},
        {"stations": {"wic": "a b"}},
        {"sensors": {SENSOR: {"components": {"x": "Q"}}}},
        {"sensors": {SENSOR: {"step_s": 0.0}}},
        {"sensors": {SENSOR: {"unknown": 1}}},
    ],
)
def test_bad_option_is_a_fault_of_the_configuration(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MartasDecoder.Options.model_validate(options)


# -- what waits ---------------------------------------------------------------------------------------------------


def test_data_before_meta_wait_and_come_out_in_order() -> None:
    found = decoder()
    assert all_of(found, [data([second]) for second in range(7)]) == []
    blocks = found.decode(meta())
    times, values = samples(blocks)
    np.testing.assert_array_equal(times, T0_NS + SECOND_NS * np.arange(7))
    np.testing.assert_array_equal(values[0], 20_500 + np.arange(7) / 1000)
    assert len(found.decode(data([7]))) == 1


def test_what_waits_is_bounded_by_number_and_by_bytes_and_the_oldest_goes_first() -> None:
    found = decoder()
    for second in range(MOST_MESSAGES):
        found.decode(data([second]))
    assert reason(found, data([MOST_MESSAGES])) == "no_meta"
    times, _ = samples(found.decode(meta()))
    np.testing.assert_array_equal(times, T0_NS + SECOND_NS * np.arange(1, MOST_MESSAGES + 1))
    long = ";".join(row(second, *["0.0000000001"] * 30) for second in range(200))
    given_up = 0
    for number in range(60):
        try:
            found.decode(message("data", long, f"A_{number % 9}_0001"))
        except DecodeError as error:
            given_up += error.reason == "no_meta"
    waiting = {
        sensor: sum(len(one[1]) for one in kept) for sensor, kept in found.snapshot()["waiting"].items()
    }
    assert max(waiting.values()) <= max(MOST_BYTES, len(long))
    assert MOST_BYTES_IN_ALL // 2 < sum(waiting.values()) <= MOST_BYTES_IN_ALL
    assert given_up > 0


def test_what_waited_is_held_to_the_time_at_which_it_comes_out() -> None:
    found = decoder()
    found.decode(data(range(5)))
    set_back = Message(meta().topic, meta().payload, T0_NS - 3600 * SECOND_NS)
    assert reason(found, set_back) == "time_out_of_range"


def test_sensor_that_was_silent_longest_is_forgotten_for_those_beyond_five_hundred() -> None:
    found = decoder()
    for number in range(500):
        found.decode(meta(sensor=f"A_{number}_0001"))
    all_of(found, [data(range(5), "A_0_0001"), meta(sensor="A_500_0001")])
    known = set(found.snapshot()["sensors"])
    assert len(known) == 500
    assert {"wic/A_0_0001", "wic/A_500_0001"} <= known
    assert "wic/A_1_0001" not in known


def test_new_meta_is_told_and_used_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    found = decoder()
    assert len(all_of(found, [meta(), data(range(5))])) == 1
    wider = PLAIN.replace("[x,y,z]", "[x,y,z,t1]").replace("X,Y,Z", "X,Y,Z,T").replace("nT]", "nT,degC]")
    # Rows of another width come before the meta that explains them: they wait for it.
    late = [message("data", row(second, 20, 1, 43, 215)) for second in (5, 6)]
    assert all_of(found, late) == []
    with caplog.at_level(logging.WARNING):
        (block,) = found.decode(meta(wider.replace("1000,1000,1000", "1,1,1,10")))
    np.testing.assert_array_equal(block.values, [[20, 20], [1, 1], [43, 43]])
    assert f"'wic/{SENSOR}': meta has changed" in caplog.text
    assert "[1000,1000,1000]" in caplog.text


def test_meta_that_changes_every_time_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    found = decoder()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            found.decode(meta(PLAIN.replace("[1000,", f"[{number + 1},")))
    assert 5 <= len(caplog.records) <= 12


def test_late_fault_of_one_that_waited_does_not_cost_the_others() -> None:
    found = decoder()
    for one in (data(range(5)), message("data", row(5, 1, 2)), data([6])):
        found.decode(one)
    times, _ = samples(found.decode(meta()))
    np.testing.assert_array_equal(times, T0_NS + SECOND_NS * np.array([0, 1, 2, 3, 4, 6]))


# -- memory -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["data", "odd", "meta", "dict", "bad"]), min_size=1, max_size=25),
    st.integers(0, 25),
)
def test_restart_anywhere_gives_the_blocks_of_a_run_without_it(kinds: list[str], place: int) -> None:
    payloads = {
        "data": lambda n: data([n]),
        "odd": lambda n: data([n + 0.3]),
        "meta": lambda _n: meta(),
        "dict": lambda _n: message("dict", "SensorID:x"),
        "bad": lambda n: message("data", f"{n},x"),
    }
    messages = [payloads[kind](number) for number, kind in enumerate(kinds)]

    def run(found: MartasDecoder, some: list[Message]) -> list[tuple[int, list[list[float]]]]:
        taken = []
        for one in some:
            try:
                taken += [(block.t0_ns, block.values.tolist()) for block in found.decode(one)]
            except DecodeError as error:
                taken.append((-1, [[float(len(error.reason))]]))
        return taken

    whole, first, second = decoder(), decoder(), decoder()
    expected = run(whole, messages)
    before = run(first, messages[:place])
    second.restore(first.snapshot())
    assert before + run(second, messages[place:]) == expected


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"version": 2},
        {"version": 1},
        {"version": 1, "sensors": {"a": 1}, "waiting": {}},
        {"version": 1, "sensors": {}, "waiting": {"a": [["a/b/data", "x", None]]}},
        {
            "version": 1,
            "sensors": {"a/b": {"meta": None, "grid": {"held": None, "last": [[1 << 70], [[1]]]}}},
            "waiting": {},
        },
    ],
)
def test_state_that_cannot_be_read_is_a_value_error_and_changes_nothing(state: object) -> None:
    found = decoder()
    found.decode(meta())
    before = found.snapshot()
    with pytest.raises(ValueError, match="state"):
        found.restore(state)
    assert found.snapshot() == before


def test_decoder_passes_the_checks_of_every_decoder() -> None:
    messages = [data([0]), message("dict", "SensorID:x"), meta(), *(data([second]) for second in range(1, 9))]
    messages += [data([9.3, 10.3, 11.3]), meta(), data(range(12, 16))]
    check_decoder(decoder, messages)
