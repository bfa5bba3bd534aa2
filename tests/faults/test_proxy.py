"""The chaos proxy does what it says: bytes are carried, held, split, merged, changed, swallowed and cut as told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from proxy import ChaosProxy, Line

WORDS = bytes(range(256)) * 8


class Echo:
    """A server that sends back what comes, and keeps the pieces in which it came."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._server.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                while piece := connection.recv(65_536):
                    self.pieces.append(piece)
                    connection.sendall(piece)
            self.ends.append("fin")
        except ConnectionResetError:
            self.ends.append("rst")

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it may be closed already
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo, seed: int) -> Iterator[ChaosProxy]:
    with ChaosProxy(echo.address, seed=seed) as running:
        yield running


def client(proxy: ChaosProxy, timeout_s: float = 20.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def told(proxy: ChaosProxy, words: bytes, count: int | None = None) -> bytes:
    """Send words, and read as many bytes back."""
    with client(proxy) as line:
        line.sendall(words)
        return heard(line, len(words) if count is None else count)


def heard(line: socket.socket, count: int) -> bytes:
    answer = b""
    while len(answer) < count and (piece := line.recv(65_536)):
        answer += piece
    return answer


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_plain_line_carries_all_bytes_both_ways(proxy: ChaosProxy) -> None:
    words = WORDS * 500
    with client(proxy) as line:
        threading.Thread(target=line.sendall, args=(words,), daemon=True).start()
        assert heard(line, len(words)) == words
    assert proxy.counts.bytes == {"up": len(words), "down": len(words)}


def test_end_of_one_side_reaches_the_other_after_the_last_byte(proxy: ChaosProxy, echo: Echo) -> None:
    with client(proxy) as line:
        line.sendall(WORDS)
        line.shutdown(socket.SHUT_WR)
        assert heard(line, 1 << 30) == WORDS
    until(lambda: echo.ends == ["fin"])
    until(lambda: proxy.connections == 0)


def test_delay_holds_every_byte_back_and_keeps_their_order(proxy: ChaosProxy) -> None:
    proxy.lines(up=Line(delay_s=0.2, jitter_s=0.1))
    begun = time.monotonic()
    with client(proxy) as line:
        for start in range(0, len(WORDS), 256):
            line.sendall(WORDS[start : start + 256])
        assert heard(line, len(WORDS)) == WORDS
    assert time.monotonic() - begun >= 0.2


def test_bandwidth_bounds_how_fast_bytes_come(proxy: ChaosProxy) -> None:
    proxy.lines(down=Line(bytes_per_s=4096))
    begun = time.monotonic()
    assert told(proxy, WORDS) == WORDS
    assert time.monotonic() - begun >= 0.45


def test_split_line_gives_single_bytes(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.lines(up=Line(piece_bytes=1, bytes_per_s=500))
    assert told(proxy, WORDS[:256]) == WORDS[:256]
    # The system may put neighbours together again, but not all of them.
    assert len(echo.pieces) > 25


def test_merging_line_gives_one_piece(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.lines(up=Line(gather_s=1.0))
    with client(proxy) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(WORDS), 256):
            line.sendall(WORDS[start : start + 256])
        assert heard(line, len(WORDS)) == WORDS
    assert echo.pieces == [WORDS]


def test_corruption_changes_about_the_share_and_repeats_with_its_seed(echo: Echo, seed: int) -> None:
    answers = []
    for _ in range(2):
        with ChaosProxy(echo.address, seed=seed, up=Line(corrupt_share=0.1)) as proxy:
            answers.append(told(proxy, WORDS))
            wrong = sum(one != other for one, other in zip(answers[-1], WORDS, strict=True))
            assert wrong == proxy.counts.corrupted_bytes
            assert 0.05 * len(WORDS) < wrong < 0.15 * len(WORDS)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("way", ["up", "down"])
def test_half_open_line_keeps_the_socket_and_stays_dumb(way: str, proxy: ChaosProxy) -> None:
    with client(proxy, timeout_s=0.3) as line:
        line.sendall(b"first")
        assert heard(line, 5) == b"first"
        proxy.lines(**{way: Line(swallow=True)})
        line.sendall(b"lost")
        with pytest.raises(TimeoutError):
            line.recv(1)
        # What has lost bytes must not go on with later ones.
        proxy.lines(up=Line(), down=Line())
        line.sendall(b"more")
        with pytest.raises(TimeoutError):
            line.recv(1)
        assert proxy.connections == 1
    assert told(proxy, b"another") == b"another"


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_cut_is_told_to_both_sides(how: str, proxy: ChaosProxy, echo: Echo) -> None:
    with client(proxy) as line:
        line.sendall(b"first")
        assert heard(line, 5) == b"first"
        assert proxy.cut("rst" if how == "rst" else "fin") == 1
        if how == "rst":
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        else:
            assert line.recv(1) == b""
        until(lambda: echo.ends == [how])
    assert proxy.counts.cut == 1
    assert told(proxy, b"again") == b"again"


def test_proxy_hangs_up_while_it_refuses_and_while_nobody_listens(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.refuse(True)
    assert told_nothing(proxy)
    proxy.refuse(False)
    assert told(proxy, b"now") == b"now"
    echo.close()
    assert told_nothing(proxy)
    assert proxy.counts.refused == 2


def told_nothing(proxy: ChaosProxy) -> bool:
    """Whether the proxy ends a connection without a byte."""
    with client(proxy) as line:
        try:
            return line.recv(1) == b""
        except ConnectionResetError:
            return True


def test_schedule_is_followed(proxy: ChaosProxy) -> None:
    with client(proxy) as line:
        line.sendall(b"before")
        assert heard(line, 6) == b"before"
        proxy.follow([(0.3, "fin"), (0.1, Line(piece_bytes=1))])
        assert line.recv(1) == b""
    assert proxy.up == proxy.down == Line(piece_bytes=1)
