"""The model card for people: Markdown, made from the card and never read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.models.card import ModelCard
from monitor.types import Json


def card_page(card: ModelCard) -> str:
    """The text of `card.md`."""
    info, schema = card.info, card.feature_schema
    data = (
        (one.what, "synthetic" if one.synthetic else "measured", one.count, one.split, _told(one.drawn))
        for one in card.data
    )
    names, version = schema.content["names"], schema.content["version"]
    fixed_by = {key: value for key, value in schema.content.items() if key not in ("names", "version")}
    files = ((f"`{name}`", f"`{sha256}`") for name, sha256 in card.files.items())
    parts = [
        f"# Model {card.name}, version {card.version}",
        f"Kind `{card.kind}` · created {card.created} · model `{info.label}`",
        "Made from `card.json`, which is what the program reads.",
        "## Intended use",
        card.intended_use,
        "## Limits, and what is not known",
        "\n".join(f"- {_line(sentence)}" for sentence in card.limits),
        "## Data",
        _table(("what", "kind", "examples", "for", "drawn"), data),
        "## Metrics",
        _table(("metric", "value"), _leaves(card.metrics)),
        "## Trained again from the same seed",
        _table(("metric", "may differ by"), card.tolerance.items()),
        "## Hyper-parameters",
        card.search,
        _table(("parameter", "value"), _leaves(card.hyper_parameters)),
        "## Features",
        f"Schema `{schema.name}`, version {version}, {len(names)} columns, SHA-256 `{schema.sha256}`.",
        _table(("fixed by", "value"), _leaves(fixed_by)),
        "## Files",
        _table(("file", "SHA-256"), files),
        "## Libraries",
        _table(("library", "version"), card.libraries.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heading: Sequence[str], rows: Iterable[Sequence[Json]]) -> str:
    """A table, or a word where there is no row."""
    lines = [f"| {' | '.join(_line(_told(cell)) for cell in row)} |" for row in rows]
    if not lines:
        return "None."
    return "\n".join([f"| {' | '.join(heading)} |", "|---" * len(heading) + "|", *lines])


def _leaves(value: Mapping[str, Json], place: str = "") -> Iterator[tuple[str, Json]]:
    """Nested values with their dotted names."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{place}{key}.")
        else:
            yield f"{place}{key}", inner


def _told(value: Json) -> str:
    """A value as a person would write it; all digits of it are in the JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told(inner)}" for key, inner in _leaves(value))
    if isinstance(value, list | tuple):
        return ", ".join(_told(inner) for inner in value)
    return str(value)


def _line(text: str) -> str:
    """One line that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")
