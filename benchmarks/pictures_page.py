"""Takes the documentation's pictures of the page: Chromium looks at the demo (extra `test`: playwright, and matplotlib's Pillow).

    python benchmarks/pictures_page.py [FOLDER]

The demo runs until its plasmapause has crossed a pair; then each view is taken. Without FOLDER the pictures go to
docs/pictures. Nothing is checked.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
DEMO_S = 130
# Seconds into the demo, name, theme, view, height (px), and where the cursor stands: panel and share of its width.
VIEWS = (
    (52.0, "page-now", "light", "now", 640, None),
    (95.0, "page-pair", "light", "pair/OUJ-HAN?hours=24", 900, (0, 0.72)),
    (95.0, "page-craft", "dark", "craft/MMS1?hours=12", 980, (3, 0.32)),
    (95.0, "page-health", "dark", "health", 560, None),
)


def main(arguments: Sequence[str]) -> None:
    """Run the demo, and look at it."""
    folder = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "docs" / "pictures"
    program = Path(sys.executable).parent / "geospace-monitor"
    demo = subprocess.Popen(
        [program, "demo", "--for", str(DEMO_S)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert demo.stdout is not None
        url = next(found[0] for line in demo.stdout if (found := re.search(r"http://\S+", line)))
        began = time.monotonic()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for after_s, name, theme, view, height, cursor in VIEWS:
                time.sleep(max(0.0, began + after_s - time.monotonic()))
                page = browser.new_page(viewport={"width": 1200, "height": height}, color_scheme=theme)
                page.goto(f"{url}/#/{view}")
                page.wait_for_selector("html[data-drawn]" if cursor else "#view > *")
                if cursor:
                    box = page.locator(".u-over").nth(cursor[0]).bounding_box()
                    assert box is not None
                    page.mouse.move(box["x"] + cursor[1] * box["width"], box["y"] + 0.75 * box["height"])
                page.wait_for_timeout(1500)
                page.screenshot(path=folder / f"{name}.png")
                lighten(folder / f"{name}.png")
                print(f"{folder / name}.png")
                page.close()
            browser.close()
    finally:
        demo.terminate()
        demo.communicate()


def lighten(path: Path) -> None:
    """Write a picture again with a palette: a third of the bytes, and the eye sees no difference."""
    with Image.open(path) as picture:
        light = picture.convert("RGB").quantize(192)
    light.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
