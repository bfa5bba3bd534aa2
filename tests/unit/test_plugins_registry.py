"""Plugins are found by their entry points, imported only when they are named, and refused in a line that helps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from plugin_kit import install, was_imported

from monitor.cli import main
from monitor.config import load_config, parse_config
from monitor.errors import ConfigurationError, Fault, PluginError
from monitor.plugins import Registry, installed
from monitor.plugins.found import find_all
from monitor.plugins.in_process import InProcess
from monitor.types import Surroundings

GOOD = """
from monitor.plugins import Options

class Good:
    '''Brings nothing.'''

    class Options(Options):
        count: int
        rate_per_s: float = 1.0

    def __init__(self, options, surroundings):
        if options.count == 13:
            raise RuntimeError("not thirteen")
        self.options, self.surroundings = options, surroundings

    async def run(self, feed):
        return None
"""
NO_CLASS = "def quiet(options, surroundings): ..."
NO_OPTIONS = "class Quiet:\n    async def run(self, feed): ..."
NO_METHOD = "from monitor.plugins import Options\nclass Quiet:\n    class Options(Options): ..."
NOT_ASYNC = NO_METHOD + "\n    def run(self, feed): ..."
RAISES = "raise RuntimeError('out of order')"
LACKS = "import a_module_that_nobody_has"


def registry_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, target: str = "seam_part:Quiet"
) -> Registry:
    """The registry beside a distribution of one source, `quiet`."""
    monkeypatch.syspath_prepend(
        install(folder, "some-plugins", {"seam_part": text}, {"sources": {"quiet": target}})
    )
    monkeypatch.delitem(__import__("sys").modules, "seam_part", raising=False)
    in_process = InProcess()
    return Registry(find_all(), ours=in_process, others=in_process)


def faults_of(text: str, registry: Registry) -> list[Fault]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, "c.yaml", registry)
    return list(caught.value.faults)


def test_built_in_decoders_are_registered_as_all_others() -> None:
    registry = installed()
    assert {"imagmqtt", "native"} <= set(registry.names("decoder"))
    found = registry.find("native")
    assert (found.kind, found.ours) == ("decoder", True)
    assert registry.make("decoder", "native", {}, Surroundings("native")).name == "native"


def test_plugin_that_nobody_names_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(tmp_path, monkeypatch, GOOD, "seam_part:Good")
    assert "quiet" in registry.names("source")
    assert registry.kind_of("quiet") == "source"
    parse_config("craft: [MMS1]\n", "c.yaml", registry)
    assert not was_imported(tmp_path, "seam_part")
    parse_config("craft: [MMS1]\nplugins: {quiet: {count: 1}}\n", "c.yaml", registry)
    assert was_imported(tmp_path, "seam_part")


def test_plugin_is_made_with_options_and_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with(tmp_path, monkeypatch, GOOD, "seam_part:Good")
    made = registry.make("source", "quiet", {"count": 2}, Surroundings("first"))
    assert (made.options.count, made.options.rate_per_s, made.surroundings.name) == (2, 1.0, "first")


def test_one_plugin_may_be_switched_on_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(tmp_path, monkeypatch, GOOD, "seam_part:Good")
    text = "craft: [MMS1]\nplugins:\n  quiet: {count: 1}\n  second: {plugin: quiet, count: 2}\n"
    entries = parse_config(text, "c.yaml", registry).plugins
    assert {name: (entry.plugin, entry.kind, entry.options) for name, entry in entries.items()} == {
        "quiet": ("quiet", "source", {"count": 1}),
        "second": ("quiet", "source", {"count": 2}),
    }


@pytest.mark.parametrize(
    ("plugins", "line", "column", "message"),
    [
        ("{dst: {}}", 2, 11, "no plugin dst is installed; installed: "),
        ("{a: {plugin: dst}}", 2, 23, "no plugin dst is installed; installed: "),
        ("{a: {plugin: 5}}", 2, 23, "no plugin 5 is installed"),
        ("{quiet: 5}", 2, 18, "found 5; it must be a mapping"),
        ("{'a b': {plugin: quiet}}", 2, 11, "a name is 1 to 40 letters"),
        ("{quiet: {}}", 2, 18, "the key count is missing here; add it"),
        ("{quiet: {count: many}}", 2, 26, "found many; it must be a whole number"),
        (
            "{quiet: {count: 1, conut: 2}}",
            2,
            29,
            "unknown key conut (did you mean count?); allowed here: count",
        ),
    ],
)
def test_fault_of_a_plugin_is_at_its_place(
    plugins: str, line: int, column: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with(tmp_path, monkeypatch, GOOD, "seam_part:Good")
    (fault,) = faults_of(f"craft: [MMS1]\nplugins: {plugins}\n", registry)
    assert (fault.line, fault.column) == (line, column)
    assert message in fault.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (NO_CLASS.replace("quiet", "Quiet"), "seam_part:Quiet is no class"),
        (NO_OPTIONS, "no inner class Options"),
        (NO_METHOD, "no method run"),
        (NOT_ASYNC, "its method run must be `async def`"),
        (RAISES, r"cannot be imported \(RuntimeError: out of order\); mend or uninstall it"),
        (
            LACKS,
            r"cannot be imported \(ModuleNotFoundError: .*a_module_that_nobody_has.*; install what it needs",
        ),
        ("", "cannot be imported"),
    ],
)
def test_plugin_that_is_none_is_refused_with_its_distribution(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with(tmp_path, monkeypatch, text)
    with pytest.raises(PluginError, match=reason) as caught:
        registry.make("source", "quiet", {}, Surroundings("quiet"))
    assert (caught.value.plugin, caught.value.distribution) == ("quiet", "some-plugins 1.0")
    assert str(caught.value).startswith("plugin quiet (some-plugins 1.0): ")


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with(tmp_path, monkeypatch, LACKS, "seam_part:Quiet [fast]")
    with pytest.raises(PluginError, match=r"pip install 'some-plugins\[fast\]'"):
        registry.faults("quiet", {})


def test_what_a_plugin_raises_when_it_is_made_is_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with(tmp_path, monkeypatch, GOOD, "seam_part:Good")
    with pytest.raises(PluginError, match=r"cannot be made \(RuntimeError: not thirteen\)"):
        registry.make("source", "quiet", {"count": 13}, Surroundings("quiet"))
    with pytest.raises(PluginError, match=r"its options are not good \(count\)") as caught:
        registry.make("source", "quiet", {"count": "s3cret"}, Surroundings("quiet"))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(PluginError, match="is a source, and here a sink is wanted"):
        registry.make("sink", "quiet", {}, Surroundings("quiet"))


def test_name_of_two_distributions_is_a_fault_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(
        install(tmp_path / "a", "first", {"seam_a": GOOD}, {"sources": {"dup": "seam_a:Good"}})
    )
    monkeypatch.syspath_prepend(
        install(tmp_path / "b", "second", {"seam_b": GOOD}, {"sinks": {"dup": "seam_b:Good"}})
    )
    registry = installed()
    parse_config("craft: [MMS1]\n", "c.yaml", registry)
    (fault,) = faults_of("craft: [MMS1]\nplugins: {dup: {count: 1}}\n", registry)
    assert (fault.line, fault.column) == (2, 11)
    assert "first 1.0 (source seam_a:Good) and second 1.0 (sink seam_b:Good)" in fault.message
    assert not was_imported(tmp_path / "a", "seam_a")
    assert not was_imported(tmp_path / "b", "seam_b")


def test_start_goes_on_without_a_plugin_that_cannot_be_imported_and_check_config_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = registry_with(tmp_path, monkeypatch, RAISES)
    file = tmp_path / "config.yaml"
    file.write_text("craft: [MMS1]\nplugins:\n  quiet: {count: 1}\n")
    assert load_config(file, registry).plugins["quiet"].kind == "source"
    assert main(["check-config", "-c", str(file)]) == 78
    said = capsys.readouterr().err
    assert f"{file}:3:10: plugin quiet (some-plugins 1.0): cannot be imported" in said
    assert "the daemon would start without it" in said


def test_distribution_of_another_name_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not registry_with(tmp_path, monkeypatch, GOOD).find("quiet").ours
    used: list[str] = []
    theirs = SimpleNamespace(make=lambda found, *_rest: used.append(found.name))
    registry = Registry([installed().find("quiet")], ours=SimpleNamespace(), others=theirs)  # type: ignore[arg-type]
    registry.make("source", "quiet", {}, Surroundings("quiet"))
    assert used == ["quiet"]
