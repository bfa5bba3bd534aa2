"""The page in a real Chromium against a running daemon: what it draws, how it stays true, and what it does not run."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from daemon_kit import PAIRS, ROOT, DaemonProcess, Feeder, closing, eventually
from mqtt_kit import Mosquitto
from page_kit import CRAFT, MINUTES, VIEWS, Shown, chromium, fed_daemon, has_come, morning, opened
from playwright.sync_api import Browser, Page, Route

from monitor.io.http.page import CONTENT_SECURITY_POLICY, page_files

PAIR = PAIRS[1]
LARGEST_BYTES = 300_000
HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>"\'>'
# How many pixels of a canvas are neither empty nor of one colour: an image of something.
COLORS = """(canvas) => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3]) seen.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
  return seen.size;
}"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    running = Mosquitto(tmp_path_factory.mktemp("broker"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def daemon(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with fed_daemon(broker, tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def shown(browser: Browser, daemon: DaemonProcess) -> Iterator[Shown]:
    """A page; the browser has nothing to complain of."""
    with opened(browser, daemon.url) as page:
        yield page
        assert page.complaints == []


def colors_of(page: Page, title: str) -> int:
    """How many colours the panel of this title has."""
    canvas = page.locator(".panel", has=page.locator("h2", has_text=re.compile(title))).locator("canvas")
    found: int = canvas.evaluate(COLORS)
    return found


class TestViews:
    def test_now_shows_what_the_status_says_of_every_pair_and_spacecraft(
        self, shown: Shown, daemon: DaemonProcess
    ) -> None:
        page = shown.open("now")
        page.wait_for_selector("tbody tr")
        status = daemon.status()
        rows = page.locator(".now table tbody tr")
        assert rows.count() == len(PAIRS)
        for name in PAIRS:
            row = rows.filter(has_text=name).inner_text()
            assert status["pairs"][name]["label"] in row
            assert status["pairs"][name]["time"][11:16] in row
        assert page.locator(".dial .marker").count() == len(PAIRS)
        item = page.locator(".crafts li", has_text=CRAFT).first.inner_text()
        assert status["regions"][CRAFT]["label"] in item
        assert page.locator(".path .here").inner_text() == status["regions"][CRAFT]["label"]
        assert "plasmapause" in page.locator("figcaption").inner_text()

    def test_pair_draws_spectrogram_and_reads_the_stored_values_under_the_cursor(
        self, shown: Shown, daemon: DaemonProcess
    ) -> None:
        page = shown.open(f"pair/{PAIR}")
        for title in ("Cross-phase", "Amplitude ratio", "Coherence"):
            assert colors_of(page, title) > 50, title
        for title in ("Label", "Class probabilities", "Coverage", "Mass density"):
            assert colors_of(page, title) > 2, title
        over = page.locator(".panel", has_text="Cross-phase").locator(".u-over")
        box = over.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] * 0.6)
        page.wait_for_function("document.querySelector('.readout').textContent.includes('window to')")
        said = page.locator(".readout").inner_text()
        end = re.search(r"window to (\d\d:\d\d)", said)
        assert end is not None
        document = next(
            one for (pair, time), one in stored(daemon).items() if pair == PAIR and time[11:16] == end[1]
        )
        assert document["label"] in said
        if document["frequency_mHz"] is not None:
            assert f"{document['frequency_mHz']:.1f}" in said
        assert re.search(r"mHz: -?[\d.]+°, ratio [\d.]+, coherence [\d.]+", said)

    def test_spacecraft_draws_measurements_and_the_activation_map_of_a_window(self, shown: Shown) -> None:
        page = shown.open(f"craft/{CRAFT}")
        for title in ("Region", "Probabilities", "Quality", "Magnetic field", "Ion density", "Ion velocity"):
            assert colors_of(page, title) > 2, title
        box = page.locator(".panel", has_text="Magnetic field").locator(".u-over").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 40)
        page.wait_for_selector(".cam .cells i")
        assert page.locator(".cam .cells i").count() == 40
        weights = page.locator(".cam .cells i").evaluate_all("cells => cells.map(cell => Number(cell.title))")
        assert 0.0 < max(weights) <= 1.0
        assert re.search(r"Bx -?[\d.]+", page.locator(".readout").inner_text())

    def test_health_lists_sources_models_and_refusals(self, shown: Shown, daemon: DaemonProcess) -> None:
        page = shown.open("health")
        page.wait_for_selector("tbody tr")
        text = page.locator("#view").inner_text()
        status = daemon.status()
        for name in status["sources"]:
            assert name in text
        for model in status["models"].values():
            assert model in text
        assert status["version"] in text
        card = page.locator("details[data-card=region]")
        card.locator("summary").click()
        assert "(synthetic)" in card.inner_text()
        assert "never been checked on real" in card.inner_text()


def stored(daemon: DaemonProcess) -> dict[tuple[str, str], dict[str, Any]]:
    """The newest revision of every window, by HAPI's side of the server."""
    code, body = daemon.get(f"/hapi/info?dataset={PAIR}/flr")
    assert code == 200, body
    span = json.loads(body)
    code, body = daemon.get(
        f"/hapi/data?dataset={PAIR}/flr&start={span['startDate']}&stop={span['stopDate']}&format=json&include=header"
    )
    assert code == 200, body
    answer = json.loads(body)
    names = [parameter["name"] for parameter in answer["parameters"]]
    found = {}
    for row in answer["data"]:
        document = dict(zip(names, row, strict=True))
        if document["frequency_mHz"] == -1e31:
            document["frequency_mHz"] = None
        found[PAIR, document["Time"]] = document
    return found


class TestTakingAway:
    def test_zoom_is_in_the_address_and_the_address_shows_it_again(self, shown: Shown) -> None:
        page = shown.open(f"pair/{PAIR}?hours=6")
        box = page.locator(".u-over").first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 60, steps=4)
        page.mouse.up()
        page.wait_for_function("location.hash.includes('from=')")
        address = page.evaluate("location.hash")
        page.goto("about:blank")
        page.goto(f"{shown.url}/{address}")
        page.wait_for_selector("html[data-drawn]")
        assert page.evaluate("location.hash") == address
        assert page.locator(".span button[aria-pressed=true]").count() == 0
        page.locator(".u-over").first.dblclick()
        page.wait_for_function("location.hash.includes('hours=')")

    def test_table_and_picture_hold_what_is_shown(self, shown: Shown, daemon: DaemonProcess) -> None:
        page = shown.open(f"pair/{PAIR}")
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV windows").click()
        rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
        expected = stored(daemon)
        assert rows
        for row in rows:
            document = expected[PAIR, row["time"].replace("Z", ".000Z")]
            assert row["label"] == document["label"]
            found = float(row["frequency_mHz"]) if row["frequency_mHz"] else None
            assert found == document["frequency_mHz"]
        with page.expect_download() as download:
            page.get_by_role("button", name="PNG").click()
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")

    def test_now_is_a_table_and_a_picture_too(self, shown: Shown, daemon: DaemonProcess) -> None:
        page = shown.open("now")
        page.wait_for_selector("tbody tr")
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        rows = {
            row["subject"]: row
            for row in csv.DictReader(io.StringIO(Path(download.value.path()).read_text()))
        }
        status = daemon.status()
        assert {name: rows[name]["label"] for name in PAIRS} == {
            name: status["pairs"][name]["label"] for name in PAIRS
        }
        assert rows[CRAFT]["label"] == status["regions"][CRAFT]["label"]
        with page.expect_download() as download:
            page.get_by_role("button", name="PNG").click()
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


class TestLive:
    def test_new_samples_show_without_a_reload_and_so_does_a_restart(
        self, browser: Browser, broker: Mosquitto, daemon: DaemonProcess
    ) -> None:
        with opened(browser, daemon.url) as shown, closing(Feeder(broker.port)) as feeder:
            page = shown.open("now")
            page.wait_for_selector("tbody tr")
            page.evaluate("window.opened = 1")
            page.locator("tbody a", has_text=PAIR).focus()
            before = window_of(page)
            feeder.send(morning(MINUTES, MINUTES + 20))
            feeder.flush()
            page.wait_for_function(
                "(before) => document.querySelector('tbody tr td.window').textContent > before",
                arg=before,
            )
            # Whoever goes by the keyboard is where he was, though all was drawn anew.
            assert page.evaluate("document.activeElement.textContent") == PAIR
            # The daemon goes: the page says so, and everything is grey.
            assert daemon.stop() == 0
            page.wait_for_selector("html.away")
            assert "no word from the daemon" in page.locator("#state").inner_text()
            daemon.start()
            page.wait_for_selector("html:not(.away)")
            # What was said hours ago is over by the wall clock, until something new comes.
            page.wait_for_selector("tbody tr.stale")
            assert "stale" in page.locator("tbody tr.stale td.window").first.inner_text()
            feeder.send(morning(MINUTES + 20, MINUTES + 40))
            feeder.flush()
            eventually(lambda: has_come(daemon, MINUTES + 40), 60.0, lambda: daemon.log)
            page.wait_for_function("document.querySelectorAll('tbody tr.stale').length === 0")
            assert page.evaluate("window.opened") == 1
            assert [text for text in shown.complaints if "ERR_" not in text] == []

    def test_spectrogram_grows_while_it_is_shown(
        self, browser: Browser, broker: Mosquitto, daemon: DaemonProcess
    ) -> None:
        with opened(browser, daemon.url) as shown, closing(Feeder(broker.port)) as feeder:
            page = shown.open(f"pair/{PAIR}?hours=6")
            drawn = page.evaluate("document.documentElement.dataset.drawn")
            feeder.send(morning(MINUTES + 40, MINUTES + 60))
            feeder.flush()
            page.wait_for_function("(drawn) => document.documentElement.dataset.drawn !== drawn", arg=drawn)
            assert colors_of(page, "Cross-phase") > 50


def window_of(page: Page) -> str:
    return page.locator("tbody tr td.window").first.inner_text()


class TestHostile:
    """Whatever a text holds, it is shown as text. The browser's own policy stands behind that."""

    def test_script_in_every_text_of_every_answer_does_nothing(
        self, browser: Browser, daemon: DaemonProcess
    ) -> None:
        def poisoned(value: Any, key: str = "") -> Any:
            if isinstance(value, dict):
                return {
                    f"{name}{HOSTILE}" if key in ("rejected", "models", "queues") else name: poisoned(
                        one, name
                    )
                    for name, one in value.items()
                }
            if isinstance(value, list):
                return [poisoned(one, key) for one in value] or (
                    [HOSTILE] if key in ("reasons", "flags") else []
                )
            # Times are read as times, and names choose what is drawn: all other texts are only shown.
            if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\dT|[a-z]+/", value):
                return value + HOSTILE
            return value

        def spoil(route: Route) -> None:
            answer = route.fetch()
            try:
                body = json.dumps(poisoned(answer.json()))
            except ValueError:
                route.fulfill(response=answer)
                return
            route.fulfill(response=answer, body=body)

        with opened(browser, daemon.url) as shown:
            shown.page.route(re.compile(r"/api/(status|samples)|/hapi/"), spoil)
            for view in VIEWS:
                page = shown.page
                page.goto(f"{daemon.url}/#/{view}")
                page.wait_for_selector("#view > *")
                page.wait_for_timeout(500)
                assert page.evaluate("window.hit") is None
                assert page.locator("img").count() == 0
                assert page.locator("body script").count() == 0
            assert "onerror" in shown.page.locator("body").inner_text()

    @pytest.mark.parametrize("view", ["pair/", "craft/", ""])
    def test_script_in_the_address_does_nothing(self, shown: Shown, view: str) -> None:
        page = shown.page
        page.goto(f"{shown.url}/#/{view}{HOSTILE}?from={HOSTILE}&hours={HOSTILE}")
        page.wait_for_selector("#view > *")
        assert page.evaluate("window.hit") is None
        assert page.locator("img").count() == 0

    def test_script_in_messages_is_shown_as_a_refusal_at_most(
        self, shown: Shown, broker: Mosquitto, daemon: DaemonProcess
    ) -> None:
        before = sum(daemon.status()["rejected"].values())
        with closing(Feeder(broker.port)) as feeder:
            feeder.publish(f"{ROOT}/in/mag/{HOSTILE.replace('/', '')}", b"{}")
            feeder.publish(
                f"{ROOT}/in/craft/{CRAFT}", json.dumps({"start": HOSTILE, "frame": HOSTILE}).encode()
            )
            feeder.publish(
                f"impf/{HOSTILE.replace('/', '')}/pt1s/1/xyzs", json.dumps({"startDate": HOSTILE}).encode()
            )
            feeder.flush()
        eventually(lambda: sum(daemon.status()["rejected"].values()) >= before + 3, 20.0)
        page = shown.open("health")
        page.wait_for_selector("dl")
        assert page.evaluate("window.hit") is None
        assert page.locator("img").count() == 0

    def test_policy_lets_nothing_run_that_is_not_a_file_of_the_page(
        self, browser: Browser, daemon: DaemonProcess
    ) -> None:
        with opened(browser, daemon.url) as shown:
            page = shown.open("now")
            page.evaluate("""() => {
              const script = document.createElement('script');
              try { script.textContent = 'window.hit = 1'; } catch { window.refused = 1; }
              document.body.append(script);
            }""")
            assert page.evaluate("window.hit") is None
            assert any(
                "Content Security Policy" in text or "TrustedScript" in text for text in shown.complaints
            )


class TestForEverybody:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_accessibility_checker_finds_nothing(
        self, browser: Browser, daemon: DaemonProcess, scheme: Any
    ) -> None:
        with opened(browser, daemon.url, color_scheme=scheme, bypass_csp=True) as shown:
            for view in VIEWS:
                page = shown.open(view)
                page.wait_for_timeout(300)
                found = Axe().run(page)
                assert found.violations_count == 0, found.generate_report()

    def test_keyboard_leads_through_the_page(self, shown: Shown) -> None:
        page = shown.open("now")
        page.wait_for_selector("tbody tr")
        seen = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    "(document.activeElement.textContent || document.activeElement.ariaLabel).trim()"
                )
            )
        assert seen[:5] == ["To the content", "Now", "Pair", "Spacecraft", "Health"]
        assert any(name in seen for name in PAIRS)
        page.goto(f"{shown.url}/#/pair/{PAIR}?hours=2")
        page.wait_for_selector("html[data-drawn]")
        page.locator(".u-over").first.focus()
        page.keyboard.press("ArrowDown")
        for _ in range(3):
            page.keyboard.press("Shift+ArrowRight")
        assert "mHz:" in page.locator(".readout").inner_text()
        page.locator("nav a", has_text="Health").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".health")

    def test_phone_needs_no_sideways_scrolling(self, browser: Browser, daemon: DaemonProcess) -> None:
        with opened(browser, daemon.url, viewport={"width": 390, "height": 844}) as shown:
            for view in VIEWS:
                page = shown.open(view)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view

    def test_theme_is_kept(self, shown: Shown) -> None:
        page = shown.open("now")
        assert page.evaluate("document.documentElement.dataset.shown") == "light"
        page.get_by_role("button", name="Change between light and dark").click()
        page.reload()
        page.wait_for_selector("#view > *")
        assert page.evaluate("document.documentElement.dataset.shown") == "dark"


class TestFiles:
    def test_page_is_light_and_asks_nobody_else(self, browser: Browser, daemon: DaemonProcess) -> None:
        asked: list[str] = []
        with opened(browser, daemon.url) as shown:
            shown.page.on("request", lambda request: asked.append(request.url))
            for view in VIEWS:
                shown.open(view)
        assert asked
        assert [url for url in asked if not url.startswith((daemon.url, "blob:", "data:"))] == []
        assert sum(map(len, page_files().values())) < LARGEST_BYTES

    def test_files_come_with_the_policy_and_are_not_sent_twice(self, daemon: DaemonProcess) -> None:
        import urllib.error
        import urllib.request

        with urllib.request.urlopen(f"{daemon.url}/", timeout=5) as answer:
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            tag = answer.headers["ETag"]
        again = urllib.request.Request(f"{daemon.url}/", headers={"If-None-Match": tag})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(again, timeout=5)
        with refused.value as answer:
            assert answer.code == 304
        assert daemon.get("/page/nothing.js")[0] == 404
        assert daemon.get("/page/..%2f..%2fconfig.py")[0] == 404
