"""How a user's table of labelled spectra is laid out: a small YAML file, or a dict of the same keys.

Nothing about a table is guessed that would change what a model learns: units, the sign of the phase and the meaning of
the labels are stated. Faults come as those of the configuration do, all at once: `file:line:column: key: message`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from monitor.config.messages import ValueFault, message_of
from monitor.config.reading import MAXIMUM_CHARACTERS, START, Document, Place, read_document, show
from monitor.config.schema import PairText, Positive, PositiveSeconds, Section, Text
from monitor.errors import ConfigurationError, Fault
from monitor.types import Json

Format = Literal["csv", "npz", "hdf5", "mat"]

_SUFFIXES: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "csv",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".mat": "mat",
}


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"found {show(text)}, which is no regular expression: {error}") from None
    if groups > 1:
        raise ValueError(f"found {show(text)}; one group (…) at most, for the number in the name")
    return text


def label_word(value: object) -> str:
    """A value of a label column as one word, so that 1, 1.0, "1" and true are the same."""
    text = str(value).strip()
    try:
        return f"{float(value):.12g}" if isinstance(value, bool) else f"{float(text):.12g}"
    except ValueError:
        return text


def _label_words(raw: object) -> object:
    values = raw if isinstance(raw, list) else [raw]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            shown = str(value).lower() if isinstance(value, bool) else type(value).__name__
            raise ValueError(
                f"found {shown}; write a number, a text in quotes, or a list of them, such as [1, 3]"
            )
    return [label_word(value) for value in values]


class Selector(Section):
    """Where spectra stand, a row a window: one 2-D array, or a column for each frequency."""

    array: Text | None = None
    columns: list[Text] | None = None
    prefix: Text | None = None
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    rows: Literal["windows", "frequencies"] | None = None
    """What a row of a 2-D array is; needed only where it has as many windows as frequencies."""
    missing: list[float] = Field(default_factory=list)
    """Numbers that stand for nothing, beside empty cells and NaN."""

    @model_validator(mode="after")
    def _one_way(self) -> Selector:
        ways = {"array": self.array, "columns": self.columns, "prefix": self.prefix, "pattern": self.pattern}
        _only_one(
            {name: way for name, way in ways.items() if way is not None}, "array, columns, prefix or pattern"
        )
        if self.columns == []:
            raise ValueError("found an empty list of columns; name one column for each frequency")
        return self


class CrossPhase(Selector):
    """The cross-phase, with its unit and sign. `pbl_reversed`: the rows of PBL are turned over already."""

    unit: Literal["degrees", "radians"]
    sign: Literal["equatorward_minus_poleward", "poleward_minus_equatorward"]
    pbl_reversed: bool = False


class AmplitudeRatio(Selector):
    """The ratio of the amplitudes (not of the powers)."""

    ratio: Literal["equatorward_over_poleward", "poleward_over_equatorward"]
    pbl_reversed: bool = False


class Coherence(Selector):
    """The coherence; `squared` says whether it is the magnitude-squared one."""

    squared: bool


class FrequencyAxis(Section):
    """The frequencies of the spectra: an array of the file, a list, a first and a step, or the columns' names."""

    unit: Literal["mHz", "Hz"]
    array: Text | None = None
    values: list[float] | None = None
    first: Annotated[float, Field(ge=0)] | None = None
    step: Positive | None = None
    from_names: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> FrequencyAxis:
        if (self.first is None) != (self.step is None):
            raise ValueError("first and step belong together; give both")
        ways = {
            "array": self.array,
            "values": self.values,
            "first": self.first,
            "from_names": self.from_names,
        }
        _only_one(
            {name: way for name, way in ways.items() if way is not None},
            "array, values, first with step, or from_names",
        )
        return self

    @property
    def scale(self) -> float:
        """Hz in one of the unit."""
        return 1e-3 if self.unit == "mHz" else 1.0


def _scalar(key: str) -> BeforeValidator:
    """A plain value stands for `{value: …}`."""
    return BeforeValidator(lambda raw: raw if isinstance(raw, dict | Section) else {key: raw})


class _Number(Section):
    value: float | None = None
    column: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> _Number:
        _only_one(
            {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name) is not None},
            "a number, or column: NAME",
        )
        return self


class _Name(Section):
    value: PairText | None = None
    column: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> _Name:
        _only_one(
            {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name) is not None},
            "a pair such as TAR-BRZ, or column: NAME",
        )
        return self


Number = Annotated[_Number, _scalar("value")]
PairName = Annotated[_Name, _scalar("value")]


class TimeColumn(Section):
    """The times (UT), their form, and which part of the window they name.

    `day_of_year` counts 1.0 for the first midnight of the year, which `year` gives.
    """

    column: Text
    form: Literal["iso8601", "epoch_seconds", "datenum", "day_of_year"]
    year: Number | None = None
    marks: Literal["start", "centre", "end"]

    @model_validator(mode="after")
    def _year_where_needed(self) -> TimeColumn:
        if (self.form == "day_of_year") != (self.year is not None):
            raise ValueError("day_of_year needs year (a number, or column: NAME), and no other form takes it")
        return self


_Words = Annotated[list[str], BeforeValidator(_label_words)]


class Classes(Section):
    """The values of the label column that stand for each class."""

    NoFreq: _Words = Field(default_factory=list)
    Freq: _Words = Field(default_factory=list)
    PBL: _Words = Field(default_factory=list)
    ambiguous: _Words = Field(default_factory=list)

    @model_validator(mode="after")
    def _each_value_once(self) -> Classes:
        of_value: dict[str, str] = {}
        for name in Classes.model_fields:
            for word in getattr(self, name):
                if word in of_value:
                    raise ValueError(f"found {show(word)} under {of_value[word]} and under {name}; keep one")
                of_value[word] = name
        if not of_value:
            raise ValueError("no value is given for any class; write NoFreq: 0 and so on")
        return self

    def of_value(self) -> dict[str, str]:
        """The class by value."""
        return {word: name for name in Classes.model_fields for word in getattr(self, name)}


class LabelColumn(Section):
    """The labels; `others` says what becomes of values that no class names."""

    column: Text
    classes: Classes
    others: Literal["error", "ambiguous"] = "error"


class ResonanceColumn(Section):
    """The resonance frequencies; `none` are numbers that stand for nothing, beside empty cells and NaN.

    With `required: false` a Freq or PBL may lack its frequency: it then teaches the classifier alone.
    """

    column: Text
    unit: Literal["mHz", "Hz"]
    none: list[float] = Field(default_factory=list)
    required: bool = True

    @property
    def scale(self) -> float:
        """Hz in one of the unit."""
        return 1e-3 if self.unit == "mHz" else 1.0


class TableMapping(Section):
    """The layout of one table.

    `smoothing_bins` counts bins of the table's own axis; `step_s` is the sampling step of the records from which the
    spectra were made, and `window_s` their length.
    """

    source: Text
    format: Format | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    time: TimeColumn
    cross_phase: CrossPhase
    frequency: FrequencyAxis
    amplitude_ratio: AmplitudeRatio | None = None
    coherence: Coherence | None = None
    label: LabelColumn
    resonance: ResonanceColumn | None = None
    pair: PairName
    l_shell: Number | None = None
    smoothing_bins: Number
    step_s: Number
    window_s: PositiveSeconds = 7200.0

    @property
    def spectra(self) -> dict[str, Selector]:
        """What holds spectra, by name."""
        given = {
            "cross_phase": self.cross_phase,
            "amplitude_ratio": self.amplitude_ratio,
            "coherence": self.coherence,
        }
        return {name: selector for name, selector in given.items() if selector is not None}

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns with one value a window, each once."""
        numbers = (self.time.year, self.l_shell, self.smoothing_bins, self.step_s)
        names = [self.time.column, self.label.column, self.pair.column]
        names += [number.column for number in numbers if number is not None]
        names += [self.resonance.column] if self.resonance is not None else []
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def format_of(self, path: Path) -> Format | None:
        """The format that is stated, else that of the suffix, else None."""
        return self.format or _SUFFIXES.get(path.suffix.lower())


def load_mapping(source: Path | Mapping[str, Json]) -> TableMapping:
    """Read and check a mapping: a YAML file, or a dict of the same keys.

    Raises
    ------
    ConfigurationError
        With every fault, in the order of the file; also where the file cannot be read.
    """
    if isinstance(source, Mapping):
        try:
            text = yaml.safe_dump(dict(source), sort_keys=False)
        except yaml.YAMLError as error:
            raise _unreadable("mapping", f"holds what YAML cannot: {show(str(error))}") from None
        return parse_mapping(text, "mapping")
    file = str(source)
    try:
        with source.open("rb") as stream:
            text = stream.read(4 * MAXIMUM_CHARACTERS + 1).decode()
    except UnicodeDecodeError as error:
        raise _unreadable(
            file, f"holds the byte 0x{error.object[error.start]:02x}, which is not UTF-8"
        ) from None
    except OSError as error:
        raise _unreadable(file, f"cannot be read ({error.strerror})") from None
    except ValueError:  # a NUL in the name
        raise _unreadable(show(file), "is not a possible path") from None
    return parse_mapping(text, file)


def parse_mapping(text: str, file: str) -> TableMapping:
    """Check the text of a mapping; `file` is its name in messages. Raises as `load_mapping` does."""
    return _checked(read_document(text, file))


def _unreadable(file: str, message: str) -> ConfigurationError:
    return ConfigurationError([Fault(file, START.line, START.column, message)])


def _checked(document: Document) -> TableMapping:
    mapping = None
    if () not in document.spoiled:
        try:
            mapping = TableMapping.model_validate(document.data)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if not document.is_spoiled(detail["loc"]):
                    _note(document, detail["loc"], detail)
    if document.faults or mapping is None:
        raise ConfigurationError(sorted(document.faults, key=lambda fault: (fault.line, fault.column)))
    return mapping


def _note(document: Document, loc: tuple[str | int, ...], detail: Any) -> None:
    place: Place = document.place(loc, key=detail["type"] == "extra_forbidden")
    fault = ValueFault.of(detail, TableMapping)
    message = message_of(replace(fault, keys=fault.keys or tuple(TableMapping.model_fields)), place)
    # A plain value stands for {value: …}: the user wrote no such key.
    shown = loc[:-1] if loc[-1:] == ("value",) and loc not in document.values else loc
    key = ".".join(str(part) for part in shown)
    document.fault_at(place, f"{key}: {message}" if key else message)


def _only_one(given: Mapping[str, object], ways: str) -> None:
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise ValueError(f"found {found}; give exactly one: {ways}")
