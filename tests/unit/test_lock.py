"""The lock of the deployment: every library that the daemon needs, once, with a version that fits and hashes."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "deploy" / "requirements.lock"
# What the lock is made for.
TARGET = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "python_version": "3.11",
    "python_full_version": "3.11.7",
}


@dataclass(frozen=True, slots=True)
class Pin:
    name: str
    version: str
    hashes: tuple[str, ...]


def pins() -> dict[str, Pin]:
    """The entries of the lock by name."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        head, *hashes = line.split(" --hash=")
        match = re.fullmatch(r"([a-z0-9-]+)==([0-9a-z.]+)(?: ; .+)?", head.strip())
        assert match is not None, line
        found[match[1]] = Pin(match[1], match[2], tuple(one.strip() for one in hashes))
    return found


def required() -> list[Requirement]:
    """What the daemon asks for, on the machine that the lock is made for."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = [line.strip() for line in setup["options"]["install_requires"].splitlines()]
    asked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [one for one in asked if one.marker is None or one.marker.evaluate(TARGET)]


def test_every_line_names_one_version_by_its_hashes() -> None:
    for pin in pins().values():
        assert pin.hashes, pin.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in pin.hashes), pin.name
    # No index, no link and no file of the machine that made it: a hash is enough wherever the file comes from.
    assert not re.search(
        r"^\s*-[^-]|--index|--find|://|file:", LOCK.read_text(encoding="utf-8"), re.MULTILINE
    )


def test_lock_has_what_the_setup_asks_for_in_a_version_that_it_allows() -> None:
    locked, asked = pins(), required()
    assert len(asked) > 10
    for one in asked:
        pin = locked[canonicalize_name(one.name)]
        assert one.specifier.contains(pin.version), f"{one} is locked as {pin.version}; make lock"


def test_lock_has_what_those_need_and_nothing_else() -> None:
    locked = pins()
    reached: set[str] = set()
    unknown: set[str] = set()
    ahead = [canonicalize_name(one.name) for one in required()]
    while ahead:
        name = ahead.pop()
        if name in reached:
            continue
        reached.add(name)
        assert name in locked, f"{name} is not locked; make lock"
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            unknown.add(name)
            continue
        if installed.version != locked[name].version:
            # Another version may need other things.
            unknown.add(name)
            continue
        needs = [Requirement(line) for line in installed.requires or ()]
        ahead += [
            canonicalize_name(one.name)
            for one in needs
            if one.marker is None or one.marker.evaluate({**TARGET, "extra": ""})
        ]
    if unknown:
        pytest.skip(f"installed in other versions than locked: {', '.join(sorted(unknown))}")
    assert reached == set(locked)
