"""*Health*: the daemon itself."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from boards import frame
from boards.palette import BAD, GOOD, HEALTH, NEUTRAL, PLAIN, SECOND, STALE, WARNING, State, mappings
from boards.panels import Built, Column, Line, charts, listing, number, steps, strips
from boards.queries import HERE, state_code

_UP: Final = {"down": State(BAD, "DOWN"), "up": State(GOOD, "up")}
_LINK: Final = {"lost": State(BAD, "LOST"), "connected": State(GOOD, "connected")}
_RELOAD: Final = {"refused": State(BAD, "REFUSED"), "taken": State(GOOD, "good")}
_DEGRADED: Final = {"well": State(GOOD, "well"), "degraded": State(BAD, "degraded")}


def _quantile(share: float, histogram: str, label: str) -> str:
    rate = f"sum by (le, {label}) (rate({histogram}_bucket{{{HERE}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rate})"


def _mean(histogram: str, label: str) -> str:
    total, count = (
        f"sum by ({label}) (rate({histogram}_{part}{{{HERE}}}[$__rate_interval]))"
        for part in ("sum", "count")
    )
    return f"{total} / {count}"


def _rate(counter: str, label: str) -> str:
    return f"sum by ({label}) (rate({counter}{{{HERE}}}[$__rate_interval]))"


def _strip() -> list[Built]:
    bad = steps((None, GOOD), (1, BAD))
    return [
        number(
            "Daemon",
            (0, 0, 3, 4),
            f"up{{{HERE}}}",
            states=_UP,
            description="Whether Prometheus reaches the daemon.",
        ),
        number(
            "Broker",
            (3, 0, 3, 4),
            f"geospace_mqtt_connected{{{HERE}}}",
            states=_LINK,
            description="Whether the daemon is connected to its broker.",
        ),
        number(
            "Degradations",
            (6, 0, 3, 4),
            f"sum(geospace_degraded{{{HERE}}})",
            limits=bad,
            description="Concerns that keep the daemon from being all that it should be.",
        ),
        number(
            "Models missing",
            (9, 0, 3, 4),
            f"sum(geospace_model_missing{{{HERE}}})",
            limits=bad,
            description="Learned models that the configuration names and that cannot be used.",
        ),
        number(
            "Configuration",
            (12, 0, 3, 4),
            f"geospace_config_last_reload_successful{{{HERE}}}",
            states=_RELOAD,
            description="Whether the configuration was good when it was last read; a refused one leaves the old one in force.",
        ),
        number(
            "In force for",
            (15, 0, 3, 4),
            f"time() - geospace_config_last_reload_success_timestamp_seconds{{{HERE}}}",
            unit=units.DurationSeconds,
            decimals=0,
            description="Since the configuration in force was taken up.",
        ),
        number(
            "Running for",
            (18, 0, 3, 4),
            f"time() - process_start_time_seconds{{{HERE}}}",
            unit=units.DurationSeconds,
            decimals=0,
            description="Since the process started.",
        ),
        number(
            "Room in the store",
            (21, 0, 3, 4),
            f"geospace_store_free_bytes{{{HERE}}}",
            unit=units.BytesIEC,
            decimals=1,
            limits=steps((None, BAD), (1e9, WARNING), (5e9, GOOD)),
            description="What is left on the file system of the store.",
        ),
    ]


def _what_runs() -> list[Built]:
    program = f"geospace_build_info{{{HERE}}}"
    models = f"geospace_model_info{{{HERE}}} * on (instance) group_left (version, python) {program}"
    return [
        listing(
            "Version and models",
            (0, 4, 8, 6),
            [
                Column("Version", label="version"),
                Column("Python", label="python"),
                Column("Kind", label="kind"),
                Column("Model", label="model"),
                Column("Hash", label="sha256"),
                Column("program", f"max by (version, python) ({program})", hidden=True),
                Column("models", f"max by (version, python, kind, model, sha256) ({models})", hidden=True),
            ],
            sort="Kind",
            description="What runs here: the program, its interpreter, and the learned models at work with the begin of their hashes.",
        ),
        strips(
            "Concerns",
            (8, 4, 16, 6),
            [Line(f"max by (concern) (geospace_degraded{{{HERE}}})", "{{concern}}")],
            mappings(_DEGRADED, first=0),
            description="What degrades the daemon, as /readyz says it.",
        ),
        strips(
            "Sources",
            (0, 10, 12, 9),
            [Line(state_code("geospace_station_state", "state", HEALTH, "station"), "{{station}}")],
            mappings(HEALTH),
            description="Health of stations and spacecraft.",
        ),
        charts(
            "Lag of the sources",
            (12, 10, 12, 9),
            [Line(f"max by (source) (geospace_source_lag_seconds{{{HERE}}})", "{{source}}")],
            unit=units.DurationSeconds,
            description="How far each source's clock is behind the present: a feed that dies climbs by a second each second.",
        ),
    ]


def _intake() -> list[Built]:
    return [
        charts(
            "Messages",
            (0, 19, 8, 8),
            [Line(_rate("geospace_messages_received_total", "decoder"), "{{decoder}}")],
            unit=units.CountsPerSecond,
            limits=(0, None),
            description="Messages taken from the broker, by decoder.",
        ),
        charts(
            "Rejected",
            (8, 19, 8, 8),
            [Line(_rate("geospace_messages_rejected_total", "decoder, reason"), "{{decoder}}: {{reason}}")],
            unit=units.CountsPerSecond,
            limits=(0, None),
            description="Messages that could not be used, by reason; the interfaces page of the documentation explains each.",
        ),
        charts(
            "Queues",
            (16, 19, 8, 8),
            [
                Line(f"max by (queue) (geospace_queue_depth{{{HERE}}})", "{{queue}}"),
                Line(f"geospace_mqtt_unacknowledged_messages{{{HERE}}}", "unacknowledged", SECOND),
            ],
            limits=(0, None),
            description="What waits: messages not yet stored, and products not yet sent.",
        ),
        charts(
            "Held back",
            (0, 27, 8, 7),
            [
                Line(
                    f"rate(geospace_intake_held_seconds_total{{{HERE}}}[$__rate_interval])",
                    "share of time",
                    WARNING,
                )
            ],
            unit=units.PercentUnit,
            limits=(0, 1),
            description="Share of time in which the broker was held back: more came than was stored. Nothing is lost by it.",
        ),
        charts(
            "Since the last message",
            (8, 27, 8, 7),
            [
                Line(
                    f"time() - geospace_mqtt_last_message_timestamp_seconds{{{HERE}}}",
                    "last message",
                    NEUTRAL,
                )
            ],
            unit=units.DurationSeconds,
            limits=(0, None),
            description="How long nothing has come from the broker.",
        ),
        charts(
            "Connections and failures",
            (16, 27, 8, 7),
            [
                Line(f"geospace_mqtt_connections_total{{{HERE}}}", "connections to the broker", NEUTRAL),
                Line(f"sum by (part) (geospace_part_failures_total{{{HERE}}})", "failures of {{part}}"),
                Line(f"sum(geospace_http_refused_total{{{HERE}}})", "HTTP refused", PLAIN),
            ],
            limits=(0, None),
            description="Since the start: connections that came up, failures of parts, HTTP requests that were refused.",
        ),
    ]


def _work() -> list[Built]:
    latency, stage = "geospace_product_latency_seconds", "geospace_stage_duration_seconds"
    return [
        charts(
            "Latency of products",
            (0, 34, 12, 8),
            [
                Line(_quantile(0.5, latency, "product"), "{{product}}, half within"),
                Line(_quantile(0.99, latency, "product"), "{{product}}, 99 % within"),
            ],
            unit=units.DurationSeconds,
            limits=(0, None),
            description="From the end of a window to its publication. Late data and replays take hours, and show as the largest bucket.",
        ),
        charts(
            "Stages",
            (12, 34, 12, 8),
            [Line(_mean(stage, "stage"), "{{stage}}")],
            unit=units.Seconds,
            logarithmic=True,
            description="Mean time that each stage takes for a batch.",
        ),
        charts(
            "Store",
            (0, 42, 8, 7),
            [
                Line(f"geospace_store_bytes{{{HERE}}}", "store", NEUTRAL),
                Line(f"geospace_store_free_bytes{{{HERE}}}", "free", GOOD, (4, 6)),
            ],
            unit=units.BytesIEC,
            logarithmic=True,
            description="Size of the store with its log, and the room left.",
        ),
        charts(
            "Memory",
            (8, 42, 8, 7),
            [Line(f"process_resident_memory_bytes{{{HERE}}}", "resident", NEUTRAL)],
            unit=units.BytesIEC,
            limits=(0, None),
            description="Resident memory of the process.",
        ),
        charts(
            "Processors",
            (16, 42, 4, 7),
            [Line(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])", "busy", NEUTRAL)],
            limits=(0, None),
            description="Processors that the daemon keeps busy.",
        ),
        charts(
            "Tasks",
            (20, 42, 4, 7),
            [Line(f"geospace_event_loop_tasks{{{HERE}}}", "tasks", PLAIN)],
            limits=(0, None),
            description="Tasks of the event loop: about constant.",
        ),
        charts(
            "Injected signals",
            (0, 49, 12, 7),
            [Line(f"max by (subject) (geospace_injection_recovered_ratio{{{HERE}}})", "{{subject}}")],
            unit=units.PercentUnit,
            limits=(0, 1),
            description="Share of the signals of known truth that were labelled right in the last 24 hours. Empty where injection is off.",
        ),
        charts(
            "Injected windows",
            (12, 49, 12, 7),
            [
                Line(
                    f"sum by (subject, outcome) (increase(geospace_injection_windows_total{{{HERE}}}[1h]))",
                    "{{subject}}: {{outcome}}",
                )
            ],
            limits=(0, None),
            description="Verdicts of the last hour on injected windows. Empty where injection is off.",
        ),
    ]


def health() -> Dashboard:
    return frame.framed(
        frame.HEALTH,
        "Geospace: health",
        "The daemon itself: broker, queues, lag, rejections, latency, stages, store, stations, injected signals.",
        span="6h",
        variables=[frame.INSTANCE],
        annotations=[
            frame.events("Restarts", f"changes(process_start_time_seconds{{{HERE}}}[1m]) > bool 0", STALE)
        ],
        panels=[*_strip(), *_what_runs(), *_intake(), *_work()],
    )
