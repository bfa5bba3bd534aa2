"""MQTT topic filters: which topics they match, and whether two of them overlap (MQTT 5.0, section 4.7)."""

from __future__ import annotations

MAXIMUM_TOPIC_BYTES = 65_535


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Whether a valid filter matches a topic name. A leading wildcard never matches a topic that begins with `$`."""
    return filters_overlap(topic_filter, topic)


def filters_overlap(first: str, second: str) -> bool:
    """Whether there is a topic that both valid filters match (a topic name is a filter that matches itself).

    MQTT 5 delivers such a topic twice to a client that subscribes to both.
    """
    ours, theirs = first.split("/"), second.split("/")
    if _hides(ours[0], theirs[0]) or _hides(theirs[0], ours[0]):
        return False
    for mine, other in zip(ours, theirs, strict=False):
        if mine == "#" or other == "#":
            return True
        if mine != other and "+" not in (mine, other):
            return False
    # One is used up. `a/#` matches `a` as well: what is left over may be a lone `#`.
    shorter = min(len(ours), len(theirs))
    rest = ours[shorter:] or theirs[shorter:]
    return rest in ([], ["#"])


def _hides(wildcard: str, level: str) -> bool:
    return wildcard in ("+", "#") and level.startswith("$")


def filter_fault(topic_filter: str) -> str | None:
    """What is wrong with a topic filter, with what is allowed; None where nothing is."""
    fault = _text_fault(topic_filter)
    if fault is not None:
        return fault
    if topic_filter.startswith("$share/"):
        return "a shared subscription is not supported; write the filter itself"
    levels = topic_filter.split("/")
    if any("#" in level and (level != "#" or place != len(levels) - 1) for place, level in enumerate(levels)):
        return "# must be the whole of the last level, as in geospace/v1/in/#"
    if any("+" in level and level != "+" for level in levels):
        return "+ must be the whole of a level, as in impf/+/+/+/+"
    return None


def root_fault(root: str) -> str | None:
    """What is wrong with the topic under which the daemon publishes; None where nothing is."""
    fault = _text_fault(root)
    if fault is not None:
        return fault
    if "+" in root or "#" in root:
        return "a wildcard (+ or #) is not allowed in a topic to publish under"
    if "" in root.split("/"):
        return "no / at the beginning, at the end or doubled, as in geospace/v1"
    if root.startswith("$"):
        return "a topic that begins with $ belongs to the broker"
    return None


def _text_fault(text: str) -> str | None:
    if not text:
        return "it is empty"
    if not text.isprintable():
        return "a control character is not allowed in a topic"
    if len(text.encode()) > MAXIMUM_TOPIC_BYTES:
        return f"it is longer than {MAXIMUM_TOPIC_BYTES} bytes"
    return None
