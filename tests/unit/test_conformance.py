"""Every registered plugin passes the checks of the kit that others get; and so does the pipeline, as the stage that it is."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.config.schema import Models, Windows
from monitor.decoders.imagmqtt import ImagMqttDecoder
from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.pipeline import Pipeline
from monitor.plugins.found import find_all
from monitor.stages.level2 import Level2
from monitor.testing import check_decoder, check_stage
from monitor.types import SECOND_NS, Domain, Json, Message, Product, SampleBlock, Surroundings, Tick

TESTS = Path(__file__).parents[1]
CHECKED = {
    "native": "unit/test_conformance.py",
    "imagmqtt": "unit/test_conformance.py",
    "martas": "unit/test_decoder_martas.py",
    "column_text": "unit/test_column_text.py",
    "level2": "unit/test_level2.py",
    "flr_folder": "unit/test_model_plugins_conform.py",
    "region_folder": "unit/test_model_plugins_conform.py",
    "files": "unit/test_files_source.py",
    "fmi_realtime": "integration/test_fmi_realtime.py",
    "hapi": "integration/test_hapi_source.py",
    "kafka_source": "integration/test_kafka.py",
    "kafka_sink": "integration/test_kafka.py",
    "influx": "integration/test_influx.py",
    "parquet": "unit/test_parquet.py",
    "webhook": "unit/test_webhook.py",
}
"""In which file of tests each plugin is put to the check of its kind."""

T0_NS = 1_504_771_200 * SECOND_NS
OURS = [found for found in find_all() if found.ours]


@pytest.mark.parametrize("found", OURS, ids=lambda found: found.name)
def test_each_registered_plugin_is_checked_by_the_kit(found: Any) -> None:
    assert found.name in CHECKED, (
        f"put {found.name} to check_{found.kind}, and name the file of that test here"
    )
    text = (TESTS / CHECKED[found.name]).read_text(encoding="utf-8")
    # Called, in a test, in a file that imports what the entry point names.
    tree = ast.parse(text)
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    called = {
        node.func.id
        for test in tests
        for node in ast.walk(test)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert f"check_{found.kind}" in called
    module, _, name = found.target.partition(":")
    assert name in text
    assert module.split(".")[1] in text


def test_no_check_is_named_for_what_is_not_registered() -> None:
    assert set(CHECKED) == {found.name for found in OURS}


def test_native_decoder() -> None:
    random = np.random.default_rng(1)
    shapes = [
        ("TAR", ("H",), Domain.GROUND, SECOND_NS),
        ("NUR", ("X", "Y", "Z"), Domain.GROUND, 10 * SECOND_NS),
        ("MMS1", ("Bx", "By", "Bz", "N"), Domain.CRAFT, 4_500_000_000),
    ]
    messages = []
    for source, components, domain, step_ns in shapes:
        values = random.uniform(1.0, 50.0, (len(components), 4))
        values[0, 2] = np.nan
        frame = "gse" if domain is Domain.CRAFT else None
        block = SampleBlock(source, components, T0_NS, step_ns, values, domain, frame=frame)
        topic = native_topic(block, "geospace/v1")
        messages.append(Message(topic, native_payload(block), T0_NS + 60 * SECOND_NS))
    single = json.dumps({"time": "2017-09-07T08:00:00Z", "H": 1.0}).encode()
    messages.append(Message("geospace/v1/in/mag/BRZ", single, T0_NS))
    check_decoder(
        lambda: NativeDecoder(NativeDecoder.Options(), Surroundings("native")), messages, damaged=1000
    )


def test_imagmqtt_decoder() -> None:
    def message(kind: str, minute: int, **columns: Sequence[float | None]) -> Message:
        document: dict[str, Any] = {"startDate": f"2017-09-07T08:{minute:02d}:00"}
        document |= {f"geomagneticField{name}": column for name, column in columns.items()}
        return Message(f"impf/tar/pt1s/1/{kind}", json.dumps(document).encode(), T0_NS + 3600 * SECOND_NS)

    messages = [
        message("xyzs", 0, X=[15000.5, None], Y=[800.0, 801.0], Z=[48000.0, 48001.0]),
        message("hdzs", 1, H=[15000.5, 1.0], D=[7.5, 7.6], Z=[48000.0, None]),
    ]
    check_decoder(
        lambda: ImagMqttDecoder(ImagMqttDecoder.Options(), Surroundings("imagmqtt")), messages, damaged=1000
    )


# -- the pipeline -----------------------------------------------------------------------------------------

CONFIG = Config(
    pairs=("MUO-PEL:5.37",),
    windows=Windows(length_s=900, cadence_s=300, lateness_s=120.0),
    models=Models(flr="physical"),
)


class Whole:
    """All stages of a pipeline, with one that a plugin adds, as one stage."""

    known: Sequence[SampleBlock] = ()

    def __init__(self) -> None:
        surroundings = Surroundings("level2", stations=("MUO", "PEL"))
        options = Level2.Options(revise_s=1800)
        self.pipeline = Pipeline(CONFIG, added={"level2": Level2(options, surroundings)})

    @property
    def lookback_ns(self) -> int:
        return self.pipeline.lookback_ns

    def feed(self, items: Sequence[SampleBlock] | Tick) -> list[Product]:
        if not isinstance(items, Tick):
            for block in items:
                self.pipeline.admit(block)
        return self.pipeline.feed(items)

    def snapshot(self) -> Json:
        return {"version": 1, "states": self.pipeline.snapshot()}

    def restore(self, state: Json) -> None:
        if state["version"] != 1:
            raise ValueError("another version")
        # As a start does it: states first, then the samples within the lookback.
        self.pipeline.restore(state["states"])
        self.pipeline.load(self.known)


def labels(products: Sequence[Product]) -> object:
    """Of each pair or station, and time, what was said last; health, which tells of the way, aside."""
    return {
        (product.topic, product.time_ns): {
            name: value for name, value in product.body.items() if name not in ("id", "revision")
        }
        for product in products
        if product.kind != "health"
    }


def test_pipeline_is_a_stage_itself() -> None:
    random, field = np.random.default_rng(3), np.array([[11_000.0], [1_900.0], [51_000.0]])
    items: list[Any] = []
    for at in range(0, 1500, 300):
        for code in ("MUO", "PEL"):
            values = field + random.normal(size=(3, 300))
            items.append(SampleBlock(code, ("X", "Y", "Z"), T0_NS + at * SECOND_NS, SECOND_NS, values))

    def remembered(stage: Any, before: Sequence[Any]) -> None:
        stage.known = before

    said = [product.kind for product in Whole().feed(items)]
    assert {"flr", "impf"} <= set(said)
    check_stage(Whole, items, gist=labels, restarted=remembered, restarts=4)
