"""Write the report of the fault tests from what they measured.

    pytest tests/faults --full --findings build/faults/findings.jsonl
    python tests/faults/report.py build/faults/findings.jsonl -o docs/reports/faults

A line of findings is a JSON object with `test`, `full` and `seed`, and whatever else the test measured. A test that ran
again replaces what it found before. Figures that are long lists of numbers become a picture.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ABOUT = ("test", "full", "seed")
_SERIES = 8


@dataclass(frozen=True)
class Claim:
    """A guarantee, the test module that proves it, and the figures that say most."""

    guarantee: str
    module: str
    figures: tuple[str, ...]


_UNHARMED = ("lost_samples", "wrong_samples", "differing_products", "contradicting_ids")
CLAIMS = (
    Claim(
        "A daemon killed or frozen at any instant loses no sample, says the same in the end, and gives no id twice",
        "test_kills",
        ("kills", "freezes", "messages", *_UNHARMED),
    ),
    Claim(
        "A broker that is killed loses no more than its settings say; what it lost stands as gaps",
        "test_broker_kills",
        ("broker_kills", "lost_beyond_the_window", "oldest_lost_s", "noticed_in_the_log", "windows_with_gap"),
    ),
    Claim("A bad line changes nothing", "test_lines", ("connections", "corrupted_bytes", *_UNHARMED)),
    Claim("A wrong wall clock changes no window", "test_clocks", ("clock_steps", *_UNHARMED)),
    Claim(
        "Overload sheds nothing that was acknowledged, in bounded memory",
        "test_load",
        ("overload_s", "messages", "lost", "start_MB", "peak_MB", "last_lag_s"),
    ),
    Claim(
        "A full disk stops the intake, loses nothing and says so",
        "test_disk",
        ("rounds", "kills", "products"),
    ),
    Claim("A hostile sender harms none of its neighbours", "test_hostile", ("shots", "unanswered")),
    Claim(
        "Thirty days leave memory, files, threads and tasks as they were",
        "test_soak",
        ("days", "slope_MB_a_day", "descriptors", "threads", "tasks"),
    ),
    Claim("Who may not connect is refused, and the service goes on", "test_security", ()),
    Claim(
        "Slow and broken HTTP clients do not disturb",
        "test_http_hostile",
        ("connections", "scrapes", "scrapes_failed"),
    ),
    Claim(
        "Decoders and configuration give blocks or an error, whatever the bytes",
        "test_volume",
        ("payloads", "inputs", "crashes"),
    ),
)


Finding = Mapping[str, Any]


def read_findings(path: Path) -> list[Finding]:
    """The newest line of every test, in the order of the file."""
    newest: dict[str, Finding] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        finding = json.loads(line)
        newest[finding["test"]] = finding
    return list(newest.values())


def by_module(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings by the name of their test module."""
    modules: dict[str, list[Finding]] = {}
    for finding in findings:
        modules.setdefault(Path(finding["test"].partition("::")[0]).stem, []).append(finding)
    return modules


def document(findings: Sequence[Finding], command: str, pictures: Mapping[str, str]) -> str:
    """The report in Markdown; `pictures` are file names by test."""
    modules = by_module(findings)
    full = all(finding["full"] for finding in findings)
    lines = [
        "# What was broken, and what came of it",
        "",
        "Written by `python tests/faults/report.py`; do not edit. Measured with:",
        "",
        "```",
        command,
        "```",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. "
        + ("Full forms." if full else "**Some of these are short forms.**")
        + " Every figure is of one run; the seed beside a test repeats its faults.",
        "",
        "| guarantee | test | what it measured |",
        "|---|---|---|",
        *(_claim_row(claim, modules) for claim in CLAIMS),
        "",
    ]
    for module, found in modules.items():
        lines += _section(module, found, pictures)
    return "\n".join(lines)


def machine() -> str:
    """One line about the machine."""
    cores = os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def _claim_row(claim: Claim, modules: Mapping[str, Sequence[Finding]]) -> str:
    found = modules.get(claim.module)
    said = "not run" if found is None else "; ".join(_summed(claim.figures, found)) or "see below"
    return f"| {claim.guarantee} | `{claim.module}` | {said} |"


def _summed(names: Sequence[str], findings: Sequence[Finding]) -> list[str]:
    """Of several tests: the sum of what is counted, the largest of what is measured."""
    said = []
    for name in names:
        values = [finding[name] for finding in findings if name in finding]
        if values:
            counted = all(isinstance(value, int) for value in values)
            said.append(f"{_words(name)} {_value(sum(values) if counted else max(values))}")
    return said


def _section(module: str, found: Sequence[Finding], pictures: Mapping[str, str]) -> list[str]:
    lines = [f"## `{module}`", "", first_line(module), ""]
    for finding in found:
        name = finding["test"].partition("::")[2]
        scale = "full" if finding["full"] else "short"
        lines += [f"**{_words(name.removeprefix('test_'))}** ({scale} form, seed {finding['seed']})", ""]
        lines += ["| figure | value |", "|---|---|"]
        lines += [
            f"| {_words(key)} | {_value(value)} |"
            for key, value in finding.items()
            if key not in _ABOUT and key not in series_of(finding)
        ]
        lines.append("")
        if finding["test"] in pictures:
            lines += [
                f"![{_words(name).removeprefix('test ')}]({pictures[finding['test']]})",
                "",
                "*Synthetic: simulated samples; the readings are evenly spaced over the run.*",
                "",
            ]
    return lines


def first_line(module: str) -> str:
    """What the docstring of a test module begins with; "" where the module is not found."""
    for path in sorted(HERE.parent.glob(f"*/{module}.py")):
        return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    return ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(key))}: {_value(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def series_of(finding: Finding) -> dict[str, list[float]]:
    """The figures that are long lists of numbers: they say more as a picture."""
    return {
        name: value
        for name, value in finding.items()
        if isinstance(value, list)
        and len(value) >= _SERIES
        and all(isinstance(one, int | float) for one in value)
    }


def draw(series: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw each series in a panel of its own, over the number of the reading."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(len(series), 1, squeeze=False, figsize=(8, 1 + 2 * len(series)))
    for panel, (name, values) in zip(panels[:, 0], series.items(), strict=True):
        panel.plot(range(len(values)), values, linewidth=1.2)
        panel.set_ylabel(_words(name))
        panel.set_xlabel("reading, from the begin to the end of the run")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("findings", type=Path, help="what the tests wrote with --findings")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the report")
    arguments = parser.parse_args()
    findings = read_findings(arguments.findings)
    arguments.output.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for finding in findings:
        if series := series_of(finding):
            name = f"{finding['test'].partition('::')[2].removeprefix('test_')}.png"
            draw(series, arguments.output / name)
            pictures[finding["test"]] = name
    whole = all(finding["full"] for finding in findings)
    short = f"pytest tests/faults tests/fuzz --findings {arguments.findings}"
    command = "make prove-faults" if whole else short
    text = document(findings, command, pictures)
    (arguments.output / "report.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
