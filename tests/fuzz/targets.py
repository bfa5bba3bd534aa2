"""What is fuzzed: functions from bytes to a word that says how they were taken.

A target raises only where something is wrong with the program. Whatever the bytes, a decoder gives blocks or
`DecodeError`, a file gives series or `ArchiveError`, a configuration gives `Config` or `ConfigurationError`. What comes
out is held to what all that follows relies on. Decoders are taken from the registry: a new one is fuzzed unasked.
"""

from __future__ import annotations

import gzip
import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from monitor_plugins.fmi_realtime import FmiError, read_rows
from monitor_plugins.hapi.options import FeedOptions
from monitor_plugins.hapi.protocol import HapiError, read_binary, read_csv, read_info
from monitor_plugins.hapi.samples import plan_of, series_of

from monitor.config import filters_overlap, load_config, topic_matches
from monitor.decoders import Decoder
from monitor.decoders.base import AHEAD_NS, EARLIEST_NS, MAXIMUM_SAMPLES, REASONS, Remembering
from monitor.errors import ArchiveError, ConfigurationError, DecodeError
from monitor.io.files import read_archive
from monitor.io.store.rows import sample_row, stored_block
from monitor.plugins import installed
from monitor.types import Json, Message, SampleBlock, Surroundings

RECEIVED_NS = 1_504_800_000_000_000_000
"""2017-09-07T16:00:00Z: when all messages are received."""
_SHORTEST_NS, _LONGEST_NS = 50_000_000, 10_800 * 1_000_000_000
_LARGEST = 1e6
_CORPUS = Path(__file__).parent / "corpus"
_SHIPPED = Path(__file__).parents[2] / "config.yaml"
_PLUGINS = installed()


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz: `run` says in a word how the bytes were taken; `seeds` are inputs that it takes."""

    name: str
    run: Callable[[bytes], str]
    seeds: tuple[bytes, ...]

    @property
    def corpus(self) -> list[bytes]:
        """Kept inputs: what once went wrong, and what reaches far."""
        folder = _CORPUS / self.name
        return [path.read_bytes() for path in sorted(folder.glob("*")) if path.is_file()]


def targets() -> dict[str, Target]:
    """All targets by name."""
    decoders = [
        Target(
            f"decoder-{name}",
            partial(decode, *prepared(name), REASONS),
            tuple(_MESSAGES.get(name, _ANY_MESSAGE)),
        )
        for name in _PLUGINS.names("decoder")
    ]
    others = [
        Target("config", read_config, (_SHIPPED.read_bytes(), b"craft: [MMS1]\n", b"pairs: [TAR-BRZ]\n")),
        Target("topics", match_topics, (b"impf/+/+/+/+\nimpf/tar/pt1s/1/hdzs", b"a/#\na", b"+/b\n$SYS/b")),
        Target("archive-text", partial(read_file, "PG0_2017.csv"), tuple(_texts())),
        Target("archive-cdf", partial(read_file, "mms1_2017.cdf"), tuple(_cdf_files())),
        Target("store-row", read_row, tuple(_rows())),
        Target("pulled", read_pulled, (*_answers(), _FMI)),
    ]
    return {target.name: target for target in [*decoders, *others]}


def decoder_named(name: str) -> Decoder:
    """An installed decoder, as it is without options."""
    decoder: Decoder = _PLUGINS.make("decoder", name, {}, Surroundings(name))
    return decoder


def prepared(name: str) -> tuple[Decoder, Json]:
    """A decoder that has seen its seeds, and what it remembers of them: every input is decoded from there."""
    decoder = decoder_named(name)
    if not isinstance(decoder, Remembering):
        return decoder, None
    for content in _MESSAGES.get(name, _ANY_MESSAGE):
        topic, _, payload = content.partition(b"\n")
        with suppress(DecodeError):
            decoder.decode(Message(topic.decode(), payload, RECEIVED_NS))
    return decoder, decoder.snapshot()


def message(topic: str, payload: bytes) -> bytes:
    """The input of a decoder's target: a line with the topic, then the payload."""
    return topic.encode() + b"\n" + payload


# -- what is run ------------------------------------------------------------------------------------------


def decode(decoder: Decoder, remembered: Json, reasons: frozenset[str], content: bytes) -> str:
    """Blocks, or a DecodeError with a known reason; a decoder that remembers may also keep what it takes for later."""
    head, _, payload = content.partition(b"\n")
    topic = head.decode("utf-8", errors="replace")
    refusal: DecodeError | None = None
    blocks: Sequence[SampleBlock] = ()
    if isinstance(decoder, Remembering):
        decoder.restore(remembered)
    try:
        blocks = decoder.decode(Message(topic, payload, RECEIVED_NS))
    except DecodeError as error:
        refusal = error
    if refusal is not None:
        assert refusal.reason in reasons, f"unknown reason {refusal.reason!r}"
        assert len(refusal.detail) <= 300
        return refusal.reason
    if isinstance(decoder, Remembering):
        json.dumps(decoder.snapshot(), allow_nan=False)
        if not blocks:
            return "kept"
    assert len(blocks) > 0, "neither a block nor an error"
    more = len(json.dumps(remembered))
    for block in blocks:
        check_block(block, len(payload) + more)
    return "taken"


def check_block(block: SampleBlock, payload_bytes: int) -> None:
    """What stages and store rely on."""
    values = block.values
    assert values.dtype == np.float64
    assert values.shape == (len(block.components), block.count)
    assert 1 <= block.count <= MAXIMUM_SAMPLES
    assert len(set(block.components)) == len(block.components) >= 1
    assert _SHORTEST_NS <= block.step_ns <= _LONGEST_NS
    assert type(block.t0_ns) is type(block.step_ns) is int
    assert block.t0_ns >= EARLIEST_NS
    assert block.end_ns - block.step_ns <= RECEIVED_NS + AHEAD_NS
    finite = values[~np.isnan(values)]
    assert np.all(np.abs(finite) <= _LARGEST), "a value beyond everything that is measured"
    # A digit and a comma a value; of three quantities a total may have been derived.
    assert values.size <= 2 * payload_bytes, "more numbers than the payload can hold"


def read_config(content: bytes) -> str:
    """A configuration, or faults with their places."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        try:
            config = load_config(Path(file.name), _PLUGINS)
        except ConfigurationError as error:
            assert_one_line(*(fault.message for fault in error.faults))
            return (
                "refused" if all(fault.line >= 1 <= fault.column for fault in error.faults) else "placeless"
            )
    assert len(config.pair_list) == len(config.pairs)
    return "taken"


def assert_one_line(*complaints: str) -> None:
    """What the operator reads is there, can be printed, and stays on its line."""
    assert complaints
    for complaint in complaints:
        complaint.encode()
        assert "\n" not in complaint


def match_topics(content: bytes) -> str:
    """Whether a filter matches a topic, and whether two filters overlap: the second follows from the first."""
    first, _, second = content.decode("utf-8", errors="replace").partition("\n")
    matches = topic_matches(first, second)
    overlap = filters_overlap(first, second)
    assert overlap == filters_overlap(second, first)
    if matches and not set(second) & set("+#"):
        assert overlap, "a filter that matches a topic overlaps the filter that is the topic"
    return str(matches)


def read_file(name: str, content: bytes) -> str:
    """Series, or one ArchiveError of one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            archive = read_archive(path, craft=("MMS1",))
        except ArchiveError as error:
            assert_one_line(str(error))
            return "refused" if str(error).startswith(str(path)) else "nameless"
    assert archive.series
    for series in archive.series:
        assert series.step_ns > 0
        assert not np.isinf(series.values).any()
    return "taken"


def read_row(content: bytes) -> str:
    """A row of the store: a block or ValueError; and a block becomes the same row again."""
    head, _, data = content.partition(b"\n")
    try:
        row = json.loads(head)
        if any(isinstance(cell, int) and not -(2**63) <= cell < 2**63 for cell in row):
            raise ValueError("SQLite holds no such number")
        block = stored_block((*row, data))
    except (ValueError, TypeError, RecursionError):
        return "refused"
    again = stored_block(sample_row(replace(block, values=np.array(block.values)))) if block.count else block
    np.testing.assert_array_equal(again.values, block.values)
    return "taken"


def read_pulled(content: bytes) -> str:
    """What sources fetch: from a HAPI server, or else a file of FMI."""
    return read_answers(content) if content.startswith(b"{") else read_fmi(content)


def read_answers(content: bytes) -> str:
    """What a HAPI server says of a dataset and its data, a blank line between them: series, or an error of one line."""
    head, _, body = content.partition(b"\n\n")
    verdict = "refused"
    for feed in (_STATION, _CRAFT):
        for form in ("csv", "binary"):
            try:
                verdict = "taken" if _is_answer(feed, head, body, form) else verdict
            except (HapiError, ArchiveError) as error:
                assert_one_line(str(error))
    return verdict


def _is_answer(feed: FeedOptions, head: bytes, body: bytes, form: str) -> bool:
    """Whether series come of it. Raises HapiError, ArchiveError."""
    info = read_info(head, "here")
    plan = plan_of(feed, info, "here")
    if form == "csv":
        records = read_csv(body, plan.width, "here")
    else:
        records = read_binary(body, info.parameters[0], plan.parameters, "here")
    steps_ns = [] if info.cadence_ns is None else [info.cadence_ns]
    series, notes = series_of(
        feed, plan, records, EARLIEST_NS, RECEIVED_NS, steps_ns=steps_ns, complete=True, where="here"
    )
    for block in (one.block(0, one.count) for one in series):
        # Gaps of some steps are filled up with NaN.
        check_block(block, 1000 * len(body))
    for note in notes:
        assert_one_line(note)
    return bool(series)


def read_fmi(content: bytes) -> str:
    """A file of FMI: rising times with their values, or an error of one line."""
    try:
        rows = read_rows(content, "here")
    except FmiError as error:
        assert_one_line(str(error))
        return "refused"
    assert rows.values.shape == (3, rows.times_ns.size)
    assert (np.diff(rows.times_ns) > 0).all()
    return "taken"


# -- what they take ---------------------------------------------------------------------------------------


def _json(**document: object) -> bytes:
    return json.dumps(document).encode()


_DAY = "2017-09-07T12:00:00Z"
_ANY_MESSAGE: Sequence[bytes] = (message("a/b", b"{}"), message("a/b/c", b"1,2,3;4,5,6"))
_LEMI = "# MagPyBin LEMI036_1_0001 [x,y,z,t1,t2,var2] [X,Y,Z,T_sensor,T_elec,VDD] [nT,nT,nT,deg_C,deg_C,V]"
_FGE = (
    "# MagPyBin FGE_S0252_0001 [x,y,z,sectime] [H,D,Z,ntptime] [nT,deg,nT,none] [1000,1,1000,1] 6hLlll6hL 72"
)
_MESSAGES: dict[str, Sequence[bytes]] = {
    "martas": (
        message(
            "tar/LEMI036_1_0001/data",
            b";".join(
                b"2017,9,7,11,59,59,%d00000,20.5,1.25,4.37e1,2150,2240,123" % tenth for tenth in range(6)
            ),
        ),
        message("tar/LEMI036_1_0001/dict", b"SensorID:LEMI036_1_0001,StationID:tar"),
        message("tar/LEMI036_1_0001/meta", f"{_LEMI} [0.001,0.001,0.001,100,100,10] 6hLffflll 40".encode()),
        message("brz/FGE_S0252_0001/meta", _FGE.encode()),
        message(
            "brz/FGE_S0252_0001/data",
            b";".join(
                b"17,9,7,12,0,%d,%d0000,20500267,nan,43750048,2017,9,7,12,0,0,250000" % (second, 25 * second % 40)
                for second in range(6)
            ),
        ),
        message("brz/FGE_S0252_0001/data", b"2017,9,7,12,0,8,250000,20500267,,999999000,1"),
        message("brz/GSM90_1_0001/data", b"2017,9,7,12,0,0,0,48464500,99,2017,9,7,12,0,0,250000"),
    ),
    "native": (
        message(
            "geospace/v1/in/mag/TAR",
            _json(start=_DAY, step_s=1.0, H=[1.5, None, -3e2], E=[2, 3, 4], Z=[0, 0, 1]),
        ),
        message("geospace/v1/in/mag/BRZ", _json(time="2017-09-07T12:00:00.25+02:00", X=20000.5, Y=-3)),
        message(
            "geospace/v1/in/craft/MMS1",
            _json(
                start=_DAY, step_s=4.5, frame="gse", Bx=[1, 2], By=[1, 2], Bz=[1, None], N=[1, 9999.0],
                Vx=[-400, 1], Vy=[0, 1], Vz=[0, 1], Tpar=[1, 2], Tperp=[1, 2],
            ),
        ),
        message("geospace/v1/in/craft/C1", _json(time=_DAY, B=5.0, N=3.2, T=100)),
        message("geospace/v1/in/index/kp", _json(start="2017-09-07T00:00:00", step_s=10800, Kp=[3.67, None])),
    ),
    "imagmqtt": (
        message(
            "impf/tar/pt1s/1/hdzs",
            _json(
                startDate="2017-09-07T12:00:00", geomagneticFieldH=[1.0, None], geomagneticFieldD=[2, 3],
                geomagneticFieldZ=[1, 99999.0], institute="X",
            ),
        ),
        message(
            "impf/wic/1hz/2/difs",
            _json(
                startDate="2017-09-07T12:00", geomagneticFieldD=[2.5], geomagneticFieldI=[64.1],
                geomagneticFieldF=[48000], geomagneticFieldS=[88888],
            ),
        ),
        message("impf/pel/pt1m/3/xyzs", _json(startDate=_DAY, geomagneticFieldX=[1], geomagneticFieldY=[2])),
        message("impf/pel/pt1s/1/xyzs", _json(startDate=_DAY, geomagneticFieldS=[48000.25, None])),
    ),
    "column_text": (
        message(
            "20170907GILL.F01",
            b"GILL 56.376 265.36 XYZ 1\n20170907120000-12345.125  1234.500 58000.000 .\n"
            b"20170907120001 12345.126  1234.501 58000.001 x\n",
        ),
        message(
            "han.txt",
            b"YYYY MM DD HH MM SS HAN X HAN Y HAN Z\n2017 09 07 12 00 00 13759.4 1715.1 49852.7\n"
            b"2017 9 7 12 0 10.0 13759.4 99999.9 49852.7\n2017 09 07 12 00 20 13759.4 1715.1 49852.7\n",
        ),
    ),
}  # fmt: skip


def _texts() -> Iterator[bytes]:
    plain = b"time,H,D,Z\n" + b"".join(b"2017-09-07T12:00:%02dZ,%d.5,2,\n" % (n, n) for n in range(12))
    yield plain
    yield gzip.compress(plain, mtime=0)
    yield b"time,PEL_H,MUO_H\n2017-09-07 12:00:00,1,2\n2017-09-07 12:00:10,nan,3\n2017-09-07 12:00:20,5,-1e3\n"
    yield b"time,Bx,By,Bz,N\n2017-09-07T12:00:00Z,1,2,3,4\n2017-09-07T12:00:04.5Z,1,2,3,\n"
    lines = [
        " Format                 IAGA-2002                                    |",
        " Source of Data         A source                                     |",
        " IAGA CODE              WIC                                          |",
        " Reported               HDZF                                         |",
        "DATE       TIME         DOY     WICH      WICD      WICZ      WICF   |",
        "2017-09-07 12:00:00.000 250     20000.00      2.00  43000.00  99999.00",
        "2017-09-07 12:00:01.000 250     20001.00      2.10  43001.00  48000.00",
        "",
    ]
    yield "\n".join(lines).encode()
    angles = [
        line.replace("WICH", "WICI").replace("20000", " 3600").replace("20001", " 3601") for line in lines
    ]
    yield "\n".join(angles).replace("12:00:01", "12:00:10").encode()


def _cdf_files() -> Iterator[bytes]:
    from archive_kit import write_imagcdf
    from cdf_kit import write_dis, write_fgm

    ground = SampleBlock(
        "WIC", ("X", "D"), RECEIVED_NS, 10**9, np.array([[2e4, np.nan, 2.1e4], [1.0, 2.0, 3.0]])
    )
    with tempfile.TemporaryDirectory() as folder:
        for write in (write_dis, write_fgm):
            yield write(Path(folder) / f"{write.__name__}.cdf", np.arange(6) * 4.5).read_bytes()
        for packed in (0, 6):
            yield write_imagcdf(Path(folder) / "imag.cdf", ground, packed=packed).read_bytes()


_STATION = FeedOptions(station="NUR", dataset="d")
_CRAFT = FeedOptions(craft="MMS1", dataset="d")
_FMI = (
    b"YYYY MM DD HH MM SS     X       Y       Z\n----\n2017 09 07 08 00 00   14000.1  2000.2 50000.3\n"
    b"2017 09 07 08 00 10   99999.9 99999.9 99999.9\n2017 09 07 08 00 20   14000.4  2000.5 50000.6\n"
)


def _answers() -> Iterator[bytes]:
    time = {"name": "Time", "type": "isotime", "units": "UTC", "fill": None, "length": 20}
    ground = [{"name": name, "type": "double", "units": "nT", "fill": "99999.0"} for name in "XY"]
    field = {"name": "mms1_fgm_b_gse_srvy_l2", "type": "double", "units": "nT", "fill": "-1e31", "size": [4]}
    common = {"HAPI": "3.2", "startDate": "2017-250Z", "stopDate": "2017-251Z", "cadence": "PT1S"}
    lines = [f"2017-09-07T08:00:0{second}Z,20000.{second},500.5\n" for second in range(6)]
    yield _json(**common, parameters=[time, *ground]) + b"\n\n" + "".join(lines).encode()
    lines = [f"2017-250T08:00:{second:02d}Z,3.0,-2.0,1.0,3.7\n" for second in range(0, 54, 3)]
    yield (
        _json(**common, parameters=[time, field], timeStampLocation="begin")
        + b"\n\n"
        + "".join(lines).encode()
    )
    records = b"".join(
        b"2017-09-07T08:00:%02dZ" % second + struct.pack("<dd", 2e4, -5.5) for second in range(4)
    )
    yield _json(**common, parameters=[time, *ground]) + b"\n\n" + records


def _rows() -> Iterator[bytes]:
    for target in ("native", "imagmqtt"):
        for content in _MESSAGES[target]:
            head, _, payload = content.partition(b"\n")
            for block in decoder_named(target).decode(Message(head.decode(), payload, RECEIVED_NS)):
                row = sample_row(block)
                data = row[-1]
                assert isinstance(data, bytes)
                yield json.dumps(row[:-1]).encode() + b"\n" + data
