"""Who may ask the HTTP server: users, tokens, guessing, and names that are not this machine's."""

from __future__ import annotations

import asyncio
import base64
import logging
import subprocess
from pathlib import Path
from shutil import which

import pytest
from aiohttp import ClientError, ClientSession
from http_kit import Served, ask, serving

from monitor.config.http import Http
from monitor.daemon.secrets import http_credentials
from monitor.io.broker import free_port
from monitor.io.http.access import Credentials

USER, PASSWORD, TOKEN = "prometheus", "päss:wörd-7Qx", "t0ken-Zk4v"
BOTH = Credentials(USER, lambda: PASSWORD, lambda: TOKEN)
PATHS = (
    "/metrics",
    "/readyz",
    "/api/status",
    "/events/0a6d2d3e-5a8b-5c11-9d0e-3f4b5a697788",
    "/",
    "/nothing",
)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


async def status(served: Served, path: str = "/metrics", **fields: str) -> int:
    line = await served.connect()
    return (await ask(line, path, **fields))[0]


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_but_alive_is_said_without_a_password(path: str) -> None:
    async with serving(credentials=BOTH) as served, ClientSession(served.url) as client:
        async with client.get(path) as response:
            assert response.status == 401
            assert response.headers.getall("WWW-Authenticate") == [
                'Basic realm="geospace-monitor", charset="UTF-8"',
                'Bearer realm="geospace-monitor"',
            ]
            assert response.headers["Server"] == "geospace-monitor"
            assert response.headers["Cache-Control"] == "no-store"
        async with client.get("/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok\n")
    assert served.refused == ["credentials"]


async def test_user_or_token_opens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(credentials=BOTH) as served:
        assert await status(served, Authorization=basic(f"{USER}:{PASSWORD}")) == 200
        assert await status(served, Authorization=f"Bearer {TOKEN}") == 200
        assert await status(served, Authorization=f"bearer  {TOKEN} ") == 200
    assert served.refused == []
    assert PASSWORD not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "shown",
    [
        basic(f"{USER}:"),
        basic(f"{USER}:{PASSWORD}x"),
        basic(f"{USER.upper()}:{PASSWORD}"),
        basic(f":{PASSWORD}"),
        basic(TOKEN),
        "Basic ???",
        "Basic",
        "Bearer",
        f"Bearer {PASSWORD}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}{TOKEN}",
        f"Digest {TOKEN}",
        TOKEN,
    ],
)
async def test_wrong_user_password_or_token_is_401(shown: str) -> None:
    async with serving(credentials=BOTH) as served:
        assert await status(served, Authorization=shown) == 401


@pytest.mark.parametrize(
    ("credentials", "shown"),
    [
        (Credentials(token=lambda: TOKEN), basic(f"None:{TOKEN}")),
        (Credentials(token=lambda: TOKEN), basic(f"{USER}:{TOKEN}")),
        (Credentials(USER, lambda: PASSWORD), f"Bearer {PASSWORD}"),
        (Credentials(USER, lambda: PASSWORD), "Bearer None"),
    ],
)
async def test_scheme_that_is_not_configured_opens_nothing(credentials: Credentials, shown: str) -> None:
    async with serving(credentials=credentials) as served:
        assert await status(served, Authorization=shown) == 401


async def test_who_guesses_is_looked_at_no_more_and_others_are(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(credentials=BOTH) as served:
        line, other = await served.connect(), await served.connect(address="127.0.0.2")
        codes = [(await ask(line, Authorization=f"Bearer guess-{n}"))[0] for n in range(60)]
        # Ten at once, and one more for each second that these took.
        assert codes[:10] == [401] * 10
        assert codes.count(429) >= 30
        assert (await ask(other, Authorization=f"Bearer {TOKEN}"))[0] == 200
        # Not for ever: where the guessing ends, the right one is taken again.
        for _ in range(100):
            if (await ask(line, Authorization=f"Bearer {TOKEN}"))[0] == 200:
                break
            await asyncio.sleep(0.2)
        else:
            pytest.fail("the right token is not taken again")
    lines = [record.getMessage() for record in caplog.records if "HTTP: " in record.getMessage()]
    assert len(lines) == 2, lines
    assert served.refused.count("credentials") + served.refused.count("guessing") >= 60
    assert "guess-" not in caplog.text


async def test_secrets_are_exchanged_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "token"
    file.write_text("first-secret\n")
    async with serving(credentials=http_credentials(Http(token_file=str(file)))) as served:
        assert await status(served, Authorization="Bearer first-secret") == 200
        new = tmp_path / "new"
        new.write_text("second-secret\n")
        new.replace(file)
        assert await status(served, Authorization="Bearer first-secret") == 401
        assert await status(served, Authorization="Bearer second-secret") == 200
        # Gone, or being written: what was read before stays, said once.
        file.unlink()
        assert await status(served, Authorization="Bearer second-secret") == 200
        assert await status(served, Authorization="Bearer second-secret") == 200
        assert await status(served, Authorization="Bearer ") == 401
    assert caplog.text.count("what was read before stays in force") == 1
    assert "-secret" not in caplog.text


async def test_browser_page_with_its_own_name_for_this_machine_reads_nothing() -> None:
    async with serving(public_host="monitor.example.org") as served:
        for host in (
            "evil.example.com",
            f"evil.example.com:{served.port}",
            "localhost.evil.com",
            "",
            "a b",
        ):
            assert await status(served, Host=host) == 421, host
        for host in (
            "127.0.0.1",
            f"localhost:{served.port}",
            "[::1]:80",
            "LOCALHOST.",
            "Monitor.Example.org:443",
        ):
            assert await status(served, Host=host) == 200, host
        reader, writer = await served.connect()
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 200 ")
        reader, writer = await served.connect()
        writer.write(
            b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n"
        )
        assert (await reader.read()).split(b" ")[1] in (b"400", b"421")
        # What a request calls its own target is no name of the server either.
        reader, writer = await served.connect()
        writer.write(
            b"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n"
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
    assert "host" in served.refused


@pytest.mark.parametrize(
    ("credentials", "told"),
    [(None, "asks nobody for a password"), (BOTH, "without encryption")],
    ids=["open", "password"],
)
async def test_listening_beyond_this_machine_is_said(
    credentials: Credentials | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(credentials=credentials, listen="0.0.0.0:0") as served:
        # Whoever put it there knows its names; here they cannot be known.
        code = await status(served, Host="monitor", Authorization=f"Bearer {TOKEN}")
        assert code == 200
    assert told in caplog.text


async def test_listening_on_loopback_is_not_remarkable(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served:
        assert await status(served) == 200
    assert caplog.text == ""


def scrape_configuration(folder: Path) -> str:
    """The one of the documentation, with its secrets in `folder`."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "secure.md").read_text(encoding="utf-8")
    text = page.partition("<!-- prometheus -->\n```text\n")[2].partition("```")[0]
    assert "basic_auth:" in text
    assert "authorization:" in text
    (folder / "monitor.password").write_text(PASSWORD)
    (folder / "monitor.token").write_text(TOKEN)
    return text.replace("/etc/prometheus", str(folder))


@pytest.mark.skipif(which("promtool") is None, reason="the program promtool is not installed")
def test_scrape_configuration_of_the_documentation_is_good(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.write_text(scrape_configuration(tmp_path))
    done = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(which("prometheus") is None, reason="the program prometheus is not installed")
async def test_prometheus_scrapes_with_the_password_and_with_the_token(tmp_path: Path) -> None:
    file, port = tmp_path / "prometheus.yml", free_port()
    async with serving(credentials=BOTH) as served, ClientSession(f"http://127.0.0.1:{port}") as client:
        text = scrape_configuration(tmp_path).replace("127.0.0.1:9464", f"127.0.0.1:{served.port}")
        file.write_text("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n" + text)
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60):
                while not await jobs_up(client) >= {"geospace-monitor", "geospace-monitor-by-token"}:  # noqa: ASYNC110  (it has no event)
                    await asyncio.sleep(0.1)
        finally:
            process.kill()
            await process.wait()
    assert served.refused == []


async def jobs_up(client: ClientSession) -> set[str]:
    """Jobs of a Prometheus whose last scrape was good; none while it does not answer."""
    try:
        async with client.get("/api/v1/query", params={"query": "up == 1"}) as response:
            return {one["metric"]["job"] for one in (await response.json())["data"]["result"]}
    except (ClientError, KeyError):
        return set()
