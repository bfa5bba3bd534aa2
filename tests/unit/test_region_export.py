"""The network as ONNX: the same as the one that was trained, and looked at before it runs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper, numpy_helper
from region_kit import examples, random_network

from monitor.errors import ModelError
from monitor.jobs.region.export import network_onnx
from monitor.jobs.region.network import FILTERS, Mode
from monitor.models.onnx import Port, check_network, import_onnxruntime, load_session
from monitor.models.region import network_session
from monitor.science.region import tempered
from monitor.types import CONTEXT_CELLS, WINDOW_CELLS, Float32Array

WINDOW = slice(CONTEXT_CELLS[0], CONTEXT_CELLS[0] + WINDOW_CELLS)


def troubled() -> Float32Array:
    """Windows with what comes in, and with what should not."""
    values = examples(40, 5, context=1.0).values
    values[0] = np.nan
    values[1, :, 3:] = np.nan
    values[2, 20, 2], values[2, 21, 4], values[2, 22, 6] = np.inf, -np.inf, -np.inf
    values[3, 10, 4], values[3, 11, 11] = -5.0, 0.0
    values[4, 30] = np.nan
    return values


@pytest.mark.parametrize("mode", ["log", "linear"])
@pytest.mark.parametrize("filters", [(16, 24, 8), FILTERS])
def test_export_as_torch(mode: Mode, filters: tuple[int, int, int]) -> None:
    network, values = random_network(mode, filters), troubled()
    torch.nn.init.normal_(network.dense.weight, generator=torch.Generator().manual_seed(1))
    session = network_session(network_onnx(network), filters[-1], "network")
    for padded, cells in ((0, values), (1, np.ascontiguousarray(values[:, WINDOW]))):
        found = session.run(values=cells, padded=np.array(padded))
        with torch.inference_mode():
            standardised = network.standardised(torch.from_numpy(cells))
            features = network.isolated(standardised) if padded else network.valid(standardised)
            logits = network.classified(features).numpy()
        assert_allclose(found["features"], features.transpose(1, 2), atol=2e-4, rtol=1e-4)
        assert_allclose(tempered(found["logits"], 1.0), tempered(logits, 1.0), atol=1e-5)
        assert_array_equal(found["logits"].argmax(axis=1), logits.argmax(axis=1))
        bias = network.dense.bias.detach().numpy()
        assert_allclose(found["scores"].mean(axis=1) + bias, found["logits"], atol=1e-4)
        assert np.ptp(found["logits"], axis=0).min() > 0.1


def test_export_is_the_same_for_the_same_network() -> None:
    assert network_onnx(random_network()) == network_onnx(random_network())
    assert network_onnx(random_network()) != network_onnx(random_network(seed=1))


def test_runtime_imported_without_telemetry() -> None:
    script = """
import os, sys
seen = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            seen.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import monitor.models.onnx, monitor.models.region
assert "onnxruntime" not in sys.modules, "imported before it is wanted"
monitor.models.onnx.import_onnxruntime()
assert "onnxruntime" in sys.modules
assert "torch" not in sys.modules and "onnx" not in sys.modules
print(seen)
"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("['1']\n", 0), done.stderr


def test_runtime_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="pip install onnxruntime"):
        import_onnxruntime()


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        ({"x": Port("tensor(float)", (None, 3))}, r"expected inputs x tensor\(float\) \(any, 3\); found"),
        ({"values": Port("tensor(double)", (None, None, 12))}, "expected inputs values"),
        ({"values": Port("tensor(float)", (None, None, 12))}, "found padded"),
    ],
)
def test_session_of_other_inputs_refused(ports: dict[str, Port], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_session(network_onnx(random_network()), inputs=ports, outputs={}, path="network")


def test_session_of_other_features_refused() -> None:
    with pytest.raises(
        ModelError, match=r"network: expected outputs features tensor\(float\) \(any, any, 17\)"
    ):
        network_session(network_onnx(random_network()), 17, "network")


def small(
    operator: str = "Add", *, domain: str = "", weight: onnx.TensorProto | None = None
) -> onnx.ModelProto:
    """A network of one operator and one weight."""
    kept = numpy_helper.from_array(np.ones(4, dtype=np.float32), "w") if weight is None else weight
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    node = helper.make_node(operator, ["x", "w"], ["y"], domain=domain)
    return helper.make_model(helper.make_graph([node], "small", ports[:1], ports[1:], [kept]), ir_version=8)


def external() -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    return tensor


def nested(*, attribute: str) -> onnx.ModelProto:
    """A node with a tensor, or a graph, in an attribute."""
    model = small()
    inner = external() if attribute == "tensor" else small().graph
    model.graph.node[0].attribute.append(helper.make_attribute("hidden", inner))
    return model


def with_function() -> onnx.ModelProto:
    model = small()
    node = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(
        helper.make_function("own", "f", ["x"], ["y"], [node], [helper.make_opsetid("", 17)])
    )
    return model


def test_plain_network_passes() -> None:
    check_network(small().SerializeToString(), "network")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (small(weight=external()), "found a reference to another file"),
        (nested(attribute="tensor"), "found one with a tensor or a graph"),
        (nested(attribute="graph"), "found one with a tensor or a graph"),
        (small("Loop"), "found 'Loop'"),
        (small("Add", domain="com.microsoft"), "found 'com.microsoft.Add'"),
        (with_function(), "found one with functions"),
    ],
)
def test_network_that_is_more_than_plain_refused(model: onnx.ModelProto, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_session(model.SerializeToString(), inputs={}, outputs={}, path="network")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x00" * 40, b"\xff" * 40, np.random.default_rng(0).bytes(200)]
)
def test_rubbish_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="network: expected"):
        load_session(data, inputs={}, outputs={}, path="network")


def test_network_cut_anywhere_refused() -> None:
    data = network_onnx(random_network())
    for length in range(0, len(data), 997):
        with pytest.raises(ModelError):
            network_session(data[:length], 16, "network")


def test_network_that_the_runtime_refuses() -> None:
    model = small()
    model.graph.node[0].input[1] = "nothing"
    with pytest.raises(ModelError, match="expected a network that ONNX Runtime can load, found: "):
        load_session(model.SerializeToString(), inputs={}, outputs={}, path="network")
