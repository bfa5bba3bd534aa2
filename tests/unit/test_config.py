"""What a good configuration gives: defaults, stations, pairs, the shipped file, secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from monitor.config import Config, StationEntry, load_config, parse_config, quick_config
from monitor.config.model import DEFAULT_INPUTS
from monitor.config.mqtt import Mqtt
from monitor.errors import ConfigurationError
from monitor.plugins import Found, Registry, installed
from monitor.plugins.in_process import InProcess
from monitor.types import Pair

PLUGINS = installed()

SHIPPED = Path(__file__).parents[2] / "config.yaml"
SHIPPED_CHOICES = {"pairs", "chains", "craft"}


def registry_of(*decoders: str) -> Registry:
    """A registry in which these decoders are installed, all of them the native one in truth."""
    target = "monitor.decoders.native:NativeDecoder"
    found = [Found(name, "decoder", target, "geospace-monitor 1", ours=True) for name in decoders]
    return Registry(found, ours=InProcess(), others=InProcess())


def keys_of(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Every key of a model as a path, sections included."""
    paths: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        paths.append((name,))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            paths += [(name, *rest) for rest in keys_of(field.annotation)]
    return paths


def test_shipped_file_states_the_defaults() -> None:
    config = load_config(SHIPPED, PLUGINS)
    for name in set(Config.model_fields) - SHIPPED_CHOICES:
        assert getattr(config, name) == getattr(Config(), name), name


def test_shipped_file_has_every_key() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    written = yaml.safe_load(text)
    for path in keys_of(Config):
        node: Any = written
        for key in path:
            assert key in node, path
            node = node[key]
    for key in StationEntry.model_fields:
        assert re.search(rf"^#     {key}: ", text, re.MULTILINE), key
    assert {tuple(entry) for entry in written["inputs"]} == {
        ("decoder", "topic", "options"),
        ("decoder", "topic"),
    }


def test_shipped_pairs_are_neighbours_on_the_meridian() -> None:
    config = load_config(SHIPPED, PLUGINS)
    table = config.station_table()
    assert config.chains == {"emma": tuple(text.partition(":")[0] for text in config.pairs)}
    for pair in config.pair_list:
        upper, lower = table[pair.poleward], table[pair.equatorward]
        assert upper.magnetic_latitude_deg is not None
        assert lower.magnetic_latitude_deg is not None
        assert 1.0 <= upper.magnetic_latitude_deg - lower.magnetic_latitude_deg <= 3.0, pair


def test_defaults_fill_what_is_left_out() -> None:
    config = parse_config("pairs: [TAR-BRZ]\nmqtt:\nwindows: {lateness_s: 30}\n", "c.yaml", PLUGINS)
    assert config.pair_list == (Pair("TAR", "BRZ"),)
    assert config.pair_list[0].l_shell == pytest.approx((3.064 + 2.7514) / 2)
    assert config.mqtt == Mqtt()
    assert (config.windows.lateness_s, config.windows.length_s) == (30, 7200)
    assert config.inputs == DEFAULT_INPUTS
    assert config.inputs[0].options == {"declination_unit": "degrees"}


def test_names_are_upper_cased() -> None:
    config = parse_config(
        "stations: {xyz: {l_shell: 2.0}}\npairs: [tar-xyz]\nchains: {c: [tar-XYZ]}\ncraft: [mms1]\n", "c.yaml"
    )
    assert (config.pairs, config.craft, list(config.stations)) == (("TAR-XYZ",), ("MMS1",), ["XYZ"])
    assert config.chains == {"c": ("TAR-XYZ",)}


def test_pair_l_comes_from_the_suffix_then_the_stations_then_is_unknown() -> None:
    config = parse_config(
        'stations: {XYZ: {}}\npairs: ["MUO-PEL:5.37", TAR-BRZ, TAR-XYZ]\n', "c.yaml", PLUGINS
    )
    assert [pair.l_shell for pair in config.pair_list] == [5.37, pytest.approx(2.9077), None]


def test_numbers_with_an_exponent_are_numbers() -> None:
    assert (
        parse_config(
            "craft: [MMS1]\nresonance: {significance: 1e-3}\n", "c.yaml", PLUGINS
        ).resonance.significance
        == 0.001
    )


def test_quoted_traps_are_texts() -> None:
    config = parse_config(
        'stations: {"NO": {name: "on"}}\npairs: ["TAR-NO"]\ncraft: ["1E5"]\n', "c.yaml", PLUGINS
    )
    assert config.station_table()["NO"].name == "on"
    assert config.craft == ("1E5",)


def test_plain_alias_is_followed() -> None:
    config = parse_config(
        "craft: [MMS1]\nwindows: {lateness_s: &wait 90}\ncraft_windows: {lateness_s: *wait}\n", "c"
    )
    assert (config.windows.lateness_s, config.craft_windows.lateness_s) == (90, 90)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "embedded"),
    [
        ("mqtt://broker.example", "broker.example", 1883, False, False),
        ("mqtts://broker.example", "broker.example", 8883, True, False),
        ("mqtt://[::1]:1884", "::1", 1884, False, False),
        ("embedded://", "127.0.0.1", 1883, False, True),
        ("embedded://127.0.0.1:0", "127.0.0.1", 0, False, True),
    ],
)
def test_broker_url_gives_host_and_port(url: str, host: str, port: int, tls: bool, embedded: bool) -> None:
    mqtt = Mqtt(url=url)
    assert (mqtt.host, mqtt.port, mqtt.uses_tls, mqtt.is_embedded) == (host, port, tls, embedded)


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:9464", ("::1", 9464)), ("localhost:80", ("localhost", 80))],
)
def test_listen_gives_an_address(listen: str, address: tuple[str, int]) -> None:
    config = parse_config(f'craft: [MMS1]\nhttp: {{listen: "{listen}"}}\n', "c.yaml", PLUGINS)
    assert config.http.address == address


@pytest.mark.parametrize("topic", ["tar/#", "tar/+/data", "+/+/meta"])
def test_topic_of_martas_that_is_no_prefix_is_a_fault(topic: str) -> None:
    text = f'craft: [MMS1]\ninputs:\n  - {{decoder: martas, topic: "{topic}"}}\n'
    with pytest.raises(ConfigurationError, match=r"MARTAS topic is a prefix|leave out the last level"):
        parse_config(text, "c.yaml", registry_of("martas"))


def test_installed_decoder_may_be_named_and_martas_topic_is_a_prefix() -> None:
    text = 'craft: [MMS1]\ninputs:\n  - {decoder: martas, topic: "+/+"}\n  - {decoder: native, topic: "geospace/v1/in/#"}\n'
    config = parse_config(text, "c.yaml", registry_of("martas", "native"))
    assert config.inputs[0].filters == ("+/+/data", "+/+/meta", "+/+/dict")
    assert config.inputs[1].filters == ("geospace/v1/in/#",)


def test_quick_config_allows_stations_that_nobody_knows() -> None:
    config = quick_config(["LEM-FGE", "tar-brz:2.9"], ["mms1"])
    assert config.pair_list == (Pair("LEM", "FGE"), Pair("TAR", "BRZ"))
    assert [pair.l_shell for pair in config.pair_list] == [None, 2.9]
    unknown = config.station_table()["LEM"]
    assert (unknown.latitude_deg, unknown.l_shell, unknown.axes) == (None, None, None)


def test_quick_config_names_the_faulty_options() -> None:
    with pytest.raises(ConfigurationError) as caught:
        quick_config(["TAR-BRZ", "SUW-TAR", "nonsense"], ["?"])
    assert [(fault.file, fault.line, fault.column) for fault in caught.value.faults] == [
        ("command line", 1, 1),
        ("command line", 2, 1),
        ("command line", 3, 1),
    ]
    assert "write SUW-TAR as TAR-SUW" in caught.value.faults[1].message


def test_quick_config_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing to monitor"):
        quick_config([], [])


class TestStationEntries:
    """How a configured station meets the shipped table."""

    def station(self, body: str, code: str = "TAR") -> Any:
        return parse_config(
            f"craft: [MMS1]\nstations: {{{code}: {{{body}}}}}\n", "c.yaml", PLUGINS
        ).station_table()[code]

    def test_other_keys_keep_the_shipped_values(self) -> None:
        station = self.station("sensor: LEMI036_1, axes: magnetic")
        assert (station.sensor, station.axes, station.l_shell, station.epoch) == (
            "LEMI036_1",
            "magnetic",
            3.064,
            2025.0,
        )

    def test_l_shell_replaces_the_magnetic_latitude(self) -> None:
        station = self.station("l_shell: 4.0")
        assert (station.l_shell, station.epoch) == (4.0, None)
        assert station.magnetic_latitude_deg == pytest.approx(60.0)

    def test_magnetic_latitude_replaces_the_l_shell(self) -> None:
        assert self.station("magnetic_latitude: -60").l_shell == pytest.approx(4.0)

    def test_null_makes_a_value_unknown(self) -> None:
        station = self.station("declination: null")
        assert (station.declination_deg, station.l_shell) == (None, 3.064)

    def test_moved_site_keeps_no_magnetic_values(self) -> None:
        station = self.station("latitude: 50.0")
        assert (station.magnetic_latitude_deg, station.l_shell, station.declination_deg) == (None, None, None)
        assert self.station("latitude: 58.3").l_shell == 3.064

    def test_new_station_with_l_only_has_no_hemisphere(self) -> None:
        station = self.station("l_shell: 4.0", "XYZ")
        assert station.magnetic_latitude_deg is None
        assert station.absolute_magnetic_latitude_deg == pytest.approx(60.0)
        assert (station.axes, station.declination_deg) == (None, None)


class TestPassword:
    """The password comes from a file or a systemd credential, and is never shown."""

    def mqtt(self, password_file: str) -> Mqtt:
        return Mqtt(username="reader", password_file=password_file)

    def test_without_a_file_there_is_none(self) -> None:
        assert Mqtt().read_password() is None

    @pytest.mark.parametrize("content", ["hunter2", "hunter2\n", "hunter2\r\n"])
    def test_file_is_read_without_its_newline(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "password"
        file.write_bytes(content.encode())
        password = self.mqtt(str(file)).read_password()
        assert password is not None
        assert password.get_secret_value() == "hunter2"
        assert "hunter2" not in repr(password)

    def test_bare_name_is_a_credential(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mqtt-password").write_text("from systemd\n", encoding="utf-8")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        password = self.mqtt("mqtt-password").read_password()
        assert password is not None
        assert password.get_secret_value() == "from systemd"

    def test_bare_name_without_credentials_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        with pytest.raises(ConfigurationError, match=r"LoadCredential=mqtt-password:FILE"):
            self.mqtt("mqtt-password").read_password()

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "absent"
        with pytest.raises(ConfigurationError) as caught:
            self.mqtt(str(file)).read_password()
        assert caught.value.faults[0].file == str(file)
        assert "No such file" in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"\n", "is empty"), (b"secret\xff", "not UTF-8"), (b"x" * 65_536, "longer than")],
    )
    def test_unusable_file_is_refused_without_showing_it(
        self, tmp_path: Path, content: bytes, reason: str
    ) -> None:
        file = tmp_path / "password"
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=reason) as caught:
            self.mqtt(str(file)).read_password()
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
