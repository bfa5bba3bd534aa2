"""The FCN as ONNX, node by node: standardisation inside, normalisations folded into the convolutions.

A graph of its own making has the layout that runs fastest, (n, channels, 1, t), and one file serves both forms: how far
every layer pads is an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from monitor.jobs.region.network import (
    CLIP,
    FIELD,
    FLOORS,
    KERNELS,
    LOGARITHMIC,
    NORM_EPSILON,
    FIELD_SCALE_nT,
    RegionNetwork,
    same_padding,
    to_arrays,
)
from monitor.types import REGIONS, VARIABLES

Array = npt.NDArray[Any]

OPSET: Final = 17
"""Old enough for every runtime that is still about."""
IR_VERSION: Final = 8


def network_onnx(network: RegionNetwork) -> bytes:
    """The bytes of the network, the same for the same network.

    Inputs: `values` (n, t, 12) float32, physical, NaN where missing, and `padded`, int64: 0 for the context form (t is 13
    more than the cells of the result) or 1 for the isolated one. Outputs: `scores` (n, cells, 10), the dense layer on each
    cell without its bias; `features` (n, cells, f) before it; `logits` (n, 10), the mean of the scores with the bias.
    """
    graph, arrays = _Graph(), to_arrays(network)
    current = _standardised(graph, network)
    current = graph.add("Transpose", [current], perm=[0, 2, 1])
    current = graph.add("Unsqueeze", [current, graph.constant(np.array([2]))])
    for index, kernel in enumerate(KERNELS):
        before, after = same_padding(kernel)
        pads = np.array([0, 0, 0, before, 0, 0, 0, after])
        current = graph.add("Pad", [current, graph.add("Mul", ["padded", graph.constant(pads)])])
        weight, bias = _folded(arrays, index)
        current = graph.add("Conv", [current, graph.constant(weight), graph.constant(bias)])
        current = graph.add("Relu", [current])
    current = graph.add("Squeeze", [current, graph.constant(np.array([2]))])
    features = graph.add("Transpose", [current], result="features", perm=[0, 2, 1])
    weight = arrays["dense.weight"]
    scores = graph.add("MatMul", [features, graph.constant(weight.T)], result="scores")
    mean = graph.add("ReduceMean", [scores], axes=[1], keepdims=0)
    graph.add("Add", [mean, graph.constant(arrays["dense.bias"])], result="logits")
    return graph.model(int(weight.shape[1]))


class _Graph:
    """Nodes and constants, named in the order in which they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Array) -> str:
        name = f"constant{len(self.constants)}"
        kept = value.astype(np.int64 if np.issubdtype(value.dtype, np.integer) else np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(kept), name))
        return name

    def add(
        self, operator: str, inputs: Sequence[str], *, result: str | None = None, **attributes: Any
    ) -> str:
        name = result or f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(self, features: int) -> bytes:
        inputs = [
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["n", "t", len(VARIABLES)]),
            helper.make_tensor_value_info("padded", TensorProto.INT64, []),
        ]
        outputs = [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "cells", len(REGIONS)]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", "cells", features]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(REGIONS)]),
        ]
        graph = helper.make_graph(self.nodes, "region", inputs, outputs, self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="geospace-monitor",
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _standardised(graph: _Graph, network: RegionNetwork) -> str:
    """Cells as `RegionNetwork.standardised` gives them."""
    centre, width = network.centre.double().numpy(), network.width.double().numpy()
    missing = graph.add("IsNaN", ["values"])
    # What a logarithm is taken of must be a number, whatever becomes of it.
    known = graph.add("Where", [missing, graph.constant(np.array(1.0)), "values"])
    current, scale, shift = known, 1.0 / width, -centre / width
    if network.mode == "log":
        current = _logarithms(graph, known)
        for columns in LOGARITHMIC:
            scale[columns] /= np.log(10.0)
    scaled = graph.add("Mul", [current, graph.constant(scale)])
    scaled = graph.add("Add", [scaled, graph.constant(shift)])
    limits = [graph.constant(np.array(limit)) for limit in (-CLIP, CLIP)]
    cut = graph.add("Clip", [scaled, *limits])
    return graph.add("Where", [missing, graph.constant(np.array(0.0)), cut])


def _logarithms(graph: _Graph, values: str) -> str:
    """The columns transformed, logarithms to the base e."""
    field = graph.add("Mul", [_columns(graph, values, FIELD), graph.constant(np.array(1.0 / FIELD_SCALE_nT))])
    parts = [graph.add("Asinh", [field])]
    place = FIELD.stop
    for columns in LOGARITHMIC:
        if columns.start > place:
            parts.append(_columns(graph, values, slice(place, columns.start)))
        floors = graph.constant(np.array([FLOORS[name] for name in VARIABLES[columns]]))
        parts.append(graph.add("Log", [graph.add("Max", [_columns(graph, values, columns), floors])]))
        place = columns.stop
    return graph.add("Concat", parts, axis=2)


def _columns(graph: _Graph, values: str, columns: slice) -> str:
    ends = [graph.constant(np.array([end])) for end in (columns.start, columns.stop, 2)]
    return graph.add("Slice", [values, *ends])


def _folded(arrays: dict[str, Array], index: int) -> tuple[Array, Array]:
    """Weight and bias of a convolution that normalises as well."""
    convolution = {
        part: arrays[f"convolutions.{index}.{part}"].astype(np.float64) for part in ("weight", "bias")
    }
    norm = {
        part: arrays[f"norms.{index}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    factor = norm["weight"] / np.sqrt(norm["running_var"] + NORM_EPSILON)
    weight = convolution["weight"] * factor[:, None, None, None]
    return weight, (convolution["bias"] - norm["running_mean"]) * factor + norm["bias"]
