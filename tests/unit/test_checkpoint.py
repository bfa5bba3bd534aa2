"""What is stored of the stages: only what changed, told apart from what anybody changed, and kept where it is of no use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.config import Config
from monitor.daemon.checkpoint import CURSOR, Checkpoints, sealed, set_aside

CONFIG = Config.model_validate({"pairs": ["TAR-BRZ"], "craft": ["MMS1"]})


def stored_by(checkpoints: Checkpoints, **states: object) -> dict[str, str]:
    stored = checkpoints.write(states, 7)
    checkpoints.committed()
    return stored


def test_states_are_read_as_they_were_written() -> None:
    stored = stored_by(Checkpoints(CONFIG), window={"version": 1}, track=[1.5, "x"])
    assert Checkpoints(CONFIG).read(stored) == ({"window": {"version": 1}, "track": [1.5, "x"]}, 7)


def test_only_what_changed_since_the_last_commit_is_written() -> None:
    checkpoints = Checkpoints(CONFIG)
    lasting = {"version": 1}
    stored = stored_by(checkpoints, window=lasting, track=[1])
    failed = checkpoints.write({"window": lasting, "track": [2]}, 8)
    again = checkpoints.write({"window": lasting, "track": [2]}, 8)
    assert failed == again
    assert sorted(again) == [CURSOR, "track"]
    checkpoints.committed()
    assert Checkpoints(CONFIG).read(stored | again) == ({"window": lasting, "track": [2]}, 8)


def test_stage_that_is_switched_off_keeps_its_state() -> None:
    stored = stored_by(Checkpoints(CONFIG), window=[1], track=[2])
    between = Checkpoints(CONFIG)
    between.read(stored)
    stored |= stored_by(between, window=[3])
    assert Checkpoints(CONFIG).read(stored)[0] == {"window": [3], "track": [2]}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda stored: stored.update(track="[2]"), "the state of track is not what was stored"),
        (lambda stored: stored.pop("track"), "the state of track is not what was stored"),
        (lambda stored: stored.update(cursor=stored["cursor"].replace('"row":7', '"row":9')), "the cursor"),
        (lambda stored: stored.update(cursor='{"row": 7}'), "the checkpoint has version None"),
        (lambda stored: stored.update(cursor="[]"), "'list' object has no attribute"),
    ],
)
def test_what_is_not_as_it_was_stored_is_refused(spoil: object, reason: str) -> None:
    stored = stored_by(Checkpoints(CONFIG), window=[1], track=[1])
    assert callable(spoil)
    spoil(stored)
    with pytest.raises((ValueError, AttributeError), match=reason):
        Checkpoints(CONFIG).read(stored)


@pytest.mark.parametrize("domain", ["windows", "craft_windows"])
def test_states_of_other_windows_are_refused(domain: str) -> None:
    stored = stored_by(Checkpoints(CONFIG), window=[1])
    changed = CONFIG.model_dump(exclude={"inputs"})
    changed[domain]["lateness_s"] = 77.0
    with pytest.raises(ValueError, match=f"the {domain} were configured otherwise"):
        Checkpoints(Config.model_validate(changed)).read(stored)


def test_seal_holds_all_that_is_in_a_cursor() -> None:
    cursor = json.loads(stored_by(Checkpoints(CONFIG), window=[1])[CURSOR])
    assert sealed(cursor) == cursor
    for name in cursor.keys() - {"seal"}:
        assert sealed({**cursor, name: "other"}) != {**cursor, name: "other"}


def test_states_are_set_aside_beside_the_store_and_the_newest_three_kept(tmp_path: Path) -> None:
    store = tmp_path / "db.sqlite"
    (tmp_path / "other.sqlite.states-20200101T000000.000000Z.json").touch()
    kept = [set_aside(store, {"track": json.dumps(number)}) for number in range(5)]
    assert [path is not None and path.exists() for path in kept] == [False, False, True, True, True]
    assert kept[4] is not None
    assert json.loads(kept[4].read_text()) == {"track": "4"}
    assert kept[4].name.startswith("db.sqlite.states-2")
    # A start that is tried again finds the same.
    assert set_aside(store, {"track": "4"}) == kept[4]
    assert len(list(tmp_path.iterdir())) == 4


def test_states_that_cannot_be_set_aside_do_not_keep_the_daemon_from_its_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert set_aside(tmp_path / "away" / "db.sqlite", {"track": "1"}) is None
    assert "cannot be written" in caplog.text
