"""The commands of docs/install.md, as they stand there: what the page says and what is tested cannot differ."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "install.md"


def blocks(mark: str = "run as root") -> dict[str, str]:
    """Blocks of commands under `<!-- mark -->`, by the heading that they stand under, in the page's order."""
    found: dict[str, str] = {}
    heading = ""
    for match in re.finditer(
        rf"^## (?P<heading>[^\n]+)$|^<!-- {re.escape(mark)} -->\n```bash\n(?P<text>.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    ):
        if match["heading"] is not None:
            heading = match["heading"]
        else:
            assert heading not in found, f"two blocks under {heading}"
            found[heading] = match["text"]
    return found
