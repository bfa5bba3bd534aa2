"""A bare Debian root, made once and kept: the smallest variant, systemd, and nothing of ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "system"
SUITE = "bookworm"
PACKAGES = ("systemd", "systemd-sysv", "ca-certificates")
_DEFAULT_MIRROR = "http://deb.debian.org/debian"


def bare_root() -> Path:
    """The root, as a folder that nobody writes into; made by mmdebstrap where it is not there yet.

    mmdebstrap makes what debootstrap makes, in half the time.
    """
    mirror = _mirror()
    key = hashlib.sha256("\n".join([SUITE, mirror, *PACKAGES]).encode()).hexdigest()[:12]
    root = BUILD / f"root-{key}"
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of with the file
        if not root.exists():
            unfinished = BUILD / f"unfinished-{os.getpid()}"
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
            subprocess.run([*command, SUITE, unfinished, mirror], check=True, timeout=600)
            unfinished.rename(root)
    return root


def cache(name: str) -> Path:
    """A folder that is kept between runs: what is downloaded twice is downloaded once."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _mirror() -> str:
    """The mirror that this machine uses itself, where it is a Debian of the same suite."""
    if shutil.which("apt-get") is None:
        return _DEFAULT_MIRROR
    known = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in known.stdout.splitlines():
        address, _, rest = line.partition(" ")
        if rest == f"{SUITE} Debian":
            return address.rstrip("/")
    return _DEFAULT_MIRROR
