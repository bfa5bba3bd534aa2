"""Failures and concerns: counted each time, logged seldom, and gone when they are over; models that are missing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.cli import EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED, main
from monitor.config import Config
from monitor.daemon.degradation import CONCERNS, Degradation
from monitor.daemon.failures import Failures
from monitor.daemon.waiting import patiently
from monitor.errors import ModelError
from monitor.io.metrics import Metrics
from monitor.pipeline import Pipeline
from monitor.pipeline.guard import Failure
from monitor.pipeline.loading import unusable_models

MINUTE_NS = 60 * 1_000_000_000


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(metrics.render("")[0].decode()):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
    return None


def raised(text: str = "poison") -> Exception:
    try:
        raise ZeroDivisionError(text)
    except ZeroDivisionError as error:
        return error


class TestFailures:
    def test_each_is_counted_and_one_a_minute_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        metrics, now_ns = Metrics(), 0
        failures = Failures(metrics, lambda: now_ns)
        for _ in range(5):
            failures.note(Failure("regress", "TAR-BRZ", raised()))
        failures.note(Failure("track", "TAR-BRZ", raised()))
        assert [record.getMessage()[:28] for record in caplog.records] == [
            "regress failed for 'TAR-BRZ'",
            "track failed for 'TAR-BRZ': ",
        ]
        now_ns = MINUTE_NS
        failures.note(Failure("regress", "NUR-TAR", raised()))
        assert "(4 more in the last minute)" in caplog.records[-1].getMessage()
        assert [record.exc_info is not None for record in caplog.records] == [True, True, False]
        assert value(metrics, "geospace_part_failures_total", part="regress") == 6.0

    def test_name_from_outside_writes_no_line_of_its_own(self, caplog: pytest.LogCaptureFixture) -> None:
        Failures(Metrics()).note(Failure("decoder_x", "a\nERROR all is lost", raised()))
        assert "\n" not in caplog.records[0].getMessage()

    def test_failure_outside_the_stages_is_a_reason_until_it_has_worked(self) -> None:
        failures = Failures(Metrics())
        failures.outside("pipeline", raised())
        assert failures.reasons({"track": "line"}).keys() == {"part_track", "part_pipeline"}
        failures.worked("pipeline")
        assert failures.reasons({}) == {}


class TestDegradation:
    def test_known_concerns_are_shown_before_they_happen(self) -> None:
        metrics = Metrics()
        Degradation(metrics)
        assert [value(metrics, "geospace_degraded", concern=one) for one in CONCERNS] == [0.0] * len(CONCERNS)

    def test_concern_is_one_while_there_is_a_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        metrics = Metrics()
        degradation = Degradation(metrics)
        with caplog.at_level(logging.INFO):
            for reason in ("the disk is full", "the disk is full", None, None):
                degradation.note("samples", reason)
                expected = 0.0 if reason is None else 1.0
                assert value(metrics, "geospace_degraded", concern="samples") == expected
                assert degradation.reasons == ([] if reason is None else [reason])
        assert [record.getMessage() for record in caplog.records] == [
            "degraded: the disk is full",
            "samples: recovered",
        ]

    def test_parts_that_are_not_named_any_more_have_recovered(self) -> None:
        metrics = Metrics()
        degradation = Degradation(metrics)
        degradation.note("outbox", "the disk is full")
        degradation.note_all("part_", {"part_track": "a", "part_region": "b"})
        degradation.note_all("part_", {"part_region": "b"})
        assert degradation.reasons == ["the disk is full", "b"]
        shown = [value(metrics, "geospace_degraded", concern=f"part_{one}") for one in ("track", "region")]
        assert shown == [0.0, 1.0]


async def test_patience_says_how_long_it_waits_and_gives_what_comes() -> None:
    told: list[float] = []
    work = asyncio.get_running_loop().create_future()

    def overdue(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 3:
            work.set_result("done")

    assert await patiently(work, 0.01, overdue) == "done"
    assert len(told) == 3
    assert told == sorted(told)


class TestMissingModels:
    """`flr` and `region` name folders that are not there."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Config:
        models = {"flr": str(tmp_path / "none"), "region": str(tmp_path / "gone")}
        return Config.model_validate({"pairs": ["TAR-BRZ"], "craft": ["MMS1"], "models": models})

    def test_live_pipeline_goes_on_without_them_and_says_which(self, config: Config, tmp_path: Path) -> None:
        pipeline = Pipeline(config, on_failure=lambda _failure: None)
        assert pipeline.models == ()
        missing = pipeline.missing_models
        assert str(tmp_path / "none") in missing["flr"]
        assert "the physical estimate is alone" in missing["flr"]
        assert str(tmp_path / "gone") in missing["region"]
        assert "restart" in missing["region"]

    def test_offline_pipeline_refuses(self, config: Config) -> None:
        with pytest.raises(ModelError, match="expected a file of the model"):
            Pipeline(config)

    def test_check_knows_those_that_are_wanted(self, config: Config) -> None:
        assert unusable_models(config).keys() == {"flr", "region"}
        assert unusable_models(config.model_copy(update={"craft": ()})).keys() == {"flr"}
        assert unusable_models(Config.model_validate({"pairs": ["TAR-BRZ"], "craft": ["MMS1"]})) == {}

    def test_check_config_names_file_line_and_folder(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("pairs: [TAR-BRZ]\nmodels:\n  flr: /nowhere/model\n")
        assert main(["check-config", "-c", str(path)]) == EXIT_CONFIGURATION
        assert capsys.readouterr().err.startswith(
            f"{path}:3:8: models.flr: /nowhere/model/card.json: expected"
        )
        path.write_text("pairs: [TAR-BRZ]\nmodels:\n  flr: auto\n")
        assert main(["check-config", "-c", str(path)]) == EXIT_DONE

    def test_process_ends_with_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config, archive, output = tmp_path / "c.yaml", tmp_path / "a.csv", tmp_path / "out.jsonl"
        config.write_text("pairs: [TAR-BRZ]\nmodels: {flr: /nowhere/model}\n")
        archive.write_text("time,TAR_H,BRZ_H\n2017-09-07T00:00:00Z,1.0,2.0\n2017-09-07T00:00:01Z,1.0,2.0\n")
        assert main(["process", str(archive), "-c", str(config), "-o", str(output)]) == EXIT_FAILED
        assert "/nowhere/model/card.json: expected a file of the model" in capsys.readouterr().err
