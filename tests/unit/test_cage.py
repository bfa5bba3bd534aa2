"""Plugins of other distributions, each in a process of its own: real processes, and all that can go wrong in them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import DecodeError, PluginError, PluginOffError
from monitor.plugins.cage import Cage, Limits
from monitor.plugins.cage.parcels import Block, Thing, WireError, unpacked
from monitor.plugins.cage.strikes import Strikes
from monitor.plugins.cage.wire import Decoded, Raised, framed, from_plugin
from monitor.plugins.found import Found
from monitor.testing import RecordingFeed, check_decoder, stored_products
from monitor.types import SECOND_NS, Domain, Json, Message, Product, SampleBlock, Surroundings, Tick

MODULE = "foreign_plugins"
T0_NS = 1_504_771_200 * SECOND_NS
PATIENT = Limits(answer_s=20.0)
"""Of plugins that are good: a loaded machine is slow."""
HASTY = Limits(answer_s=1.0, write_s=1.5, restarts=0)
"""Of plugins that hang: the first time is the last."""
STERN = Limits(answer_s=20.0, write_s=20.0, restarts=0)
"""Of plugins that die: the first time is the last too, but a loaded machine may be slow to see it."""


def found(kind: str, name: str, module: str = MODULE) -> Found:
    return Found(name.lower(), kind, f"{module}:{name}", "foreign 1.0", False)  # type: ignore[arg-type]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make plugins, and end their processes."""
    cages = []

    def made(kind: str, name: str, limits: Limits = PATIENT, **options: Json) -> Any:
        cage = Cage(limits)
        cages.append(cage)
        surroundings = Surroundings(name.lower(), tmp_path / name, stations=("TAR", "BRZ"))
        return cage.make(found(kind, name), options, surroundings)

    yield made
    for cage in cages:
        cage.close()


@pytest.fixture(scope="module")
def lines() -> Iterator[Any]:
    """One decoder for all that does not end it."""
    cage = Cage(PATIENT)
    yield cage.make(found("decoder", "Lines"), {"factor": 2.0}, Surroundings("lines"))
    cage.close()


def line(place: int = 0, numbers: str = "1.0,2.0", code: str = "TAR") -> Message:
    return Message(
        "lines/x", f"{code},2017-09-07T08:00:{3 * place:02d}Z,{numbers}".encode(), T0_NS + SECOND_NS
    )


def living(group: int) -> list[str]:
    """The processes of a group that run; those that nobody has buried yet do not."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats.append(path.read_text().rpartition(")")[2].split())
        except OSError:
            continue
    return [stat[0] for stat in stats if int(stat[2]) == group and stat[0] != "Z"]


def told(how: str) -> Message:
    return Message("lines/x", f"!{how}".encode(), T0_NS)


class TestWire:
    def test_block_comes_back_as_it_was(self) -> None:
        values = np.array([[1.5, np.nan], [-0.0, 1e-300]])
        block = SampleBlock("MMS1", ("Bx", "N"), T0_NS, SECOND_NS, values, Domain.CRAFT, 2, "fgm", "gse")
        back = Block.of(block).taken()
        assert replace(back, values=values) == block
        assert back.values.tobytes() == values.tobytes()
        assert back.values.flags.writeable

    def test_product_comes_back_as_it_was(self) -> None:
        product = Product("mean", "TAR", T0_NS, 3, True, {"a": [1, None, "ü"], "b": 1e300}, T0_NS + 1)
        assert Thing.of(product).taken() == product

    @pytest.mark.parametrize(
        "change",
        [{"count": 3}, {"count": -1}, {"components": ()}, {"domain": "moon"}, {"values": b"x"}],
        ids=str,
    )
    def test_block_whose_parts_do_not_fit_is_none(self, change: dict[str, Any]) -> None:
        block = Block.of(SampleBlock("TAR", ("H",), T0_NS, SECOND_NS, np.zeros((1, 2))))
        for name, value in change.items():
            setattr(block, name, value)
        with pytest.raises(WireError):
            block.taken()

    @pytest.mark.parametrize(
        "content", [b"", b"\xff" * 64, b"\x81\xa4type\xa4None", b"\x90" * 10, framed(Raised("x"))], ids=repr
    )
    def test_what_is_no_frame_is_an_error_of_its_own(self, content: bytes) -> None:
        with pytest.raises(WireError):
            from_plugin(content)

    def test_any_damage_to_a_frame_is_an_error_or_another_frame(self) -> None:
        content = framed(Decoded((Block.of(SampleBlock("TAR", ("H",), 1, 2, np.zeros((1, 2)))),), 1, None))[
            4:
        ]
        random = np.random.default_rng(1)
        for _ in range(2000):
            damaged = bytearray(content)
            damaged[int(random.integers(len(damaged)))] = int(random.integers(256))
            try:
                answer = from_plugin(bytes(damaged))
                if isinstance(answer, Decoded):
                    [block.taken() for block in answer.blocks]
            except WireError:
                continue

    @pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b"{", b"[" * 100_000, b"\xff"], ids=repr)
    def test_what_is_no_json_is_an_error_of_its_own(self, text: bytes) -> None:
        with pytest.raises(WireError):
            unpacked(text)


class TestStrikes:
    def test_one_too_many_within_an_hour(self) -> None:
        now = [0.0]
        strikes = Strikes(2, lambda: now[0])
        assert [strikes.add(), strikes.add(), strikes.add()] == [False, False, True]
        now[0] = 3600.0
        assert not strikes.add()


class TestBegin:
    def test_options_are_looked_at_over_there(self) -> None:
        cage = Cage(PATIENT)
        lines = found("decoder", "Lines")
        assert cage.check(lines, {"factor": 2.0}) == []
        faults = cage.check(lines, {"factor": "two", "colour": 1})
        assert [(one.path, one.kind, one.keys) for one in faults] == [
            (("factor",), "float_type", ("factor",)),
            (("colour",), "extra_forbidden", ("factor",)),
        ]
        assert MODULE not in sys.modules

    @pytest.mark.parametrize(
        ("name", "module", "limits", "words"),
        [
            ("Absent", MODULE, PATIENT, "Absent"),
            ("NoClass", MODULE, PATIENT, "Options"),
            ("Lines", "foreign_import", Limits(start_s=1.0), "gave no answer within 1 s"),
        ],
    )
    def test_what_cannot_be_imported_is_named(
        self, name: str, module: str, limits: Limits, words: str
    ) -> None:
        with pytest.raises(PluginError, match=words) as raised:
            Cage(limits).check(found("decoder", name, module), {})
        assert raised.value.distribution == "foreign 1.0"

    def test_models_of_others_are_refused_with_a_reason(self) -> None:
        with pytest.raises(PluginError, match="ONNX"):
            Cage().make(found("model", "Anything"), {}, Surroundings("x"))

    def test_process_knows_no_secret_and_has_no_file_of_ours(
        self, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GEOSPACE_SECRET", "hush")
        with (tmp_path / "secret").open("w") as secret:
            os.set_inheritable(secret.fileno(), True)
            decoder = make("decoder", "Lines")
            decoder.decode(line())
            process = Path("/proc") / str(decoder._keeper._process.pid)
            assert b"hush" not in (process / "environ").read_bytes()
            opened = [str(end.readlink()) for end in (process / "fd").iterdir()]
        assert not [one for one in opened if "secret" in one]
        assert os.getsid(decoder._keeper._process.pid) == decoder._keeper._process.pid
        assert (tmp_path / "Lines").samefile(process / "cwd")

    def test_process_ends_with_the_thread_that_began_it(self, make: Callable[..., Any]) -> None:
        decoder = make("decoder", "Lines")
        pid = decoder._keeper._process.pid
        decoder.end()
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(DecodeError, match="decoder_off"):
            decoder.decode(line())


class TestDecoder:
    def test_what_it_prints_is_logged_in_few_lines(
        self, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        decoder = make("decoder", "Lines", HASTY)
        with pytest.raises(DecodeError, match="no answer within"):
            decoder.decode(told("print"))
        said = [one.getMessage() for one in caplog.records if "says" in one.getMessage()]
        assert 0 < len(said) <= 31
        assert max(map(len, said)) < 400

    def test_good_one_is_as_good_as_in_process(self, lines: Any) -> None:
        (block,) = lines.decode(line(numbers="1.0,nan"))
        np.testing.assert_array_equal(block.values, [[2.0, np.nan]])
        check_decoder(lambda: lines, [line(place) for place in range(3)], damaged=100)

    def test_exception_refuses_one_message_and_is_told(self, lines: Any) -> None:
        decoder = lines
        with pytest.raises(DecodeError, match=r"decoder_failed: .*foreign 1\.0.*RuntimeError: not today"):
            decoder.decode(told("raise"))
        assert decoder.standing.state == "failed"
        assert "foreign_plugins.py" in decoder.standing.reason
        assert len(decoder.decode(line())) == 1
        assert (decoder.standing.state, decoder.standing.restarts) == ("running", 0)

    @pytest.mark.parametrize("how", ["nothing", "text", "objects", "block"])
    def test_rubbish_refuses_one_message(self, lines: Any, how: str) -> None:
        decoder = lines
        with pytest.raises(DecodeError, match="decoder_failed"):
            decoder.decode(told(how))
        assert decoder.standing.state == "failed"
        assert decoder.decode(line())

    @pytest.mark.parametrize(
        ("how", "words"),
        [
            ("sleep", "no answer within"),
            ("segfault", "SIGSEGV"),
            ("fork", "exit code 0"),
            ("lie", "that can be read"),
        ],
    )
    def test_process_that_is_lost_is_killed_and_at_last_switched_off(
        self, make: Callable[..., Any], how: str, words: str
    ) -> None:
        decoder = make("decoder", "Lines", HASTY if how == "sleep" else STERN)
        group = decoder._keeper._process.pid
        with pytest.raises(DecodeError, match="decoder_failed"):
            decoder.decode(told(how))
        assert decoder.standing.state == "off"
        assert words in decoder.standing.reason
        assert not living(group)
        with pytest.raises(DecodeError, match="decoder_off"):
            decoder.decode(line())

    def test_more_memory_than_there_is_for_it_is_an_exception(self, lines: Any) -> None:
        decoder = lines
        with pytest.raises(DecodeError, match="MemoryError"):
            decoder.decode(told("eat"))
        assert decoder.decode(line())

    def test_lost_process_costs_one_message_and_no_memory(self, make: Callable[..., Any]) -> None:
        """The messages behind the one that did it wait for the new process, which is where the old one was."""
        decoder = make("decoder", "Sums")
        seen = []
        for place in range(6):
            seen.append(decoder.decode(line(place))[0].values[0, -1])
            if place == 2:
                decoder.snapshot()
            if place == 4:
                decoder._keeper._process._process.kill()
                decoder._keeper._process._process.wait()
            if place == 3:
                with pytest.raises(DecodeError, match="decoder_failed"):
                    decoder.decode(told("vanish"))
        assert seen == [3.0, 6.0, 9.0, 12.0, 15.0, 18.0]
        assert decoder.standing.restarts == 2
        assert decoder.snapshot() == {"version": 1, "sum": 18.0}

    def test_reasons_that_it_makes_up_do_not_fill_the_metrics(self, lines: Any) -> None:
        reasons = {lines._reason(f"found_{number}") for number in range(100)} | {lines._reason("No good!")}
        assert 25 <= len(reasons) <= 31
        assert "refused" in reasons


def samples(minutes: int) -> list[SampleBlock | Tick]:
    values = np.arange(60.0)
    blocks: list[SampleBlock | Tick] = [
        SampleBlock("TAR", ("H",), T0_NS + at * 60 * SECOND_NS, SECOND_NS, (values + at)[np.newaxis])
        for at in range(minutes)
    ]
    return [*blocks, Tick(SECOND_NS)]


class TestStage:
    def test_lost_process_costs_nothing_of_what_it_had_seen(self, make: Callable[..., Any]) -> None:
        """Neither what has come into a snapshot nor what came since."""
        stage = make("stage", "Means")
        said = []
        for place, block in enumerate(samples(31)):
            if place in (7, 19):
                stage._keeper._process._process.kill()
                stage._keeper._process._process.wait()
            if place == 12:
                stage.snapshot()
            said += stage.feed(block if isinstance(block, Tick) else [block])
        assert stage.kinds == {"mean"}
        assert [product.body["samples"] for product in said] == [300.0] * 6
        assert [product.body["mean_nT"] for product in said] == [29.5 + 2 + 5 * at for at in range(6)]
        assert stage.standing.restarts == 2

    @pytest.mark.parametrize("how", ["text", "product"])
    def test_rubbish_is_left_out_and_told(self, make: Callable[..., Any], how: str) -> None:
        stage = make("stage", "Means", does=how)
        with pytest.raises(PluginError):
            stage.feed(samples(2)[:1])
        assert stage.standing.state == "failed"
        with pytest.raises(PluginError, match="no state of it"):
            stage.snapshot()

    def test_one_that_is_off_says_nothing(self, make: Callable[..., Any]) -> None:
        stage = make("stage", "Means", HASTY, does="sleep")
        with pytest.raises(PluginError, match="no answer"):
            stage.feed(samples(1)[:1])
        assert stage.feed(samples(1)[:1]) == []
        assert stage.standing.state == "off"


async def brought(source: Any, feed: RecordingFeed, count: int) -> None:
    """Run a source until it has brought so many items, and cancel it."""
    task = asyncio.create_task(source.run(feed))
    async with asyncio.timeout(20):
        while len(feed.items) < count:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


class TestSource:
    async def test_good_one_goes_on_where_it_was(self, make: Callable[..., Any]) -> None:
        source, first = make("source", "Counting"), RecordingFeed(turns=2)
        await brought(source, first, 2)
        second = RecordingFeed(first)
        await brought(source, second, 6)
        values = [one.values[0].tolist() for one in second.items if isinstance(one, SampleBlock)]
        assert [value[0] for value in values] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        # It is told what is stored: up to when, and in how many pieces a minute has gaps.
        assert [value[1:] for value in values[:2]] == [[0.0, 1.0], [3.0, 1.0]]

    @pytest.mark.parametrize(("how", "words"), [("raise", "not today"), ("vanish", "exit code 0")])
    async def test_what_goes_wrong_is_raised_here(
        self, make: Callable[..., Any], how: str, words: str
    ) -> None:
        with pytest.raises(PluginError, match=words):
            await make("source", "Counting", does=how).run(RecordingFeed())

    async def test_loop_that_stands_still_is_ended(self, make: Callable[..., Any]) -> None:
        source = make("source", "Counting", HASTY, does="sleep")
        async with asyncio.timeout(20):
            with pytest.raises(PluginOffError, match="held up its loop"):
                await source.run(RecordingFeed())
            with pytest.raises(PluginOffError):
                await source.run(RecordingFeed())
        assert source.standing.state == "off"


class TestSink:
    async def test_good_one_writes_what_it_is_given(self, make: Callable[..., Any], tmp_path: Path) -> None:
        sink, products = make("sink", "Filing"), stored_products(4)
        assert sink.kinds == {"flr", "mean"}
        await sink.close()
        await sink.open()
        await sink.write(products[:2])
        cut_off = asyncio.create_task(sink.write(products[2:3]))
        await asyncio.sleep(0)
        cut_off.cancel()
        await asyncio.gather(cut_off, return_exceptions=True)
        with pytest.raises(PluginError, match="not open"):
            await sink.write(products[2:])
        await sink.open()
        await sink.write(products[2:])
        await sink.close()
        written = {one.name: one.read_bytes() for one in (tmp_path / "Filing").iterdir()}
        assert written == {str(product.row): product.payload for product in products}

    @pytest.mark.parametrize(
        ("how", "error", "words"),
        [
            ("raise", PluginError, "not today"),
            ("sleep", PluginOffError, "no answer within"),
            ("noise", PluginOffError, "at once"),
        ],
    )
    async def test_what_goes_wrong_is_raised_here(
        self, make: Callable[..., Any], how: str, error: type[PluginError], words: str
    ) -> None:
        sink = make("sink", "Filing", HASTY if how == "sleep" else STERN, does=how)
        async with asyncio.timeout(20):
            await sink.open()
            with pytest.raises(error, match=words):
                await sink.write(stored_products(1))
            await sink.close()
