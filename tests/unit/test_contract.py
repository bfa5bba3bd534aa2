"""The reference pages and the code say the same: fields, metrics, reasons, flags, states, commands, keys."""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any
from unittest.mock import patch

import crossing_kit
import numpy as np
import pytest
import region_stage_kit
import yaml
from aiohttp import web
from docs_kit import code, rows, section
from pydantic import BaseModel

import monitor
from monitor import cli
from monitor.config import Config, Input, StationEntry
from monitor.config.http import Http
from monitor.daemon.lasting import Lasting
from monitor.daemon.offering import http_server
from monitor.daemon.reading import Reading
from monitor.daemon.status import status_message, status_page
from monitor.decoders.base import REASONS
from monitor.io.hapi.forms import FORMS
from monitor.io.metrics import STATION_STATES, Metrics, Watched, WatchedPair
from monitor.io.mqtt.watch import LinkReading
from monitor.models.base import ModelInfo
from monitor.pipeline import Pipeline, loading
from monitor.science.region_map import are_neighbours
from monitor.science.synthetic.ground import EMMA, GroundSimulator, quiet_day
from monitor.stages.craft_event import SIDES
from monitor.stages.health import Health
from monitor.types import (
    CLASSES,
    REGIONS,
    SECOND_NS,
    WINDOW_CELLS,
    ChainState,
    Illumination,
    Json,
    Label,
    Product,
    Quality,
    SampleBlock,
    iso_time,
)

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(monitor.__file__).parent
INTERFACES = ROOT / "docs" / "reference" / "interfaces.md"
CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
SCIENCE = ROOT / "docs" / "reference" / "science.md"
MODEL = ModelInfo("flr", "test", "1", "0123456789abcdef" * 4)
NETWORK = ModelInfo("region", "net", "2", "fedcba9876543210" * 4)
BEGIN_NS = 1_593_583_200 * SECOND_NS  # 2020-07-01T06:00:00Z: daylight, and the simulated waves are strong

# Strings in the functions below that decide between flags and are none themselves.
NO_FLAGS = frozenset({"magnetic"})


def first_column(page: Path, heading: str) -> list[str]:
    return [name for row in rows(section(page, heading)) for name in code(row[0])]


def only_once(names: Iterable[str]) -> set[str]:
    listed = list(names)
    assert len(set(listed)) == len(listed), "a name is documented twice"
    return set(listed)


def paths_of(body: Mapping[str, Json], nested: Iterable[str]) -> set[str]:
    """Keys of an object, those of `nested` sub-objects as `outer.inner`."""
    inner = {f"{outer}.{key}" for outer in nested for key in body[outer]}
    return set(body) | inner


@cache
def products() -> tuple[Product, ...]:
    """What the learned chain makes of four hours of two stations, the last of them with one station alone."""
    chain = [station for station in EMMA if station[0] in ("TAR", "BRZ")]
    simulator = GroundSimulator(quiet_day(BEGIN_NS, stations=chain))
    config = Config.model_validate(
        {"pairs": ["TAR-BRZ"], "chains": {"one": ["TAR-BRZ"]}, "outputs": {"spectra": True}}
    )
    pipeline = Pipeline(config)
    found: list[Product] = []
    for minute in range(240):
        start = BEGIN_NS + minute * 60 * SECOND_NS
        blocks = simulator.blocks(start, start + 60 * SECOND_NS)
        found += pipeline.feed(blocks if minute < 180 else blocks[:1])
    return tuple(found)


class _Network(region_stage_kit.StubModel):
    """Knows the region from the density; the bundled network is not what is documented here."""

    info = NETWORK


@cache
def craft_products() -> tuple[Product, ...]:
    """What is said of a flight from the wind inwards: a magnetosphere on its own in the wind, a gap, a plasma unlike all."""
    windows: list[str | None] = (
        ["SW"] * 3 + ["MSP"] + ["SW"] * 3 + ["BS"] + ["MSH"] * 4 + [None] + ["MSH"] * 3
    )
    blocks = [
        region_stage_kit.samples([region] * WINDOW_CELLS, first=number * WINDOW_CELLS)
        for number, region in enumerate(windows)
    ]
    blocks.append(replace(blocks[-1], t0_ns=blocks[-1].end_ns, values=blocks[-1].values.copy()))
    blocks[-1].values[region_stage_kit.DENSITY] = 30.0
    config = Config.model_validate({"craft": ["MMS1"], "craft_windows": {"bridge_ratio": 0.2}})
    with patch.object(loading, "load_region", lambda choice: _Network()):
        pipeline = Pipeline(config)
    found: list[Product] = []
    for block in blocks:
        found += pipeline.feed([block])
    return (*found, *pipeline.flush())


def flr_of(state: ChainState) -> Product:
    """Something that the events of a chain rest on."""
    pair, end_ns = state.chain.pairs[2].name, state.end_ns
    return Product("flr", pair, end_ns, 0, True, {"id": f"flr/{pair}/{iso_time(end_ns)}/0", "pair": pair})


def all_products() -> tuple[Product, ...]:
    return (*products(), *craft_products())


def documents(kind: str) -> list[dict[str, Any]]:
    found = [json.loads(product.encode(0)) for product in all_products() if product.kind == kind]
    assert found, f"the simulation gave no {kind}"
    return found


class TestObjects:
    @pytest.mark.parametrize(
        ("kind", "nested"),
        [
            ("flr", ("physical", "model")),
            ("spectrum", ()),
            ("profile", ()),
            ("plasmapause", ()),
            ("region", ("model",)),
            ("health", ()),
        ],
    )
    def test_fields_are_documented_and_made(self, kind: str, nested: tuple[str, ...]) -> None:
        documented = only_once(first_column(INTERFACES, f"Object `{kind}`"))
        # Of a profile of one pair there is no fit, and nobody told Kp: their fields are tested where they are made.
        inner = {
            name for name in documented if name.partition(".")[0] in ("fit", "empirical") and "." in name
        }
        for document in documents(kind):
            assert paths_of(document, nested) == documented - inner

    def test_status_fields_are_documented_and_made(self) -> None:
        documented = only_once(first_column(INTERFACES, "Object `status`"))
        for state in ("online", "offline"):
            message = json.loads(status_message(BEGIN_NS, state, (NETWORK,)))
            assert paths_of(message, ("models",)) == documented

    @pytest.mark.parametrize(
        ("models", "named"),
        [
            ((), {"flr": "physical/1"}),
            ((MODEL,), {"flr": "test/1@0123456789ab"}),
            ((MODEL, NETWORK), {"flr": "test/1@0123456789ab", "region": "net/2@fedcba987654"}),
        ],
    )
    def test_status_names_the_models_at_work(
        self, models: tuple[ModelInfo, ...], named: dict[str, str]
    ) -> None:
        message = json.loads(status_message(BEGIN_NS, "online", models))
        page = status_page(
            Config(),
            Reading(),
            started_ns=BEGIN_NS,
            reasons=(),
            connected=True,
            queues={},
            store_bytes=0,
            models=models,
        )
        assert message["models"] == page["models"] == named

    def test_status_page_fields_are_documented_and_made(self) -> None:
        page = status_page(
            Config(), Reading(), started_ns=0, reasons=(), connected=True, queues={}, store_bytes=0
        )
        table = section(INTERFACES, "HTTP").partition("`/api/status`:")[2]
        assert only_once(name for row in rows(table) for name in code(row[0])) == set(page)

    def test_nothing_is_unknown_with_a_resonance_by_day(self) -> None:
        resonant = [
            document
            for document in documents("flr")
            if document["label"] == document["physical"]["label"] == "Freq"
            and document["illumination"] == "day"
        ]
        assert resonant, "the simulated morning shows no resonance"
        for document in resonant:
            unknown = {key for key, value in document.items() if value is None}
            unknown |= {f"physical.{key}" for key, value in document["physical"].items() if value is None}
            assert unknown == set()

    def test_event_fields_are_documented_and_made(self) -> None:
        names = event_fields()
        # In past five pairs, a night, and out again: begins, updates and ends of pairs and of the chain.
        places = [6.2] * 4 + [6.2 - 0.4 * step for step in range(9)] + [3.0] * 20 + [4.0] * 80
        running = crossing_kit.stage()
        said = [
            product for one in crossing_kit.states_of(places) for product in running.feed([flr_of(one), one])
        ]
        made = [paths_of(json.loads(product.encode(0)), ("properties",)) for product in said]
        assert set().union(*made) - {"properties"} == only_once(names)

    def test_events_of_spacecraft_have_the_documented_fields_but_those_of_chains(self) -> None:
        text = section(INTERFACES, "Events of spacecraft")
        (left_out,) = re.findall(r"there are no ((?:`\w+`(?:, | and )?)+)", text)
        expected = set(event_fields()) - {f"properties.{name}" for name in code(left_out)}
        made = [
            paths_of(document, ("properties",)) for document in documents("event") if is_of_craft(document)
        ]
        assert set().union(*made) - {"properties"} == expected
        for document in documents("event"):
            if is_of_craft(document):
                assert document["geometry"] is None
                assert document["properties"]["direction"] in ("inbound", "outbound")

    def test_sides_of_boundaries_are_documented(self) -> None:
        table = {code(row[0])[0]: row[1:] for row in rows(section(INTERFACES, "Events of spacecraft"))}
        assert {kind: [set(code(cell)) for cell in cells] for kind, cells in table.items()} == {
            sides.boundary.kind: [
                {str(region) for region in some}
                for some in (sides.outside, set(REGIONS) - sides.outside - sides.inside, sides.inside)
            ]
            for sides in SIDES
        }

    def test_map_of_regions_is_documented(self) -> None:
        table = rows(section(SCIENCE, "Labels in a row"))
        documented = {code(row[0])[0]: code(row[1]) for row in table}
        assert documented == {
            one: [other for other in REGIONS if other != one and are_neighbours(one, other)]
            for one in REGIONS
        }

    def test_regions_and_qualities_are_documented_and_made(self) -> None:
        documented = {code(row[0])[0]: code(row[2]) for row in rows(section(INTERFACES, "Object `region`"))}
        assert documented["label"] == [str(region) for region in REGIONS]
        # The words in the row of `quality` that are not in the table of flags.
        flags = {*first_column(INTERFACES, "Flags"), "confidence"}
        assert set(documented["quality"]) - flags == {str(quality) for quality in Quality}
        for document in documents("region"):
            assert document["probability"] is None or list(document["probability"]) == documented["label"]
        assert {document["quality"] for document in documents("region")} == set(Quality)

    def test_fields_of_a_hole_are_null_and_of_no_other_region(self) -> None:
        table = rows(section(INTERFACES, "Object `region`"))
        fields = [code(row[0])[0] for row in table if "ull for a hole" in row[2]]
        assert {"label", "probability", "cam"} <= set(fields)
        holes = [document for document in documents("region") if document["label"] is None]
        assert holes
        for document in documents("region"):
            for field in fields:
                assert (document[field] is None) == (document in holes), field

    def test_no_resonance_carries_no_frequency(self) -> None:
        table = rows(section(INTERFACES, "Object `flr`"))
        fields = [code(row[0])[0] for row in table if "ull with `NoFreq`" in row[2]]
        assert "frequency_mHz" in fields
        silent = [document for document in documents("flr") if document["label"] == "NoFreq"]
        assert silent, "every window of the simulation shows a resonance"
        for document in silent:
            for field in fields:
                outer, _, inner = field.partition(".")
                assert (document[outer][inner] if inner else document[outer]) is None, field

    @pytest.mark.parametrize(
        ("phrase", "path"),
        [
            ("ull where `physical.label` is `NoFreq`", ("physical", "label")),
            ("ull with `probability`", ("probability",)),
            ("ull with `mlt_h`", ("mlt_h",)),
        ],
    )
    def test_what_is_null_with_another_field_is_so(self, phrase: str, path: tuple[str, ...]) -> None:
        table = rows(section(INTERFACES, "Object `flr`"))
        fields = [code(row[0])[0].split(".") for row in table if phrase in row[2]]
        assert fields
        for document in documents("flr"):
            is_null = reduce(getitem, path, document) in (None, "NoFreq")
            for field in fields:
                assert (reduce(getitem, field, document) is None) == is_null, field

    @pytest.mark.parametrize(
        "kind", ["flr", "spectrum", "profile", "plasmapause", "region", "event", "health"]
    )
    def test_topics_are_documented(self, kind: str) -> None:
        listed = {
            code(row[0])[0].partition("/")[0]: row[1] for row in rows(section(INTERFACES, "Output topics"))
        }
        made = {product.kind for product in all_products()}
        assert set(listed) == made | {"status"}
        # An older revision goes out unretained, whatever its kind.
        retained = {
            product.retained for product in all_products() if product.kind == kind and not product.revision
        }
        assert retained == {listed[kind].startswith("yes")}

    def test_labels_are_documented(self) -> None:
        (row,) = [row for row in rows(section(INTERFACES, "Object `flr`")) if row[0] == "`label`"]
        assert set(code(row[2])) == {str(label) for label in Label}
        for document in documents("flr"):
            for field in ("probability", "track_probability"):
                assert document[field] is None or list(document[field]) == [str(label) for label in CLASSES]

    def test_words_for_the_light_are_documented(self) -> None:
        (row,) = [row for row in rows(section(INTERFACES, "Object `flr`")) if row[0] == "`illumination`"]
        assert set(code(row[2])) - {"effective_time", "mlt_h"} == {str(light) for light in Illumination}


def event_fields() -> list[str]:
    """Of the table of an event's fields, which is the one with three columns."""
    table = rows(section(INTERFACES, "Object `event`"))
    return [name for row in table if len(row) == 3 for name in code(row[0])]


def functions(path: str, *names: str) -> list[ast.FunctionDef]:
    """Functions and methods of a module of the package."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in names]
    assert {node.name for node in found} == set(names), f"{path} has no longer all of {names}"
    return found


def words(node: ast.FunctionDef) -> set[str]:
    """Constants of a function that look like a flag, its docstring left out."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    constants = [part for line in body for part in ast.walk(line) if isinstance(part, ast.Constant)]
    return {
        part.value
        for part in constants
        if isinstance(part.value, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", part.value)
    }


def raised_reasons() -> set[str]:
    """First arguments of every DecodeError of the package, where they stand there as text."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
            at = {"DecodeError": 0, "message_rejected": 1}.get(str(name))
            if at is not None and len(node.args) > at:
                reason = node.args[at]
                if isinstance(reason, ast.Constant) and isinstance(reason.value, str):
                    found.add(reason.value)
    return found


def words_of_sets(node: ast.FunctionDef) -> set[str]:
    """Constants of the sets that a function writes out."""
    parts = [part for one in ast.walk(node) if isinstance(one, ast.Set) for part in one.elts]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


class TestWords:
    def test_flags_are_documented_and_given(self) -> None:
        given = set().union(
            *(
                words(node)
                for node in (
                    *functions("stages/product.py", "_flags"),
                    *functions("stages/regress.py", "_findings", "finding_of", "station_flags"),
                    *functions("stages/track.py", "feed", "flush", "_labelled"),
                    *functions("stages/resonance.py", "_label", "_unusable"),
                    *functions("stages/window.py", "_north", "_station_window"),
                    *functions("stages/density.py", "__init__", "_judge", "_reason"),
                    *functions("stages/traced_field.py", "reasons"),
                    *functions("stages/craft_forms.py", "_alone"),
                    *functions("stages/region.py", "_flags"),
                )
            ),
            *(words_of_sets(node) for node in functions("stages/region_product.py", "_content")),
        )
        assert only_once(first_column(INTERFACES, "Flags")) == given - NO_FLAGS

    def test_flags_of_products_are_documented(self) -> None:
        documented = set(first_column(INTERFACES, "Flags"))
        flags = [set(document["flags"]) for document in documents("flr")]
        assert set().union(*flags) <= documented
        assert not any("physical_only" in some for some in flags)

    def test_flags_of_regions_are_documented_and_made(self) -> None:
        documented = first_column(INTERFACES, "Flags")
        made = set().union(*(document["flags"] for document in documents("region")))
        assert made == {"alone", "gap", "isolated", "novel"}
        assert made <= set(documented)

    def test_health_states_are_documented_in_their_order(self) -> None:
        assert first_column(INTERFACES, "Health states") == [str(state) for state in Health]
        assert set(STATION_STATES) == set(Health)

    def test_reasons_of_rejection_are_documented_and_given(self) -> None:
        documented = only_once(first_column(INTERFACES, "Reasons of rejection"))
        assert documented == REASONS | raised_reasons()


class TestMetrics:
    def test_metrics_are_documented_with_labels_and_kind(self) -> None:
        metrics = Metrics(["native"])
        known: dict[str, tuple[str, set[str]]] = {}
        for family in metrics.registry.collect():
            if family.name.startswith("geospace_"):
                suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
                known[family.name + suffix] = (family.type, set())
        documented = {
            code(row[0])[0]: (row[2], set(code(row[1]))) for row in rows(section(INTERFACES, "Metrics"))
        }
        assert set(documented) == set(known)
        assert {name: kind for name, (kind, _) in documented.items()} == {
            name: kind for name, (kind, _) in known.items()
        }

    def test_labels_of_metrics_are_documented(self) -> None:
        metrics = Metrics(["native"])
        metrics.message_rejected("native", "empty")
        metrics.samples_stored("TAR", 1)
        metrics.source_clock("TAR", BEGIN_NS)
        metrics.models_missing({"region": True})
        metrics.part_failed("regress")
        metrics.degraded("model_region", degraded=True)
        metrics.plugins.up("archive", "sink", up=True)
        metrics.plugins.waiting("archive", 0)
        metrics.stage_duration("window", 0.1)
        metrics.product_latency("flr", 1.0)
        metrics.link(lambda: LinkReading(last_message_ns=BEGIN_NS))
        metrics.queue_depth("intake", 0)
        metrics.models([MODEL])
        metrics.event_began("plasmapause_crossing", "one")
        metrics.injection_judged("INJP-INJQ", "recovered", 0.0)
        metrics.injection_recovered("INJP-INJQ", 1.0)
        metrics.watch(
            Watched(
                (WatchedPair("TAR-BRZ", "TAR", "BRZ", "one"),), ("MMS1",), (("flr", 1.0),), (("flr", 1.0),)
            )
        )
        newest = {product.kind: product for product in products() if body_is_resonant(product)}
        newest["plasmapause"] = STATED
        newest["event"] = begun()
        newest["region"] = next(product for product in craft_products() if product.kind == "region")
        for product in newest.values():
            metrics.product(product)
        seen: dict[str, set[str]] = {}
        for family in metrics.registry.collect():
            for sample in family.samples:
                name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
                if name.startswith("geospace_"):
                    seen.setdefault(name, set()).update(set(sample.labels) - {"le"})
        documented = {code(row[0])[0]: set(code(row[1])) for row in rows(section(INTERFACES, "Metrics"))}
        assert seen == documented

    def test_stages_are_documented_in_their_order(self) -> None:
        (row,) = [
            row for row in rows(section(INTERFACES, "Metrics")) if "geospace_stage_duration_seconds" in row[0]
        ]
        stages: list[str] = []

        @contextmanager
        def watch(stage: str) -> Iterator[None]:
            stages.append(stage)
            yield

        block = SampleBlock("TAR", ("H",), BEGIN_NS, 10 * SECOND_NS, np.zeros((1, 360)))
        config = Config.model_validate(
            {
                "pairs": ["TAR-BRZ"],
                "chains": {"one": ["TAR-BRZ"]},
                "craft": ["MMS1"],
                "models": {"region": "none"},
            }
        )
        pipeline = Pipeline(config, watch)
        craft = region_stage_kit.samples(["SW"] * 2 * WINDOW_CELLS)
        pipeline.feed([block, replace(block, source="BRZ"), craft])
        assert code(row[3]) == list(dict.fromkeys(stages))


STATED = Product(
    "plasmapause",
    "one",
    BEGIN_NS,
    0,
    True,
    {"l_shell": 4.0, "l_interval": [3.8, 4.1], "mlt_h": 6.0},
    BEGIN_NS + SECOND_NS,
)


def begun() -> Product:
    """The begin of an event."""
    running = crossing_kit.stage()
    states = crossing_kit.states_of([6.2] * 4 + [3.0] * 9)
    return next(product for one in states for product in running.feed([flr_of(one), one]))


def is_of_craft(document: Mapping[str, Json]) -> bool:
    return document["properties"]["subject"] == "MMS1"


def body_is_resonant(product: Product) -> bool:
    return product.kind == "health" or product.body.get("label") == "Freq"


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, of those in two words too (`train flr`)."""
    return dict(_leaves("", cli._parser()))


def _leaves(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, parser
    for action in below:
        for word, inner in action.choices.items():
            yield from _leaves(f"{name} {word}".strip(), inner)


class TestCommands:
    def test_commands_are_documented(self) -> None:
        table, _ = self._tables()
        assert [code(row[0])[0] for row in table] == list(parsers())

    def test_options_are_documented_with_their_commands(self) -> None:
        _, table = self._tables()
        documented = {
            (option, command) for row in table for option in code(row[0]) for command in code(row[1])
        }
        given = {
            (option, name)
            for name, parser in parsers().items()
            for action in parser._actions
            if not isinstance(action, argparse._HelpAction)
            for option in action.option_strings
        }
        assert documented == given

    def test_exit_codes_are_documented(self) -> None:
        documented = {int(value) for value in first_column(INTERFACES, "Exit codes")}
        assert documented == {cli.EXIT_DONE, cli.EXIT_FAILED, cli.EXIT_CONFIGURATION}

    def test_http_paths_are_documented(self) -> None:
        server = http_server(Http(), Metrics(), Lasting())
        application = web.Application()
        application.add_routes(server._routes)
        paths = {resource.canonical for resource in application.router.resources()}
        table = section(INTERFACES, "HTTP").partition("Errors are JSON")[0]
        assert {name for row in rows(table) for name in code(row[0])} == paths | {"/"}

    def test_datasets_of_hapi_are_documented_with_their_parameters(self) -> None:
        documented = {
            code(row[0])[0].rpartition("/")[2]: [re.sub(r"\[\w+\]$", "", name) for name in code(row[2])]
            for row in rows(section(INTERFACES, "HAPI"))
        }
        assert documented == {
            name: [column.name for column in form.columns({})] for name, form in FORMS.items()
        }

    def test_commands_of_the_readme_are_targets_of_the_makefile(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        named = set(re.findall(r"\bmake ([a-z]+)", text))
        targets = set(
            re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        )
        assert {"run", "test"} <= named <= targets

    @staticmethod
    def _tables() -> tuple[list[list[str]], list[list[str]]]:
        found = rows(section(INTERFACES, "Commands"))
        return [row for row in found if len(row) == 2], [row for row in found if len(row) == 3]


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Leaf keys of a model, dotted, and their defaults as JSON has them."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= keys_of(field.annotation, f"{prefix}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            found[prefix + name] = str(default) if isinstance(default, Path) else default
    return found


class TestConfiguration:
    def test_keys_are_documented_with_their_defaults(self) -> None:
        documented = {code(row[0])[0]: row[1] for row in self._rows() if "[]" not in row[0]}
        expected = {
            name: value for name, value in keys_of(Config).items() if name not in ("inputs", "stations")
        }
        expected |= keys_of(StationEntry, "stations.XYZ.")
        assert set(documented) == set(expected)
        for name, cell in documented.items():
            value = yaml.safe_load(code(cell)[0])
            default = expected[name]
            assert value == (list(default) if isinstance(default, tuple) else default), name
            assert isinstance(value, bool) == isinstance(default, bool), name

    def test_keys_of_inputs_are_documented(self) -> None:
        documented = {code(row[0])[0]: row for row in self._rows() if "[]" in row[0]}
        keys = {f"inputs[].{key}" for key in Input.model_fields if key != "options"}
        assert set(documented) == keys | {"inputs[].options"}

    def test_default_inputs_are_documented(self) -> None:
        text = section(CONFIGURATION, "inputs").partition("|")[0]
        for entry in Config().inputs:
            assert f"`{entry.decoder}` on `{entry.topic}`" in text

    def test_choices_are_documented(self) -> None:
        documented = {code(row[0])[0]: code(row[2]) for row in self._rows()}
        schema = Config.model_json_schema()
        choices = {
            f"{section_name}.{key}": field["enum"]
            for section_name, model in schema["properties"].items()
            if "$ref" in model
            for key, field in schema["$defs"][model["$ref"].rpartition("/")[2]]["properties"].items()
            if "enum" in field
        }
        assert choices.keys() == {"mqtt.protocol", "density.field", "log.level"}
        for name, allowed in choices.items():
            assert [yaml.safe_load(one) for one in documented[name]] == allowed

    @staticmethod
    def _rows() -> list[list[str]]:
        return rows(CONFIGURATION.read_text(encoding="utf-8"))
