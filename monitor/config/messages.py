"""What pydantic found → a line for the operator: what stands there, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.config.reading import Place, show_key

_EXPECTED = {
    "string_type": "a text",
    "path_type": "a path",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "list_type": "a list",
    "tuple_type": "a list",
}
_BOUND = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
# What operators write where the contract has another place for it.
_ADVICE = {
    "password": "a password does not belong here; write it into a file and name that as password_file",
    "token": "a token does not belong here; write it into a file and name that as token_file",
    "qos": "the quality of service is always 1; leave it out",
}


@dataclass(frozen=True, slots=True)
class ValueFault:
    """One fault that pydantic found, in plain values: that of a plugin's options may come from another process.

    Attributes
    ----------
    path : tuple of str or int
        Where it is, from what was validated on.
    kind : str
        Pydantic's name of it.
    text : str
        Pydantic's words, or those of the validator that raised.
    context : mapping of str to str
        What belongs to the kind: the bound that was broken, the values that are allowed.
    keys : tuple of str
        The keys that are allowed there.
    """

    path: tuple[str | int, ...]
    kind: str
    text: str
    context: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: ErrorDetails, model: type[BaseModel] | None) -> ValueFault:
        """The fault that an error is; `model` is what was validated."""
        context: dict[str, Any] = error.get("ctx", {})
        path, kind = error["loc"], error["type"]
        holder = model_at(model, path[:-1])
        return cls(
            path,
            kind,
            str(context["error"]) if kind == "value_error" else error["msg"],
            {name: str(value) for name, value in context.items() if name != "error"},
            tuple(holder.model_fields) if holder else (),
        )


def message_of(fault: ValueFault, place: Place) -> str:
    """Return the operator's line for one fault at its place."""
    kind = fault.kind
    if kind == "value_error":
        return fault.text
    if kind == "extra_forbidden":
        return unknown_key_message(str(fault.path[-1]), fault.keys)
    if kind == "missing":
        return f"the key {fault.path[-1]} is missing here; add it"
    if kind in _BOUND:
        key, words = _BOUND[kind]
        return f"found {place.text}; it must be {words} {fault.context[key]}"
    if kind == "literal_error":
        return _wrong_type(place, f"one of {fault.context['expected'].replace(' or ', ', ')}")
    return _wrong_type(place, _EXPECTED.get(kind, fault.text), quotable=kind in ("string_type", "path_type"))


def unknown_key_message(key: str, allowed: Iterable[str]) -> str:
    """Return the line for a key that does not exist, with those that do."""
    if key in _ADVICE:
        return f"unknown key {key}: {_ADVICE[key]}"
    names = sorted(allowed)
    near = difflib.get_close_matches(key, names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown key {show_key(key)}{hint}; allowed here: {', '.join(names) or 'none'}"


def _wrong_type(place: Place, expected: str, *, quotable: bool = False) -> str:
    text = f"found {place.text}; it must be {expected}"
    if place.read_as is None:
        # [MUO-PEL: 5.37] is a mapping for YAML; the blank after the colon makes it one.
        hint = "; if it is meant as one text, quote it" if quotable and place.text == "a mapping" else ""
        return text + hint
    if quotable or f"'{place.text}'" in expected:
        return f'found {place.text}, which YAML reads as {place.read_as}; quote it: "{place.text}"'
    return text


def model_at(model: type[BaseModel] | None, loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model that the fields named in `loc` lead to, from `model`; None where they lead elsewhere."""
    for name in loc:
        field = model.model_fields.get(str(name)) if model else None
        candidates = (field.annotation, *get_args(field.annotation)) if field else ()
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return model
