"""The commands as an operator meets them: exit codes, one line for a fault, never a traceback."""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from daemon_kit import LEARNED_WINDOWS, PROGRAM, T0_NS, chain_blocks, command, write_config, write_csv

from monitor.types import SECOND_NS, iso_time

GOOD = "mqtt://127.0.0.1:1"


def test_check_config_of_a_good_file_says_so(tmp_path: Path) -> None:
    done = command("check-config", "-c", write_config(tmp_path / "good.yaml", GOOD))
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path / 'good.yaml'}: good (2 pairs, 0 spacecraft)\n"


def test_check_config_prints_every_fault_with_its_place_and_exits_78(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "mqtt: {url: 'http://broker'}\n"
        "pairs:\n"
        "  - TAR-BRZ\n"
        "  - BRZ-TAR\n"
        "  - nonsense\n"
        "windows: {cadence_s: 7}\n"
        "colour: red\n"
    )
    done = command("check-config", "-c", path)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert all(re.match(rf"{re.escape(str(path))}:\d+:\d+: \S", line) for line in lines), done.stderr
    places = {int(line.removeprefix(f"{path}:").split(":")[0]) for line in lines}
    assert {1, 5, 6, 7} <= places
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["run", "check-config", "process"])
def test_configuration_that_is_not_there_is_one_line_and_exit_78(name: str, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.yaml"
    files = ["some.csv"] if name == "process" else []
    done = command(name, *files, "-c", missing)
    assert done.returncode == 78
    assert done.stderr.startswith(f"{missing}:1:1: ")
    assert len(done.stderr.splitlines()) == 1


def corrupt(directory: Path) -> Path:
    path = directory / "TAR_cut.csv.gz"
    path.write_bytes(gzip.compress(b"time,H\n" + b"2017-09-07T08:00:00Z,1\n" * 1000)[:-20])
    return path


def test_process_of_a_missing_file_keeps_the_output_of_an_earlier_run(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("precious\n")
    done = command("process", tmp_path / "missing.csv", "--pair", "TAR-BRZ", "-o", output)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"geospace-monitor: {tmp_path / 'missing.csv'}: cannot be read: No such file or directory\n"
    )
    assert output.read_text() == "precious\n"


def test_process_of_a_corrupt_file_is_one_line_and_exit_1(tmp_path: Path) -> None:
    done = command("process", corrupt(tmp_path), "--pair", "TAR-BRZ")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "fetch the file again" in done.stderr


def test_process_of_files_without_the_pair_names_what_they_hold(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(10))
    done = command("process", archive, "--pair", "MUO-PEL")
    assert done.returncode == 1
    assert "they hold BRZ, NUR, TAR, the pairs need MUO, PEL" in done.stderr


def test_process_to_an_unwritable_output_is_one_line_and_exit_1(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(10))
    done = command(
        "process", archive, "--pair", "NUR-TAR", "--pair", "TAR-BRZ", "-o", tmp_path / "no" / "such" / "place"
    )
    assert done.returncode == 1
    assert "cannot be written (No such file or directory); name another file with -o" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_process_into_a_pipe_that_closes_ends_without_a_traceback(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(120))
    config = write_config(tmp_path / "pipe.yaml", GOOD, models={"flr": "physical"})
    with subprocess.Popen(
        [PROGRAM, "process", archive, "-c", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read().decode()
        assert process.wait(timeout=30) == 1
    assert error == ""


def test_model_for_other_windows_is_said_to_be_left_out(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(10))
    config = write_config(tmp_path / "short.yaml", GOOD)
    done = command("process", archive, "-c", config)
    assert done.returncode == 0
    assert "window_s 7200 (here 1800): the physical estimate is alone" in done.stderr


def test_folder_that_holds_no_model_is_one_line(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(10))
    config = write_config(tmp_path / "wrong.yaml", GOOD, models={"flr": str(tmp_path)})
    done = command("process", archive, "-c", config)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(tmp_path) in line


def test_smoothing_looks_ahead_and_each_object_says_so(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(150))
    config = write_config(tmp_path / "smooth.yaml", GOOD, windows=LEARNED_WINDOWS)
    causal = [json.loads(line) for line in command("process", archive, "-c", config).stdout.splitlines()]
    ahead = [
        json.loads(line) for line in command("process", archive, "-c", config, "--smooth").stdout.splitlines()
    ]
    assert {(one["pair"], one["time"]) for one in ahead} == {(one["pair"], one["time"]) for one in causal}
    assert all("smoothed" in one["flags"] and one["revision"] == 0 for one in ahead)
    assert not any("smoothed" in one["flags"] for one in causal)
    assert any(one["probability"] is not None for one in ahead)


def test_wrong_command_line_is_exit_1_with_the_usage() -> None:
    done = command("replay", "x.csv", "--to", "mqtt://127.0.0.1", "--speed", "fast")
    assert done.returncode == 1
    assert done.stderr.startswith("usage:")
    assert "Traceback" not in done.stderr
    assert command().returncode == 1
    assert command("--help").returncode == 0


def test_config_together_with_a_pair_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path / "good.yaml", GOOD)
    done = command("process", "x.csv", "-c", config, "--pair", "TAR-BRZ")
    assert (done.returncode, done.stderr) == (
        1,
        "geospace-monitor: give either -c or --pair and --craft, not both\n",
    )


def test_replay_to_a_broker_that_is_not_there_is_one_line_and_exit_1(tmp_path: Path) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(10))
    done = command("replay", archive, "--to", GOOD, "--speed", "max")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_password_file_that_is_not_there_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    mqtt = {"username": "u", "password_file": str(tmp_path / "none")}
    config = write_config(tmp_path / "secret.yaml", GOOD, mqtt=mqtt)
    done = command("run", "-c", config, timeout_s=20)
    assert done.returncode == 78
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupt_while_the_daemon_starts_ends_it_in_order(tmp_path: Path) -> None:
    """As early as the log can tell that it has begun, and at some moments after."""
    for delay_s in (0.0, 0.3):
        config = write_config(tmp_path / f"start{delay_s}.yaml", GOOD)
        with subprocess.Popen([PROGRAM, "run", "-c", config], stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            while not Path(f"{config.with_suffix('.sqlite')}.lock").exists():  # the store is being opened
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            error = process.stderr.read().decode()
            assert process.wait(timeout=20) == 0, error
        assert "Traceback" not in error


def test_log_level_of_the_configuration_counts(tmp_path: Path) -> None:
    archive = tmp_path / "chain.csv"
    rows = [f"{iso_time(T0_NS + n * SECOND_NS)},1,2,3" for n in range(120)]
    archive.write_text("\n".join(["time,TAR_H,BRZ_H,XYZ_H", *rows, ""]))
    for level, told in (("info", True), ("error", False)):
        config = write_config(tmp_path / f"{level}.yaml", GOOD, pairs=["TAR-BRZ"], log={"level": level})
        done = command("process", archive, "-c", config, "-o", tmp_path / "out")
        assert done.returncode == 0
        assert ("XYZ belongs to no pair" in done.stderr) is told
