"""The shadows of a configuration: a pair and a spacecraft that are not there, and what they ask of the rest of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from monitor.config.model import Config, StationEntry
from monitor.config.schema import Injection, Input, Models, Windows
from monitor.config.topics import topic_matches
from monitor.stations import invariant_latitude_deg
from monitor.types import SECOND_NS, SHADOW_CRAFT, SHADOW_HOLD_NS, SHADOW_L, SHADOW_PAIR

# On the meridian of the Baltic chain, near TAR and BRZ.
_LONGITUDE_DEG: Final = 26.5
_TILT_DEG: Final = 3.5
_PAIR_SOURCES: Final = frozenset(SHADOW_PAIR.stations)


def shadow_sources(injection: Injection) -> frozenset[str]:
    """The stations and spacecraft that are fed with synthetic signals."""
    return (_PAIR_SOURCES if injection.pair else frozenset()) | (
        {SHADOW_CRAFT} if injection.craft else frozenset()
    )


def shadow_subjects(injection: Injection) -> frozenset[str]:
    """The pair and the spacecraft that products of shadows are about."""
    return frozenset(
        name for name, is_on in ((SHADOW_PAIR.name, injection.pair), (SHADOW_CRAFT, injection.craft)) if is_on
    )


def with_shadows(config: Config) -> Config:
    """The configuration in which the shadows that are switched on stand beside the real pairs and spacecraft.

    The daemon runs on it. Files that are processed or replayed hold no shadows, so that the others do without.
    """
    changes: dict[str, object] = {}
    if config.injection.pair:
        entries = {
            code: StationEntry(
                name="injected signal",
                latitude=round(invariant_latitude_deg(l_shell) + _TILT_DEG, 2),
                longitude=_LONGITUDE_DEG,
                l_shell=l_shell,
                axes="magnetic",
            )
            for code, l_shell in zip(SHADOW_PAIR.stations, SHADOW_L, strict=True)
        }
        changes["stations"] = {**config.stations, **entries}
        changes["pairs"] = (*config.pairs, f"{SHADOW_PAIR.name}:{SHADOW_PAIR.l_shell}")
    if config.injection.craft:
        changes["craft"] = (*config.craft, SHADOW_CRAFT)
    return config.model_copy(update=changes) if changes else config


def shadow_faults(
    injection: Injection,
    *,
    taken: Collection[str],
    inputs: Sequence[Input] | None,
    root: str | None,
    windows: Windows,
    models: Models,
) -> Iterator[tuple[str, str]]:
    """What keeps the shadows that are switched on from working, as (key of `injection`, message).

    `taken` are the upper-case names of stations, chains and spacecraft; inputs and root are None where they are
    faulty by themselves.
    """
    for key, branch, sources in (("pair", "mag", SHADOW_PAIR.stations), ("craft", "craft", (SHADOW_CRAFT,))):
        if not getattr(injection, key):
            continue
        for name in sources:
            if name in taken:
                yield (
                    key,
                    f"{name} is the name of an injected signal, and of something real: rename that, or leave injection.{key} off",
                )
            topic = f"{root}/in/{branch}/{name}"
            if inputs is not None and root is not None and not _reads(inputs, topic):
                yield (
                    key,
                    f"no input reads {topic} with the decoder native; add {{decoder: native, topic: {root}/in/#}} to inputs",
                )
    if injection.pair and windows.length_s * SECOND_NS > SHADOW_HOLD_NS:
        hold_h = SHADOW_HOLD_NS // (3600 * SECOND_NS)
        message = (
            f"found windows.length_s {windows.length_s}, but the injected signal changes every {hold_h} h"
        )
        yield "pair", f"{message}: no window could be judged; leave injection.pair off"
    if injection.craft and models.region == "none":
        yield (
            "craft",
            "models.region is none: nothing labels the injected signal; leave injection.craft off",
        )


def _reads(inputs: Sequence[Input], topic: str) -> bool:
    return any(
        entry.decoder == "native" and any(topic_matches(one, topic) for one in entry.filters)
        for entry in inputs
    )
