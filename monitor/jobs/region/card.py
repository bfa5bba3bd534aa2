"""The card of a network of regions: what it saw, what it does, what it cannot do."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from monitor.jobs.region.evaluated import COMPLETE, Evaluated
from monitor.jobs.region.measures import RegionMeasures
from monitor.jobs.region.real import RealMeasures
from monitor.models.card import DataSource, ModelCard, file_digests
from monitor.models.region import KIND, SCHEMA
from monitor.types import REGIONS, Json

INTENDED_USE: Final = (
    "The plasma region of near-Earth space that a spacecraft is in, of ten, from three minutes of magnetic field and ion "
    "moments at 4.5 s."
)
TOLERANCE: Final = 0.02
LIMITS: Final = (
    "Trained on simulated windows only, unless the data below say otherwise: no public labelled set has all ten classes and all twelve variables.",
    "The ranges that the simulation draws from were summarised from published values and, for |B|, T and N of six regions, from percentiles of the real MMS windows that the real metrics are measured on, and then widened. No window of these was trained on, but their bulk values are not new to it, and results of earlier networks on them were seen while the ranges were chosen.",
    "Bow shock, magnetopause, boundary layer and plasma sheet boundary layer have never been checked on real labelled windows.",
    "The real windows are of a few dozen runs of one spacecraft; of real windows with all twelve variables it has seen none with a label.",
    "Probabilities are calibrated on simulated windows in the shares of classes of the paper (table 2).",
    "Vectors are taken in GSE; in GSM they differ by a turn about x that is not undone.",
    "Breuillard et al. (2020) publish neither their weights nor their labelled set: nothing here is theirs but the network's form and recipe.",
)


def region_card(
    *,
    name: str,
    contents: Mapping[str, bytes],
    created: str,
    data: Sequence[DataSource],
    hyper_parameters: Mapping[str, Json],
    search: str,
    limits: Sequence[str] = LIMITS,
) -> ModelCard:
    """All that is known of a model that was just made; its metrics are still to be measured."""
    return ModelCard(
        name=name,
        version="1",
        kind=KIND,
        created=created,
        intended_use=INTENDED_USE,
        data=tuple(data),
        feature_schema=SCHEMA,
        files=file_digests(contents),
        hyper_parameters=hyper_parameters,
        search=search,
        metrics={},
        tolerance={"any share of the metrics": TOLERANCE},
        limits=tuple(limits),
        libraries={
            library: version(library) for library in ("numpy", "scipy", "torch", "onnx", "onnxruntime")
        }
        | {"python": platform.python_version()},
    )


def card_metrics(one: Evaluated, real: RealMeasures | None) -> dict[str, Json]:
    """What the card keeps: figures by form, the rivals' accuracies, and what real measurements say."""
    kept: dict[str, Json] = {
        "all windows": {form: _figures(measured) for form, measured in one.forms.items()},
        "rivals on all windows": {name: _share(rival.accuracy.value) for name, rival in one.rivals.items()},
    }
    complete = one.patterns.get(COMPLETE)
    if complete:
        kept["windows with all variables"] = {form: _figures(measured) for form, measured in complete.items()}
    if real is not None:
        kept["real"] = _real(real)
    return kept


def _figures(measured: RegionMeasures) -> dict[str, Json]:
    return {
        "windows": measured.windows,
        "accuracy": _share(measured.accuracy.value),
        "calibration error": _share(measured.calibration_error.value),
        "F1": {each.region: _share(each.f1.value) for each in measured.classes},
        "AUC": {each.region: _share(each.auc.value) for each in measured.classes},
    }


def _real(real: RealMeasures) -> dict[str, Json]:
    """Accuracy, recall and confusion of the MMS windows; shocks and solar wind."""
    kept: dict[str, Json] = {}
    for name, measured in (real.windows or {}).items():
        kept[f"MMS windows, {name}"] = {
            "windows": measured.windows,
            "accuracy": _share(measured.accuracy.value),
            "recall": {
                each.region: _share(each.recall.value) for each in measured.classes if each.recall.count
            },
            "confusion": _confusion(measured),
        }
    for name, shocks in (real.shocks or {}).items():
        kept[f"MMS shocks, {name}"] = {
            "shocks": shocks.shocks,
            "upstream wrong": len(shocks.upstream_wrong),
            "downstream wrong": len(shocks.downstream_wrong),
        }
    for name, wind in (real.wind or {}).items():
        kept[f"MMS solar wind, {name}"] = {"windows": wind.windows, "SW or FS": _share(wind.right)}
    if real.hour is not None:
        kept["Cluster hour, share on their side of the change"] = _share(real.hour.agreement)
    return kept


def _confusion(measured: RegionMeasures) -> dict[str, Json]:
    """Counts that are not 0, by the truth and then by what was called."""
    return {
        truth.value: {
            f"called {called.value}": row[column]
            for called, row in zip(REGIONS, measured.confusion, strict=True)
            if row[column]
        }
        for column, truth in enumerate(REGIONS)
        if measured.of(truth.value).recall.count
    }


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
