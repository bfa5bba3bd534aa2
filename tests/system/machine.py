"""A Debian machine in namespaces of its own: real systemd as process 1, its own network, gone with the test.

It shares the kernel and nothing else. Whatever ends the tests ends it: the first process dies with its parent, all
others with the first, and mounts, files and network with the last. What is left then is an empty cgroup.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bare_root import BUILD, bare_root, cache

PROGRAMS = ("unshare", "nsenter", "setpriv", "mmdebstrap")
SOURCES = "/usr/src/geospace-monitor"
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net")
_OWN_CA = "/etc/ssl/certs/ca-of-the-host.crt"
_GROUP = "geospace-monitor-machine"
_BOOT = Path(__file__).with_name("boot.sh")
_REPOSITORY = Path(__file__).resolve().parents[2]


def why_not() -> str | None:
    """Why no machine can be had here, in words; None where it can."""
    if os.geteuid() != 0:
        return "only root can make the namespaces of a machine"
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    if _cgroups() is None:
        return "there is no cgroup v2 here"
    tried = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        return f"namespaces are not to be had here ({tried.stderr.strip()})"
    try:
        _cgroups_of(os.getpid()).mkdir()
    except OSError as error:
        return f"cgroups cannot be made here ({error.strerror})"
    _cgroups_of(os.getpid()).rmdir()
    return None


class Machine:
    """A machine that runs from `start` to `end`; what it writes is in memory."""

    def __init__(self) -> None:
        for left in _cgroups_of(os.getpid()).parent.glob(f"{_GROUP}-*"):
            _remove(left)
        self._group = _cgroups_of(os.getpid())
        self._process: subprocess.Popen[bytes] | None = None
        self._first = 0

    def start(self) -> None:
        """Boot, and wait until all of it is up."""
        folders = (bare_root(), cache("machine"), cache("apt"), cache("pip"))
        self._group.mkdir(exist_ok=True)
        with (BUILD / "console").open("wb") as console:
            # The shell moves itself: everything after it begins in that group.
            moved = [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "sh",
                "-c",
                'echo $$ >"$0/cgroup.procs" && exec "$@"',
                self._group,
            ]
            apart = ["unshare", *_NAMESPACES, "--fork", "--kill-child=KILL"]
            self._process = subprocess.Popen(
                [str(word) for word in (*moved, *apart, _BOOT, *folders)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self.eventually(self._is_up, 60.0, "the machine does not boot")
        self._bring_in()

    def _bring_in(self) -> None:
        """The sources as a checkout has them, the name servers, and whom this machine trusts."""
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=_REPOSITORY,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            source, place = _REPOSITORY / name, self.inside(SOURCES) / name
            if source.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place)
        shutil.copy("/etc/resolv.conf", self.inside("/etc/resolv.conf"))
        self.inside("/etc/hosts").write_text(
            "127.0.0.1 localhost\n", encoding="ascii"
        )  # Debian's installer does it
        with contextlib.suppress(FileNotFoundError):
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.inside(_OWN_CA))

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (BUILD / "console").read_text(errors="replace")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._first = int(children[0])
        if Path(f"/proc/{self._first}/comm").read_text().strip() != "systemd":
            return False
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        assert state != "degraded", self.run("systemctl --failed").stdout
        return state == "running"

    def inside(self, path: str) -> Path:
        """A path of the machine, as this one reaches it (absolute links lead astray)."""
        return Path(f"/proc/{self._first}/root{path}")

    def run(
        self, command: str, *, check: bool = True, outside_network: bool = False, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the shell as root in the folder of the sources; both streams in `stdout`."""
        done = subprocess.run(
            self.entering(command, outside_network=outside_network),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout[-6000:]}"
        return done

    def entering(self, command: str, *, outside_network: bool = False) -> list[str]:
        """The words that run `command` in the machine; with this machine's network where it has to download."""
        network = [] if outside_network else ["--net"]
        entered = [
            "nsenter",
            "--target",
            str(self._first),
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            *network,
        ]
        environment = {
            "HOME": "/root",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        environment |= _of_this_network() if outside_network else {}
        if outside_network and self.inside(_OWN_CA).exists():
            environment["PIP_CERT"] = _OWN_CA
        words = [f"{name}={value}" for name, value in environment.items()]
        return [*entered, "env", "-i", *words, "bash", "-euc", f"cd {SOURCES}\n{command}"]

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        text = self.run(f"systemctl show {unit} --property {','.join(names)}").stdout
        return dict(line.split("=", 1) for line in text.splitlines())

    def journal(self, unit: str) -> str:
        return self.run(f"journalctl --no-pager --output cat --unit {unit}").stdout

    def eventually(
        self, condition: Callable[[], bool], timeout_s: float, words: str, unit: str | None = None
    ) -> None:
        """Wait until `condition` holds; fail with `words`, and with what `unit` has to say."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                said = f"systemctl --no-pager status {unit}; journalctl --no-pager --unit {unit} | tail -n 60"
                shown = "" if unit is None else self.run(said, check=False).stdout
                raise AssertionError(f"{words}, not within {timeout_s:g} s\n{shown}")
            time.sleep(0.1)

    def end(self) -> None:
        """Pull the plug, and clear away."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
        deadline = time.monotonic() + 30
        while not _remove(self._group):
            assert time.monotonic() < deadline, "processes of the machine do not end"
            time.sleep(0.05)


def _remove(group: Path) -> bool:
    """Remove a cgroup and those in it, as far as no process is in them; whether it is gone."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def _cgroups() -> Path | None:
    """Where cgroup v2 is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def _cgroups_of(pid: int) -> Path:
    place = _cgroups()
    assert place is not None
    return place / f"{_GROUP}-{pid}"


def _of_this_network() -> dict[str, str]:
    """How this machine reaches the indices: proxies, and a mirror where pip is set to one."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
    found = {
        name: value for each in names for name in (each, each.lower()) if (value := os.environ.get(name))
    }
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        found.setdefault("PIP_INDEX_URL", asked.stdout.strip())
    return found
