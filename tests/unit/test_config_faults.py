"""Every kind of fault, with the place it is found at."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import load_config, parse_config
from monitor.config.reading import MAXIMUM_CHARACTERS
from monitor.errors import ConfigurationError, Fault
from monitor.plugins import installed

PLUGINS = installed()


def faults_of(text: str) -> tuple[Fault, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, "c.yaml", PLUGINS)
    return caught.value.faults


def only_fault(text: str) -> tuple[int, int, str]:
    faults = faults_of(text)
    assert len(faults) == 1, [str(fault) for fault in faults]
    return faults[0].line, faults[0].column, faults[0].message


# Each case: text, line, column, part of the message. `craft: [MMS1]` gives the monitor something to do.
STRUCTURE = [
    ("", 1, 1, "nothing to monitor"),
    ("# only a comment\n", 1, 1, "nothing to monitor"),
    ("log: {level: info}\n", 1, 1, "nothing to monitor"),
    ("- TAR-BRZ\n", 1, 1, "found a list; the file must hold keys"),
    ("TAR-BRZ\n", 1, 1, "found a text; the file must hold keys"),
    ("craft: [MMS1]\ncraft: [MMS2]\n", 2, 1, "duplicate key craft (first on line 1)"),
    ("craft: [MMS1]\nwindws: 1\n", 2, 1, "unknown key windws (did you mean windows?); allowed here: chains"),
    ("craft: [MMS1]\nwindows: {lenght_s: 1}\n", 2, 11, "unknown key lenght_s (did you mean length_s?)"),
    ("craft: [MMS1]\nmqtt:\n  reconnect: {first_s: 1}\n", 3, 15, "allowed here: initial_s, maximum_s"),
    ("craft: [MMS1]\noutputs: {qos: 2}\n", 2, 11, "the quality of service is always 1"),
    ("craft: [MMS1]\nwindows: 3\n", 2, 10, "found 3; it must be a mapping"),
    ("craft: [MMS1]\nwindows:\n\tlength_s: 7200\n", 3, 1, "a tab; YAML is indented with spaces"),
    ("craft: [MMS1\n", 2, 1, "cannot be read as YAML"),
    ("craft: [MMS1]\n---\ncraft: [MMS2]\n", 2, 1, "a second document begins here"),
    ("craft: [MMS1]\nlog: !!python/name:os.system {}\n", 2, 6, "a tag (!name) is not supported"),
    ("craft: !mine MMS1\n", 1, 8, "a tag (!name) is not supported"),
    ("craft: [MMS1]\n? [a]\n: 1\n", 2, 3, "found a list as a key"),
    ("craft: [MMS1]\n?\n: 1\n", 2, 2, "an empty key"),
    ("craft: [MMS1]\n<<: {log: null}\n", 2, 1, "merge keys (<<) are not supported"),
    ("craft: [MMS1]\nlog: &a {level: *a}\n", 2, 6, "an alias that holds itself"),
    ("craft: [MMS1]\nlog: *none\n", 2, 6, "undefined alias"),
    ("craft: [MMS1]\nlog: a\x07b\n", 2, 7, "a control character"),
    ('craft: [MMS1]\nstore: {path: "a\\0b"}\n', 2, 15, "a control character"),
    ('craft: [MMS1]\nstore: {path: "\\ud800"}\n', 2, 15, "a control character"),
    ('craft: [MMS1]\nstore: {path: "\\UFFFFFFFF"}\n', 2, 18, "a number out of range"),
    ("craft: " + "[" * 100, 1, 39, "nested deeper than 32 levels"),
]

TRAPS = [
    ("craft: [NO]\n", 1, 9, 'found NO, which YAML reads as false; quote it: "NO"'),
    ("craft: [ON]\n", 1, 9, 'which YAML reads as true; quote it: "ON"'),
    ("craft: [YES]\n", 1, 9, 'quote it: "YES"'),
    ("craft: [Y]\n", 1, 9, 'quote it: "Y"'),
    ("craft: [n]\n", 1, 9, 'which YAML reads as false; quote it: "n"'),
    ("craft: [1E5]\n", 1, 9, 'which YAML reads as a number; quote it: "1E5"'),
    ("craft: [123]\n", 1, 9, 'which YAML reads as a number; quote it: "123"'),
    ("craft: [~]\n", 1, 9, 'which YAML reads as null; quote it: "~"'),
    ("craft: [NULL]\n", 1, 9, 'which YAML reads as null; quote it: "NULL"'),
    ("craft: [2017-09-07]\n", 1, 9, 'which YAML reads as a date; quote it: "2017-09-07"'),
    ("craft: [MMS1]\nstations:\n  NO: {l_shell: 2}\n", 3, 3, 'which YAML reads as false; quote it: "NO"'),
    ("craft: [MMS1]\nstations: {XY: {name: off}}\n", 2, 23, 'quote it: "off"'),
    ("pairs: [TAR-BRZ]\nchains: {on: [TAR-BRZ]}\n", 2, 10, 'which YAML reads as true; quote it: "on"'),
    (
        "pairs: [MUO-PEL: 5.37]\n",
        1,
        9,
        "found a mapping; it must be a text; if it is meant as one text, quote it",
    ),
    ("craft: [MMS1]\nmqtt: {protocol: 5}\n", 2, 18, 'quote it: "5"'),
    ("craft: [MMS1]\nwindows: {length_s: 2:00:00}\n", 2, 21, "reads in base 60"),
    ("craft: [MMS1]\nstore: {retention_h: 0100}\n", 2, 22, "reads in base 8"),
    ("craft: [MMS1]\nstore: {retention_h: 1" + "0" * 400 + "}\n", 2, 22, "not a usable number"),
]

VALUES = [
    ("pairs: TAR-BRZ\n", 1, 8, "found TAR-BRZ; it must be a list"),
    ("craft: [MMS-1]\n", 1, 9, "found spacecraft MMS-1; an id is 2 to 16"),
    ("craft: [MMS1, mms1]\n", 1, 15, "spacecraft MMS1 is given twice"),
    ("craft: [KP]\n", 1, 9, "KP is the source of an index"),
    ("pairs: [TAR-BRZ]\ncraft: [MMS1, tar]\n", 2, 15, "spacecraft TAR has the name of a station of TAR-BRZ"),
    (
        "pairs: [TAR-BRZ]\nchains: {mms1: [TAR-BRZ]}\ncraft: [MMS1]\n",
        3,
        9,
        "spacecraft MMS1 has the name of the chain mms1: what is published of them could not be told apart",
    ),
    (
        "craft: [MMS1]\ncraft_windows: {length_s: 240}\n",
        2,
        27,
        "found 240; the network is one of windows of 180 s",
    ),
    ("craft: [MMS1]\ncraft_windows: {hop_s: 10}\n", 2, 24, "found 10; the hop must be a multiple of 4.5 s"),
    ("craft: [MMS1]\ncraft_windows: {hop_s: 31.5}\n", 2, 24, "that divides a day, such as 4.5, 9, 22.5"),
    ("craft: [MMS1]\ncraft_windows: {hop_s: 360}\n", 2, 24, "found 360; it must be at most 180"),
    ("craft: [MMS1]\ncraft_windows: {hop_s: 0}\n", 2, 24, "found 0; it must be at least 4.5"),
    ("craft: [MMS1]\ncraft_windows: {lateness_s: -1}\n", 2, 29, "found -1; it must be at least 0"),
    ("craft: [MMS1]\ncraft_windows: {revise_s: 1e6}\n", 2, 27, "it must be at most 86400"),
    ("craft: [MMS1]\ncraft_windows: {context: 1}\n", 2, 26, "found 1; it must be true or false"),
    ("craft: [MMS1]\ncraft_windows: {bridge_ratio: 0.6}\n", 2, 31, "found 0.6; it must be at most 0.5"),
    ("craft: [MMS1]\ncraft_windows: {debounce: .inf}\n", 2, 27, "found .inf; it must be a finite number"),
    ("craft: [MMS1]\ncraft_windows: {hop: 180}\n", 2, 17, "unknown key hop (did you mean hop_s?)"),
    ("craft: [MMS1]\ncraft_events: {confirm: 0.5}\n", 2, 25, "found 0.5; it must be greater than 0.5"),
    ("craft: [MMS1]\ncraft_events: {minimum_s: 0}\n", 2, 27, "found 0; it must be greater than 0"),
    ("craft: [MMS1]\ncraft_events: {refractory_s: -1}\n", 2, 30, "found -1; it must be at least 0"),
    ("craft: [MMS1]\nmodels: {region: 3}\n", 2, 18, 'quote it: "3"'),
    (
        "craft: [MMS1]\nwindows: {revise_s: 0}\nstore: {retention_h: 3}\ncraft_windows: {revise_s: 86400}\n",
        3,
        22,
        "samples 24.05 h old (craft_windows.length_s + craft_windows.revise_s)",
    ),
    ("stations: {KP: {l_shell: 3}}\npairs: [KP-BRZ]\n", 2, 9, "KP is the source of an index"),
    ("pairs: [TAR-BRZ]\nchains: {tar-brz: [TAR-BRZ]}\n", 2, 19, "has the name of a pair"),
    ("pairs: [TAR]\n", 1, 9, "found pair TAR; write POLEWARD-EQUATORWARD"),
    ("pairs: [TAR-BRZ:x]\n", 1, 9, "found pair TAR-BRZ:x"),
    ("pairs: [TAR-BRZ:0.5]\n", 1, 9, "found L 0.5 in pair TAR-BRZ:0.5; L is from 1 to 100"),
    ("pairs: [TAR-TAR]\n", 1, 9, "TAR-TAR names one station twice"),
    ("pairs: [BRZ-TAR]\n", 1, 9, "found 52.92 < 55.16 degrees; write BRZ-TAR as TAR-BRZ"),
    ("pairs:\n- TAR-BRZ\n- TAR-BRZ:2.9\n", 3, 3, "pair TAR-BRZ is given twice (first on line 2)"),
    (
        "pairs: [TAR-XYZ]\n",
        1,
        9,
        "station XYZ is neither in the shipped table nor under stations; add it there",
    ),
    ("stations: {AA: {}, BB: {}}\npairs: [AA-BB, BB-AA]\n", 2, 16, "(first as AA-BB on line 2)"),
    ("stations: {AA: {l_shell: 2}, BB: {l_shell: 3}}\npairs: [AA-BB]\n", 2, 9, "write AA-BB as BB-AA"),
    (
        "pairs: [TAR-BRZ]\nchains: {c: [MUO-PEL]}\n",
        2,
        14,
        "pair MUO-PEL is not under pairs; add it there, or take one of: TAR-BRZ",
    ),
    ("pairs: [TAR-BRZ]\nchains: {c: [TAR-BRZ, TAR-BRZ]}\n", 2, 23, "is in this chain twice"),
    ('pairs: [TAR-BRZ]\nchains: {c: ["TAR-BRZ:2"]}\n', 2, 14, "write TAR-BRZ"),
    ("pairs: [TAR-BRZ]\nchains: {c: []}\n", 2, 13, "found an empty list"),
    ("pairs: [TAR-BRZ]\nchains: {a/b: [TAR-BRZ]}\n", 2, 10, "found chain a/b"),
    ("craft: [MMS1]\nstations: [TAR]\n", 2, 11, "it must be a mapping (name: value)"),
    ("craft: [MMS1]\nstations: {T: {}}\n", 2, 12, "found station T; a code is 2 to 8"),
    ("craft: [MMS1]\nstations: {XY: {}, xy: {}}\n", 2, 20, "station XY is given twice"),
    ("craft: [MMS1]\nstations: {XY: {latitude: 91}}\n", 2, 27, "found 91; it must be at most 90"),
    ("craft: [MMS1]\nstations: {XY: {axes: north}}\n", 2, 23, "it must be one of 'geographic', 'magnetic'"),
    ("craft: [MMS1]\nwindows: {cadence_s: 7000}\n", 2, 22, "must divide a day"),
    ("craft: [MMS1]\nwindows: {cadence_s: 30}\n", 2, 22, "found 30; it must be at least 60"),
    ("craft: [MMS1]\nwindows: {length_s: 7200.0}\n", 2, 21, "found 7200.0; it must be a whole number"),
    ("craft: [MMS1]\nwindows: {lateness_s: -1}\n", 2, 23, "found -1; it must be at least 0"),
    ("craft: [MMS1]\nspectra: {smoothing_bins: 12}\n", 2, 27, "must be odd"),
    ("craft: [MMS1]\nspectra: {maximum_frequency_mHz: 0.5}\n", 2, 10, "found a band from 1 to 0.5 mHz"),
    (
        "craft: [MMS1]\nspectra: {minimum_frequency_mHz: .nan}\n",
        2,
        34,
        "found .nan; it must be a finite number",
    ),
    ("craft: [MMS1]\nresonance: {significance: 0.5}\n", 2, 27, "it must be less than 0.5"),
    ("craft: [MMS1]\noutputs: {spectra: 1}\n", 2, 20, "found 1; it must be true or false"),
    ("craft: [MMS1]\noutputs: {root: /geospace}\n", 2, 17, "no / at the beginning"),
    ("craft: [MMS1]\noutputs: {root: geospace/+}\n", 2, 17, "a wildcard"),
    ("craft: [MMS1]\nstore: {retention_h: 4}\n", 2, 22, "may be revised from samples 26 h old"),
    ("craft: [MMS1]\nstore: {path: 4}\n", 2, 15, 'quote it: "4"'),
    ("craft: [MMS1]\nwindows: {revise_s: 864000}\n", 2, 10, "samples 242 h old"),
    ('craft: [MMS1]\nhttp: {listen: ":9464"}\n', 2, 16, "found :9464; write host:port"),
    ("craft: [MMS1]\nhttp: {listen: 127.0.0.1:70000}\n", 2, 16, "a port is from 0 to 65535"),
    ("craft: [MMS1]\nhttp: {public_url: example.org}\n", 2, 20, "begins with http:// or https://"),
    ("craft: [MMS1]\nlog: {level: loud}\n", 2, 14, "it must be one of 'debug', 'info', 'warning', 'error'"),
    ("craft: [MMS1]\nplugins: {kp: {}}\n", 2, 11, "no plugin kp is installed; installed: "),
]

MQTT = [
    ("{url: tcp://h}", 7, "allowed: mqtt://host[:port]"),
    ("{url: mqtt://}", 7, "the host is missing"),
    ("{url: mqtt://h:99999}", 7, "the host or the port cannot be read"),
    ("{url: mqtt://h/topic}", 7, "a path is not allowed"),
    ("{url: mqtt://h:0}", 7, "a broker's port is from 1"),
    ("{url: embedded://0.0.0.0}", 7, "listens on loopback only"),
    ("{client_id: ''}", 13, "found an empty text"),
    ("{receive_maximum: 0}", 19, "it must be at least 1"),
    ("{receive_maximum: 65536}", 19, "it must be at most 65535"),
    ("{ca_file: ca.pem}", 11, "ca_file is for TLS, but the URL is mqtt://"),
    ("{url: mqtts://h, key_file: k.pem}", 28, "key_file needs a cert_file"),
    ("{protocol: 3.1.1, password_file: ./p}", 34, "MQTT 3.1.1 takes no password without a user"),
    ("{reconnect: {initial_s: 90}}", 13, "found maximum_s 60 below initial_s 90"),
]

INPUTS = [
    ("inputs: []", 1, 9, "no inputs"),
    ("inputs: 5", 1, 9, "found 5; it must be a list"),
    ("inputs: [{topic: a}]", 1, 10, "the key decoder is missing here"),
    ("inputs: [{decoder: bogus, topic: a}]", 1, 20, "found decoder bogus; allowed: "),
    ("inputs: [{decoder: native, topic: a/#/b}]", 1, 35, "# must be the whole of the last level"),
    ("inputs: [{decoder: native, topic: a+}]", 1, 35, "+ must be the whole of a level"),
    ("inputs: [{decoder: native, topic: $share/g/a}]", 1, 35, "a shared subscription is not supported"),
    ('inputs: [{decoder: native, topic: ""}]', 1, 35, "it is empty"),
    ("inputs: [{decoder: native, topic: a, options: {x: 1}}]", 1, 48, "unknown key x; allowed here: none"),
    (
        "inputs: [{decoder: imagmqtt, topic: a, options: {declination_unit: rad}}]",
        1,
        68,
        "'degrees', 'arcmin'",
    ),
    ('inputs: [{decoder: native, topic: "#"}]', 1, 35, "matches what the daemon publishes under geospace/v1"),
    ("inputs: [{decoder: native, topic: geospace/v1/flr/+}]", 1, 35, "matches what the daemon publishes"),
    ("inputs: [{decoder: native, topic: geospace/v1/other/x}]", 1, 35, "read below geospace/v1/in/ only"),
    (
        'inputs:\n- {decoder: native, topic: "a/+"}\n- {decoder: imagmqtt, topic: a/b}',
        3,
        30,
        "the topic a/b (imagmqtt) overlaps a/+ (native)",
    ),
    ("outputs: {root: impf/a}", 1, 17, "the input topic impf/+/+/+/+ matches what the daemon publishes"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), STRUCTURE + TRAPS + VALUES)
def test_fault_is_at_its_place(text: str, line: int, column: int, message: str) -> None:
    found = only_fault(text)
    assert found[:2] == (line, column)
    assert message in found[2]


@pytest.mark.parametrize(("mqtt", "column", "message"), MQTT)
def test_fault_of_mqtt_is_at_its_place(mqtt: str, column: int, message: str) -> None:
    found = only_fault(f"craft: [MMS1]\nmqtt:\n {mqtt}\n")
    assert found[:2] == (3, column + 1)
    assert message in found[2]


@pytest.mark.parametrize(("inputs", "line", "column", "message"), INPUTS)
def test_fault_of_inputs_is_at_its_place(inputs: str, line: int, column: int, message: str) -> None:
    found = only_fault(f"{inputs}\ncraft: [MMS1]\n")
    assert found[:2] == (line, column)
    assert message in found[2]


def test_faults_of_all_kinds_come_at_once_in_the_order_of_the_file() -> None:
    text = """\
mqtt: {url: "mqtt://127.0.0.1", keepalive_s: fast}
stations:
  NO: {latitude: 91}
pairs: [BRZ-TAR, TAR-XYZ, TAR-BRZ]
windows: {cadence_s: 7000, lenght_s: 7200}
windows: {}
inputs: [{decoder: bogus, topic: "#"}]
log: {level: 2017-09-07}
"""
    faults = faults_of(text)
    assert [(fault.line, fault.column) for fault in faults] == [
        (1, 46),
        (3, 3),
        (3, 18),
        (4, 9),
        (4, 18),
        (4, 27),
        (5, 22),
        (5, 28),
        (6, 1),
        (7, 20),
        (7, 34),
        (8, 14),
    ]
    assert str(faults[0]) == "c.yaml:1:46: found fast; it must be a whole number"


def test_fault_inside_a_station_does_not_make_its_pairs_unknown() -> None:
    assert only_fault("stations: {XYZ: {l_shell: 0}}\npairs: [TAR-XYZ]\n")[:2] == (1, 27)


def test_pairs_of_unknown_or_equal_latitude_are_no_fault() -> None:
    text = "stations: {AA: {magnetic_latitude: -50}, BB: {magnetic_latitude: 50}, CC: {}}\npairs: [AA-BB, CC-AA, BB-CC]\n"
    assert len(parse_config(text, "c.yaml", PLUGINS).pairs) == 3


@pytest.mark.parametrize(
    "mqtt",
    [
        "{password: hunter2}",
        "{password: 2017-09-07hunter2}",
        "{password: *hunter2}",
        "{password: !hunter2!x y}",
        "{url: mqtt://bob:hunter2@host}",
        "{url: 'bob:hunter2@host'}",
        "{url: mqtt://bob:hunter2@host:x}",
    ],
)
def test_password_in_the_file_is_a_fault_that_does_not_show_it(mqtt: str) -> None:
    line, _, message = only_fault(f"craft: [MMS1]\nmqtt: {mqtt}\n")
    assert line == 2
    assert "hunter2" not in message


@pytest.mark.parametrize("value", ["2017-09-07", "0123", "1:30"])
def test_password_that_yaml_misreads_is_not_shown(value: str) -> None:
    faults = faults_of(f"craft: [MMS1]\nmqtt: {{password: {value}}}\n")
    assert [fault.line for fault in faults] == [2, 2]
    assert all(value not in fault.message for fault in faults)
    assert "password_file" in faults[0].message


def test_file_that_is_none_of_ours_is_not_shown() -> None:
    assert all(
        "hunter2" not in fault.message for fault in faults_of("bob:$6$hunter2:19000\nalice hunter2: 1\n")
    )
    assert "hunter2" not in only_fault("hunter2\n")[2]


def test_alias_bomb_is_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "aliases that grow" in faults_of("\n".join(lines))[-1].message


def test_many_aliases_are_refused() -> None:
    assert "more than 100 aliases" in only_fault("craft: [&a MMS1" + ", *a" * 101 + "]\n")[2]


def test_large_text_is_refused() -> None:
    assert "larger than" in only_fault("#" * (MAXIMUM_CHARACTERS + 1))[2]


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(tmp_path / "absent.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/absent.yaml:1:1: cannot be read (No such file or directory); "
        "name an existing, readable file with -c"
    )


def test_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load_config(tmp_path)


def test_path_with_a_null_byte_is_no_path() -> None:
    with pytest.raises(ConfigurationError, match="not a possible path"):
        load_config(Path("a\0b"))


def test_file_that_is_not_utf8_is_refused_at_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes("craft: [MMS1]\n# é ".encode() + b"\xe9\n")
    with pytest.raises(ConfigurationError) as caught:
        load_config(file)
    fault = caught.value.faults[0]
    assert (fault.line, fault.column) == (2, 5)
    assert "0xe9" in fault.message
