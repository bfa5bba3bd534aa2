"""The service on a bare Debian machine: installed by the documented commands, and mistreated under a real systemd.

The tests stand in the order of an installation's life, and share one machine: it is booted once, and its daemon is fed
from the first test to the last (`stream.py`). Each can be run alone.
"""

from __future__ import annotations

import re
import time
from typing import cast

import pytest
from daemon_kit import assert_agree, assert_one_content_per_id
from machine import Machine
from page import blocks
from prometheus_client.parser import text_string_to_metric_families
from stream import CONFIG, UNIT, Stream

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(900)]

MAIN = "geospace-monitor"
VENV = "/opt/geospace-monitor/venv"
STATE = "/var/lib/geospace-monitor/"
# What a machine writes by itself while it runs, and what the tests bring in.
_OF_THE_MACHINE = (
    *("/dev", "/proc", "/sys", "/run", "/tmp", "/srv", "/usr/src", "/root/.cache", "/etc/credstore"),
    *("/var/log", "/var/cache", "/var/lib/systemd", "/var/lib/mosquitto"),
    *("/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-"),
)


def files(machine: Machine) -> dict[str, str]:
    """Every file of the machine that is not of the moment, with its size and when it was written."""
    pruned = " -o ".join(f"-path {path}" for path in _OF_THE_MACHINE)
    shown = r"-type d -printf '%p\tfolder\n' -o -printf '%p\t%s %l %T@\n'"
    lines = machine.run(f"find / -xdev \\( {pruned} \\) -prune -o {shown}").stdout.splitlines()
    return dict(line.split("\t") for line in lines)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Files that came, went, or were written."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def kill(stream: Stream) -> None:
    """End the daemon as a power failure would, and wait until it is back."""
    before = stream.pid()
    stream.machine.run(f"systemctl kill --signal KILL {UNIT}")
    stream.machine.eventually(
        lambda: stream.is_up() and stream.pid() != before, 60.0, "not started again", UNIT
    )


@pytest.fixture(scope="module")
def life() -> dict[str, object]:
    """What one test leaves for a later one."""
    return {}


@pytest.fixture(scope="module")
def installed(machine: Machine, life: dict[str, object]) -> Machine:
    """The blocks of the page, in their order; downloads by this machine's network, all else by the machine's own."""
    life["without Python"] = machine.run("systemd/install.sh", check=False).stdout
    typed = []
    for heading, text in blocks().items():
        if "install.sh" in text:
            life["files"], life["users"] = files(machine), machine.run("cat /etc/passwd /etc/group").stdout
        outside = "install.sh" in text or "apt-get" in text
        began = time.monotonic()
        life[heading] = machine.run(text, outside_network=outside, timeout_s=400.0).stdout
        typed.append(f"{heading}: {time.monotonic() - began:.0f} s")
    print("typed:", "; ".join(typed))  # noqa: T201  (what it took)
    return machine


@pytest.fixture(scope="module")
def stream(installed: Machine, tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """A second instance beside the first, which is fed."""
    stream = Stream(installed, tmp_path_factory.mktemp("stream"))
    stream.begin()
    return stream


class TestInstalled:
    def test_documented_commands_end_in_labels_of_every_pair(
        self, installed: Machine, life: dict[str, object]
    ) -> None:
        assert re.search(
            r'^geospace_flr_label\{label="Freq",pair="[\w-]+"\} 1', str(life["5. See a label"]), re.M
        )

        def labels() -> dict[str, str]:
            metrics = installed.run("curl --silent http://127.0.0.1:9465/metrics").stdout
            samples = [one for family in text_string_to_metric_families(metrics) for one in family.samples]
            of_model = [one for one in samples if one.name == "geospace_model_info"]
            assert any(one.labels["kind"] == "flr" for one in of_model)
            said = [one for one in samples if one.name == "geospace_flr_label" and one.value]
            return {one.labels["pair"]: one.labels["label"] for one in said}

        # All windows but the first are whole, and most pairs have a resonance: the model sees it in the sandbox.
        installed.eventually(lambda: [*labels().values()].count("Freq") > 3, 60.0, "no resonances")
        assert set(labels()) == {"MUO-PEL", "PEL-OUJ", "OUJ-HAN", "HAN-NUR", "NUR-TAR", "TAR-BRZ", "BRZ-SUW"}
        for text in blocks("run as root, at the end").values():
            installed.run(text)

    def test_missing_python_is_named_with_its_package(
        self, life: dict[str, object], installed: Machine
    ) -> None:
        assert life["without Python"] == (
            "install.sh: no python3 here: apt-get install python3-venv (or --python PYTHON)\n"
        )

    def test_verify_prints_nothing_and_the_exposure_is_small(self, installed: Machine) -> None:
        """The host's systemd has judged copies; here everything that the units name is there."""
        assert installed.run(f"systemd-analyze verify {MAIN}.service {UNIT}.service").stdout == ""
        said = installed.run(f"systemd-analyze security --no-pager {MAIN}").stdout
        level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert level is not None, said
        assert float(level[1]) <= 2.0

    def test_second_run_changes_nothing(self, installed: Machine) -> None:
        before, pids = files(installed), [installed.show(unit, "MainPID") for unit in (MAIN, "mosquitto")]
        said = installed.run("systemd/install.sh --mosquitto").stdout  # no network: nothing is asked for
        assert said.endswith(": nothing to do\n")
        # The daemon's store is at work meanwhile.
        assert {path for path in changed(before, files(installed)) if not path.startswith(STATE)} == set()
        assert [installed.show(unit, "MainPID") for unit in (MAIN, "mosquitto")] == pids


class TestService:
    def test_start_comes_back_when_it_is_ready(self, stream: Stream) -> None:
        """The call in the fixture has come back just now: HTTP answers, the store is open, and the status says so."""
        assert stream.get("/readyz")[0] in (200, 503)  # 503: the broker alone may take another moment
        shown = stream.machine.show(UNIT, "Type", "NotifyAccess", "StatusText", "ActiveState")
        assert shown["ActiveState"] == "active"
        assert "2 pairs" in shown["StatusText"]
        assert stream.machine.inside(stream.document["store"]["path"]).stat().st_size > 0

    def test_process_has_no_rights_of_its_own(self, stream: Stream) -> None:
        status = stream.machine.run(f"cat /proc/{stream.pid()}/status").stdout
        assert re.search(r"^CapEff:\t0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
        assert re.search(r"^Seccomp:\t2$", status, re.M)
        owner = stream.machine.run("stat -c %U:%a /var/lib/geospace-monitor/stream/monitor.sqlite").stdout
        assert owner == "geospace-monitor:600\n"

    def test_credential_is_asked_for_and_an_absent_one_is_no_fault(self, stream: Stream) -> None:
        assert stream.get("/metrics", token=None)[0] == 401
        assert stream.get("/metrics")[0] == 200
        names = stream.machine.run(f"ls /run/credentials/{UNIT}.service").stdout.split()
        assert names == ["http-token"]  # the unit also asks for two passwords that are not there

    def test_instances_run_side_by_side(self, stream: Stream) -> None:
        assert stream.machine.show(MAIN, "ActiveState") == {"ActiveState": "active"}
        first = stream.machine.run("curl --silent http://127.0.0.1:9464/api/status").stdout
        second = stream.get("/api/status")[1]
        assert "NUR-TAR" in first
        assert "KEV-IVA" in first
        assert "KEV-IVA" not in second

    def test_killed_is_started_again(self, stream: Stream) -> None:
        with stream.flowing():
            kill(stream)
        assert int(stream.machine.show(UNIT, "NRestarts")["NRestarts"]) >= 1

    def test_frozen_is_ended_by_the_watchdog(self, stream: Stream) -> None:
        stream.drop_in("WatchdogSec=10\n")
        stream.machine.run(f"systemctl restart {UNIT}")
        before = stream.pid()
        with stream.flowing():
            stream.machine.run(f"systemctl kill --signal STOP {UNIT}")
            stream.machine.eventually(
                lambda: stream.is_up() and stream.pid() != before, 120.0, "not started again", UNIT
            )
        # Why, and where it stood, for who has to find out.
        words = ("Watchdog timeout", "Fatal Python error: Aborted", "most recent call first")
        stream.machine.eventually(
            lambda: all(word in stream.machine.journal(UNIT) for word in words),
            30.0,
            f"no {words} in the journal",
        )
        # The other tests have the watchdog of the unit: a machine that is busy is no machine that hangs.
        stream.drop_in()
        stream.machine.run(f"systemctl restart {UNIT}")

    def test_stop_is_in_time_and_in_order(self, stream: Stream) -> None:
        with stream.flowing():
            began = time.monotonic()
            stream.machine.run(f"systemctl stop {UNIT}")
            took_s = time.monotonic() - began
            shown = stream.machine.show(UNIT, "Result", "ExecMainStatus", "TimeoutStopUSec")
            assert (shown["Result"], shown["ExecMainStatus"]) == ("success", "0")
            assert shown["TimeoutStopUSec"] == "1min"
            assert took_s < 60
            assert [one["state"] for one in stream.said if one["schema"] == "geospace/status/1"][
                -1
            ] == "offline"
        stream.machine.run(f"systemctl start {UNIT}")

    def test_bad_configuration_is_not_started_again(self, installed: Machine) -> None:
        installed.inside("/etc/geospace-monitor/bad.yaml").write_text("pairs: [NOWHERE]\n", encoding="ascii")
        try:
            assert installed.run(f"systemctl start {MAIN}@bad", check=False).returncode != 0
            shown = installed.show(f"{MAIN}@bad", "ActiveState", "ExecMainStatus", "NRestarts")
            assert shown == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
            assert re.search(r"bad\.yaml:1:\d+: ", installed.journal(f"{MAIN}@bad"))
        finally:
            installed.run(f"rm /etc/geospace-monitor/bad.yaml; systemctl reset-failed {MAIN}@bad")

    def test_backup_by_root_leaves_the_store_to_the_daemon(self, stream: Stream) -> None:
        """Running and stopped: what SQLite makes beside the store must not belong to root afterwards."""
        stream.machine.run(f"geospace-monitor backup -c {CONFIG} -o /srv/running.sqlite")
        stream.machine.run(f"systemctl stop {UNIT}")
        stream.machine.run(f"geospace-monitor backup -c {CONFIG} -o /srv/stopped.sqlite")
        stream.machine.run(f"systemctl start {UNIT}")
        owners = stream.machine.run("stat -c %U /var/lib/geospace-monitor/stream/*").stdout.split()
        assert set(owners) == {"geospace-monitor"}


class TestReload:
    def test_bad_configuration_keeps_the_old_one_and_says_so(self, stream: Stream) -> None:
        before = stream.pid()
        stream.configure({**stream.document, "pairs": ["NUR-TAR", "NOWHERE"]})
        try:
            with stream.flowing():
                assert stream.machine.run(f"systemctl reload {UNIT}", check=False).returncode != 0
                stream.machine.eventually(
                    lambda: stream.metric("geospace_config_last_reload_successful") == 0, 60.0, "nothing said"
                )
            assert stream.pid() == before
            assert stream.is_up()
            assert "configuration" in stream.machine.show(UNIT, "StatusText")["StatusText"]
            assert re.search(r"stream\.yaml:\d+:\d+: .*NOWHERE", stream.machine.journal(UNIT))
            assert stream.metric("geospace_pair_info", pair="TAR-BRZ") == 1
        finally:
            stream.configure(stream.document)

    def test_good_configuration_is_taken_up(self, stream: Stream) -> None:
        before = stream.pid()
        stream.configure({**stream.document, "pairs": ["NUR-TAR", "TAR-BRZ", "NUR-BRZ"]})
        with stream.flowing():
            stream.machine.run(f"systemctl reload {UNIT}")
            stream.machine.eventually(
                lambda: stream.metric("geospace_pair_info", pair="NUR-BRZ") == 1, 60.0, "no third pair"
            )
        assert stream.metric("geospace_config_last_reload_successful") == 1
        assert stream.pid() == before
        stream.configure(stream.document)
        stream.machine.run(f"systemctl reload {UNIT}")
        stream.machine.eventually(
            lambda: stream.metric("geospace_pair_info", pair="NUR-BRZ") is None, 60.0, "still a third pair"
        )
        assert stream.pid() == before


class TestUpgraded:
    """The new release is the same program under another version; it is installed without any network."""

    def test_new_release_is_beside_the_old_one_and_in_force(self, stream: Stream) -> None:
        machine = stream.machine
        machine.run("systemd/install.sh --fetch /srv/wheels", outside_network=True, timeout_s=300.0)
        old = machine.run(f"readlink {VENV}").stdout.strip()
        pids = stream.pid(), machine.show(MAIN, "MainPID")["MainPID"]
        machine.run("echo '# ours' >> /etc/geospace-monitor/config.yaml")
        machine.run("sed -i 's/^__version__ = .*/__version__ = \"99.0\"/' monitor/__init__.py")
        machine.run("echo '# a new key' >> config.yaml")
        self._refused_without_libraries(machine)
        self._refused_for_a_bad_configuration(machine, old)
        with stream.flowing():
            said = machine.run("systemd/install.sh --wheels /srv/wheels", timeout_s=400.0).stdout
        assert "+# a new key" in said
        assert machine.run("tail -n 1 /etc/geospace-monitor/config.yaml").stdout == "# ours\n"
        assert f"restarting {UNIT}.service" in said
        assert machine.run("geospace-monitor --version").stdout == "geospace-monitor 99.0\n"
        assert stream.metric("geospace_build_info", version="99.0") == 1
        assert stream.pid() != pids[0]
        assert machine.show(MAIN, "MainPID")["MainPID"] != pids[1]
        assert machine.inside(old).is_dir()

    @staticmethod
    def _refused_without_libraries(machine: Machine) -> None:
        """The machine's own network reaches nothing; what was begun is taken away."""
        tried = machine.run("PIP_RETRIES=0 systemd/install.sh", check=False)
        assert tried.returncode == 1
        assert "without a network use --wheels DIR" in tried.stdout
        assert machine.run("ls /opt/geospace-monitor/releases | wc -l").stdout == "1\n"

    @staticmethod
    def _refused_for_a_bad_configuration(machine: Machine, old: str) -> None:
        """It is asked before anything is switched. (The release that is built here is the one that is used later.)"""
        bad = "/etc/geospace-monitor/bad.yaml"
        machine.inside(bad).write_text("pairs: [NOWHERE]\n", encoding="ascii")
        tried = machine.run("systemd/install.sh --wheels /srv/wheels", check=False, timeout_s=400.0)
        assert tried.returncode == 1
        assert f"{bad} is not good for 99.0-" in tried.stdout
        assert machine.run(f"readlink {VENV}").stdout.strip() == old
        machine.inside(bad).unlink()

    def test_roll_back_goes_to_the_release_before(self, stream: Stream) -> None:
        said = stream.machine.run("systemd/install.sh --roll-back").stdout
        assert "99.0" in said
        assert stream.metric("geospace_build_info", version="99.0") is None
        assert stream.is_up()


class TestNothingLost:
    def test_products_are_those_of_a_quiet_run(self, stream: Stream) -> None:
        """After all of it: every pair and time is there, as offline from the same samples, and no id says two things."""
        stream.finish()
        mine = {key: document for key, document in stream.products.items() if key[0] != "NUR-BRZ"}
        assert_agree(mine, stream.expected)
        assert_one_content_per_id(one for one in stream.said if "id" in one)

    def test_labels_are_there_again_after_a_kill_when_nothing_comes(self, stream: Stream) -> None:
        stream.finish()
        stream.machine.eventually(lambda: stream.metric("geospace_flr_label") is not None, 60.0, "no label")
        kill(stream)
        stream.machine.eventually(
            lambda: stream.metric("geospace_flr_label") is not None, 30.0, "it has forgotten"
        )


class TestRemoved:
    def test_data_and_configuration_stay(self, stream: Stream) -> None:
        machine = stream.machine
        machine.run("systemd/install.sh --remove")
        assert machine.run(f"systemctl list-units --all --no-legend '{MAIN}*'").stdout == ""
        assert not machine.inside("/opt/geospace-monitor").exists()
        assert machine.inside(CONFIG).is_file()
        assert machine.inside(stream.document["store"]["path"]).is_file()

    def test_purged_leaves_the_machine_as_it_was(self, stream: Stream, life: dict[str, object]) -> None:
        stream.machine.run("systemd/install.sh --remove --purge")
        # The files of users were written, and say what they said before.
        before = cast("dict[str, str]", life["files"])
        assert changed(before, files(stream.machine)) <= {
            "/etc/passwd",
            "/etc/shadow",
            "/etc/group",
            "/etc/gshadow",
        }
        assert stream.machine.run("cat /etc/passwd /etc/group").stdout == life["users"]
        assert "geospace" not in stream.machine.run("ls /etc/credstore").stdout
