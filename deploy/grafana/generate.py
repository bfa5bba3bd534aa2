"""Writes the dashboards and the alert rules for Grafana (extra `test` or `dev`: grafana-foundation-sdk).

    python deploy/grafana/generate.py [FOLDER]

Without FOLDER they go beside this file. The rules are those of deploy/prometheus/rules, so that there is one text of each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from boards.craft import craft
from boards.health import health
from boards.now import now
from boards.pair import pair
from boards.rules import provisioned
from grafana_foundation_sdk.cog.encoder import JSONEncoder

HERE = Path(__file__).resolve().parent
RULES = HERE.parent / "prometheus" / "rules"
_HEAD = (
    "# Written by deploy/grafana/generate.py from deploy/prometheus/rules: change those, and write it anew.\n"
)


class _Readable(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _as_block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _as_block)


def main(folder: Path) -> None:
    dashboards, alerting = folder / "dashboards", folder / "provisioning" / "alerting"
    for one in (dashboards, alerting):
        one.mkdir(parents=True, exist_ok=True)
    boards = [now(), pair(), craft(), health()]
    for board in boards:
        text = json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        (dashboards / f"{board.uid}.json").write_text(text + "\n", encoding="utf-8")
    document = provisioned(RULES, boards)
    rules = yaml.dump(document, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=120)
    (alerting / "geospace.yaml").write_text(_HEAD + rules, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
