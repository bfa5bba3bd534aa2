"""The worked example of a plugin: its two files are written, checked, installed and switched on as the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs_kit import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "write-a-plugin.md"
PARTS = {
    block.before.removeprefix("<!-- plugin: ").removesuffix(" -->"): block.text
    for block in blocks(PAGE)
    if block.before.startswith("<!-- plugin: ")
}
DECODE = """
import sys
from monitor.decoders.base import checked
from monitor.plugins import Surroundings, installed
from monitor.types import SECOND_NS, Message

registry = installed()
decoder = registry.make("decoder", "hut_csv", {"step_s": 1.0}, Surroundings("hut_csv"))
message = Message("hut/nur/csv", b"2017-09-07 08:00:00,14980.12,1245.30,", 1_504_771_210 * SECOND_NS)
(block,) = checked(decoder.decode(message), message)
print(block.source, block.components, block.values.tolist(), "hut_csv" in sys.modules)
registry.close()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example is installed by pip."""
    folder = tmp_path_factory.mktemp("plugin")
    source, site = folder / "hut-logger", folder / "site"
    source.mkdir()
    for name in ("pyproject.toml", "hut_csv.py"):
        (source / name).write_text(PARTS[name])
    assert PARTS["install"].split() == ["pip", "install", f"./{source.name}"]
    offline = [
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "-q",
        "--target",
        str(site),
    ]
    _run([sys.executable, "-m", "pip", "install", *offline, f"./{source.name}"], folder)
    return site


def _run(command: list[str], folder: Path, *paths: Path) -> str:
    searched = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(searched)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_example_has_forty_lines() -> None:
    lines = PARTS["hut_csv.py"].splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


def test_example_passes_the_check_that_the_page_shows(site: Path) -> None:
    assert _run([sys.executable, "-c", PARTS["check"]], site.parent, site) == "good\n"


def test_example_is_found_and_decodes_in_a_process_of_its_own(site: Path) -> None:
    printed = _run([sys.executable, "-c", DECODE], site.parent, site)
    assert printed == "NUR ('X', 'Y', 'Z') [[14980.12], [1245.3], [nan]] False\n"


def test_configuration_that_switches_it_on_is_good(site: Path) -> None:
    config = site.parent / "config.yaml"
    config.write_text(PARTS["config.yaml"])
    program = Path(sys.executable).parent / "geospace-monitor"
    assert "good (1 pairs" in _run([str(program), "check-config", "-c", str(config)], site.parent, site)
    config.write_text(PARTS["config.yaml"].replace("step_s: 1.0", "step_s: fast"))
    with pytest.raises(AssertionError, match=r"config\.yaml:2:.*found fast"):
        _run([str(program), "check-config", "-c", str(config)], site.parent, site)
