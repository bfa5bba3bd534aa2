"""Learned models that are plugins: named under `models`, made when they are asked for, and missed where they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.cli import main
from monitor.config import Config, parse_config
from monitor.daemon.standing import model_standing
from monitor.errors import ConfigurationError, ModelError, PluginError
from monitor.models.base import bundled
from monitor.models.flr import FlrModel
from monitor.models.region import RegionModel
from monitor.pipeline import Pipeline
from monitor.pipeline.loading import flr_model, region_model
from monitor.plugins import Found, Registry, installed, plugged_models
from monitor.plugins.in_process import InProcess
from monitor.types import Options

PLUGINS = installed()
FLR, REGION = bundled("flr"), bundled("region")


def config(models: str, plugins: str, registry: Registry = PLUGINS) -> Config:
    text = f"pairs: [TAR-BRZ]\ncraft: [MMS1]\nmodels: {models}\nplugins: {plugins}\n"
    return parse_config(text, "c.yaml", registry)


class Nonsense:
    """A model that is none."""

    class Options(Options):
        pass

    def __init__(self, _options: Options, _surroundings: object) -> None:
        pass

    def model(self) -> object:
        return 5


def test_models_of_plugins_are_those_of_their_folders() -> None:
    found = config(
        "{flr: mine, region: region_folder}",
        f"{{mine: {{plugin: flr_folder, folder: {FLR}}}, region_folder: {{folder: {REGION}}}}}",
    )
    models = plugged_models(found, PLUGINS)
    flr, region = flr_model(found, models), region_model(found, models)
    assert isinstance(flr, FlrModel)
    assert isinstance(region, RegionModel)
    plain = Pipeline(Config(pairs=("TAR-BRZ",), craft=("MMS1",)))
    assert [one.sha256 for one in Pipeline(found, models=models).models] == [
        one.sha256 for one in plain.models
    ]
    assert {name: stands.state for name, stands in model_standing(found, {}, 0).items()} == {
        "mine": "running",
        "region_folder": "running",
    }


def test_model_that_cannot_be_used_is_missed_and_said(tmp_path: Path) -> None:
    found = config("{flr: mine}", f"{{mine: {{plugin: flr_folder, folder: {tmp_path}}}}}")
    models = plugged_models(found, PLUGINS)
    with pytest.raises(ModelError, match=r"card\.json"):
        flr_model(found, models)
    pipeline = Pipeline(found, models=models, on_failure=lambda _failure: None)
    assert "the physical estimate is alone" in pipeline.missing_models["flr"]
    standing = model_standing(found, pipeline.missing_models, 0)["mine"]
    assert standing.state == "off"
    assert standing.reason == pipeline.missing_models["flr"]
    file = tmp_path / "c.yaml"
    file.write_text(
        f"pairs: [TAR-BRZ]\nmodels: {{flr: mine}}\nplugins: {{mine: {{plugin: flr_folder, folder: {tmp_path}}}}}\n"
    )
    assert main(["check-config", "-c", str(file)]) == 78


def test_what_is_no_model_of_its_kind_is_refused() -> None:
    both = Found("nonsense", "model", f"{__name__}:Nonsense", "tests 1", ours=True)
    registry = Registry([both, PLUGINS.find("region_folder")], ours=InProcess(), others=InProcess())
    found = Config(
        pairs=("TAR-BRZ",),
        models={"flr": "nonsense"},  # type: ignore[arg-type]
        plugins={"nonsense": {"plugin": "nonsense", "kind": "model"}},  # type: ignore[dict-item]
    )
    with pytest.raises((ModelError, PluginError), match="expected a FlrModel of the plugin, found int"):
        flr_model(found, plugged_models(found, registry))
    other = config("{flr: other}", f"{{other: {{plugin: region_folder, folder: {REGION}}}}}")
    with pytest.raises(ModelError, match="expected a FlrModel of the plugin, found RegionModel"):
        flr_model(other, plugged_models(other, PLUGINS))


@pytest.mark.parametrize(
    ("models", "plugins", "place", "message"),
    [
        ("{}", "{flr_folder: {folder: /m}}", (4, 23), "flr_folder is a model that nothing asks for"),
        ("{flr: native}", "{native: {}}", (3, 15), "native is switched on under plugins as a decoder"),
        ("{flr: flr_folder}", "{flr_folder: {}}", (4, 23), "the key folder is missing here"),
    ],
)
def test_models_and_plugins_must_agree(
    models: str, plugins: str, place: tuple[int, int], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(models, plugins)
    (fault,) = caught.value.faults
    assert (fault.line, fault.column) == place
    assert message in fault.message
