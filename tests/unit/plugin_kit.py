"""A small distribution of plugins, installed into a directory as pip does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

MARK = """
from pathlib import Path
Path(__file__).with_suffix(".imported").write_text("")
"""
"""At the top of a module: an import leaves a file behind."""


def install(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    points: Mapping[str, Mapping[str, str]],
    version: str = "1.0",
) -> Path:
    """Write a distribution with modules, by name, and entry points, by group; return the folder for `sys.path`."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, entries in points.items()
        for line in (f"[geospace_monitor.{group}]", *(f"{key} = {value}" for key, value in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(MARK + dedent(text))
    return folder


def was_imported(folder: Path, module: str) -> bool:
    """Whether a module of `install` has been imported since the last time of asking."""
    mark = folder / f"{module}.imported"
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found
