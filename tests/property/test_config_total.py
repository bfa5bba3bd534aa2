"""Whatever the text, reading it gives a configuration or faults with places, and nothing else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.config import Config, filters_overlap, parse_config, quick_config, topic_matches
from monitor.errors import ConfigurationError, Fault
from monitor.plugins import installed

SHIPPED = (Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8")
SHORT = "\n".join(line.partition("  #")[0] for line in SHIPPED.splitlines() if not line.startswith("#"))

# Each word once: what YAML 1.1 misreads, what PyYAML trips over, and good values in the wrong place.
VALUES = st.sampled_from([
    "NO", "~", "1E5", "-1", "0x_", "0b_", "08", "1:30", ".nan", "1e999", "2017-99-99", "=", "<<", "%", "@",
    "[]", "{}", "[[a]]", "{a: 1}", "TAR-BRZ", "BRZ-TAR", "'#'", '"\\0"', '"\\UFFFFFFFF"',
    "&a x", "*a", "!!int x", "!!bool x", "!!set {a}",
])  # fmt: skip
KEYS = st.sampled_from(
    [*Config.model_fields, "url", "decoder", "topic", "options", "length_s", "TAR", "NO", "<<", "?", ""]
)
PLUGINS = installed()
LINES = st.builds(
    lambda indent, dash, key, value: f"{' ' * indent}{dash}{key}: {value}",
    st.integers(0, 4),
    st.sampled_from(["", "- "]),
    KEYS,
    VALUES,
)


def outcome(text: str) -> Config | tuple[Fault, ...]:
    try:
        return parse_config(text, "c.yaml", PLUGINS)
    except ConfigurationError as error:
        return error.faults


def check(text: str) -> None:
    found = outcome(text)
    if isinstance(found, Config):
        assert len(found.pair_list) == len(found.pairs)
        assert found.pair_list or found.craft
        return
    places = [(fault.line, fault.column) for fault in found]
    assert places
    assert places == sorted(places)
    # YAML 1.1 breaks lines at these; a carriage return with a newline is one break, here counted as two.
    last = 1 + sum(text.count(mark) for mark in "\n\r\x85\u2028\u2029")
    assert all(1 <= line <= last and column >= 1 for line, column in places)
    for fault in found:
        assert "\n" not in fault.message
        assert str(fault).encode().decode() == str(fault)


@given(st.text(max_size=200))
@example("%YAML 1." + "1" * 5000 + "\n--- a")
@example('"\\U00110000"')
@example("\ufeffcraft: [MMS1]")
def test_any_text_gives_a_configuration_or_faults(text: str) -> None:
    check(text)


@settings(max_examples=200)
@given(st.lists(LINES, max_size=8))
def test_any_lines_of_keys_give_a_configuration_or_faults(lines: list[str]) -> None:
    check("\n".join(lines))


@settings(max_examples=60)
@given(st.integers(0, len(SHORT)), st.integers(0, 40), st.one_of(VALUES, st.text(max_size=10)))
def test_any_change_of_the_shipped_file_gives_a_configuration_or_faults(
    start: int, length: int, new: str
) -> None:
    check(SHORT[:start] + new + SHORT[start + length :])


@given(st.lists(st.text(max_size=20), max_size=4), st.lists(st.text(max_size=20), max_size=4))
def test_any_options_give_a_configuration_or_faults(pairs: list[str], craft: list[str]) -> None:
    found = quick_outcome(pairs, craft)
    if isinstance(found, Config):
        assert len(found.pair_list) == len(pairs)
    else:
        assert found
        assert all(fault.line <= max(len(pairs), len(craft), 1) for fault in found)


def quick_outcome(pairs: list[str], craft: list[str]) -> Config | tuple[Fault, ...]:
    try:
        return quick_config(pairs, craft)
    except ConfigurationError as error:
        return error.faults


LEVELS = st.lists(st.sampled_from(["a", "b", "", "$S"]), min_size=1, max_size=4)


@given(LEVELS, st.lists(st.booleans(), min_size=8, max_size=8), st.integers(1, 5), st.integers(1, 5))
def test_filters_that_match_one_topic_overlap(
    levels: list[str], wild: list[bool], cut: int, other_cut: int
) -> None:
    """Two filters made from one topic by wildcards both match it, unless a leading wildcard meets a $."""

    def widened(marks: list[bool], cut: int) -> str:
        parts = ["+" if mark else level for level, mark in zip(levels, marks, strict=False)]
        return "/".join(parts if cut > len(parts) else [*parts[:cut], "#"])

    topic = "/".join(levels)
    first, second = widened(wild[:4], cut), widened(wild[4:], other_cut)
    hidden = topic.startswith("$")
    assert topic_matches(first, topic) is not (hidden and wild[0])
    if topic_matches(first, topic) and topic_matches(second, topic):
        assert filters_overlap(first, second)
