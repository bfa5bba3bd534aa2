"""From the records of a server to the samples of a station or spacecraft, by the rules that archive files have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.decoders.base import (
    EARLIEST_NS,
    GROUND_LIMITS,
    LONGEST_STEP_NS,
    SHORTEST_STEP_NS,
    Limits,
    missing_to_nan,
)
from monitor.decoders.native import CRAFT_LIMITS, craft_fill_to_nan, derive_totals
from monitor.io.files import SourceSeries
from monitor.io.files.cdf_names import unit_factor
from monitor.io.files.craft import CraftSamples, common_frame, in_order, to_grid, usual_step_ns
from monitor.io.files.series import GRID_TOLERANCE, Grid, Rows, clipped, grid_of, series_on_grid
from monitor.types import CELL_NS, SECOND_NS, FloatArray, IntArray

from .mappings import MAPPINGS, known_parameters
from .options import COLUMN, FeedOptions
from .protocol import HapiError, Info, Parameter, Records

MARGIN_NS: Final = 30 * SECOND_NS
"""What is asked for around a stretch of a spacecraft's data: a cell depends on the samples within 12 s of it."""

_REACH_NS: Final = 12 * SECOND_NS
_TOLERANCE: Final = 1e-6
_MANY: Final = 10
"""So many records show their step, whatever the server says."""
_GROUND_UNITS: Final = {"nT": 1.0, "nt": 1.0, "nanotesla": 1.0, "T": 1e9, "uT": 1e3, "µT": 1e3, "pT": 1e-3}


@dataclass(frozen=True, slots=True)
class Column:
    """A component, and the columns of the request that it is the weighted sum of; in its unit after `factor`."""

    component: str
    columns: tuple[int, ...]
    weights: tuple[float, ...]
    factor: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a dataset, and how its records become samples.

    Attributes
    ----------
    parameters : tuple of Parameter
        In the order of the dataset, without the time.
    columns : tuple of Column
    frame : str or None
    shift : float
        From a time stamp to the middle of its sample, in steps; of a station it is 0 whatever the server says.
    """

    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    frame: str | None
    shift: float

    @property
    def components(self) -> tuple[str, ...]:
        """Names of what is taken."""
        return tuple(one.component for one in self.columns)

    @property
    def width(self) -> int:
        """Columns of an answer, without the time."""
        return sum(one.columns for one in self.parameters)


def plan_of(feed: FeedOptions, info: Info, where: str) -> Plan:
    """What to ask for. Raises HapiError where the dataset does not have what the feed needs."""
    if feed.components or (feed.mapping and MAPPINGS[feed.mapping].components):
        wanted = _named(feed, info, where)
        frame: str | None = feed.frame
        begins = False
    elif feed.craft is not None:
        wanted, frame, begins = _known(feed, info, where)
    else:
        wanted, frame, begins = _lettered(feed, info, where), None, False
    chosen = {parameter.name for parameter, *_ in wanted}
    parameters = tuple(one for one in info.parameters if one.name in chosen)
    offsets: dict[str, int] = {}
    width = 0
    for one in parameters:
        offsets[one.name] = width
        width += one.columns
    columns = tuple(
        Column(
            component,
            tuple(offsets[parameter.name] + place for place, weight in enumerate(weights) if weight),
            tuple(weight for weight in weights if weight),
            _factor(feed, component, parameter, weights, where),
        )
        for parameter, component, weights in wanted
    )
    return Plan(parameters, columns, frame, _shift(feed, info, begins))


_Wanted = tuple[Parameter, str, tuple[float, ...]]


def _named(feed: FeedOptions, info: Info, where: str) -> list[_Wanted]:
    """What the operator or the mapping names, column by column."""
    components = feed.components or (MAPPINGS[feed.mapping].components if feed.mapping else {})
    wanted: list[_Wanted] = []
    for component, written in components.items():
        match = COLUMN.fullmatch(written)
        assert match is not None
        parameter = info.named(match[1])
        place = int(match[2] or 0)
        if parameter is None:
            held = ", ".join(one.name for one in info.parameters[1:])[:200]
            raise HapiError(where, f"has no parameter {match[1]!r}, but {held}")
        if place >= parameter.columns or (match[2] is None and parameter.columns > 1):
            raise HapiError(
                where,
                f"{parameter.name} has {parameter.columns} columns: write {parameter.name}[0] or another",
            )
        wanted.append((parameter, component, _one_of(parameter.columns, place)))
    return wanted


def _known(feed: FeedOptions, info: Info, where: str) -> tuple[list[_Wanted], str | None, bool]:
    """What is known of the dataset's variables: MMS, Cluster, THEMIS."""
    numeric = [one.name for one in info.parameters[1:] if one.kind in ("double", "integer")]
    found = known_parameters(numeric, str(feed.dataset_id), feed.subject)
    wanted: list[_Wanted] = []
    for one in found:
        parameter = info.named(one.name)
        if parameter is None or parameter.columns != one.known.columns:
            continue
        pairs = zip(one.known.components, one.known.weights, strict=True)
        wanted += [
            (parameter, component, weights) for component, weights in pairs if component in one.components
        ]
    if not wanted:
        held = ", ".join(numeric)[:200] or "no numbers"
        raise HapiError(
            where,
            f"holds no field or ion moments of {feed.subject} under a known name, but {held}; name its components",
        )
    frame = common_frame([one.known.frame for one in found], where)
    return wanted, frame, any(one.known.begins for one in found)


def _lettered(feed: FeedOptions, info: Info, where: str) -> list[_Wanted]:
    """Parameters of a station that are called as its components."""
    wanted: list[_Wanted] = [
        (one, one.name.upper(), (1.0,))
        for one in info.parameters[1:]
        if one.name.upper() in ("X", "Y", "Z", "H", "E", "F") and one.columns == 1
    ]
    if not wanted:
        held = ", ".join(one.name for one in info.parameters[1:])[:200]
        raise HapiError(
            where, f"has no parameter X, Y, Z, H, E or F, but {held}; name the components of {feed.subject}"
        )
    return wanted


def _one_of(count: int, place: int) -> tuple[float, ...]:
    return tuple(float(one == place) for one in range(count))


def _factor(
    feed: FeedOptions, component: str, parameter: Parameter, weights: Sequence[float], where: str
) -> float:
    """From the server's unit to that of the component."""
    given = {parameter.units[place] for place, weight in enumerate(weights) if weight}
    written = feed.units if feed.units is not None else next(iter(given)) if len(given) == 1 else None
    if feed.craft is not None:
        factor, unit = unit_factor(component, written or "")
    else:
        factor, unit = _GROUND_UNITS.get((written or "").strip()), "nT"
    if factor is None:
        raise HapiError(
            where,
            f"{parameter.name} is in {str(written)[:40]!r}, which cannot be brought to {unit}; name its units",
        )
    return factor


def _shift(feed: FeedOptions, info: Info, begins: bool) -> float:
    location = feed.times or ("begin" if begins else info.location)
    return {"begin": 0.5, "end": -0.5}.get(location, 0.0)


def series_of(
    feed: FeedOptions,
    plan: Plan,
    records: Records,
    begin_ns: int,
    end_ns: int,
    *,
    steps_ns: Sequence[int] = (),
    complete: bool,
    where: str,
) -> tuple[list[SourceSeries], list[str]]:
    """Samples that begin in [begin, end), and notes on what was left out.

    Parameters
    ----------
    steps_ns : sequence of int
        What the step may be, the likeliest first: a few records may not show it.
    complete : bool
        Whether the last records are the last there will be: else the cells of a spacecraft whose neighbourhood is
        not there yet wait for it.

    Raises ArchiveError where the times lie on no grid.
    """
    times, values, notes = _in_range(plan, records, begin_ns, end_ns, of_craft=feed.craft is not None)
    if not times.size:
        return [], notes
    columns = np.stack([_component(values, one) for one in plan.columns])
    if feed.craft is None:
        series, more = _of_station(feed, plan, times, columns, steps_ns, where)
    else:
        series, more = _of_craft(feed, plan, times, columns, steps_ns, where)
        if not complete:
            end_ns = min(end_ns, settled_ns(int(times.max())))
    return [
        one for one in (clipped(one, begin_ns, end_ns) for one in series) if one is not None
    ], notes + more


def _in_range(
    plan: Plan, records: Records, begin_ns: int, end_ns: int, *, of_craft: bool
) -> tuple[IntArray, FloatArray, list[str]]:
    """Records of the times that were asked for, with fills as NaN."""
    margin = MARGIN_NS if of_craft else 0
    low, high = max(begin_ns - margin, EARLIEST_NS), end_ns + margin
    inside = (records.times_ns >= low) & (records.times_ns < high)
    beyond = records.times_ns.size - int(inside.sum())
    notes = [f"{beyond} records are of times that were not asked for"] if beyond else []
    if records.refused:
        notes.append(f"{records.refused} records cannot be used: {records.example}")
    values = np.where(np.isfinite(records.values[inside]), records.values[inside], np.nan)
    at = 0
    for parameter in plan.parameters:
        for place, fill in enumerate(parameter.fills):
            if fill is not None and np.isfinite(fill):
                column = values[:, at + place]
                # A fill value may have gone through float32.
                column[np.abs(column - fill) <= _TOLERANCE * abs(fill)] = np.nan
        at += parameter.columns
    return records.times_ns[inside], values, notes


def _component(values: FloatArray, column: Column) -> FloatArray:
    parts = [weight * values[:, place] for place, weight in zip(column.columns, column.weights, strict=True)]
    total: FloatArray = sum(parts[1:], start=parts[0]) * column.factor
    return total


def _within(components: Sequence[str], values: FloatArray, limits: Limits) -> tuple[FloatArray, list[str]]:
    """Values (c, n) with NaN where nothing real can be."""
    bounds = np.array([limits[name] for name in components])
    beyond = (values < bounds[:, :1]) | (values > bounds[:, 1:])
    notes = [f"{int(beyond.any(axis=0).sum())} records are beyond what is real"] if beyond.any() else []
    return np.where(beyond, np.nan, values), notes


def _of_station(
    feed: FeedOptions, plan: Plan, times: IntArray, values: FloatArray, steps_ns: Sequence[int], where: str
) -> tuple[list[SourceSeries], list[str]]:
    values, notes = _within(plan.components, missing_to_nan(values), GROUND_LIMITS)
    grid = next((grid for step_ns in steps_ns if (grid := _grid_at(times, step_ns)) is not None), None)
    if grid is None:
        if np.unique(times).size < 2:
            # A single sample shows no step: it comes again with the next one.
            return [], notes
        grid = grid_of(Rows(times, np.arange(1, times.size + 1)), where)
    series = series_on_grid(grid, values, source=feed.subject, components=plan.components, path=where)
    return series, notes


def _grid_at(times: IntArray, step_ns: int) -> Grid | None:
    """The grid of this step on which the times lie; None where they do not, or are clearly those of a longer step."""
    if not SHORTEST_STEP_NS <= step_ns <= LONGEST_STEP_NS:
        return None
    order = np.argsort(times, kind="stable")
    rising = times[order]
    kept = order[np.append(rising[1:] != rising[:-1], True)]
    since = times[kept] - times[kept[0]]
    index = (since + step_ns // 2) // step_ns
    if (np.abs(since - index * step_ns) > GRID_TOLERANCE * step_ns).any():
        return None
    if kept.size >= _MANY and int(np.diff(index).min()) > 1:
        return None
    return Grid(int(times[kept[0]]), step_ns, kept, index, order.size - kept.size)


def _of_craft(
    feed: FeedOptions, plan: Plan, times: IntArray, values: FloatArray, steps_ns: Sequence[int], where: str
) -> tuple[list[SourceSeries], list[str]]:
    values, notes = _within(plan.components, craft_fill_to_nan(values), CRAFT_LIMITS)
    kept, _ = in_order(times, where)
    if kept.size < 2:
        return [], notes
    middle = times[kept]
    seen_ns = usual_step_ns(middle, where)
    # Where many samples are missing the median is of how many, and not of how long each is.
    step_ns = next((one for one in steps_ns if one / 3 <= seen_ns <= 3 * one), seen_ns)
    middle = middle + round(plan.shift * step_ns)
    components, values = derive_totals(plan.components, values[:, kept])
    samples = CraftSamples(middle, components, values, plan.frame)
    return to_grid(samples, feed.subject, where, step_ns), notes


def settled_ns(last_ns: int) -> int:
    """Where the cells end that no sample after the last one can change any more."""
    return (last_ns - _REACH_NS) // CELL_NS * CELL_NS
