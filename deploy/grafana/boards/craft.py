"""*Spacecraft*: where one spacecraft is, and how sure that is."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from boards import frame
from boards.palette import HEALTH, NEUTRAL, QUALITIES, REGION_STATES, STALE, WARNING, mappings
from boards.panels import Built, Line, charts, number, steps, strips
from boards.queries import HERE, THIS_CRAFT, by, state_code


def _region() -> str:
    return state_code("geospace_region_label", "label", REGION_STATES, "craft", THIS_CRAFT)


def _quality() -> str:
    return state_code("geospace_region_quality", "quality", QUALITIES, "craft", THIS_CRAFT)


def _strip() -> list[Built]:
    age = f"time() - {by('craft', 'geospace_region_data_timestamp_seconds', THIS_CRAFT)}"
    hop = f'scalar(geospace_product_cadence_seconds{{{HERE}, product="region"}})'
    return [
        number(
            "Region",
            (0, 0, 6, 4),
            _region(),
            states=REGION_STATES,
            first=1,
            empty="stale",
            description="Of the last window; stale once it is over and no other has come.",
        ),
        number(
            "Confidence",
            (6, 0, 6, 4),
            by("craft", "geospace_region_confidence_ratio", THIS_CRAFT),
            unit=units.PercentUnit,
            decimals=0,
            limits=steps((None, STALE)),
            description="Calibrated probability of the region.",
        ),
        number(
            "Quality",
            (12, 0, 6, 4),
            _quality(),
            states=QUALITIES,
            first=1,
            empty="stale",
            description="How far the label can be trusted.",
        ),
        number(
            "Windows behind",
            (18, 0, 6, 4),
            f"({age}) / {hop}",
            decimals=1,
            limits=steps((None, STALE), (5, WARNING)),
            description="Age of the last window's end in windows: one or two while all is well.",
        ),
    ]


def _timelines() -> list[Built]:
    health = state_code("geospace_station_state", "state", HEALTH, "station", f'{HERE}, station="$craft"')
    return [
        strips(
            "Region",
            (0, 4, 24, 4),
            [Line(_region(), "{{craft}}")],
            mappings(REGION_STATES),
            description="Which plasma region the spacecraft was in; gaps where nothing is said.",
        ),
        charts(
            "Probabilities",
            (0, 8, 24, 10),
            [
                Line(
                    f'max by (label) (geospace_region_probability_ratio{{{THIS_CRAFT}, label="{name}"}})',
                    state.text,
                    state.colour,
                )
                for name, state in REGION_STATES.items()
            ],
            unit=units.PercentUnit,
            limits=(0, 1),
            stacked=True,
            description="Calibrated probability of each region.",
        ),
        charts(
            "Confidence",
            (0, 18, 12, 8),
            [Line(by("craft", "geospace_region_confidence_ratio", THIS_CRAFT), "confidence", NEUTRAL)],
            unit=units.PercentUnit,
            limits=(0, 1),
            description="Probability of the region that is said.",
        ),
        strips(
            "Quality",
            (12, 18, 12, 4),
            [Line(_quality(), "quality")],
            mappings(QUALITIES),
            description="How far the labels could be trusted.",
        ),
        strips(
            "Health",
            (12, 22, 12, 4),
            [Line(health, "{{station}}")],
            mappings(HEALTH),
            description="Health of the spacecraft's feed.",
        ),
        charts(
            "Lag",
            (0, 26, 24, 7),
            [
                Line(
                    f'max by (source) (geospace_source_lag_seconds{{{HERE}, source="$craft"}})',
                    "lag",
                    NEUTRAL,
                )
            ],
            unit=units.DurationSeconds,
            description="How far the spacecraft's clock is behind the present.",
        ),
    ]


def craft() -> Dashboard:
    return frame.framed(
        frame.CRAFT,
        "Geospace: spacecraft",
        "One spacecraft: its plasma region over time, the probabilities, and how good the labels are.",
        span="12h",
        variables=[
            frame.INSTANCE,
            frame.of_label("craft", "Spacecraft", f"geospace_craft_info{{{HERE}}}", "craft"),
        ],
        annotations=[frame.events("Events", f'geospace_event_active{{{HERE}, subject="$craft"}} == 1')],
        panels=[*_strip(), *_timelines()],
    )
