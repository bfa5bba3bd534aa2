"""Neural networks: ONNX, checked before the runtime sees it, and run on the CPU.

A file can name other files to load weights from, and operators that do more than compute; both are refused here, from
the bytes, because the library that could be asked is needed for training only. The runtime is not imported before a
network is wanted, and never with its telemetry.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy.typing as npt

from monitor.errors import ModelError

Array = npt.NDArray[Any]

OPERATORS: Final = frozenset(
    {
        "Add",
        "Asinh",
        "Clip",
        "Concat",
        "Conv",
        "IsNaN",
        "Log",
        "MatMul",
        "Max",
        "Mul",
        "Pad",
        "ReduceMean",
        "Relu",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""What a network may be made of: nothing here reads files, loops, or makes large things of small ones."""

# Numbers of fields in ONNX's protocol buffers.
_MODEL_GRAPH, _MODEL_REST = 7, {20: "training information", 25: "functions"}
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_NESTED = {5, 6, 10, 11, 22, 23}
_TENSOR_EXTERNAL, _TENSOR_PLACE = 13, 14
_VARINT, _WIDE, _BYTES, _NARROW = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Port:
    """An input or an output of a network.

    Attributes
    ----------
    kind : str
        As the runtime has it: `tensor(float)`.
    shape : tuple of int or None
        None where any number of them is taken.
    """

    kind: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.kind} ({sizes})"


class Session:
    """A network that only predicts. May be used from several threads.

    Parameters
    ----------
    native : onnxruntime.InferenceSession
    outputs : tuple of str
    """

    def __init__(self, native: Any, outputs: tuple[str, ...]) -> None:
        self._native = native
        self._outputs = outputs

    def run(self, **inputs: Array) -> dict[str, Array]:
        """The outputs by name."""
        found: list[Array] = self._native.run(list(self._outputs), inputs)
        return dict(zip(self._outputs, found, strict=True))


def load_session(
    data: bytes,
    *,
    inputs: Mapping[str, Port],
    outputs: Mapping[str, Port],
    path: str = "network",
    threads: int = 1,
) -> Session:
    """Check and load a network.

    Parameters
    ----------
    data : bytes
        An ONNX model whose weights are in it.
    inputs, outputs : mapping of str to Port
        What the caller gives, and wants; neither more nor less may be there.
    path : str
        Where the data come from, for the error.
    threads : int
        On which one call may run.

    Raises
    ------
    ModelError
        The data are no network of these inputs and outputs, are damaged, refer to other files, hold operators that
        are not among `OPERATORS`, or there is no runtime.
    """
    check_network(data, path)
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads would wait for the next call in a busy loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        native = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except _runtime_errors(runtime) as error:
        raise ModelError(
            path, f"expected a network that ONNX Runtime can load, found: {_line(error)}"
        ) from error
    _check_ports("inputs", native.get_inputs(), inputs, path)
    _check_ports("outputs", native.get_outputs(), outputs, path)
    return Session(native, tuple(outputs))


def check_network(data: bytes, path: str) -> None:
    """Raise ModelError unless these are the bytes of one plain graph that holds its weights itself."""
    try:
        graphs = []
        for number, value in _fields(data):
            if number in _MODEL_REST:
                raise ModelError(path, f"expected a plain network, found one with {_MODEL_REST[number]}")
            if number == _MODEL_GRAPH:
                graphs.append(_message(value))
        if len(graphs) != 1:
            raise ModelError(path, f"expected one graph, found {len(graphs)} in {len(data)} bytes")
        for number, value in _fields(graphs[0]):
            if number == _GRAPH_NODE:
                _check_node(_message(value), path)
            elif number == _GRAPH_TENSOR:
                _check_tensor(_message(value), path)
            elif number == _GRAPH_SPARSE:
                raise ModelError(path, "expected weights in full, found sparse ones")
    except (ValueError, IndexError) as error:
        raise ModelError(
            path, f"expected an ONNX model, found {len(data)} bytes that are not: {error}"
        ) from error


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off; ModelError that says what to install where there is none."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module("onnxruntime")
    except (ImportError, OSError) as error:
        raise ModelError(
            "onnxruntime",
            f"expected the library ONNX Runtime, found none that can be imported ({_line(error)}): pip install onnxruntime",
        ) from error


def _check_node(node: bytes, path: str) -> None:
    operator, domain = "", ""
    for number, value in _fields(node):
        if number == _NODE_OPERATOR:
            operator = _message(value).decode()
        elif number == _NODE_DOMAIN:
            domain = _message(value).decode()
        elif number == _NODE_ATTRIBUTE:
            nested = {field for field, _ in _fields(_message(value))} & _ATTRIBUTE_NESTED
            if nested:
                raise ModelError(
                    path, "expected operators with plain attributes, found one with a tensor or a graph"
                )
    if domain not in ("", "ai.onnx") or operator not in OPERATORS:
        name = f"{domain}.{operator}" if domain else operator
        raise ModelError(path, f"expected operators among {', '.join(sorted(OPERATORS))}, found {name!r}")


def _check_tensor(tensor: bytes, path: str) -> None:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_PLACE and value != 0):
            raise ModelError(path, "expected weights in the file itself, found a reference to another file")


def _check_ports(what: str, found: Any, expected: Mapping[str, Port], path: str) -> None:
    """Raise ModelError unless names, kinds, ranks and fixed sizes are as they should be."""
    ports = {
        one.name: Port(one.type, tuple(size if isinstance(size, int) else None for size in one.shape))
        for one in found
    }
    if ports != dict(expected):
        raise ModelError(path, f"expected {what} {_told(expected)}; found {_told(ports)}")


def _told(ports: Mapping[str, Port]) -> str:
    return ", ".join(f"{name} {ports[name]}" for name in sorted(ports)) or "none"


def _message(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where bytes should be")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Fields of a protocol buffer: number and content; ValueError or IndexError where they do not fill the bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in (_WIDE, _NARROW):
            size = 8 if wire == _WIDE else 4
        else:
            raise ValueError(f"a field of kind {wire}")
        if number == 0 or place + size > len(data):
            raise ValueError(f"a field that ends {place + size - len(data)} bytes behind them")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number without an end")


def _runtime_errors(runtime: ModuleType) -> tuple[type[Exception], ...]:
    """What the runtime raises: classes of its own, without a base of their own."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    named = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)]
    return (*named, ValueError, RuntimeError)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
