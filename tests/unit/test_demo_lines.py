"""The lines of the demonstration: what stands below what."""

from __future__ import annotations

import pytest

from monitor.demo.lines import event_line, label_line, plasmapause_line
from monitor.types import Json

TIME = "2017-09-07T12:00:00Z"


def label(density: float | None = 1520.4) -> str:
    physical = {"cross_phase_deg": 47.0, "coherence": 0.91}
    return label_line(
        {
            "time": TIME,
            "pair": "TAR-BRZ",
            "l_shell": 2.9,
            "label": "Freq",
            "frequency_mHz": 13.4,
            "frequency_interval_mHz": [12.6, 14.2],
            "physical": physical,
            "density_amu_cm3": density,
            "flags": ["physical_only", "despiked"],
        }
    )


def plasmapause(l_shell: float | None = 4.1) -> str:
    known = l_shell is not None
    body: Json = {"time": TIME, "chain": "emma", "l_shell": l_shell, "flags": ["carried"]}
    return plasmapause_line(
        body | {"l_interval": [3.9, 4.3] if known else None, "reason": None if known else "no_data"}
    )


def event(state: str = "begin") -> str:
    about = {"time": TIME, "subject": "OUJ-HAN", "l_shell": 4.15, "direction": "inward", "state": state}
    return event_line({"properties": {"kind": "plasmapause_crossing", **about}})


def test_label_says_density_and_leaves_out_what_all_lines_would_say() -> None:
    assert label().split() == (f"{TIME} TAR-BRZ 2.90 Freq 13.4 12.6 – 14.2 +47° 0.91 1520 despiked".split())
    assert label(None).split()[-2:] == ["-", "despiked"]


@pytest.mark.parametrize(("l_shell", "said"), [(4.1, "4.10 L_pp - 3.90 – 4.30"), (None, "- L_pp - -")])
def test_plasmapause_says_where_it_is_or_why_that_is_unknown(l_shell: float | None, said: str) -> None:
    words = " ".join(plasmapause(l_shell).split())
    assert words.startswith(f"{TIME} emma {said} - - - ")
    assert words.endswith("carried" if l_shell else "no_data carried")


def test_event_says_kind_direction_and_state() -> None:
    assert event().split() == f"{TIME} OUJ-HAN 4.15 event plasmapause_crossing inward: begin".split()


def starts(lines: list[str], *words: str) -> set[int]:
    return {line.index(word) for line in lines for word in words if word in line}


def test_columns_stand_below_each_other() -> None:
    assert len(starts([label(), label(None), plasmapause(None), event("end")], "Freq", "L_pp", "event")) == 1
    assert len(starts([label(), plasmapause()], "–")) == 1
    assert len(starts([label(), label(None), plasmapause()], "despiked", "carried")) == 1
