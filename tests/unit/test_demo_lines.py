"""The lines of the demonstration: what stands below what, and what of a spacecraft is said at all."""

from __future__ import annotations

import pytest

from monitor.demo.lines import HEAD, Lines, event_line, label_line, plasmapause_line, region_line
from monitor.types import SECOND_NS, Json, Product, iso_time

TIME = "2017-09-07T12:00:00Z"
T0_NS = 1_504_785_600 * SECOND_NS


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


def region(
    name: str | None = "MSH", quality: str = "good", confidence: float | None = 0.968, minutes: int = 0
) -> Json:
    return {
        "time": iso_time(T0_NS + minutes * 60 * SECOND_NS),
        "craft": "MMS1",
        "label": name,
        "confidence": confidence,
        "quality": quality,
        "flags": ["gap"] if name is None else ["isolated", "novel"],
    }


def test_region_says_how_surely_and_how_far_it_is_to_be_trusted() -> None:
    assert region_line(region()).split() == f"{TIME} MMS1 - MSH 97% good - - - isolated novel".split()
    nothing = region_line(region(None, "poor", None))
    assert nothing.split() == f"{TIME} MMS1 - - - poor - - - gap".split()


def test_spacecraft_event_has_no_l() -> None:
    about = {"time": TIME, "subject": "MMS1", "direction": "inbound", "state": "begin"}
    line = event_line({"properties": {"kind": "bow_shock_crossing", **about}})
    assert line.split() == f"{TIME} MMS1 - event bow_shock_crossing inbound: begin".split()


def starts(lines: list[str], *words: str) -> set[int]:
    return {line.index(word) for line in lines for word in words if word in line}


def test_columns_stand_below_each_other() -> None:
    assert len(starts([label(), label(None), plasmapause(None), event("end")], "Freq", "L_pp", "event")) == 1
    assert len(starts([label(), plasmapause()], "–")) == 1
    assert len(starts([label(), label(None), plasmapause()], "despiked", "carried")) == 1
    assert len(starts([label(), plasmapause(), region_line(region())], "Freq", "L_pp", "MSH")) == 1
    assert len(starts([label(), label(None), region_line(region())], "despiked", "isolated")) == 1
    assert HEAD.index("label") == label().index("Freq")
    assert HEAD.index("flags") == region_line(region()).index("isolated")


def shown(*products: Product) -> tuple[list[str], str]:
    """Label and quality of the lines that are printed, and the summary."""
    written: list[str] = []
    lines = Lines(written.append, lambda: None)
    for product in products:
        lines.show(product)
    return [" ".join(line.split()[3:6:2]) for line in written], lines.summary()


def said(body: Json, revision: int = 0, craft: str = "MMS1") -> Product:
    minutes_ns = T0_NS + 60 * SECOND_NS * int(body["time"][14:16])
    return Product("region", craft, minutes_ns, revision, True, {**body, "craft": craft})


def test_spacecraft_is_heard_of_when_its_region_or_quality_changes() -> None:
    printed, summary = shown(
        said(region("SW")),
        said(region("SW", confidence=0.8, minutes=3)),
        said(region("SW", "uncertain", minutes=6)),
        said(region("MSH", "uncertain", minutes=9)),
        said(region("MSH", "uncertain", minutes=12)),
        said(region(None, "poor", None, minutes=15)),
        said(region("MSH", minutes=18)),
    )
    assert printed == ["SW good", "SW uncertain", "MSH uncertain", "- poor", "MSH good"]
    assert summary == "0 labels of pairs, 7 of spacecraft, 0 events"


def test_revision_is_shown_of_the_newest_window_alone() -> None:
    printed, summary = shown(
        said(region("SW", minutes=3)),
        said(region("BS", minutes=6)),
        said(region("SW", "poor", minutes=3), 1),  # what is past
        said(region("MSH", minutes=6), 1),
        said(region("MSH", minutes=9)),
        said(region("SW", minutes=3), craft="THA"),  # another spacecraft has a past of its own
    )
    assert printed == ["SW good", "BS good", "MSH good", "SW good"]
    assert summary.startswith("0 labels of pairs, 4 of spacecraft")


def test_reader_who_leaves_ends_the_demo() -> None:
    def broken(_line: str) -> None:
        raise BrokenPipeError

    gone: list[bool] = []
    lines = Lines(broken, lambda: gone.append(True))
    lines.show(said(region()))
    assert gone == [True]
