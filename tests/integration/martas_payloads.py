"""What MARTAS itself sends: its protocol classes, driven with the bytes of simulated instruments.

It runs in an environment in which `martas` and `geomagpy` are installed, and not in that of the tests:
`python martas_payloads.py FOLDER SECONDS`. It writes `payloads.jsonl` (topic and payload of every call of `publish`, in
the order of the calls, with the second at which it happened), `collected.json` (what MARTAS's own collector makes of
each message of data) and `kept.json` (what geomagpy reads in the files that MARTAS writes beside its publishing).
The clock is simulated: `datetime.now` in the modules of the protocols.

Instruments: `tar` a LEMI-036 (10 Hz, blocks of 10, three tenths before the second) and a GSM-90 (total field only),
`nur` a LEMI-025 whose seconds are collected by threes,
`brz` a fluxgate behind an ObsDAQ (1 Hz, 0.25 s after the second) and its supplementary channels, `muo` a board that is
stamped with the time of the computer (which drifts by 3 ms per second and jitters), `pel` files of the observatory in
IAGA-2002, and a weather station.
"""

from __future__ import annotations

import importlib
import json
import math
import random
import struct
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2017, 9, 7, 12, 0, 0)  # noqa: DTZ001  (MARTAS knows no zones: it is UTC)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
OBSDAQ = """
CC  :  04
NAME_X  :  H
NAME_Y  :  E
NAME_Z  :  Z
UNIT_X  :  nT
UNIT_Y  :  nT
UNIT_Z  :  nT
SCALE_X  :  40000
SCALE_Y  :  40000
SCALE_Z  :  40000
NAME_V  :  VOBSDAQ
NAME_T  :  TOBSDAQ
NAME_P  :  TSENSOR
NAME_Q  :  TFGE
NAME_R  :  R
UNIT_V  :  V
UNIT_T  :  degC
UNIT_P  :  mV
UNIT_Q  :  mV
UNIT_R  :  mV
SCALE_P  :  1000
SCALE_Q  :  1000
SCALE_R  :  1000
DIFF_P  :  0
DIFF_Q  :  0
DIFF_R  :  0
"""


def field_nT(seconds: float) -> tuple[float, float, float]:
    """North, east and down at a time after `START`: slow enough that a second's interpolation costs nothing."""
    wave = math.sin(2 * math.pi * seconds / 60.0)
    return 20_500.0 + 10.0 * wave, 1_250.0 - 4.0 * wave, 43_750.0 + 2.0 * wave


class Clock(datetime):
    """The time of the computer that MARTAS would run on."""

    current = START

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.current.replace(tzinfo=tz)


class Client:
    """In place of the MQTT client: notes what is published."""

    def __init__(self) -> None:
        self.published: list[dict[str, object]] = []
        self.second = 0

    def publish(self, topic: str, payload: str, qos: int = 0) -> None:
        self.published.append({"second": self.second, "topic": topic, "payload": payload, "qos": qos})


def sensor(sensorid: str, protocol: str, **more: str) -> dict[str, str]:
    """A line of sensors.cfg."""
    parts = {"sensorid": sensorid, "protocol": protocol, "stack": "1", "ptime": "GPS", "pierid": "A2"}
    settings = {"sensorgroup": "magnetism", "sensordesc": "made up", "port": "USB0", "baudrate": "57600"}
    return parts | settings | {"bytesize": "8", "stopbits": "1", "parity": "N", "mode": "passive"} | more


class Acquisition:
    """One MARTAS with all its instruments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = Client()
        (folder / "obsdaq.cfg").write_text(OBSDAQ)
        (folder / "sensors.cfg").write_text("# sensors\n" + "-" * 20 + "\n")
        self.random = random.Random(8)
        self.lemi = self._protocol("Lemi", "tar", sensor("LEMI036_1_0001", "Lemi"))
        self.stacked = self._protocol("Lemi", "nur", sensor("LEMI025_2_0001", "Lemi", stack="3"))
        self.gsm = self._protocol("GSM90", "tar", sensor("GSM90_14245_0002", "GSM90"))
        self.obsdaq = self._protocol("obsdaq", "brz", sensor("FGE_S0252_0001", "obsdaq"))
        self.env = self._protocol("Env", "brz", sensor("ENV05_2_0001", "Env", sensorgroup="environment"))
        self.arduino = self._protocol("Arduino", "muo", sensor("ARD1", "Arduino", ptime="NTP"))
        self.arduino.lineReceived(b"M1: SensorName: FLUX, SensorID: 7, SensorRevision: 0001")
        self.arduino.lineReceived(b"H1: x_X [nT], y_Y [nT], z_Z [nT], t1_Temp [deg C]")
        self.arduino.lineReceived(b"H1: x_X [nT], y_Y [nT], z_Z [nT], t1_Temp [deg C]")

    def _protocol(self, name: str, station: str, about: dict[str, str]) -> Any:
        module = importlib.import_module(f"martas.lib.{name.lower()}protocol")
        if not issubclass(module.datetime, Clock):
            module.datetime = Clock
        settings = {
            "station": station,
            "bufferdirectory": str(self.folder / "buffer"),
            "serialport": "/dev/tty",
            "mqttqos": "1",
            "debug": "False",
            "payloadformat": "martas",
            "sensorsconf": str(self.folder / "sensors.cfg"),
            "obsdaqconfpath": str(self.folder / "obsdaq.cfg"),
            "timedelta": 100,
        }
        return getattr(module, f"{name}Protocol")(self.client, about, settings)

    def run(self, seconds: int) -> None:
        """Let all instruments measure for some seconds."""
        for second in range(seconds):
            self.client.second = second
            self._at(second, 0.0)
            for lemi, tag in ((self.lemi, "L036"), (self.stacked, "L025")):
                lemi.dataReceived(lemi_bytes(second, tag))
                # A frame is worked on when the next piece arrives: here an empty one.
                lemi.dataReceived(b"")
            self._at(second, 0.25)
            self.obsdaq.lineReceived(obsdaq_line(second, with_others=second % 10 == 0))
            self.gsm.lineReceived(
                f"{Clock.current:%m-%d-%Y %H%M%S.00}  {48464.5 + second / 100:.2f} 99".encode()
            )
            self.env.lineReceived(b"21.5 45.2 9.1")
            self._at(second, 0.4 + 0.003 * second + self.random.uniform(-0.03, 0.03))
            after = (Clock.current - START).total_seconds()
            values = ", ".join(f"{value:.4f}" for value in field_nT(after))
            self.arduino.lineReceived(f"D1: {values}, 21.5".encode())
        self._read_files(seconds)

    def _at(self, second: int, after: float) -> None:
        moment = START + timedelta(seconds=second + round(after, 6))
        Clock.current = Clock(*moment.timetuple()[:6], moment.microsecond)

    def _read_files(self, seconds: int) -> None:
        """The observatory's files, which MARTAS reads with geomagpy and sends in pieces."""
        path = self.folder / "PEL20170907vsec.sec"
        path.write_text(iaga_file(seconds))
        about = sensor(
            "PELadjusted", "IMfile", port=str(self.folder), name="*.sec", revision="0001", rate="30"
        )
        self.client.second = seconds
        self._protocol("IMfile", "pel", about).sendRequest()


def lemi_bytes(second: int, tag: str) -> bytes:
    """The 153 bytes that a LEMI sends for the second that it names: its samples begin 0.3 s before (data sheet)."""
    moment = START + timedelta(seconds=second)
    coded = [int(str(part), 16) for part in (moment.year - 2000, *moment.timetuple()[1:6])]
    values = [part / 1000.0 for k in range(10) for part in field_nT(second - 0.3 + k / 10)]
    head = [*(letter.encode() for letter in tag), 1, *coded]
    return struct.pack(
        "<4cB6B8hb30f3BcB", *head, 2150, 2240, 0, 0, 0, 0, 0, 0, 0, *values, 0, 0, 123, b"A", 0
    )


def obsdaq_line(second: int, *, with_others: bool) -> bytes:
    """A line of a PalmAcq in transparent mode: 24-bit counts of ±2.5 V, here at 40000 nT/V."""
    moment = START + timedelta(seconds=second)
    unit = 2**-23 * 2.5 * 40_000
    counts = [round(value / unit) & 0xFFFFFF for value in field_nT(second + 0.25)]
    line = f":R,00,{moment:%y%m%d.%H%M%S}.250,*{''.join(f'{count:06X}' for count in counts)}t"
    return (line + (":04AC11CC000B000B000B" if with_others else "")).encode()


def iaga_file(seconds: int) -> str:
    """A day's file of 1-s values, of which the first ones are there; the tenth is missing."""
    head = {"Format": "IAGA-2002", "Source of Data": "Made up", "Station Name": "Pello", "IAGA CODE": "PEL"}
    head |= {"Geodetic Latitude": "66.900", "Geodetic Longitude": "24.080", "Elevation": "100"}
    head |= {"Reported": "XYZF", "Sensor Orientation": "XYZF", "Digital Sampling": "1 second"}
    head |= {"Data Interval Type": "1-second", "Data Type": "variation"}
    lines = [f" {name:<23}{value:<45}|" for name, value in head.items()]
    lines.append("DATE       TIME         DOY     PELX      PELY      PELZ      PELF   |")
    for second in range(seconds):
        moment = START + timedelta(seconds=second)
        values = [99999.0] * 4 if second == 10 else [*field_nT(second), 48_330.0]
        cells = "".join(f"{value:10.2f}" for value in values)
        lines.append(f"{moment:%Y-%m-%d %H:%M:%S}.000 {moment:%j}   {cells}")
    return "\n".join(lines) + "\n"


def collected(messages: list[dict[str, object]]) -> list[dict[str, object]]:
    """What MARTAS's collector makes of each message of data: times (µs since 1970) and columns by key."""
    collector = importlib.import_module("martas.collector")
    parts = [str(message["topic"]).split("/") for message in messages]
    for (_, name, leaf), message in zip(parts, messages, strict=True):
        if leaf == "meta":
            collector.analyse_meta(message["payload"], name)
    found: list[dict[str, object]] = []
    for (_, name, leaf), message in zip(parts, messages, strict=True):
        if leaf == "data":
            columns = dict(
                zip(collector.KEYLIST, collector.interprete_data(message["payload"], name), strict=True)
            )
            found.append(
                {"sensor": name, "second": message["second"], "time": _microseconds(columns["time"])}
                | {key: list(map(float, columns[key])) for key in "xyz" if len(columns[key])}
            )
    return found


def read_back(folder: Path) -> dict[str, object]:
    """What geomagpy reads in MARTAS's own files, by sensor."""
    read = importlib.import_module("magpy.stream").read
    found: dict[str, object] = {}
    for name in ("LEMI036_1_0001", "FLUX_7_0001"):
        stream = read(str(folder / "buffer" / name / "*"))
        columns = {key: list(map(float, stream._get_column(key))) for key in "xyz"}
        found[name] = {"time": _microseconds(stream._get_column("time"))} | columns
    return found


def _microseconds(moments: Any) -> list[int]:
    return [(moment - EPOCH) // timedelta(microseconds=1) for moment in moments]


def main(folder: Path, seconds: int) -> None:
    """Write what is published, and what was kept, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    acquisition = Acquisition(folder)
    acquisition.run(seconds)
    with (folder / "payloads.jsonl").open("w") as file:
        for message in acquisition.client.published:
            file.write(json.dumps(message) + "\n")
    (folder / "collected.json").write_text(json.dumps(collected(acquisition.client.published)))
    (folder / "kept.json").write_text(json.dumps(read_back(folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
