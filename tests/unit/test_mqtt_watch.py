"""When a connection that is up and brings nothing is given up, and how held time adds up."""

from __future__ import annotations

from monitor.io.mqtt.watch import LONGEST_SILENCE_S, HeldTime, Silence, Stall


def firings(silence: Silence, seconds: int, arrived: int = 0) -> list[int]:
    """The seconds at which a silent connection is given up."""
    found = []
    for second in range(1, seconds + 1):
        if silence.look(arrived, True, 1.0):
            found.append(second)
            silence.give_up()
    return found


def test_patience_doubles_up_to_an_hour_while_silence_lasts() -> None:
    found = firings(Silence(900.0), 15_000)
    assert found == [900, 900 + 1800, 900 + 1800 + 3600, 900 + 1800 + 2 * 3600, 900 + 1800 + 3 * 3600]
    assert LONGEST_SILENCE_S == 3600.0


def test_patience_longer_than_an_hour_stays() -> None:
    assert firings(Silence(7200.0), 15_000) == [7200, 14_400]


def test_message_makes_the_patience_the_first_one_again() -> None:
    silence = Silence(100.0)
    assert firings(silence, 300) == [100, 300]
    assert not silence.is_first
    assert firings(silence, 250, arrived=1) == [101]  # the first second brings the message
    assert not silence.look(2, True, 1.0)
    assert silence.is_first


def test_zero_is_never() -> None:
    assert firings(Silence(0.0), 10_000) == []


def test_time_in_which_nothing_could_arrive_does_not_count() -> None:
    silence = Silence(10.0)
    for _ in range(100):
        assert not silence.look(0, False, 1.0)
    assert firings(silence, 10) == [10]


def test_silence_persists_only_after_a_new_connection_has_brought_nothing_either() -> None:
    silence = Silence(900.0)
    for _ in range(899):
        silence.look(0, True, 1.0)
    assert not silence.persists
    assert silence.look(0, True, 1.0)
    silence.give_up()
    for _ in range(59):
        silence.look(0, True, 1.0)
        assert not silence.persists
    silence.look(0, True, 1.0)
    assert silence.persists
    silence.look(1, True, 1.0)
    assert not silence.persists


def test_stall_counts_from_the_last_change() -> None:
    stall = Stall()
    assert [stall.look(value, 1.0) for value in (None, 1, 1, 1, 2, 2)] == [1.0, 0.0, 1.0, 2.0, 0.0, 1.0]


def test_held_time_adds_up_over_its_stretches() -> None:
    held = HeldTime()
    held.set(True, 10.0)
    held.set(True, 11.0)
    held.set(False, 13.0)
    assert held.seconds(20.0) == 3.0
    held.set(True, 20.0)
    assert held.seconds(20.5) == 3.5
