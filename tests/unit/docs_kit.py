"""What the pages tell an operator to type: whether the program, its metrics, topics and paths know it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor import cli
from monitor.config import Config
from monitor.config.topics import filters_overlap
from monitor.decoders.native import NativeDecoder
from monitor.io.metrics import Metrics
from monitor.types import SECOND_NS, Message, Surroundings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
OUTPUT = "geospace/v1"
HTTP_PATHS = (
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/status",
    "/api/latest",
    "/api/events",
    "/hapi/catalog",
)
KINDS = ("flr", "spectrum", "profile", "plasmapause", "region", "event", "health", "status")
VERBS = ("start", "stop", "restart", "reload", "status", "enable", "disable", "edit", "cat", "reset-failed")
# Blocks below these marks are taken at their word by other tests, which type them.
TYPED = {
    "<!-- backup -->": "integration/test_restore.py",
    "<!-- restore -->": "integration/test_restore.py",
    "<!-- plugin: install -->": "unit/test_docs_plugin.py",
}
UNITS = ("geospace-monitor", "mosquitto", "prometheus", "prometheus-alertmanager", "grafana-server")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, what it holds, the line before its fence, and where it stands."""

    language: str
    text: str
    before: str
    place: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = []
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        above = text[: match.start()].rstrip("\n")
        place = f"{page.name}:{above.count(chr(10)) + 2}"
        found.append(Block(match[1], match[2], above.rpartition("\n")[2], place))
    return found


def section(page: Path, heading: str) -> str:
    """Text below a heading, down to the next one of its level or above."""
    text = page.read_text(encoding="utf-8")
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match is not None, f"{page.name} has no section {heading}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def rows(text: str) -> list[list[str]]:
    """Cells of all tables of a text, without their headings."""
    found: list[list[str]] = []
    for block in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        lines = [line.strip().strip("|").split("|") for line in block.splitlines()]
        assert len({len(line) for line in lines}) == 1, f"ragged table: {block}"
        found += [[cell.strip() for cell in line] for line in lines[2:]]
    return found


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def known_metrics() -> set[str]:
    """Names of all series families, as a query would write them, without those of a histogram's parts."""
    return {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        for family in Metrics().registry.collect()
    }


def recorded_series() -> set[str]:
    """Names of what the shipped rules record."""
    return {
        name
        for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")
        for name in re.findall(r"- record: (\S+)", path.read_text(encoding="utf-8"))
    }


def assert_queries_metrics(text: str) -> None:
    """Every metric of ours in the text exists."""
    known = known_metrics() | recorded_series()
    named = set(re.findall(r"\b(?:\w+:)?geospace_\w+(?::\w+)?", text))
    assert {
        re.sub(r"_(bucket|count|sum)$", "", name) if name not in known else name for name in named
    } <= known


def command_lines(text: str) -> list[list[str]]:
    """Words of each command of a shell block, comments left out and continued lines joined."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", "").splitlines()]
    return [words for words in lines if words]


def assert_command_is_taken(words: Sequence[str]) -> None:
    """Whoever types this line gets further: command, option, target, file, topic and path exist."""
    match words:
        case ["sudo", *rest]:
            assert_command_is_taken(rest)
        case ["make", target, *_]:
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        case [program, *rest] if program.endswith("geospace-monitor"):
            assert cli._parser().parse_args(rest).command is not None
        case ["mosquitto_pub", *rest]:
            _assert_decoded(rest)
        case ["mosquitto_sub", *rest]:
            assert all(is_known_topic(topic) for topic in _options(rest)["-t"])
        case ["systemctl", verb, *units]:
            assert verb in VERBS
            assert units
            assert {unit.partition("@")[0] for unit in units} <= set(UNITS)
        case ["journalctl", *rest]:
            assert rest[rest.index("-u") + 1].partition("@")[0] in UNITS
        case ["curl", "-s", url]:
            assert re.fullmatch(r"http://127\.0\.0\.1:9464(/.*)", url)
            assert url.removeprefix("http://127.0.0.1:9464") in HTTP_PATHS
        case ["promtool", "query", "instant", "http://127.0.0.1:9090", query]:
            assert_queries_metrics(query)
        case ["promtool", "check" | "test", "rules", *rest]:
            for pattern in rest:
                assert pattern.startswith("--lint=") or list(ROOT.glob(pattern)), pattern
        case ["amtool", *rest]:
            assert rest[0] in ("alert", "silence", "check-config")
        case ["systemd/install.sh", *options]:
            usage = (ROOT / "systemd" / "install.sh").read_text(encoding="utf-8")
            assert all(f"{option} " in usage for option in options if option.startswith("-"))
        case ["python", script, *_]:
            assert (ROOT / script).is_file()
        case ["pytest", *files]:
            assert all((ROOT / file).is_file() for file in files)
        case ["install", "-D", "-m", "644", "-t", folder, *patterns]:
            assert folder.startswith("/")
            assert all(list(ROOT.glob(pattern)) for pattern in patterns)
        case ["sed", "-i", script, path]:
            shipped = ROOT / "deploy" / "grafana" / path.removeprefix("/etc/grafana/")
            assert script.split("#")[1] in shipped.read_text(encoding="utf-8")
        case _:
            raise AssertionError(f"nobody checks {words[0]}")


def is_known_topic(topic: str) -> bool:
    """Whether a topic filter takes in something that the daemon reads or publishes."""
    known = [*(entry.topic for entry in Config().inputs), *(f"{OUTPUT}/{kind}/#" for kind in KINDS)]
    return any(filters_overlap(topic, one) for one in known)


def _options(words: Sequence[str]) -> dict[str, list[str]]:
    """Values by option; switches have none."""
    found: dict[str, list[str]] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            found.setdefault(word, []).append(following)
    return found


def _assert_decoded(words: Sequence[str]) -> None:
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options["-q"] == "1"
    message = Message(options["-t"], options["-m"].encode(), 1_800_000_000 * SECOND_NS)
    assert NativeDecoder(NativeDecoder.Options(), Surroundings("native")).decode(message)
