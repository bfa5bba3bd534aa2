"""A wall clock that is wrong, and steps while a program runs: libfaketime, steered by a file.

Only the time of day is wrong. The monotonic clock goes on as it does where somebody sets the real clock.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")


def find_library() -> Path | None:
    """The library of the program `faketime` for programs with threads; None where it is not installed."""
    for place in _PLACES:
        for path in sorted(Path("/").glob(f"{place.removeprefix('/')}/libfaketimeMT.so.1")):
            return path
    return None


class FakeClock:
    """The wall clock of all programs that are started with `environment`; skips the test without libfaketime.

    Parameters
    ----------
    directory : Path
        Takes the file that says how wrong the clock is.
    """

    def __init__(self, directory: Path) -> None:
        library = find_library()
        if library is None:
            pytest.skip("libfaketime is not installed (apt install faketime)")
        self._file = directory / "clock"
        self.offset_s = 0
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Look at the file once a second: at every question for the time it would cost more than the program.
            "FAKETIME_CACHE_DURATION": "1",
            # Two names, as versions differ: else every timer would step too.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Waits on the monotonic clock need no help, and its own makes threads of Python wait for ever.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset_s: int) -> None:
        """Step: from now on the clock is so many seconds ahead of the truth, or behind."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._file)  # at once: nobody reads half of it
        self.offset_s = offset_s
