"""What a daemon needs only where something special is asked of it does not hold up its start."""

from __future__ import annotations

import subprocess
import sys


def test_start_imports_nothing_that_only_training_or_traced_lines_need() -> None:
    program = "import sys, monitor.cli, monitor.daemon.runtime; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "monitor.daemon.runtime" in imported
    late = {
        "scipy.optimize",
        "scipy.interpolate",
        "scipy.stats",
        "scipy.signal",
        "geopack",
        "xgboost",
        "torch",
    }
    assert not late & imported
