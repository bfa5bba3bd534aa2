"""YAML text → plain data that knows, for every key and value, the line and column it came from.

PyYAML composes the node tree; nothing is constructed by it. What YAML 1.1 reads otherwise than it looks (a station
`NO`, a time `1:30`, an octal `010`) is a fault or keeps a note, so that the message can say `quote it: "NO"`.
Text from the file is shown in messages, except the value of a key that looks like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from monitor.errors import Fault
from monitor.types import Json

Path: TypeAlias = tuple[str | int, ...]

MAXIMUM_CHARACTERS = 1_048_576
MAXIMUM_NODES = 250_000
MAXIMUM_ALIASES = 100
MAXIMUM_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset({"y", "yes", "true", "on"})
_FALSE = frozenset({"n", "no", "false", "off"})
_HIDDEN = "(not shown)"
_READ_AS = {
    "null": "null",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "value": "a special value",
}
_SECRET = re.compile(r"pass(word|phrase)?|secret|token", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, and how it looks there.

    `text` is for messages (a scalar as written, `a mapping`, `a list`); `read_as` says what YAML makes of an unquoted
    scalar that is no text (`false`, `a number`, …), else None.
    """

    line: int
    column: int
    text: str = ""
    read_as: str | None = None


START = Place(1, 1)


@dataclass(slots=True)
class Document:
    """The data of a configuration file with the places of its keys and values, and the faults found in reading.

    What stands under a path in `spoiled` has a fault already, and its value (None) means nothing.
    """

    file: str
    data: dict[str, Json] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    spoiled: set[Path] = field(default_factory=set)

    def fault_at(self, place: Place, message: str) -> None:
        """Note a fault at a place."""
        self.faults.append(Fault(self.file, place.line, place.column, message))

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where a value (or its key) stands; where it is not in the file, where the nearest thing above it stands."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, START)

    def is_spoiled(self, path: Path) -> bool:
        """Whether the value at a path, or what holds it, could not be read."""
        return any(path[:length] in self.spoiled for length in range(1, len(path) + 1))


def show(text: str, limit: int = 60) -> str:
    """Return a text for a one-line message: cut, and escaped where it cannot be printed."""
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return text if text.isprintable() else ascii(text)


def show_key(key: str) -> str:
    """Return a key for a message; what looks like none may be a line of quite another file, and is not shown."""
    return key if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", key) else _HIDDEN


def read_document(text: str, file: str) -> Document:
    """Read YAML text. Never raises for what the text holds: the faults are in the document."""
    document = Document(file)
    if len(text) > MAXIMUM_CHARACTERS:
        document.fault_at(
            START, f"the file is larger than {MAXIMUM_CHARACTERS} characters; is it the right one?"
        )
        document.spoiled.add(())
        return document
    try:
        root = _compose(text)
        if root is not None:
            _Converter(document).convert_root(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.fault_at(
            START if mark is None else Place(mark.line + 1, mark.column + 1), _syntax_message(error)
        )
        document.spoiled.add(())
    except yaml.reader.ReaderError as error:
        document.fault_at(
            _place_of_index(text, error.position), "a control character; YAML text cannot hold it"
        )
        document.spoiled.add(())
    return document


def _place_of_index(text: str, index: int) -> Place:
    before = text[:index]
    return Place(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if r"'\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if problem == "but found another document":
        return "a second document begins here (---); keep one"
    # These three quote the file, and a password that begins with *, & or ! would be shown.
    for quoted in ("found undefined alias", "found duplicate anchor", "found undefined tag handle"):
        if problem.startswith(quoted):
            problem = f"{quoted.removeprefix('found ')}; quote a text that begins with *, & or !"
    return f"cannot be read as YAML: {problem}"


class _Loader(yaml.SafeLoader):
    """Composes nodes, within bounds: the text decides neither how deep nor how long this runs."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave the parser untyped
        self._nodes += 1
        self._aliases += isinstance(event, yaml.AliasEvent)
        if self._nodes > MAXIMUM_NODES:
            raise _too_much(f"more than {MAXIMUM_NODES} values", event.start_mark)
        if self._aliases > MAXIMUM_ALIASES:
            raise _too_much(f"more than {MAXIMUM_ALIASES} aliases (*name)", event.start_mark)
        if self._depth >= MAXIMUM_DEPTH:
            raise _too_much(f"nested deeper than {MAXIMUM_DEPTH} levels", event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


# YAML 1.1 reads y and n as booleans and 1E5 as a number; PyYAML does not, other readers of the same file do.
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^[yYnN]$"), list("yYnN"))
_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _too_much(what: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, f"{what}; is it the right file?", mark)


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError) as error:
        # PyYAML lets these escape: a "\UFFFFFFFF" that is no character, a version number of thousands of digits.
        raise yaml.scanner.ScannerError(None, None, "a number out of range", loader.get_mark()) from error
    finally:
        loader.dispose()


class _Converter:
    """Turns nodes into plain data, and notes where each came from."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()
        self._count = 0

    def convert_root(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null":
            return
        if not isinstance(node, yaml.MappingNode):
            place = _place(node)
            # A lone text may be a password file named by mistake: it is not shown.
            found = "a text" if isinstance(node, yaml.ScalarNode) else place.text
            self._document.fault_at(
                place, f"found {found}; the file must hold keys with values, such as pairs: [TAR-BRZ]"
            )
            self._document.spoiled.add(())
            return
        self._document.data = self._convert(node, ())

    def _spoil(self, path: Path, place: Place, message: str) -> None:
        self._document.fault_at(place, message)
        self._document.spoiled.add(path)

    def _convert(self, node: yaml.Node, path: Path) -> Json:
        self._count += 1
        if self._count > MAXIMUM_NODES:
            raise _too_much(f"aliases that grow to more than {MAXIMUM_NODES} values", node.start_mark)
        hidden = bool(path) and isinstance(path[-1], str) and _SECRET.fullmatch(path[-1]) is not None
        place = _place(node, hidden=hidden)
        self._document.values[path] = place
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, place)
        with self._inside(node):
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self._convert(item, (*path, index)) for index, item in enumerate(node.value)]
        self._spoil(path, place, "a tag (!name) is not supported; write a plain value")
        return None

    @contextmanager
    def _inside(self, node: yaml.Node) -> Iterator[None]:
        if id(node) in self._open:
            raise yaml.composer.ComposerError(None, None, "an alias that holds itself", node.start_mark)
        self._open.add(id(node))
        try:
            yield
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Json]:
        data: dict[str, Json] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            key = self._key(key_node, place)
            if key is None:
                continue
            here = (*path, key)
            if key in data:
                first = self._document.keys[here].line
                self._document.fault_at(
                    place, f"duplicate key {show_key(key)} (first on line {first}); keep one of them"
                )
                continue
            self._document.keys[here] = place
            data[key] = self._convert(value_node, here)
        return data

    def _key(self, node: yaml.Node, place: Place) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._document.fault_at(place, f"found {place.text} as a key; a key must be a plain word")
            return None
        if node.tag == f"{_TAG}merge":
            self._document.fault_at(place, "merge keys (<<) are not supported; write the keys out")
            return None
        if not node.value:
            self._document.fault_at(place, "an empty key; a key must be a plain word")
            return None
        if place.read_as is not None:
            self._document.fault_at(place, _quote_it(place, node.value))
        elif node.tag != f"{_TAG}str":
            self._document.fault_at(place, "a tag (!name) is not supported on a key; write a plain word")
            return None
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, path: Path, place: Place) -> Json:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            if all(character.isprintable() for character in text):
                return text
            self._spoil(path, place, "a control character, a line break or a tab in a text; write it without")
            return None
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        if kind in ("int", "float"):
            return self._number(kind, text, path, place)
        if kind in ("timestamp", "value"):
            self._spoil(path, place, _quote_it(place, text))
            return None
        self._spoil(path, place, "a tag (!name) is not supported; write a plain value")
        return None

    def _number(self, kind: str, text: str, path: Path, place: Place) -> Json:
        digits = text.replace("_", "").lower()
        if ":" in text:
            self._spoil(
                path,
                place,
                f"found {place.text}, which YAML 1.1 reads in base 60; write a plain number or quote it",
            )
        elif kind == "int" and re.fullmatch(r"[-+]?0[0-9]+", digits):
            self._spoil(
                path,
                place,
                f"found {place.text}, which YAML 1.1 reads in base 8; write it without the 0 or quote it",
            )
        else:
            try:
                if kind == "int" and len(digits) <= 18:
                    return int(digits, 0)
                if kind == "float":
                    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
            except ValueError:
                pass
            self._spoil(path, place, f"found {place.text}, which is not a usable number")
        return None


def _quote_it(place: Place, text: str) -> str:
    quoted = "" if place.text == _HIDDEN else f': "{show(text)}"'
    return f"found {place.text}, which YAML reads as {place.read_as}; quote it{quoted}"


def _place(node: yaml.Node, *, hidden: bool = False) -> Place:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.MappingNode):
        return Place(line, column, "a mapping")
    if isinstance(node, yaml.SequenceNode):
        return Place(line, column, "a list")
    kind = node.tag.removeprefix(_TAG)
    if kind == "null" and not node.value:
        return Place(line, column, "nothing")
    text = _HIDDEN if hidden else show(node.value) or '""'
    read_as = _READ_AS.get(kind)
    if kind == "bool":
        read_as = "true" if node.value.lower() in _TRUE else "false"
    return Place(line, column, text, read_as)
