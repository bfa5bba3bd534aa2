"""Inside a plugin's process: import it, make it, and answer what is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from monitor.decoders.base import FileDecoder, Remembering, checked
from monitor.errors import DecodeError, PluginError
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.serving_loop import serve_sink, serve_source
from monitor.plugins.cage.telling import shown
from monitor.plugins.in_process import InProcess
from monitor.stages.checking import checked_products
from monitor.types import Tick


def serve(number: int) -> None:
    """Serve one plugin at the socket with this number, until the other end is closed."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with socket.socket(fileno=number) as end:
        end.set_inheritable(False)
        content = _received(end)
        if content is None:
            return
        begin = wire.to_plugin(content)
        if not isinstance(begin, wire.Begin):
            raise TypeError(f"the first frame is {type(begin).__name__}")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            _begun(end, begin)
    # What the plugin has begun, threads for one, must not keep the process.
    os._exit(0)


def _begun(end: socket.socket, begin: wire.Begin) -> None:
    try:
        answer, plugin = _made(begin)
    except PluginError as error:
        _send(end, wire.Unfit(error.reason))
        return
    except BaseException as error:  # noqa: BLE001  (SystemExit as well: whatever a module does when it is imported)
        _send(end, wire.Unfit(f"cannot be imported or made ({shown(error)}); mend or uninstall it"))
        return
    if plugin is None:
        _send(end, answer)
        return
    if begin.kind in ("source", "sink"):
        serving = serve_source if begin.kind == "source" else serve_sink
        asyncio.run(serving(end, answer, plugin))
        return
    _send(end, answer)
    while (content := _received(end)) is not None:
        _send(end, _answered(plugin, wire.to_plugin(content)))


def _made(begin: wire.Begin) -> tuple[wire.FromPlugin, Any]:
    """What to say first, and the plugin; None where no more than its options were asked about."""
    options, home = parcels.unpacked(begin.options), InProcess()
    if begin.only_check:
        faults = home.check(begin.found, options)
        return wire.Checked(tuple(wire.Fault.of(fault) for fault in faults)), None
    plugin = home.make(begin.found, options, begin.where())
    kinds = getattr(plugin, "kinds", None)
    remembers = begin.kind == "decoder" and isinstance(plugin, Remembering)
    ready = wire.Ready(
        None if kinds is None else tuple(kinds),
        plugin.lookback_ns if begin.kind == "stage" else 0,
        remembers,
        begin.kind == "decoder" and isinstance(plugin, FileDecoder),
        plugin.changes if remembers else 0,
    )
    return ready, plugin


def _answered(plugin: Any, request: wire.ToPlugin) -> wire.FromPlugin:
    """What a decoder or a stage answers; an exception is an answer too."""
    try:
        return _ANSWERS[type(request)](plugin, request)
    except DecodeError as error:
        # Of the reason no more is known than that the plugin wrote it.
        refused = (str(error.reason), str(error.detail))
        return wire.Decoded((), getattr(plugin, "changes", 0), refused)
    except Exception as error:  # noqa: BLE001  (told to whoever asked)
        return wire.Raised(shown(error))


def _decode(plugin: Any, request: Any) -> wire.FromPlugin:
    message = request.letter.taken()
    blocks = checked(plugin.decode(message), message)
    return wire.Decoded(tuple(map(parcels.Block.of, blocks)), getattr(plugin, "changes", 0), None)


def _recognise(plugin: Any, request: Any) -> wire.FromPlugin:
    return wire.Known(bool(plugin.recognises(request.head)))


def _feed(plugin: Any, request: Any) -> wire.FromPlugin:
    return _said(plugin, plugin.feed([item.taken() for item in request.items]))


def _pass(plugin: Any, request: Any) -> wire.FromPlugin:
    return _said(plugin, plugin.feed(Tick(request.elapsed_ns)))


def _said(plugin: Any, found: Sequence[Any]) -> wire.FromPlugin:
    return wire.Said(tuple(parcels.Thing.of(one) for one in checked_products(found, plugin.kinds)))


def _save(plugin: Any, _request: Any) -> wire.FromPlugin:
    return wire.State(parcels.packed(plugin.snapshot()))


def _load(plugin: Any, request: Any) -> wire.FromPlugin:
    plugin.restore(parcels.unpacked(request.state))
    return wire.Done()


_ANSWERS: Final[dict[type[Any], Callable[[Any, Any], wire.FromPlugin]]] = {
    wire.Decode: _decode,
    wire.Recognise: _recognise,
    wire.Give: _feed,
    wire.Pass: _pass,
    wire.Save: _save,
    wire.Load: _load,
}


def _send(end: socket.socket, answer: wire.FromPlugin) -> None:
    try:
        frame = wire.framed(answer)
    except Exception as error:  # noqa: BLE001  (a number beyond 64 bits, a name that is no text)
        frame = wire.framed(wire.Raised(f"what it gave cannot be handed over: {shown(error)}"))
    end.sendall(frame)


def _received(end: socket.socket) -> bytes | None:
    """The next frame; None where the other end is closed."""
    head = _bytes(end, wire.LENGTH.size)
    return None if head is None else _bytes(end, wire.LENGTH.unpack(head)[0])


def _bytes(end: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        piece = end.recv(min(1 << 18, count - len(found)))
        if not piece:
            return None
        found += piece
    return bytes(found)
