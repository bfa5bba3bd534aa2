"""The page in a real browser: a daemon that was fed a morning, and Chromium without a window."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import PAIRS, T0_NS, DaemonProcess, Feeder, chain_blocks, closing, eventually, write_config
from mqtt_kit import Mosquitto
from playwright.sync_api import Browser, Page, sync_playwright

from monitor.demo.craft import simulated_craft
from monitor.types import SECOND_NS, SampleBlock

CRAFT = "MMS1"
MINUTES = 60
PATIENCE_MS = 30_000
VIEWS = ("now", f"pair/{PAIRS[1]}", f"craft/{CRAFT}", "health")


class Shown:
    """A page that is open, with what its browser complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _hear(self, kind: str, text: str) -> None:
        # That the daemon is away is said by the page itself; the browser says it too.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.complaints.append(text)

    def open(self, view: str) -> Page:
        """Go to a view, and wait until it shows something."""
        self.page.goto(f"{self.url}/#/{view}")
        self.page.wait_for_selector("#view > *")
        if view.startswith(("pair", "craft")):
            self.page.wait_for_selector("html[data-drawn]")
        return self.page


def find_chromium() -> str | None:
    """The browser's program, where it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window, for as long as the context lasts."""
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        # Whoever runs tests as root has no sandbox for the browser.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Shown]:
    """A page of a browser that knows nothing yet."""
    context = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **options})
    try:
        yield Shown(context.new_page(), url)
    finally:
        context.close()


def morning(begin_minute: int, end_minute: int) -> list[SampleBlock]:
    """Samples of the chain and of the spacecraft in these minutes, in the order of time."""
    begin_ns, end_ns = (T0_NS + minute * 60 * SECOND_NS for minute in (begin_minute, end_minute))
    ground = [block for block in chain_blocks(end_minute) if block.t0_ns >= begin_ns]
    space = [
        block
        for start in range(begin_ns, end_ns, 60 * SECOND_NS)
        for block in simulated_craft(T0_NS).blocks(start, start + 60 * SECOND_NS)
    ]
    return sorted([*ground, *space], key=lambda block: block.t0_ns)


@contextlib.contextmanager
def fed_daemon(broker: Mosquitto, folder: Path) -> Iterator[DaemonProcess]:
    """A daemon that has taken in a morning of a chain and of a spacecraft."""
    config = write_config(
        folder / "page.yaml",
        broker.url,
        chains={"emma": list(PAIRS)},
        craft=[CRAFT],
    )
    with DaemonProcess(config) as daemon:
        with closing(Feeder(broker.port)) as feeder:
            feeder.send(morning(0, MINUTES))
            feeder.flush()
        eventually(lambda: has_come(daemon, MINUTES), 60.0, lambda: daemon.log)
        yield daemon


def has_come(daemon: DaemonProcess, minute: int) -> bool:
    """Whether the windows up to a minute of the morning are there."""
    status = daemon.status()
    known = [*status["pairs"].values(), *status["regions"].values()]
    # The newest windows may still wait for what belongs to them.
    wanted_ns = T0_NS + (minute - 10) * 60 * SECOND_NS
    return all(one is not None and _time_ns(one["time"]) >= wanted_ns for one in known)


def _time_ns(text: str) -> int:
    from monitor.decoders.base import parse_time_ns

    return parse_time_ns(text)
