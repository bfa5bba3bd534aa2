"""A process of its own for one plugin: begun, asked under a deadline, and killed with all that it has begun.

The process leads a session and a group of its own. It gets one end of a pair of sockets, no other file of ours, and
an environment without secrets; what it writes to its output goes to our log, in few lines. It ends with us, also
where we are killed (`inside.py`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

from monitor.config import Isolation
from monitor.plugins.cage import parcels, wire
from monitor.plugins.found import Found
from monitor.types import Json, Surroundings

logger = logging.getLogger(__name__)

_INSIDE = Path(__file__).with_name("inside.py")
_KEPT_ENVIRONMENT: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "VIRTUAL_ENV",
)
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_LOOK_S: Final = 0.25
_REAP_S: Final = 5.0
_PIECE_BYTES: Final = 1 << 18
_LINES: Final = 30
_LINE_CHARACTERS: Final = 300
_OUTPUT_BYTES: Final = 1 << 20
_MINUTE_S: Final = 60.0
_PAUSE_S: Final = 0.1

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plugin in a process of its own may take.

    Attributes
    ----------
    answer_s : float
        For one answer of a decoder or a stage; a source or sink whose loop stands still for so long twice over is
        taken for stuck.
    start_s : float
        For being imported and made.
    write_s : float
        For one `open` or `write` of a sink.
    restarts : int
        How often within an hour it is begun again before it is switched off.
    memory_bytes : int
        Of address space.
    """

    answer_s: float = 5.0
    start_s: float = 30.0
    write_s: float = 50.0
    restarts: int = 3
    memory_bytes: int = 4 << 30

    @classmethod
    def of(cls, isolation: Isolation) -> Limits:
        """Those of a configuration."""
        return cls(
            isolation.answer_s,
            isolation.start_s,
            isolation.write_s,
            isolation.restarts,
            isolation.memory_MB << 20,
        )


class LostError(Exception):
    """The process has ended, gave no answer in time, or spoke nonsense; it is killed now."""


class AskedError(Exception):
    """The plugin raised, and says what; its process goes on."""


class Process:
    """One process with one plugin in it, from its first sign of life to its end.

    Parameters
    ----------
    found : Found
    options : mapping
    surroundings : Surroundings
    limits : Limits
    only_check : bool
        Whether the plugin is only imported, and its options looked at.
    """

    def __init__(
        self,
        found: Found,
        options: Mapping[str, Json],
        surroundings: Surroundings,
        limits: Limits,
        *,
        only_check: bool = False,
    ) -> None:
        self.name = surroundings.name
        self._limits = limits
        try:
            begin = wire.Begin.of(found, options, surroundings, only_check=only_check)
        except (TypeError, ValueError) as error:
            raise found.error(f"its options cannot be handed over: {error}") from None
        self.socket, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = self._begun(theirs.fileno(), None if only_check else surroundings.folder)
        except OSError as error:
            self.socket.close()
            raise found.error(f"no process can be begun for it ({error.strerror})") from error
        self.socket.setblocking(False)
        output = self._process.stdout
        assert output is not None
        self._pump = threading.Thread(
            target=_pump, args=(self.name, output), name=f"output of {self.name}", daemon=True
        )
        self._pump.start()
        self._first = wire.framed(begin)

    def _begun(self, end: int, folder: Path | None) -> subprocess.Popen[bytes]:
        where = Path(tempfile.gettempdir())
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            where = folder
        return subprocess.Popen(  # noqa: S603  (our own program, with numbers)
            [sys.executable, "-P", str(_INSIDE), str(end), str(os.getpid()), str(self._limits.memory_bytes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[end],
            cwd=where,
            env=_environment(),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def begin(self, expected: type[R]) -> R:
        """Let the plugin be imported and made.

        Raises
        ------
        LostError
            It has ended, or took too long.
        parcels.WireError
            It answered with something else.
        """
        return self._answer(self._first, expected, self._limits.start_s)

    def ask(self, request: wire.ToPlugin, expected: type[R]) -> R:
        """What it answers; LostError where it does not, in time and as it should."""
        return self._answer(wire.framed(request), expected, self._limits.answer_s)

    def _answer(self, frame: bytes, expected: type[R], limit_s: float) -> R:
        deadline = time.monotonic() + limit_s
        try:
            self._send(frame, deadline)
            answer = wire.from_plugin(self._received(deadline))
        except TimeoutError:
            raise self.lost(f"gave no answer within {limit_s:g} s") from None
        except OSError:
            raise self.lost(self.ending()) from None
        except parcels.WireError as error:
            raise self.lost(f"gave no answer that can be read ({error})") from None
        if isinstance(answer, wire.Raised | wire.Unfit):
            raise AskedError(answer.error if isinstance(answer, wire.Raised) else answer.reason)
        if not isinstance(answer, expected):
            raise self.lost(f"answered with {type(answer).__name__}")
        return answer

    def _send(self, frame: bytes, deadline: float) -> None:
        rest = memoryview(frame)
        while rest:
            self._wait(deadline, writing=True)
            with contextlib.suppress(BlockingIOError):
                rest = rest[self.socket.send(rest[:_PIECE_BYTES]) :]

    def _received(self, deadline: float) -> bytes:
        (length,) = wire.LENGTH.unpack(self._bytes(wire.LENGTH.size, deadline))
        if length > wire.LARGEST_FRAME_BYTES:
            raise parcels.WireError(f"an answer of {length} bytes; allowed are {wire.LARGEST_FRAME_BYTES}")
        return self._bytes(length, deadline)

    def _bytes(self, count: int, deadline: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            self._wait(deadline, writing=False)
            with contextlib.suppress(BlockingIOError):
                piece = self.socket.recv(min(_PIECE_BYTES, count - len(found)))
                if not piece:
                    raise ConnectionResetError
                found += piece
        return bytes(found)

    def _wait(self, deadline: float, *, writing: bool) -> None:
        """Wait until the socket can be used. What the plugin has begun may hold it open after the plugin's end."""
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            over = self.is_over
            poll = select.poll()
            poll.register(self.socket, select.POLLOUT if writing else select.POLLIN)
            if poll.poll(0 if over else min(left_s, _LOOK_S) * 1e3):
                return
            if over:
                raise ConnectionResetError

    def lost(self, reason: str) -> LostError:
        """Kill it; the error to raise."""
        self.kill()
        return LostError(reason)

    def ending(self) -> str:
        """How it ended, in words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LOOK_S)
        code = self._process.returncode
        if code is None:
            return "closed its connection"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def kill(self) -> None:
        """End it and all that it has begun; harmless when that is done."""
        # The group outlives its leader while anything of it runs: its number is not given away before.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        self.socket.close()
        self._pump.join(_LOOK_S)


def _environment() -> dict[str, str]:
    """What a plugin may know of ours: where programs and modules are, and no more."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    # Where plugins were found here they are found there too.
    paths = [str(Path(path).absolute()) for path in sys.path if path]
    return kept | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(paths)}


def _pump(name: str, output: IO[bytes]) -> None:
    """Carry what a plugin writes to our log; what is more than a little is left out, and slowed down."""
    begun, lines, seen, left_out = time.monotonic(), 0, 0, 0
    with output, contextlib.suppress(OSError, ValueError):
        while piece := os.read(output.fileno(), 1 << 16):
            if time.monotonic() - begun >= _MINUTE_S:
                begun, lines, seen = time.monotonic(), 0, 0
            seen += len(piece)
            for line in piece.decode(errors="backslashreplace").splitlines():
                if lines >= _LINES:
                    left_out += 1
                    continue
                lines += 1
                more = f" ({left_out} lines before it were left out)" if left_out else ""
                left_out = 0
                logger.info("plugin %s says %r%s", name, line[:_LINE_CHARACTERS], more)
            if seen > _OUTPUT_BYTES:
                # Whoever writes on waits for us now, and its deadline does not.
                time.sleep(_PAUSE_S)
