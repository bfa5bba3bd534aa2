"""What several values of a configuration must agree on: pairs and stations, inputs and outputs, times and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from monitor.config.http import Http
from monitor.config.model import DEFAULT_INPUTS, known_stations
from monitor.config.mqtt import Mqtt
from monitor.config.reading import START, Document, Path
from monitor.config.schema import (
    CraftWindows,
    Injection,
    Input,
    Models,
    Outputs,
    Spectra,
    Store,
    Windows,
    parse_pair,
)
from monitor.config.shadows import shadow_faults
from monitor.config.topics import filters_overlap
from monitor.stations import Station, is_wrong_order
from monitor.types import Json, Pair

T = TypeVar("T")

INDEX = "KP"
"""What samples of Kp are stored under."""

OUTPUT_KINDS = ("flr", "spectrum", "profile", "plasmapause", "region", "event", "health", "status")
"""First levels below the output root that the daemon publishes under."""


def agreement_faults(
    document: Document,
    values: Mapping[str, Any],
    paths: Mapping[str, list[Path]],
    *,
    allow_unknown_stations: bool = False,
) -> None:
    """Add to the document the faults between values that are good by themselves.

    `values` holds them by top-level key; `paths` says where the items of its lists stand (`chains.<name>` for a chain).
    """
    pairs = [
        (parse_pair(text), path)
        for text, path in zip(values.get("pairs", ()), paths.get("pairs", ()), strict=True)
    ]
    _Pairs(document, known_stations(values.get("stations", {})), allow_unknown_stations).check(pairs)
    for name, chain in values.get("chains", {}).items():
        _check_chain(document, chain, paths[f"chains.{name}"])
        if name.upper() in {pair.name for pair, _ in pairs}:
            message = (
                f"chain {name} has the name of a pair: their events could not be told apart; choose another"
            )
            _add(document, ("chains", name), message)
    _check_craft(document, values.get("craft", ()), paths.get("craft", ()), _takers(values, pairs))
    _check_something_to_do(document)
    _check_inputs(document, values, paths.get("inputs"))
    _check_mqtt(document, values.get("mqtt", Mqtt()))
    _check_http(document, values.get("http", Http()))
    _check_injection(document, values, pairs)
    _check_models(document, values)
    _check_numbers(document, values)


def _add(document: Document, path: Path, message: str) -> None:
    document.fault_at(document.place(path), message)


class _Pairs:
    """Checks pairs against the stations and against each other."""

    def __init__(
        self, document: Document, table: Mapping[str, Station], allow_unknown_stations: bool
    ) -> None:
        self._document = document
        self._table = table
        self._allow_unknown = allow_unknown_stations
        self._seen: dict[frozenset[str], tuple[str, int]] = {}

    def check(self, pairs: list[tuple[Pair, Path]]) -> None:
        for pair, path in pairs:
            for message in self._messages(pair, self._document.place(path).line):
                _add(self._document, path, message)

    def _messages(self, pair: Pair, line: int) -> list[str]:
        if pair.poleward == pair.equatorward:
            return [f"{pair.name} names one station twice; a pair is two stations on a meridian"]
        messages = [_taken(INDEX)] if INDEX in pair.stations else []
        if not self._allow_unknown:
            messages += [self._unknown(code) for code in pair.stations if code not in self._table]
        first = self._seen.get(frozenset(pair.stations))
        if first is None:
            self._seen[frozenset(pair.stations)] = (pair.name, line)
        else:
            turned = "" if first[0] == pair.name else f" as {first[0]}"
            messages.append(
                f"pair {pair.name} is given twice (first{turned} on line {first[1]}); keep one of them"
            )
        upper, lower = (self._table.get(code, Station(code)) for code in pair.stations)
        if is_wrong_order(upper, lower):
            messages.append(_wrong_order(pair, upper, lower))
        return messages

    def _unknown(self, code: str) -> str:
        return (
            f"station {code} is neither in the shipped table nor under stations; add it there, such as "
            f"stations: {{{code}: {{latitude: 58.26, longitude: 26.46, l_shell: 3.06, axes: geographic}}}}; "
            f"known: {', '.join(sorted(self._table))}"
        )


def _taken(name: str) -> str:
    return f"{name} is the source of an index: no station or spacecraft can be called so; choose another name"


def _wrong_order(pair: Pair, upper: Station, lower: Station) -> str:
    found = f"{upper.absolute_magnetic_latitude_deg:.2f} < {lower.absolute_magnetic_latitude_deg:.2f}"
    right = f"{pair.equatorward}-{pair.poleward}"
    return (
        f"the poleward station (larger |magnetic latitude|) comes first, found {found} degrees; "
        f"write {pair.name} as {right}"
    )


def _check_chain(document: Document, chain: tuple[str, ...], paths: list[Path]) -> None:
    declared = _declared_pairs(document.data)
    seen: set[str] = set()
    for text, path in zip(chain, paths, strict=True):
        name = parse_pair(text).name
        if ":" in text:
            _add(document, path, f"found {text}; a chain takes the L of the pair: write {name}")
        elif name in seen:
            _add(document, path, f"pair {name} is in this chain twice; keep one of them")
        elif name not in declared:
            listed = ", ".join(sorted(declared)) or "none"
            _add(document, path, f"pair {name} is not under pairs; add it there, or take one of: {listed}")
        seen.add(name)


def _declared_pairs(data: Mapping[str, Json]) -> set[str]:
    """Return the pairs that the file names, right or wrong: one with a fault of its own is not missing too."""
    raw = data.get("pairs")
    return (
        {text.upper().partition(":")[0] for text in raw if isinstance(text, str)}
        if isinstance(raw, list)
        else set()
    )


def _takers(values: Mapping[str, Any], pairs: list[tuple[Pair, Path]]) -> dict[str, str]:
    """What bears a name already, by that name: topics and clocks are told apart by it alone."""
    stations = {code: f"a station of {pair.name}" for pair, _ in pairs for code in pair.stations}
    return stations | {name.upper(): f"the chain {name}" for name in values.get("chains", {})}


def _check_craft(
    document: Document,
    craft: tuple[str, ...],
    paths: list[Path] | tuple[()],
    takers: Mapping[str, str],
) -> None:
    seen: set[str] = set()
    for name, path in zip(craft, paths, strict=True):
        if name in seen:
            _add(document, path, f"spacecraft {name} is given twice; keep one of them")
        if name == INDEX:
            _add(document, path, _taken(name))
        elif name in takers:
            _add(
                document,
                path,
                f"spacecraft {name} has the name of {takers[name]}: what is published of them could not be "
                "told apart; choose another",
            )
        seen.add(name)


def _check_something_to_do(document: Document) -> None:
    """Defaults are not enough: without a pair and without a spacecraft there is nothing to monitor."""
    if not any(document.data.get(key) or document.is_spoiled((key,)) for key in ("pairs", "craft")):
        document.fault_at(
            START,
            "nothing to monitor; name at least one pair, as in pairs: [TAR-BRZ], or one spacecraft, as in craft: [MMS1]",
        )


def _check_inputs(document: Document, values: Mapping[str, Any], paths: list[Path] | None) -> None:
    outputs = _good(document, values, "outputs", Outputs())
    inputs = _good(document, values, "inputs", DEFAULT_INPUTS)
    if inputs is None or outputs is None:
        return
    if not inputs and not document.data.get("inputs"):
        _add(
            document, ("inputs",), "no inputs; list at least one decoder with its topic, or leave the key out"
        )
    for index, entry in enumerate(inputs):
        # The default inputs stand nowhere in the file; what clashes with them there is the root.
        path: Path = ("outputs", "root") if paths is None else (*paths[index], "topic")
        for message in _input_messages(entry, inputs[:index], outputs.root):
            _add(document, path, message)


def _input_messages(entry: Input, earlier: tuple[Input, ...], root: str) -> list[str]:
    messages = []
    if entry.decoder == "martas" and "#" in entry.topic:
        messages.append(f"found {entry.topic}; a MARTAS topic is a prefix without #, such as +/+")
    if entry.decoder == "martas" and entry.topic.rpartition("/")[2] in ("data", "meta", "dict"):
        messages.append(f"found {entry.topic}; leave out the last level: data, meta and dict are all read")
    if _matches_output(entry, root):
        messages.append(
            f"the input topic {entry.topic} matches what the daemon publishes under {root}; "
            f"read below {root}/in/ only, or choose another root or topic"
        )
    messages += [
        f"the topic {entry.topic} ({entry.decoder}) overlaps {other.topic} ({other.decoder}): "
        "messages would come twice; make the topics disjoint"
        for other in earlier
        if any(filters_overlap(mine, theirs) for mine in entry.filters for theirs in other.filters)
    ]
    return messages


def _matches_output(entry: Input, root: str) -> bool:
    if any(filters_overlap(topic, f"{root}/{kind}/#") for topic in entry.filters for kind in OUTPUT_KINDS):
        return True
    # A topic that names the root and then anything but `in` reads what a later version may publish.
    below = entry.topic.removeprefix(f"{root}/")
    return entry.topic == root or (below != entry.topic and below.partition("/")[0] != "in")


def _check_mqtt(document: Document, mqtt: Mqtt) -> None:
    for key in ("ca_file", "cert_file", "key_file"):
        if getattr(mqtt, key) is not None and not mqtt.uses_tls:
            _add(
                document,
                ("mqtt", key),
                f"{key} is for TLS, but the URL is {mqtt.scheme}://; write mqtts:// or leave it out",
            )
    if mqtt.key_file is not None and mqtt.cert_file is None:
        _add(
            document,
            ("mqtt", "key_file"),
            "key_file needs a cert_file; name the certificate that belongs to the key",
        )
    if mqtt.password_file is not None and mqtt.username is None and mqtt.protocol == "3.1.1":
        _add(document, ("mqtt", "password_file"), "MQTT 3.1.1 takes no password without a user; add username")
    if mqtt.reconnect.maximum_s < mqtt.reconnect.initial_s:
        _add(
            document,
            ("mqtt", "reconnect"),
            f"found maximum_s {mqtt.reconnect.maximum_s:g} below initial_s {mqtt.reconnect.initial_s:g}; make it at least that",
        )


def _check_http(document: Document, http: Http) -> None:
    if http.username is not None and http.password_file is None:
        _add(
            document,
            ("http", "username"),
            "username needs a password_file; without it nobody would be asked for a password",
        )
    if http.password_file is not None and http.username is None:
        _add(document, ("http", "password_file"), "password_file needs a username; add it")


def _check_injection(document: Document, values: Mapping[str, Any], pairs: list[tuple[Pair, Path]]) -> None:
    names = {code for pair, _ in pairs for code in pair.stations}
    names |= {name.upper() for key in ("stations", "chains", "craft") for name in values.get(key, ())}
    inputs = _good(document, values, "inputs", DEFAULT_INPUTS)
    outputs = _good(document, values, "outputs", Outputs())
    for key, message in shadow_faults(
        values.get("injection", Injection()),
        taken=names,
        inputs=inputs,
        root=None if outputs is None else outputs.root,
        windows=values.get("windows", Windows()),
        models=values.get("models", Models()),
    ):
        _add(document, ("injection", key), message)


def _check_models(document: Document, values: Mapping[str, Any]) -> None:
    models: Models = values.get("models", Models())
    chosen = {"flr": models.flr, "region": models.region}
    for name, entry in values.get("plugins", {}).items():
        if entry.kind == "model" and name not in chosen.values():
            message = f"{name} is a model that nothing asks for; write models: {{flr: {name}}} or {{region: {name}}}"
            _add(document, ("plugins", name), message)
        for kind, choice in chosen.items():
            if choice == name and entry.kind != "model":
                _add(
                    document,
                    ("models", kind),
                    f"{name} is switched on under plugins as a {entry.kind}, and no model",
                )


def _check_numbers(document: Document, values: Mapping[str, Any]) -> None:
    spectra = values.get("spectra", Spectra())
    if spectra.maximum_frequency_mHz <= spectra.minimum_frequency_mHz:
        band = f"{spectra.minimum_frequency_mHz:g} to {spectra.maximum_frequency_mHz:g} mHz"
        _add(
            document, ("spectra",), f"found a band from {band}; maximum_frequency_mHz must be the larger one"
        )
    _check_retention(document, values, "windows", Windows())
    if values.get("craft"):
        _check_retention(document, values, "craft_windows", CraftWindows())


def _check_retention(
    document: Document, values: Mapping[str, Any], key: str, default: Windows | CraftWindows
) -> None:
    windows, store = _good(document, values, key, default), _good(document, values, "store", Store())
    if windows is None or store is None:
        return
    needed_h = (windows.length_s + windows.revise_s) / 3600
    if store.retention_h < needed_h:
        _add(
            document,
            ("store", "retention_h") if "store" in values else (key,),
            f"found retention_h {store.retention_h:g}, but a window may be revised from samples {needed_h:g} h old "
            f"({key}.length_s + {key}.revise_s); keep samples at least that long, or lower revise_s",
        )


def _good(document: Document, values: Mapping[str, Any], key: str, default: T) -> T | None:
    """Return a section, its default where the file has none, or None where the file has a faulty one."""
    if key not in values and document.data.get(key) is not None:
        return None
    section: T = values.get(key, default)
    return section
