"""Replay through a real Mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiomqtt
import numpy as np
import pytest
from mqtt_kit import Mosquitto

from monitor.errors import ArchiveError, BrokerError, MonitorError
from monitor.io.files import open_archives
from monitor.io.files.series import SourceSeries
from monitor.jobs import replay as replay_module
from monitor.jobs.replay import PUBLISH_TIMEOUT_S, replay
from monitor.plugins import installed
from monitor.types import CELL_NS, SECOND_NS, Domain, Message, SampleBlock, Surroundings, iso_time

pytestmark = pytest.mark.broker

T0_NS = 1_504_742_400 * SECOND_NS
SAMPLES = 600


def write_station(
    directory: Path, name: str, count: int = SAMPLES, step_s: float = 1.0, header: str = "H,E"
) -> str:
    """A file with recognisable values (a gap in every seventh) and its path."""
    step_ns = round(step_s * SECOND_NS)
    rows = [
        f"{iso_time(T0_NS + i * step_ns)},{'' if i % 7 == 3 else 20_000 + i / 8},{-i / 3!r}"
        for i in range(count)
    ]
    path = directory / f"{name}_day.csv.gz"
    path.write_bytes(gzip.compress("\n".join([f"time,{header}", *rows, ""]).encode()))
    return str(path)


class Listener:
    """Collects what arrives under the input topics, decoded, in the order of arrival."""

    def __init__(self) -> None:
        self.blocks: list[SampleBlock] = []
        self.arrived_s: list[float] = []
        self.qos: set[int] = set()

    def samples(self, source: str) -> int:
        return sum(block.count for block in self.blocks if block.source == source)

    async def until(self, samples: int) -> None:
        async with asyncio.timeout(10):
            while sum(block.count for block in self.blocks) < samples:  # noqa: ASYNC110  (no event to wait on)
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(broker: Mosquitto, root: str = "geospace/v1") -> AsyncIterator[Listener]:
    listener = Listener()
    decoder = installed().make("decoder", "native", {}, Surroundings("native"))
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe(f"{root}/in/#", qos=1)

        async def collect() -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                listener.arrived_s.append(time.monotonic())
                listener.qos.add(message.qos)
                listener.blocks += decoder.decode(
                    Message(str(message.topic), message.payload, time.time_ns())
                )

        task = asyncio.create_task(collect())
        try:
            yield listener
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_replay_brings_every_sample_once_in_time_order(mosquitto: Mosquitto, tmp_path: Path) -> None:
    specs = [write_station(tmp_path, "TAR"), f"ZZZ={write_station(tmp_path, 'BRZ')}"]
    async with listening(mosquitto) as listener:
        report = await replay(specs, to=mosquitto.url, speed=None)
        await listener.until(2 * SAMPLES)
    assert (report.messages, report.samples) == (20, 2 * SAMPLES)
    assert len(listener.blocks) == 20
    assert listener.qos == {1}
    starts = [block.t0_ns for block in listener.blocks]
    assert starts == sorted(starts)
    for source in ("TAR", "ZZZ"):
        own = [block for block in listener.blocks if block.source == source]
        assert all(block.components == ("H", "E") and block.count == 60 for block in own)
        values = np.concatenate([block.values for block in own], axis=1)
        index = np.arange(SAMPLES)
        np.testing.assert_array_equal(values[0], np.where(index % 7 == 3, np.nan, 20_000 + index / 8))
        np.testing.assert_array_equal(values[1], -index / 3)


async def test_pieces_last_half_the_lateness_at_most(mosquitto: Mosquitto, tmp_path: Path) -> None:
    specs = [write_station(tmp_path, "TAR"), write_station(tmp_path, "BRZ", 60, 4.5)]
    async with listening(mosquitto, "my/root") as listener:
        await replay(specs, to=mosquitto.url, speed=None, lateness_s=20.0, root="my/root")
        await listener.until(SAMPLES + 60)
    assert max(block.end_ns - block.t0_ns for block in listener.blocks) == 10 * SECOND_NS
    assert {block.source for block in listener.blocks} == {"TAR", "BRZ"}


async def test_speed_paces_the_messages(mosquitto: Mosquitto, tmp_path: Path) -> None:
    spec = write_station(tmp_path, "TAR")
    async with listening(mosquitto) as listener:
        report = await replay([spec], to=mosquitto.url, speed=600.0)
        await listener.until(SAMPLES)
    # 600 s at 600 times real time, a message when its last sample has been measured: every 0.1 s, up to 1 s.
    assert report.seconds >= 1.0
    assert listener.arrived_s[-1] - listener.arrived_s[0] >= 0.85
    assert len(listener.blocks) == 10


async def test_spacecraft_goes_to_its_own_topic(mosquitto: Mosquitto, tmp_path: Path) -> None:
    spec = f"MMS1={write_station(tmp_path, 'any', 40, 4.5, 'Bx,Vx')}"
    async with listening(mosquitto) as listener:
        await replay([spec], to=mosquitto.url, speed=None, craft=["MMS1"])
        await listener.until(40)
    assert {(block.source, block.components, block.domain.value) for block in listener.blocks} == {
        ("MMS1", ("Bx", "Vx"), "craft")
    }


async def test_spacecraft_samples_keep_frame_and_gaps_in_pieces_that_its_windows_wait_for(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 200
    values = np.stack([np.arange(count) / 8.0, np.full(count, 5.0)])
    values[0, ::7] = np.nan
    craft = SourceSeries("MMS1", ("Bx", "N"), T0_NS, CELL_NS, values, "made", Domain.CRAFT, frame="dmpa")
    ground = open_archives([write_station(tmp_path, "TAR", 900)])
    monkeypatch.setattr(replay_module, "open_archives", lambda *_: [craft, *ground])
    async with listening(mosquitto) as listener:
        # The longest pieces of the default configuration: half of 60 s where a spacecraft is among the sources.
        report = await replay(["made"], to=mosquitto.url, speed=None)
        await listener.until(count + 900)
    assert report.samples == count + 900
    assert max(block.end_ns - block.t0_ns for block in listener.blocks) <= 30 * SECOND_NS
    own = [block for block in listener.blocks if block.source == "MMS1"]
    assert {(block.frame, block.step_ns, block.components) for block in own} == {
        ("dmpa", CELL_NS, ("Bx", "N"))
    }
    np.testing.assert_array_equal(np.concatenate([block.values for block in own], axis=1), values)
    # The sources advance together: nothing starts more than a piece before what came earlier.
    starts = np.array([block.t0_ns for block in listener.blocks])
    assert (np.maximum.accumulate(starts) - starts).max() < 30 * SECOND_NS


async def test_stations_alone_are_cut_by_their_own_windows(mosquitto: Mosquitto, tmp_path: Path) -> None:
    spec = write_station(tmp_path, "TAR")
    async with listening(mosquitto) as listener:
        await replay([spec], to=mosquitto.url, speed=None, craft_lateness_s=2.0)
        await listener.until(SAMPLES)
    assert {block.count for block in listener.blocks} == {60}


async def test_only_what_is_named_is_published(mosquitto: Mosquitto, tmp_path: Path) -> None:
    specs = [write_station(tmp_path, name) for name in ("TAR", "BRZ", "NUR")]
    async with listening(mosquitto) as listener:
        report = await replay(specs, to=mosquitto.url, speed=None, sources={"TAR", "BRZ"})
        await listener.until(2 * SAMPLES)
    assert report.samples == 2 * SAMPLES
    assert {block.source for block in listener.blocks} == {"TAR", "BRZ"}


def test_command_publishes_the_named_pair_alone(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """`--pair` and `--craft` choose what is sent, as they do for `process`; other stations stay at home."""
    stations = [write_station(tmp_path, name) for name in ("TAR", "BRZ", "NUR")]
    craft = f"MMS1={write_station(tmp_path, 'any', 40, 4.5, 'Bx,Vx')}"

    def command(*options: str) -> subprocess.CompletedProcess[str]:
        files = [*stations, craft]
        line = [
            sys.executable,
            "-m",
            "monitor",
            "replay",
            *files,
            "--to",
            mosquitto.url,
            "--speed",
            "max",
            *options,
        ]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    done = command("--pair", "TAR-BRZ", "--craft", "MMS1")
    assert done.returncode == 0, done.stderr
    assert f"{2 * SAMPLES + 40} samples" in done.stderr
    nothing = command("--pair", "OUJ-HAN")
    assert nothing.returncode == 1
    assert "the files hold" in nothing.stderr
    assert "Traceback" not in nothing.stderr


async def test_bar_shows_the_samples_on_stderr(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_station(tmp_path, "TAR")
    await replay([spec], to=mosquitto.url, speed=None)
    assert capsys.readouterr() == ("", "")
    await replay([spec], to=mosquitto.url, speed=None, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "600/600" in err


async def test_many_messages_never_exceed_the_number_under_way(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spec = write_station(tmp_path, "TAR", 2000)
    under_way, largest = 0, 0
    publish = aiomqtt.Client.publish

    async def counted(client: aiomqtt.Client, *args: object, **kwargs: object) -> None:
        nonlocal under_way, largest
        under_way += 1
        largest = max(largest, under_way)
        try:
            await publish(client, *args, **kwargs)  # type: ignore[arg-type]
        finally:
            under_way -= 1

    monkeypatch.setattr(aiomqtt.Client, "publish", counted)
    monkeypatch.setattr(replay_module, "IN_FLIGHT", 50)
    async with listening(mosquitto) as listener:
        report = await replay([spec], to=mosquitto.url, speed=None, lateness_s=2.0)
        await listener.until(2000)
    assert report.messages == len(listener.blocks) == 2000
    assert 1 < largest <= 50
    assert caplog.text == ""  # aiomqtt would warn of each beyond ten


async def test_angles_and_raw_axes_stay_at_home(mosquitto: Mosquitto, tmp_path: Path) -> None:
    header = "IAGA-2002 |\n IAGA CODE TST |\nDATE TIME DOY TSTH TSTD TSTU TSTG |\n"
    rows = "".join(f"2017-09-07 00:00:0{i}.000 250 1000{i}.5 -270.00 5.00 99999.00\n" for i in range(5))
    path = tmp_path / "tst.sec"
    path.write_text(f" Format {header}{rows}")
    async with listening(mosquitto) as listener:
        await replay([str(path)], to=mosquitto.url, speed=None)
        await listener.until(5)
    (block,) = listener.blocks
    assert (block.components, block.values[0, 0]) == (("H",), 10_000.5)


async def test_file_without_a_native_component_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "llo.sec"
    header = " Format IAGA-2002 |\n IAGA CODE LLO |\nDATE TIME DOY LLOU LLOV |\n"
    path.write_text(header + "".join(f"2020-01-06 00:00:0{i}.000 006 1.0 2.0\n" for i in range(3)))
    with pytest.raises(ArchiveError, match="holds nothing that a native message carries"):
        await replay([str(path)], to="mqtt://127.0.0.1:1", speed=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"to": "mqtt://broker.example.org"},
            "mqtt://broker.example.org:1883 is not on this machine: .*add --yes",
        ),
        ({"to": "mqtts://192.0.2.1"}, "mqtts://192.0.2.1:8883 is not on this machine"),
        ({"to": "embedded://"}, "'embedded://' is no broker; write mqtt://"),
        ({"to": "mqtt://[::1"}, "is no broker; write mqtt://"),
        ({"to": "mqtt://127.0.0.1:99999"}, "is no broker; write mqtt://"),
        (
            {"to": "mqtt://me:hush@127.0.0.1"},
            "^mqtt://127.0.0.1: give the user and a password file by themselves",
        ),
        ({"speed": 0.0}, "speed is 0; give a number above 0, or max"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"lateness_s": 0.0}, "lateness is 0 s; it must be above 0"),
        ({"craft_lateness_s": 0.0}, "lateness is 0 s; it must be above 0"),
        (
            {"password_file": Path("/nonexistent/secret")},
            "the password file /nonexistent/secret cannot be read",
        ),
    ],
)
async def test_bad_argument_is_one_line(options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"to": "mqtt://127.0.0.1:1", "speed": None} | options
    with pytest.raises(MonitorError, match=message) as caught:
        await replay(["none.csv"], **arguments)  # type: ignore[arg-type]
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_missing_broker_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        BrokerError, match=r"mqtt://127.0.0.1:1 cannot be reached: .*; is the broker running there\?"
    ):
        await replay([write_station(tmp_path, "TAR")], to="mqtt://127.0.0.1:1", speed=None)


async def test_broker_that_goes_away_ends_the_replay(mosquitto: Mosquitto, tmp_path: Path) -> None:
    spec = write_station(tmp_path, "TAR")
    task = asyncio.create_task(replay([spec], to=mosquitto.url, speed=60.0, lateness_s=4.0))
    await asyncio.sleep(0.5)
    mosquitto.kill()
    with pytest.raises(BrokerError, match="went away"):
        # A message that was under way is waited for as long as that.
        await asyncio.wait_for(task, PUBLISH_TIMEOUT_S + 15)


async def test_password_file_lets_in_and_wrong_one_is_said(
    mosquitto_at: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    users = tmp_path / "users"
    process = await asyncio.create_subprocess_exec(program, "-b", "-c", str(users), "me", "s e cret")
    assert await process.wait() == 0
    users.chmod(0o644)
    broker = mosquitto_at(extra=["allow_anonymous false", f"password_file {users}"])
    broker.start()
    spec = write_station(tmp_path, "TAR")
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("s e cret\n")
    wrong.write_text("no\n")
    report = await replay([spec], to=broker.url, speed=None, username="me", password_file=right)
    assert report.messages == 10
    with pytest.raises(BrokerError, match=r"refuses: .*; check the user"):
        await replay([spec], to=broker.url, speed=None, username="me", password_file=wrong)
