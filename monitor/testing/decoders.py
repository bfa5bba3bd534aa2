"""What every decoder has to hold to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.decoders.base import Decoder, FileDecoder, Remembering, checked
from monitor.errors import DecodeError
from monitor.testing.comparing import assert_versioned, kept, same, through_json
from monitor.testing.rubbish import spoilt
from monitor.types import Message, SampleBlock

_REASON = re.compile(r"[a-z][a-z0-9_]{1,39}")
_MOST_REASONS = 30
_LARGEST_STATE_CHARACTERS = 32 * 1024 * 1024
_NO_STATES: tuple[Any, ...] = (None, [], {}, "x", 7, {"version": -1}, {"version": "another"})


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one message: blocks, or the reason of a refusal."""

    blocks: list[SampleBlock]
    reason: str | None = None


def check_decoder(
    make: Callable[[], Decoder], messages: Sequence[Message], *, seed: int = 1, damaged: int = 300
) -> None:
    """Check that a decoder is total, deterministic and honest about what it remembers.

    Parameters
    ----------
    make : callable
        Makes the decoder, as new.
    messages : sequence of Message
        Good ones, in an order in which they may come, with a time of receipt near that of their samples. A decoder
        need not give blocks for each, but for one at least.
    seed, damaged : int
        Of how many damaged messages there are besides, and which.

    Raises
    ------
    AssertionError
        With a sentence that says what to mend.
    """
    assert messages, "give at least one good message"
    name = make().name
    assert isinstance(name, str), f"its name is {name!r}: it must be a word"
    assert name, "its name is empty: it must be a word"
    found = _run(make(), messages)
    assert any(one.blocks for one in found), "none of the good messages gave a block: " + ", ".join(
        sorted({str(one.reason) for one in found})
    )
    assert same(found, _run(make(), messages)), (
        "the same messages gave other blocks: use no clock and no chance"
    )
    _check_outcomes_last(make(), messages)
    _check_memory(make, messages, found)
    _check_total(make, messages, seed, damaged)
    _check_files(make(), messages, seed, damaged)


def _run(decoder: Decoder, messages: Sequence[Message]) -> list[_Outcome]:
    return [_outcome(decoder, message) for message in messages]


def _outcome(decoder: Decoder, message: Message) -> _Outcome:
    """Decode one message; AssertionError for all that a decoder must not do."""
    shown = f"{message.payload[:60]!r} on {message.topic[:60]!r}"
    try:
        blocks = decoder.decode(message)
    except DecodeError as error:
        reason = error.reason
    except Exception as error:
        raise AssertionError(
            f"{shown} raised {error!r:.200}: whatever the bytes, give blocks or raise DecodeError"
        ) from error
    else:
        try:
            return _Outcome(checked(blocks, message))
        except (TypeError, DecodeError) as error:
            raise AssertionError(f"{shown} gave what the monitor does not take: {error}") from None
    assert _REASON.fullmatch(reason), (
        f"{shown} was refused with the reason {reason!r:.60}: it is the label of a counter, "
        "so take a fixed word of small letters and _, and put what was found into the detail"
    )
    return _Outcome([], reason)


def _check_outcomes_last(decoder: Decoder, messages: Sequence[Message]) -> None:
    """Blocks that were given stay as they are: the monitor keeps them."""
    given, copies = [], []
    for message in messages:
        outcome = _outcome(decoder, message)
        given.append(outcome)
        copies.append(kept(outcome))
    assert same(given, copies), "a block changed after it was given: make a new array for each"


def _check_memory(make: Callable[[], Decoder], messages: Sequence[Message], found: list[_Outcome]) -> None:
    if not isinstance(make(), Remembering):
        backwards = _run(make(), messages[::-1])[::-1]
        assert same(found, backwards), (
            "what comes of a message depends on those before it: give it `changes`, `snapshot` and `restore` "
            "(monitor.decoders.base.Remembering), or a restart loses what it remembers"
        )
        return
    for place in range(len(messages) + 1):
        _check_restart(make, messages, found, place)
    for state in _NO_STATES:
        decoder = make()
        assert isinstance(decoder, Remembering)
        try:
            decoder.restore(state)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"restore({state!r}) raised {error!r}: raise ValueError") from error
        raise AssertionError(f"restore({state!r}) was taken: raise ValueError for what snapshot never gave")


def _check_restart(
    make: Callable[[], Decoder], messages: Sequence[Message], found: list[_Outcome], place: int
) -> None:
    """A restart after a message changes nothing; and what is remembered changes no sooner than `changes` says."""
    before = make()
    assert isinstance(before, Remembering)
    for message in messages[:place]:
        changes, state = before.changes, kept(before.snapshot())
        _outcome(before, message)
        assert before.changes != changes or same(state, before.snapshot()), (
            f"a message on {message.topic!r} changed what is remembered, and `changes` is as before: "
            "the new state would not be stored"
        )
    state = before.snapshot()
    assert_versioned(state, "snapshot()")
    after = make()
    assert isinstance(after, Remembering)
    after.restore(through_json(state, "snapshot()"))
    rest = _run(after, messages[place:])
    assert same(rest, found[place:]), (
        f"a restart after {place} of {len(messages)} messages gave other blocks than a run without it: "
        "put all that is remembered into snapshot()"
    )


def _check_total(make: Callable[[], Decoder], messages: Sequence[Message], seed: int, damaged: int) -> None:
    decoder = make()
    reasons = {_outcome(decoder, message).reason for message in spoilt(messages, seed, damaged)}
    assert len(reasons) <= _MOST_REASONS, (
        f"there are {len(reasons)} reasons for refusals: each is a series of a counter, so take a few fixed words"
    )
    if isinstance(decoder, Remembering):
        size = len(str(through_json(decoder.snapshot(), "snapshot() after damaged messages")))
        assert size <= _LARGEST_STATE_CHARACTERS, (
            f"snapshot() has {size} characters after damaged messages: bound what is remembered"
        )


def _check_files(decoder: Decoder, messages: Sequence[Message], seed: int, damaged: int) -> None:
    if not isinstance(decoder, FileDecoder):
        return
    heads = [message.payload[:4096] for message in (*messages, *spoilt(messages, seed, damaged))]
    for head in (*heads, b"", *(heads[0][:length] for length in range(0, len(heads[0]), 97))):
        try:
            known = decoder.recognises(head)
        except Exception as error:
            raise AssertionError(f"recognises({head[:60]!r}) raised {error!r}: say False") from error
        assert isinstance(known, bool), f"recognises({head[:60]!r}) gave {known!r}: say True or False"
