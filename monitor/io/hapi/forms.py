"""The forms in which products are given out: which columns a dataset has.

A dataset is one subject in one form: `TAR-BRZ/flr`, `emma/plasmapause`; all events are the dataset `events`. Its records
are products in their newest revision, each at the time of the product. Two forms have columns that follow the newest
product: the pairs of a chain, and the frequencies of a spectrum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from monitor.io.hapi.columns import (
    Column,
    Document,
    Getter,
    at,
    double,
    doubles,
    members,
    moment,
    number,
    text,
    whole,
    words,
)
from monitor.science.fieldline import AMU_KG
from monitor.types import REGIONS, WINDOW_CELLS, Json, Label

Columns: TypeAlias = tuple[Column, ...]

EVENTS: Final = "events"
_LABELS: Final = tuple(label.value for label in Label)
_REGIONS: Final = tuple(region.value for region in REGIONS)
_ENDS: Final = ("lower", "upper")
_DENSITY: Final = "amu cm-3"
_SI_DENSITY: Final = AMU_KG * 1e6
_FLAGS_LENGTH: Final = 160
_MODEL_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Form:
    """A way to give out the products of one kind.

    Attributes
    ----------
    name : str
        Last part of the id of a dataset.
    kind : str
        Of the products.
    title, description : str
    columns : callable
        From the newest product to the columns behind the time.
    stamp : str
        Where in its window the time of a record is.
    """

    name: str
    kind: str
    title: str
    description: str
    columns: Callable[[Document], Columns]
    stamp: Literal["begin", "end"] = "end"


def _revision() -> Column:
    return Column(
        "revision",
        "integer",
        at("revision"),
        description="Above 0 where late samples changed the record; only the newest is given out.",
        is_known=True,
    )


def _centre() -> Column:
    return moment("effective_time", at("effective_time"), "Centre of the window.", is_known=True)


def _flags() -> Column:
    return text("flags", words("flags"), _FLAGS_LENGTH, "With blanks between them.")


def _interval(name: str, get: Getter, units: str | None, of: str) -> Column:
    return doubles(name, get, _ENDS, units, f"Ends of the 90 % interval of {of}.")


def _coverage(document: Document) -> Json:
    """Of the poleward and the equatorward station, in this order."""
    pair, coverage = document.get("pair"), document.get("coverage")
    if not isinstance(pair, str) or not isinstance(coverage, dict):
        return None
    return [coverage.get(station) for station in pair.split("-")]


def _flr(_newest: Document) -> Columns:
    physical = "The physical estimate, a second opinion: "
    return (
        _centre(),
        text("label", at("label"), 6, "NoFreq, Freq or PBL, after the windows around."),
        doubles("probability", members(_LABELS, "probability"), _LABELS, None, "From this window alone."),
        text("stage_one", at("stage_one"), 6, "Label from this window alone."),
        doubles("track_probability", members(_LABELS, "track_probability"), _LABELS),
        double("frequency_mHz", at("frequency_mHz"), "mHz", "Resonance frequency."),
        _interval("frequency_interval_mHz", at("frequency_interval_mHz"), "mHz", "the frequency"),
        text("physical_label", at("physical", "label"), 6, f"{physical}its label."),
        double("physical_frequency_mHz", at("physical", "frequency_mHz"), "mHz", f"{physical}frequency."),
        double("physical_sigma_mHz", at("physical", "sigma_mHz"), "mHz", f"{physical}standard error."),
        double("physical_cross_phase_deg", at("physical", "cross_phase_deg"), "deg"),
        double("physical_coherence", at("physical", "coherence")),
        whole("physical_agrees", at("physical", "agrees"), f"{physical}1 where it says the same."),
        double("density_amu_cm3", at("density_amu_cm3"), _DENSITY, "Equatorial mass density."),
        double("l_shell", at("l_shell")),
        double("mlt_h", at("mlt_h"), "h", "Magnetic local time at the centre."),
        text("illumination", at("illumination"), 8, "day, penumbra or night at the ends of the line."),
        doubles(
            "coverage", _coverage, ("poleward", "equatorward"), None, "Share of samples that were there."
        ),
        _flags(),
        text("classifier", at("model", "classifier"), _MODEL_LENGTH),
        text("regressor", at("model", "regressor"), _MODEL_LENGTH),
        _revision(),
    )


def _rho_si(document: Document) -> Json:
    density = number(document.get("density_amu_cm3"))
    return None if density is None else density * _SI_DENSITY


def _density(_newest: Document) -> Columns:
    return (
        _centre(),
        double("rho", at("density_amu_cm3"), _DENSITY, "Equatorial mass density."),
        _interval("rho_interval", at("density_interval_amu_cm3"), _DENSITY, "rho"),
        double("rho_si", _rho_si, "kg m-3", "The same density."),
        double("density_index", at("density_index"), None, "m of rho = rho_eq (r_eq / r)^m along the line."),
        whole("harmonic", at("harmonic"), "Mode that the frequency is taken for."),
        double("frequency_mHz", at("frequency_mHz"), "mHz"),
        double("l_shell", at("l_shell")),
        double("mlt", at("mlt_h"), "h", "Magnetic local time at the centre."),
        text("illumination", at("illumination"), 8),
        text("label", at("label"), 6),
        _flags(),
        _revision(),
    )


def _spectrum(newest: Document) -> Columns:
    """The frequencies are those of the newest spectrum; what an older one has of others is left out."""
    grid = _grid(newest)
    bins = {"name": "frequency", "units": "mHz", "centers": list(grid)}

    def column(name: str, units: str | None, description: str) -> Column:
        return Column(name, "double", _on_grid(grid, name), units, description, size=len(grid), bins=bins)

    return (
        column("cross_phase_deg", "deg", "Phase of the equatorward less that of the poleward station."),
        column("amplitude_ratio", None, "Equatorward over poleward."),
        column("coherence", None, "Magnitude-squared."),
        whole("smoothing_bins", at("smoothing_bins")),
        _revision(),
    )


def _grid(newest: Document) -> tuple[float, ...]:
    frequencies = newest.get("frequency_mHz")
    known = map(number, frequencies if isinstance(frequencies, list) else [])
    return tuple(one for one in known if one is not None) or (0.0,)


def _on_grid(grid: Sequence[float], name: str) -> Getter:
    places = {_nanohertz(frequency): place for place, frequency in enumerate(grid)}

    def get(document: Document) -> Json:
        frequencies, values = document.get("frequency_mHz"), document.get(name)
        if not isinstance(frequencies, list) or not isinstance(values, list):
            return None
        row: list[Json] = [None] * len(grid)
        for frequency, value in zip(map(number, frequencies), values, strict=False):
            place = None if frequency is None else places.get(_nanohertz(frequency))
            if place is not None:
                row[place] = value
        return row

    return get


def _nanohertz(frequency_mHz: float) -> int:
    return round(frequency_mHz * 1e6)


def _profile(newest: Document) -> Columns:
    """The columns of the EMMA group, each with one place for every pair that the newest profile has."""
    named = newest.get("pairs")
    pairs = ([str(pair) for pair in named] if isinstance(named, list) else []) or ["none"]

    def by_pair(
        name: str, units: str | None, description: str, get: Callable[[Json], Json] = _itself
    ) -> Column:
        source = "rho_interval" if name in ("rho_low", "rho_high") else name
        return doubles(name, _of_pairs(pairs, source, get), pairs, units, description)

    return (
        _centre(),
        by_pair("gsm_lat", "deg", "Where the line crosses the magnetic equator: GSM latitude."),
        by_pair("gsm_lon", "deg", "GSM longitude, 0 towards the Sun, positive towards dusk."),
        by_pair("gsm_z", "m", "Distance from the GSM equatorial plane."),
        by_pair("rho_si", "kg m-3", "Equatorial mass density."),
        by_pair("rho", _DENSITY, "Equatorial mass density."),
        by_pair("distance", "R_E", "From the Earth's centre."),
        by_pair("lt", "h", "Local time."),
        by_pair("mlt", "h", "Magnetic local time."),
        by_pair("l_shell", None, "L of the pair."),
        by_pair("rho_low", _DENSITY, "Lower end of the 90 % interval.", _lower),
        by_pair("rho_high", _DENSITY, "Upper end of the 90 % interval.", _upper),
        double("fit_density_at_l4", at("fit", "density_at_l4_amu_cm3"), _DENSITY),
        double("fit_exponent", at("fit", "exponent"), None, "n of rho = rho4 (L / 4)^-n."),
        _revision(),
    )


def _itself(value: Json) -> Json:
    return value


def _lower(interval: Json) -> Json:
    return interval[0] if isinstance(interval, list) and len(interval) == 2 else None


def _upper(interval: Json) -> Json:
    return interval[1] if isinstance(interval, list) and len(interval) == 2 else None


def _of_pairs(pairs: Sequence[str], source: str, get: Callable[[Json], Json]) -> Getter:
    def listed(document: Document) -> Json:
        names, values = document.get("pairs"), document.get(source)
        if names == pairs and isinstance(values, list):
            return [get(value) for value in values]
        if not isinstance(names, list) or not isinstance(values, list):
            return None
        known = {str(name): get(value) for name, value in zip(names, values, strict=False)}
        return [known.get(pair) for pair in pairs]

    return listed


def _plasmapause(_newest: Document) -> Columns:
    return (
        _centre(),
        double("l_shell", at("l_shell"), None, "L of the plasmapause."),
        _interval("l_interval", at("l_interval"), None, "L"),
        double("confidence", at("confidence"), None, "Probability that it lies within the interval."),
        double("mlt_h", at("mlt_h"), "h", "Magnetic local time."),
        text("reason", at("reason"), 16, "Why nothing is stated: no_data, beyond_chain or uncertain."),
        double("by_label", at("by_label"), None, "For comparison: mean L of the pairs labelled PBL."),
        double("by_gradient", at("by_gradient"), None, "For comparison: L of the steepest fall."),
        double("carpenter_anderson_1992", at("empirical", "carpenter_anderson_1992"), None, "From Kp."),
        double("moldwin_2002", at("empirical", "moldwin_2002"), None, "From Kp."),
        text("pairs_used", words("pairs_used"), 1024),
        _flags(),
        _revision(),
    )


def _region(_newest: Document) -> Columns:
    cells = tuple(str(number) for number in range(WINDOW_CELLS))
    return (
        text("label", at("label"), 4, "The region after debouncing; ? where nothing can be said."),
        text("stage_one", at("stage_one"), 4, "Label from this window alone."),
        doubles("probability", members(_REGIONS, "probability"), _REGIONS, None, "Calibrated."),
        double("confidence", at("confidence"), None, "The probability of the label."),
        text("quality", at("quality"), 9, "good, uncertain or poor."),
        double("bridged", at("bridged"), None, "Share of the cells in which something was bridged."),
        double("support_s", at("support_s"), "s", "Data that it rests on."),
        doubles("cam", at("cam"), cells, None, "Class activation map, by cell of 4.5 s from the first on."),
        text("missing", words("missing"), 64, "Variables that were not there."),
        _flags(),
        text("classifier", at("model", "classifier"), _MODEL_LENGTH),
        _revision(),
    )


def _events(_newest: Document) -> Columns:
    of = "properties"
    return (
        text("kind", at(of, "kind"), 32),
        text("subject", at(of, "subject"), 64, "A pair, a chain or a spacecraft."),
        text("direction", at(of, "direction"), 8, "inward, outward, inbound or outbound."),
        text("state", at(of, "state"), 6, "begin, update or end: of the newest update."),
        text("outcome", at(of, "outcome"), 10, "At the end: passed, returned, unobserved or withdrawn."),
        moment(
            "start", at(of, "start_datetime"), "The start as it is known now; Time is the one said first."
        ),
        moment("end", at(of, "end_datetime")),
        double("l_shell", at(of, "l_shell")),
        _interval("l_interval", at(of, "l_interval"), None, "L"),
        double("confidence", at(of, "confidence"), None, "Probability of the new side."),
        doubles("position", at("geometry", "coordinates"), ("longitude", "latitude"), "deg"),
        whole("update", at(of, "update"), "Number of the newest update."),
        text("data_id", at(of, "data_id"), 160, "The same in all updates."),
        text("id", at("id"), 36, "Of the newest update, as in /events/<id>."),
    )


FORMS: Final = {
    form.name: form
    for form in (
        Form(
            "flr",
            "flr",
            "field line resonance",
            "Label and frequency of each window of a pair of magnetometers.",
            _flr,
        ),
        Form(
            "density",
            "flr",
            "mass density",
            "Equatorial plasma mass density from the resonance of a pair.",
            _density,
        ),
        Form(
            "spectrum",
            "spectrum",
            "cross-phase spectrum",
            "Cross-phase, amplitude ratio and coherence of a pair by frequency.",
            _spectrum,
        ),
        Form(
            "profile",
            "profile",
            "density profile",
            "Densities of all pairs of a chain in the columns of the EMMA group, an element a pair.",
            _profile,
        ),
        Form(
            "plasmapause",
            "plasmapause",
            "plasmapause",
            "L of the plasmapause of a chain, with its interval.",
            _plasmapause,
        ),
        Form(
            "region",
            "region",
            "plasma region",
            "Plasma region of a spacecraft, one window of three minutes a record.",
            _region,
        ),
        Form(
            EVENTS,
            "event",
            "crossings",
            "Crossings of plasmapause, magnetopause and bow shock, the newest update of each; several may begin at one time.",
            _events,
            "begin",
        ),
    )
}
"""All forms by their name."""
