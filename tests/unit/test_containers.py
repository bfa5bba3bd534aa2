"""The Dockerfile and compose.yaml: what linters say of them, and what linters do not know. No engine runs here."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest
import yaml

from monitor import __version__
from monitor.config import load_config
from monitor.plugins import installed

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"
BIN = Path(sys.executable).parent
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
BY_NAME = pytest.mark.parametrize("name", SERVICES)


def linter(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which(name, path=f"{BIN}:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip(f"the program {name} is not installed (extra test)")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def derive() -> ModuleType:
    spec = importlib.util.spec_from_file_location("derive", DEPLOY / "compose" / "derive.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with what stands behind them, each on one line."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


class TestDockerfile:
    def test_linter_finds_nothing(self) -> None:
        done = linter("hadolint", "--no-color", DOCKERFILE)
        assert (done.returncode, done.stdout) == (0, "")

    def test_linter_would_find_something(self, tmp_path: Path) -> None:
        worse = tmp_path / "Dockerfile"
        worse.write_text(DOCKERFILE.read_text().replace("USER 10464:10464", "USER root"))
        assert "DL3002" in linter("hadolint", "--no-color", worse).stdout

    def test_everything_that_is_installed_has_its_hash(self) -> None:
        installs = [
            command
            for word, rest in instructions()
            if word == "RUN"
            for command in rest.split("&&")
            if "pip install" in command
        ]
        assert len(installs) == 3
        for command in installs:
            words = shlex.split(command)
            assert "--require-hashes" in words or {"--no-deps", "--no-index", "--no-build-isolation"} <= set(
                words
            )
        for lock in ("build.lock", "requirements.lock"):
            assert "--hash=sha256:" in (DEPLOY / lock).read_text()

    def test_what_is_copied_is_there_and_let_through(self) -> None:
        rules = [
            line
            for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
            if line and not line.startswith("#")
        ]
        assert rules[0] == "*"
        let_through = {rule[1:] for rule in rules if rule.startswith("!")}
        copied = {
            source
            for word, rest in instructions()
            if word == "COPY" and "--from" not in rest
            for source in rest.split()[:-1]
        }
        assert copied == let_through
        assert all((ROOT / path).exists() for path in copied)
        # The wheel is built of these, and of files that it names.
        assert {"monitor", "plugins", "pyproject.toml", "setup.cfg", "README.md", "LICENSE"} <= copied
        assert not any(fnmatch.fnmatch("deploy/compose/secrets/http-token", rule) for rule in let_through)

    def test_image_runs_as_nobody_who_owns_anything(self) -> None:
        found = dict(instructions())  # of each instruction the last
        assert re.fullmatch(r"(?!0+:)\d+:(?!0+$)\d+", found["USER"])
        assert found["STOPSIGNAL"] == "SIGTERM"
        assert json.loads(found["ENTRYPOINT"]) == ["geospace-monitor"]
        assert "pip uninstall --yes" in DOCKERFILE.read_text()
        assert "ORT_DISABLE_TELEMETRY=1" in found["ENV"]
        assert "/healthz" in found["HEALTHCHECK"]

    def test_bases_are_named_by_tag_and_the_same(self) -> None:
        (base,) = [rest for word, rest in instructions() if word == "ARG"]
        assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-bookworm", base)
        assert [rest for word, rest in instructions() if word == "FROM"] == [
            "${PYTHON} AS build",
            "${PYTHON}",
        ]


class TestCompose:
    def test_schema_takes_it(self) -> None:
        done = linter("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_schema_would_refuse_another(self, tmp_path: Path) -> None:
        worse = tmp_path / "compose.yaml"
        worse.write_text(COMPOSE.read_text().replace("restart:", "restarts:"))
        done = linter("check-jsonschema", "--builtin-schema", "vendor.compose-spec", worse)
        assert "restarts" in done.stdout

    def test_all_are_there(self) -> None:
        assert set(SERVICES) == {"broker", "daemon", "prometheus", "alertmanager", "grafana"}

    @BY_NAME
    def test_service_has_no_more_rights_than_it_needs(self, name: str) -> None:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
        if name != "daemon":  # of the others the image does not say it, or not so
            assert not str(service["user"]).startswith(("0:", "root"))

    @BY_NAME
    def test_ports_are_those_of_this_machine_alone(self, name: str) -> None:
        assert SERVICES[name]["ports"]
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])

    @BY_NAME
    def test_service_is_asked_whether_it_is_well(self, name: str) -> None:
        if name == "daemon":
            assert "HEALTHCHECK" in dict(instructions())
        else:
            assert SERVICES[name]["healthcheck"]["test"][0].startswith("CMD")

    @BY_NAME
    def test_images_are_of_the_versions_that_the_tests_run(self, name: str) -> None:
        image, _, tag = SERVICES[name]["image"].rpartition(":")
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), f"{name}: {tag!r} may be another tomorrow"
        if name == "daemon":
            assert (image, tag) == ("geospace-monitor", __version__)
            return
        program = {
            "broker": "mosquitto",
            "prometheus": "prometheus",
            "alertmanager": "prometheus-alertmanager",
        }
        if name in program:
            found = shutil.which(program[name], path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin")
            if found is None:
                pytest.skip(f"the program {program[name]} is not installed")
            option = "-h" if name == "broker" else "--version"
            done = subprocess.run([found, option], capture_output=True, text=True, check=False)
            major = re.search(r"version (\d+)\.", done.stdout + done.stderr)
            assert major is not None
            assert tag.removeprefix("v").startswith(f"{major[1]}.")

    @BY_NAME
    def test_what_is_mounted_is_there(self, name: str) -> None:
        named = yaml.safe_load(COMPOSE.read_text())["volumes"]
        for volume in SERVICES[name]["volumes"]:
            source, target, *mode = volume.split(":")
            assert PurePosixPath(target).is_absolute()
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
                assert mode == ["ro"], f"{source}: no container writes into the repository"
            else:
                assert source in named

    def test_dashboards_are_where_grafana_is_told_to_look(self) -> None:
        told = yaml.safe_load(
            (DEPLOY / "grafana" / "provisioning" / "dashboards" / "geospace.yaml").read_text()
        )
        mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
        for provider in told["providers"]:
            assert mounted[provider["options"]["path"]] == "./grafana/dashboards"
        folders = {place.name for place in (DEPLOY / "grafana" / "provisioning").iterdir()}
        assert {f"/etc/grafana/provisioning/{name}" for name in folders} < mounted.keys()

    def test_secrets_are_files_and_nowhere_else(self) -> None:
        document = yaml.safe_load(COMPOSE.read_text())
        used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
        assert used == document["secrets"].keys()
        ignored = (ROOT / ".gitignore").read_text().splitlines()
        assert "/deploy/compose/secrets/" in ignored
        assert all(secret["file"].startswith("./compose/secrets/") for secret in document["secrets"].values())
        for service in SERVICES.values():
            for key in service.get("environment", {}):
                assert not re.search("PASSWORD|TOKEN|SECRET", key) or key.endswith("__FILE")
        # Those that read them are in the group that may.
        (group,) = re.findall(r"SECRETS_GROUP:-(\d+)", (DEPLOY / "compose" / "secrets.sh").read_text())
        assert all(service["group_add"] == [group] for service in SERVICES.values())
        assert dict(instructions())["USER"] == f"{group}:{group}"

    def test_broker_may_hold_what_its_settings_let_it(self) -> None:
        (queued,) = re.findall(r"(?m)^max_queued_bytes (\d+)$", (DEPLOY / "mosquitto.conf").read_text())
        memory = SERVICES["broker"]["deploy"]["resources"]["limits"]["memory"]
        assert int(memory.removesuffix("G")) * 2**30 > 1.5 * int(queued)

    def test_script_of_the_secrets_is_sound(self) -> None:
        done = linter("shellcheck", DEPLOY / "compose" / "secrets.sh")
        assert (done.returncode, done.stdout) == (0, "")


class TestDerived:
    def test_files_are_those_of_the_shipped_ones(self) -> None:
        done = subprocess.run(
            [sys.executable, DEPLOY / "compose" / "derive.py", "--check"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "")

    def test_change_that_finds_nothing_to_change_is_an_error(
        self, derive: ModuleType, tmp_path: Path
    ) -> None:
        for derived in derive.FILES:
            for change in derived.changes:
                text = derived.source.read_text()
                shipped = tmp_path / "deploy" / derived.name
                shipped.parent.mkdir(parents=True, exist_ok=True)
                shipped.write_text(re.sub(change.pattern, "gone", text, flags=re.MULTILINE))
                with pytest.raises(ValueError, match="expected"):
                    derive.Derived(derived.name, shipped, derived.changes).text()

    def test_configuration_is_good_and_speaks_to_the_services(self) -> None:
        config = load_config(DEPLOY / "compose" / "config.yaml", installed())
        assert config.mqtt.url == "mqtt://broker:1883"
        assert config.http.listen == "0.0.0.0:9464"
        secrets = {config.mqtt.password_file, config.http.token_file}
        assert secrets == set(SERVICES["daemon"]["secrets"])
        assert str(config.store.path.parent) == SERVICES["daemon"]["volumes"][1].split(":")[1]

    @pytest.mark.parametrize(
        "name", ["prometheus.yml", "alertmanager.yml", "grafana/datasources/geospace.yaml"]
    )
    def test_addresses_are_those_of_services(self, name: str) -> None:
        text = re.sub(r"(?m)^ *#.*$| #.*$", "", (DEPLOY / "compose" / name).read_text())
        ports = {service: SERVICES[service]["ports"][0].rpartition(":")[2] for service in SERVICES}
        for host, port in re.findall(r"([\w.]+):(\d{4,5})\b", text):
            if host == "host.docker.internal":
                assert SERVICES["alertmanager"]["extra_hosts"] == [f"{host}:host-gateway"]
            elif host == "127.0.0.1":
                assert (name, port) == ("prometheus.yml", ports["prometheus"])
            else:
                assert ports[host] == port

    def test_tools_of_prometheus_take_them(self, tmp_path: Path) -> None:
        if shutil.which("promtool") is None:
            pytest.skip("the program promtool is not installed")
        token = tmp_path / "token"
        token.write_text("x")
        text = (DEPLOY / "compose" / "prometheus.yml").read_text()
        text = text.replace("/run/secrets/http-token", str(token))
        (tmp_path / "prometheus.yml").write_text(
            text.replace("rules/*.yml", f"{DEPLOY}/prometheus/rules/*.yml")
        )
        for command in (
            ["promtool", "check", "config", tmp_path / "prometheus.yml"],
            ["amtool", "check-config", DEPLOY / "compose" / "alertmanager.yml"],
        ):
            if shutil.which(str(command[0])) is not None:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
