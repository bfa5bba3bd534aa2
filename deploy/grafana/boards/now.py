"""*Now*: the magnetosphere on one screen."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from boards import frame
from boards.palette import (
    BAD,
    GOOD,
    HEALTH,
    LABELS,
    NEUTRAL,
    NOTHING_KNOWN,
    PLAIN,
    QUALITIES,
    REGION_STATES,
    SECOND,
    STALE,
    WARNING,
    State,
    mappings,
)
from boards.panels import L_SHELL, Built, Column, Line, charts, listing, number, steps, strips
from boards.queries import (
    CRAFT,
    HERE,
    OPEN_EVENTS,
    PAIRS,
    by,
    dial,
    hours,
    of_craft,
    of_pairs,
    renamed,
    rings,
    state_code,
    stated,
)
from boards.scatter import Points, scatter

_L: Final = by("pair", "geospace_flr_l_shell")
_LOCAL_TIME: Final = by("pair", "geospace_flr_magnetic_local_time_seconds")
_CHAIN: Final = f'{HERE}, chain=~"$chain"'
_WIDEST_L: Final = 7
_UP: Final = {"down": State(BAD, "DOWN"), "up": State(GOOD, "up")}
_LINK: Final = {"lost": State(BAD, "LOST"), "connected": State(GOOD, "connected")}
LABEL_CODE: Final = of_pairs(state_code("geospace_flr_label", "label", LABELS, "pair"))
REGION_CODE: Final = of_craft(state_code("geospace_region_label", "label", REGION_STATES, "craft"))


def _of(label: str) -> tuple[str, str]:
    """Where the pairs with a label are."""
    has_it = f'geospace_flr_label{{{HERE}, label="{label}"}} == 1'
    right, up = (
        renamed(of_pairs(f"{one} and on (pair) ({has_it})"), "pair") for one in dial(_L, _LOCAL_TIME, "pair")
    )
    return right, up


def chain_map() -> Built:
    """Where the pairs are on the equatorial plane, what they see, and where the plasmapause is and was."""
    right, up = (
        renamed(one, "chain")
        for one in dial(
            by("chain", "geospace_plasmapause_l_shell", _CHAIN),
            by("chain", "geospace_plasmapause_magnetic_local_time_seconds", _CHAIN),
            "chain",
        )
    )
    return scatter(
        "Chain by L and local time: noon is up, dawn is right",
        (0, 4, 8, 15),
        [
            Points("rings at L = 1, 2, 4, 6", rings(1, 2, 4, 6), STALE, size=2, past=True),
            Points("past plasmapause", (right, up), SECOND, size=4, past=True),
            Points("plasmapause", (right, up), SECOND, size=22),
            *(Points(state.text, _of(label), state.colour, size=13) for label, state in LABELS.items()),
        ],
        description=(
            "The equatorial plane from the north, in Earth radii: the Sun is up, dawn (6 h) is right. A circle is a pair, in the colour of "
            "its label; the plasmapause is shown where it is now, and small at the local times where it was seen within the range. Stale "
            "pairs are not drawn: the table beside has them."
        ),
        names={"of": "pair or chain"},
        limits=(-_WIDEST_L, _WIDEST_L),
        label="R_E",
    )


def profile() -> Built:
    """Densities over L, and the plasmapause as a column of dots."""
    l_shell = of_pairs(_L)
    densities = [
        of_pairs(by("pair", f"geospace_flr_density{which}_amu_per_cubic_centimeter"))
        for which in ("", "_lower", "_upper")
    ]
    right = renamed(l_shell, "pair")
    middle, lower, upper = (renamed(one, "pair") for one in densities)
    # The same place at every step of the range, and a height that runs through the axis.
    here = [
        renamed(f"max by (chain) (geospace_plasmapause{which}_l_shell{{{_CHAIN}}} @ end())", "chain")
        for which in ("", "_lower", "_upper")
    ]
    height = "10 ^ (4 * (vector(time()) % $__range_s) / $__range_s)"
    heights = [f"0 * {one} + on () group_left () {height}" for one in here]
    return scatter(
        "Density (amu/cm³) over L",
        (18, 4, 6, 15),
        [
            Points("L_pp", (here[0], heights[0]), SECOND, size=3, past=True),
            Points("its lower end", (here[1], heights[1]), STALE, size=2, past=True),
            Points("its upper end", (here[2], heights[2]), STALE, size=2, past=True),
            Points("lower", (right, lower), PLAIN, size=5),
            Points("upper", (right, upper), PLAIN, size=5),
            Points("density", (right, middle), NEUTRAL, size=11),
        ],
        description=(
            "Plasma mass density at the equator by pair, with its interval; the columns of dots are the plasmapause and the ends of its "
            "interval. By night and where a pair has no resonance there is no density."
        ),
        names={"of": "pair or chain"},
        logarithmic=True,
        steps=120,
    )


def _strip() -> list[Built]:
    stale_pairs = f"count({PAIRS} unless on (pair) geospace_flr_label{{{HERE}}})"
    stale_craft = f"count({CRAFT} unless on (craft) geospace_region_label{{{HERE}}})"
    none_is_good = steps((None, GOOD), (1, BAD))
    return [
        number(
            "Daemon",
            (0, 0, 4, 4),
            f"up{{{HERE}}}",
            states=_UP,
            description="Whether Prometheus reaches the daemon.",
        ),
        number(
            "Broker",
            (4, 0, 4, 4),
            f"geospace_mqtt_connected{{{HERE}}}",
            states=_LINK,
            description="Whether the daemon is connected to its broker.",
        ),
        number(
            "Plasmapause",
            (8, 0, 4, 4),
            by("chain", "geospace_plasmapause_l_shell", _CHAIN),
            legend="{{chain}}",
            unit=L_SHELL,
            decimals=2,
            limits=steps((None, "#7A4F6B")),
            empty="not known",
            description="L of the plasmapause; not known at night and while it is outside the chain.",
        ),
        number(
            "Open events",
            (12, 0, 4, 4),
            f"sum(geospace_event_active{{{HERE}}})",
            limits=steps((None, STALE), (1, WARNING)),
            description="Crossings that are under way.",
        ),
        number(
            "Stale pairs",
            (16, 0, 4, 4),
            f"{stale_pairs} or 0 * count({PAIRS})",
            limits=none_is_good,
            description="Configured pairs about which nothing is known now.",
        ),
        number(
            "Stale spacecraft",
            (20, 0, 4, 4),
            f"{stale_craft} or 0 * count({CRAFT})",
            limits=none_is_good,
            empty="none configured",
            description="Configured spacecraft whose region is not known now.",
        ),
    ]


def _pairs() -> Built:
    def rounded(vector: str, factor: str, step: float) -> str:
        return f"round({factor} ({of_pairs(vector)}), {step})"

    certain = (
        f"max by (pair) (geospace_flr_probability_ratio{{{HERE}}} and on (pair, label) "
        f"geospace_flr_label{{{HERE}}} == 1)"
    )
    density = by("pair", "geospace_flr_density_amu_per_cubic_centimeter")
    age = f"time() - {by('pair', 'geospace_flr_data_timestamp_seconds')}"
    return listing(
        "Pairs",
        (8, 4, 10, 10),
        [
            Column("Pair", label="pair"),
            Column("Label", label="label", coloured=True),
            Column("Sure, %", rounded(certain, "100 *", 1)),
            Column("L", rounded(_L, "1 *", 0.01)),
            Column("MLT, h", rounded(hours(_LOCAL_TIME), "1 *", 0.1)),
            Column("mHz", rounded(by("pair", "geospace_flr_frequency_hertz"), "1000 *", 0.1)),
            Column("amu/cm³", rounded(density, "1 *", 0.1)),
            Column("Age, min", rounded(age, "1 / 60 *", 1), limits=(90, 180)),
            Column("Chain", label="chain"),
            Column("said", stated("geospace_flr_label", "label", "pair", PAIRS), hidden=True),
            Column("configured", f"max by (pair, chain) ({PAIRS})", hidden=True),
        ],
        texts={**LABELS, **NOTHING_KNOWN},
        link=frame.PAIR_LINK,
        sort="L",
        descending=True,
        description=(
            "Every configured pair, poleward first: label and its probability, L, magnetic local time, frequency and density of the last "
            "window, and how long ago it ended. Of a stale pair nothing is known now."
        ),
    )


def _spacecraft() -> Built:
    sure = of_craft(by("craft", "geospace_region_confidence_ratio"))
    age = of_craft(f"time() - {by('craft', 'geospace_region_data_timestamp_seconds')}")
    return listing(
        "Spacecraft",
        (8, 14, 10, 5),
        [
            Column("Spacecraft", label="craft"),
            Column("Region", label="label", coloured=True),
            Column("Sure, %", f"round(100 * ({sure}))"),
            Column("Quality", label="quality", coloured=True),
            Column("Age, min", f"round(({age}) / 60)", limits=(15, 30)),
            Column("said", stated("geospace_region_label", "label", "craft", CRAFT), hidden=True),
            Column("trusted", stated("geospace_region_quality", "quality", "craft", CRAFT), hidden=True),
        ],
        texts={**REGION_STATES, **QUALITIES, **NOTHING_KNOWN},
        link=frame.CRAFT_LINK,
        sort="Spacecraft",
        description="Every configured spacecraft: the plasma region that it is in, and how far to trust that.",
    )


def _events() -> Built:
    open_now = f"on (kind, subject) ({OPEN_EVENTS})"

    def told(metric: str) -> str:
        return f"max by (kind, subject) (geospace_event_{metric}{{{HERE}}} and {open_now})"

    which = f"max by (kind, subject, direction) (geospace_event_direction{{{HERE}}} == 1 and {open_now})"
    return listing(
        "Open events",
        (0, 19, 12, 7),
        [
            Column("Event", label="kind"),
            Column("Subject", label="subject"),
            Column("Direction", label="direction"),
            Column("L", f"round({told('l_shell')}, 0.01)"),
            Column("Sure, %", f"round(100 * {told('confidence_ratio')}, 0.1)"),
            Column("Since, h", f"round((time() - {told('start_timestamp_seconds')}) / 3600, 0.1)"),
            Column("which", which, hidden=True),
        ],
        sort="Since, h",
        empty="no open event",
        description="Crossings of the plasmapause (by chain and pair) and of bow shock and magnetopause that are under way.",
    )


def _over_time() -> list[Built]:
    lpp = by("chain", "geospace_plasmapause_l_shell", _CHAIN)
    lower = by("chain", "geospace_plasmapause_lower_l_shell", _CHAIN)
    upper = by("chain", "geospace_plasmapause_upper_l_shell", _CHAIN)
    return [
        charts(
            "Plasmapause",
            (12, 19, 12, 7),
            [
                Line(lpp, "{{chain}}"),
                Line(lower, "{{chain}}, lower end"),
                Line(upper, "{{chain}}, upper end"),
            ],
            unit=L_SHELL,
            description="L of the plasmapause with the interval that holds it; gaps where it is not known.",
        ),
        strips(
            "Labels of the pairs",
            (0, 26, 12, 9),
            [Line(LABEL_CODE, "{{pair}}")],
            mappings(LABELS),
            description="What each pair saw, in the colours of the map.",
        ),
        strips(
            "Regions of the spacecraft",
            (12, 26, 12, 4),
            [Line(REGION_CODE, "{{craft}}")],
            mappings(REGION_STATES),
            description="Which plasma region each spacecraft was in.",
        ),
        strips(
            "Sources",
            (12, 30, 12, 5),
            [Line(state_code("geospace_station_state", "state", HEALTH, "station"), "{{station}}")],
            mappings(HEALTH),
            description="Health of stations and spacecraft. What is grey or missing has not been heard.",
        ),
    ]


def now() -> Dashboard:
    return frame.framed(
        frame.NOW,
        "Geospace: now",
        "The magnetosphere on one screen: what the pairs see, where the plasmapause is, where the spacecraft are, and what is stale.",
        span="24h",
        variables=[frame.INSTANCE, frame.chain()],
        annotations=[frame.events("Events", OPEN_EVENTS)],
        panels=[*_strip(), chain_map(), _pairs(), profile(), _spacecraft(), _events(), *_over_time()],
    )
