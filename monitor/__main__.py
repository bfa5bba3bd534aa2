"""Entry of the command: `geospace-monitor` and `python -m monitor`."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Set what must be set before numpy is imported, then run the command."""
    # Our matrices are small: threads inside the linear algebra only wait for each other, and for the event loop.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from monitor.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
