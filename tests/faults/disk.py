"""A small disk of its own, which a test can fill, write-protect and take away."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """A file system in memory, mounted at `path`; for tests that may mount (root).

    What fills it is a file beside the others, the ballast: `fill` lets it grow until not one page is left.
    """

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "disk-of-a-test", path],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")

    @property
    def free_bytes(self) -> int:
        """What is left."""
        space = os.statvfs(self.path)
        return space.f_bavail * space.f_frsize

    def fill(self, left_bytes: int = 0) -> None:
        """Leave so much, rounded to pages."""
        with self._ballast.open("ab") as ballast:
            while (more := (self.free_bytes - left_bytes) // 4096 * 4096) > 0:
                size = ballast.seek(0, os.SEEK_END)
                with contextlib.suppress(OSError):  # somebody else took some of it meanwhile
                    os.posix_fallocate(ballast.fileno(), size, more)

    def free(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def protect(self, *, writable: bool = False) -> None:
        """Remount it read-only, as a system does with a disk that fails."""
        mode = "rw" if writable else "ro"
        subprocess.run(["mount", "-o", f"remount,{mode}", self.path], capture_output=True, check=True)

    def end(self) -> None:
        """Unmount it, also where something still holds it."""
        subprocess.run(["umount", "-l", self.path], capture_output=True, check=False)
