"""The program of a plugin's process: bounds itself, ends with its parent, then serves one plugin.

Run as a script, so that the bounds are there before anything else is imported: `inside.py SOCKET PARENT MEMORY`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 512
_FIRST_TO_GO = "500"


def bound(parent: int, memory_bytes: int) -> None:
    """Let the kernel end this process with its parent, write no core, and take no more than its share."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It was gone before we asked.
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, wanted in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_NOFILE, _OPEN_FILES)):
        hard = resource.getrlimit(limit)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (most, most))
    try:
        # Where memory runs out, this process goes before the monitor.
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123  (nothing is imported yet)
            score.write(_FIRST_TO_GO)
    except OSError:
        pass


if __name__ == "__main__":
    number, parent_pid, memory = (int(argument) for argument in sys.argv[1:])
    bound(parent_pid, memory)

    from monitor.plugins.cage.serving import serve

    serve(number)
