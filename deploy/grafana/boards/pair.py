"""*Pair*: what one pair of stations says, and how good its spectra are."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from boards import frame
from boards.palette import HEALTH, LABELS, NEUTRAL, PLAIN, SECOND, STALE, WARNING, State, mappings
from boards.panels import DENSITY, HOURS, Built, Line, charts, interval, number, steps, strips
from boards.queries import HERE, THIS_PAIR, by, hours, state_code

_SET: Final = {"set": State(WARNING, "set")}


def _value(metric: str) -> str:
    return by("pair", metric, THIS_PAIR)


def _strip() -> list[Built]:
    plain = steps((None, STALE))
    age = f"time() - {_value('geospace_flr_data_timestamp_seconds')}"
    cadence = f'scalar(geospace_product_cadence_seconds{{{HERE}, product="flr"}})'
    return [
        number(
            "Label",
            (0, 0, 4, 4),
            state_code("geospace_flr_label", "label", LABELS, "pair", THIS_PAIR),
            states=LABELS,
            first=1,
            empty="stale",
            description="Of the last window; stale once it is over and no other has come.",
        ),
        number(
            "Frequency",
            (4, 0, 4, 4),
            _value("geospace_flr_frequency_hertz"),
            unit=units.Hertz,
            decimals=1,
            limits=plain,
            empty="none",
            description="Of the resonance, where there is one.",
        ),
        number(
            "Density",
            (8, 0, 4, 4),
            _value("geospace_flr_density_amu_per_cubic_centimeter"),
            unit=DENSITY,
            decimals=0,
            limits=plain,
            empty="none",
            description="Plasma mass density at the equator, where one is stated.",
        ),
        number(
            "L",
            (12, 0, 4, 4),
            _value("geospace_flr_l_shell"),
            decimals=2,
            limits=plain,
            description="Of the middle between the stations.",
        ),
        number(
            "Magnetic local time",
            (16, 0, 4, 4),
            hours(_value("geospace_flr_magnetic_local_time_seconds")),
            unit=HOURS,
            decimals=1,
            limits=plain,
            description="At the centre of the last window; noon is 12 h.",
        ),
        number(
            "Windows behind",
            (20, 0, 4, 4),
            f"({age}) / {cadence}",
            decimals=1,
            limits=steps((None, STALE), (3, WARNING)),
            description="Age of the last window's end in windows: up to about one while all is well.",
        ),
    ]


def _findings() -> list[Built]:
    return [
        charts(
            "Frequency",
            (0, 4, 12, 10),
            [
                *interval(
                    "frequency",
                    _value("geospace_flr_frequency_hertz"),
                    _value("geospace_flr_frequency_lower_hertz"),
                    _value("geospace_flr_frequency_upper_hertz"),
                    NEUTRAL,
                ),
                Line(_value("geospace_flr_physical_frequency_hertz"), "physical estimate", SECOND, (1, 4)),
            ],
            unit=units.Hertz,
            description="Resonance frequency with its interval; dotted is the physical estimate, the second opinion.",
        ),
        charts(
            "Mass density",
            (12, 4, 12, 10),
            interval(
                "density",
                _value("geospace_flr_density_amu_per_cubic_centimeter"),
                _value("geospace_flr_density_lower_amu_per_cubic_centimeter"),
                _value("geospace_flr_density_upper_amu_per_cubic_centimeter"),
                NEUTRAL,
            ),
            unit=DENSITY,
            logarithmic=True,
            description="Plasma mass density at the equator with its interval. None by night, unless the configuration asks for it.",
        ),
        strips(
            "Label",
            (0, 14, 12, 4),
            [Line(state_code("geospace_flr_label", "label", LABELS, "pair", THIS_PAIR), "{{pair}}")],
            mappings(LABELS),
            description="Freq: a resonance. PBL: a reversed one, a steep plasmapause is between the stations. NoFreq: none.",
        ),
        charts(
            "Probabilities",
            (0, 18, 12, 9),
            [
                Line(
                    f'max by (label) (geospace_flr_probability_ratio{{{THIS_PAIR}, label="{label}"}})',
                    state.text,
                    state.colour,
                )
                for label, state in LABELS.items()
            ],
            unit=units.PercentUnit,
            limits=(0, 1),
            stacked=True,
            description="Calibrated probability of each label.",
        ),
    ]


def _spectra() -> list[Built]:
    return [
        charts(
            "Coherence and coverage",
            (12, 14, 12, 7),
            [
                Line(_value("geospace_flr_coherence_ratio"), "coherence at the peak", NEUTRAL),
                Line(
                    f"max by (station) (geospace_window_coverage_ratio{{{THIS_PAIR}}})",
                    "coverage {{station}}",
                ),
            ],
            unit=units.PercentUnit,
            limits=(0, 1),
            description="How coherent the stations are around the peak, and which share of the window's samples each gave.",
        ),
        charts(
            "Cross-phase at the peak",
            (12, 21, 12, 6),
            [Line(f"deg({_value('geospace_flr_cross_phase_radians')})", "cross-phase", NEUTRAL)],
            unit=units.Degrees,
            limits=(-180, 180),
            description="Positive: a resonance as densities usually fall outwards. Negative: a reversed one.",
        ),
        strips(
            "Flags",
            (0, 27, 12, 8),
            [Line(f"max by (flag) (geospace_flr_flag{{{THIS_PAIR}}})", "{{flag}}")],
            mappings(_SET, unknown="not set"),
            description="What is to be known about the windows; the interfaces page of the documentation explains each flag.",
        ),
        strips(
            "Stations",
            (12, 27, 12, 8),
            [
                Line(
                    f"({state_code('geospace_station_state', 'state', HEALTH, 'station')}) and on (station) "
                    f"geospace_window_coverage_ratio{{{THIS_PAIR}}}",
                    "{{station}}",
                )
            ],
            mappings(HEALTH),
            description="Health of both stations.",
        ),
    ]


def pair() -> Dashboard:
    event = f'geospace_event_active{{{HERE}, subject="$pair"}} == 1'
    chain = (
        f'geospace_event_active{{{HERE}, kind="plasmapause_crossing"}} == 1 and on (subject) '
        f'label_replace(geospace_pair_info{{{THIS_PAIR}}}, "subject", "$1", "chain", "(.+)")'
    )
    return frame.framed(
        frame.PAIR,
        "Geospace: pair",
        "One pair of stations: resonance, density, probabilities, and how good the spectra are.",
        span="24h",
        variables=[
            frame.INSTANCE,
            frame.of_label("pair", "Pair", f"geospace_pair_info{{{HERE}}}", "pair"),
        ],
        annotations=[
            frame.events("Events of the pair", event),
            frame.events("Events of its chain", chain, PLAIN),
        ],
        panels=[*_strip(), *_findings(), *_spectra()],
    )
