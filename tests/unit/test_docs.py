"""The documentation holds together: links, pictures, and every block that can be compiled, parsed or run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Any
from xml.etree import ElementTree

import pytest
from docs_kit import (
    PAGES,
    ROOT,
    TYPED,
    Block,
    assert_command_is_taken,
    assert_queries_metrics,
    blocks,
    command_lines,
)

from monitor.config import load_config, parse_config
from monitor.demo.chain import PAIRS, STATIONS
from monitor.demo.craft import CRAFT
from monitor.demo.lines import CHANGES_ONLY, HEAD
from monitor.io.broker import LocalBroker, find_mosquitto
from monitor.plugins import installed
from monitor.stations import load_station_table
from monitor.types import REGIONS, SECOND_NS, Message, Surroundings

PLUGINS = installed()

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
RUN = "<!-- run -->"
LARGEST_PICTURE_BYTES = 150_000
# Pictures of real measurements, and those that show no data; all others are simulated, and say so.
NOT_SIMULATED = ("cluster-hour.png", "architecture.svg")


def all_blocks(*languages: str) -> list[Any]:
    return [
        pytest.param(block, id=block.place)
        for page in PAGES
        for block in blocks(page)
        if block.language in languages
    ]


def prose(page: Path) -> str:
    """The text without its fenced blocks and inline code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def compiled(block: Block) -> CodeType:
    code: CodeType = compile(block.text, block.place, "exec")
    return code


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    def test_relative_links_lead_to_files_and_headings(self, page: Path) -> None:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.is_relative_to(ROOT), target
            assert file.exists(), target
            if anchor:
                assert anchor in anchors(file), target

    def test_every_page_is_reached_from_the_readme(self) -> None:
        reached: set[Path] = set()
        ahead = [ROOT / "README.md"]
        while ahead:
            page = ahead.pop()
            reached.add(page)
            for target in re.findall(r"\]\(([^)\s#]+\.md)[)#]", prose(page)):
                file = (page.parent / target).resolve()
                if file not in reached and "://" not in target:
                    ahead.append(file)
        assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= reached

    def test_decisions_are_numbered_and_listed_under_their_titles(self) -> None:
        index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
        for number, path in enumerate(DECISIONS, start=1):
            text = path.read_text(encoding="utf-8")
            assert path.name.startswith(f"{number:04d}-")
            title = re.match(rf"# {number}\. (.+)\n", text)
            assert title is not None, path.name
            assert f"{number}. [{title[1]}](decisions/{path.name})" in index
            for heading in ("Context", "Decision", "Consequences"):
                assert f"\n## {heading}\n" in text, path.name

    def test_pictures_are_shown_and_small(self) -> None:
        pictures = {
            picture
            for folder in ("pictures", "reports")
            for kind in ("*.png", "*.svg")
            for picture in (ROOT / "docs" / folder).rglob(kind)
        }
        shown = {
            (page.parent / target).resolve()
            for page in PAGES
            for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        }
        assert pictures == shown
        assert all(picture.stat().st_size < LARGEST_PICTURE_BYTES for picture in pictures)

    def test_drawings_are_sound_and_bring_their_own_ground(self) -> None:
        """A page may be light or dark; and a drawing is a picture, not a program."""
        for drawing in (ROOT / "docs").rglob("*.svg"):
            tree = ElementTree.parse(drawing)
            names = {element.tag.rpartition("}")[2] for element in tree.iter()}
            assert "title" in names, drawing.name
            assert names.isdisjoint({"script", "foreignObject", "image", "use"}), drawing.name
            ground = next(element for element in tree.iter() if element.tag.endswith("}rect"))
            size = tree.getroot().attrib["viewBox"].split()[2:]
            assert [ground.get("width"), ground.get("height"), ground.get("fill")] == [*size, "#ffffff"]

    def test_pictures_say_that_they_are_synthetic(self) -> None:
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            for match in re.finditer(r"^!\[.*\)$", text, re.MULTILINE):
                if any(f"/{name})" in match[0] or f"({name})" in match[0] for name in NOT_SIMULATED):
                    continue
                assert text[match.end() :].lstrip().startswith("*Synthetic:"), f"{page.name}: {match[0]}"


class TestBlocks:
    @pytest.mark.parametrize("block", all_blocks("python"))
    def test_python_compiles(self, block: Block) -> None:
        assert compiled(block).co_code

    @pytest.mark.parametrize("block", all_blocks("yaml"))
    def test_yaml_is_a_whole_and_good_configuration(self, block: Block) -> None:
        config = parse_config(block.text, block.place, PLUGINS)
        assert config.pair_list or config.craft

    @pytest.mark.parametrize("block", all_blocks("json"))
    def test_json_is_an_input_that_its_decoder_takes(self, block: Block) -> None:
        document = json.loads(block.text)
        if "startDate" in document:
            name, topic, source = "imagmqtt", "impf/tar/pt1s/1/xyzs", "TAR"
        elif "Kp" in document:
            name, topic, source = "native", "geospace/v1/in/index/kp", "KP"
        else:
            name, topic, source = "native", "geospace/v1/in/mag/TAR", "TAR"
        decoded = PLUGINS.make("decoder", name, {}, Surroundings(name)).decode(
            Message(topic, block.text.encode(), 1_800_000_000 * SECOND_NS)
        )
        assert [one.source for one in decoded] == [source]

    @pytest.mark.parametrize("block", all_blocks("sh"))
    def test_commands_are_taken_by_those_they_are_meant_for(self, block: Block) -> None:
        lines = command_lines(block.text)
        assert lines
        if block.before in TYPED:
            assert (ROOT / "tests" / TYPED[block.before]).is_file()
            return
        for words in lines:
            assert_command_is_taken(words)

    @pytest.mark.parametrize("block", all_blocks("promql"))
    def test_queries_name_metrics_that_exist(self, block: Block) -> None:
        # What Prometheus says of itself and of its targets may be asked for as well.
        assert re.search(r"\b(geospace_\w+|prometheus_\w+|alertmanager_\w+|up)\b", block.text)
        assert_queries_metrics(block.text)

    def test_readme_shows_the_heading_that_the_demo_prints(self) -> None:
        for page in (ROOT / "README.md", ROOT / "docs" / "tutorial.md"):
            (shown,) = [
                block for block in blocks(page) if block.language == "text" and "chain " in block.text
            ]
            lines = shown.text.splitlines()
            assert HEAD in lines
            assert f"chain   {' '.join(STATIONS)}, simulated" in shown.text
            assert f"craft   {CRAFT}, simulated; {CHANGES_ONLY}" in lines
            table = load_station_table()
            for line in lines[lines.index(HEAD) + 1 :]:
                time, pair, l_shell, label = line.split()[:4]
                if pair == CRAFT:
                    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", time)
                    assert label in (*REGIONS, "event", "-")
                    continue
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:[03]0:00Z", time)
                if pair == "emma" or label == "event":
                    assert label in ("L_pp", "event")
                    continue
                assert pair in PAIRS
                mean = sum(table[code].l_shell or 0.0 for code in pair.split("-")) / 2
                assert float(l_shell) == pytest.approx(mean, abs=0.006)


def run_page(page: Path, directory: Path) -> list[str]:
    """Run the blocks of a page that ask for it, in order, in one directory; return what each printed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    printed = []
    for block in blocks(page):
        if block.before != RUN:
            continue
        command = [sys.executable, "-W", "error", "-c"] if block.language == "python" else ["sh", "-eu", "-c"]
        done = subprocess.run(
            [*command, block.text],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{block.place}: {done.stderr}"
        printed.append(done.stdout + done.stderr)
    return printed


class TestRecipes:
    def test_tutorial_gives_the_label_that_it_promises(self, tmp_path: Path) -> None:
        _, processed, read = run_page(ROOT / "docs" / "tutorial.md", tmp_path)
        assert "18000 samples" in processed
        time, pair, label, frequency = read.splitlines()[-1].split()[:4]
        assert (time, pair, label) == ("2020-06-01T08:30:00Z", "TAR-BRZ", "Freq")
        assert float(frequency) == pytest.approx(23.0, abs=1.5)

    def test_library_recipe_runs(self, tmp_path: Path) -> None:
        assert len(run_page(ROOT / "docs" / "how-to" / "read-labels.md", tmp_path)) == 1

    def test_magnetic_values_of_a_station_are_those_of_the_table(self, tmp_path: Path) -> None:
        page = ROOT / "docs" / "how-to" / "add-a-station.md"
        (recipe,) = [block for block in blocks(page) if block.before == RUN]
        for station in load_station_table(2025.0).values():
            text = re.sub(
                r"^latitude, longitude, year = .*$",
                f"latitude, longitude, year = {station.latitude_deg}, {station.longitude_deg}, 2025.0",
                recipe.text,
                flags=re.MULTILINE,
            )
            names: dict[str, Any] = {}
            exec(compile(text, recipe.place, "exec"), names)
            assert names["l_shell"] == pytest.approx(station.l_shell, rel=0.005)
            assert names["magnetic_latitude"] == pytest.approx(station.magnetic_latitude_deg, abs=0.2)
            assert names["declination"] == pytest.approx(station.declination_deg, abs=1.0)
        assert "L 3.2" in run_page(page, tmp_path)[0]

    def test_own_regions_example_gives_windows_of_every_region_in_it(self, tmp_path: Path) -> None:
        _, table = run_page(ROOT / "docs" / "how-to" / "train-on-your-own-regions.md", tmp_path)
        windows = {line.split()[0]: int(line.split()[2]) for line in table.splitlines()[1:] if line.split()}
        assert list(windows) == list(REGIONS)
        assert all(windows[region] >= 6 for region in ("SW", "BS", "MSH", "MP", "MSP"))
        assert windows["LOBE"] == 0

    @pytest.mark.broker
    async def test_reader_of_labels_gets_the_retained_one(self, tmp_path: Path) -> None:
        if find_mosquitto() is None:
            pytest.skip("the program mosquitto is not installed")
        import aiomqtt

        (recipe,) = [
            block
            for block in blocks(ROOT / "docs" / "how-to" / "read-labels.md")
            if block.before == "<!-- recipe: labels -->"
        ]
        names: dict[str, Any] = {"__name__": "recipe"}
        exec(compiled(recipe), names)
        async with LocalBroker(tmp_path) as broker:
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.publish("geospace/v1/flr/TAR-BRZ", b'{"pair":"TAR-BRZ"}', qos=1, retain=True)
            labels = names["labels"](port=broker.port)
            async with asyncio.timeout(20):
                assert await anext(labels) == {"pair": "TAR-BRZ"}
            await labels.aclose()

    def test_shipped_configuration_is_good(self) -> None:
        assert load_config(ROOT / "config.yaml", PLUGINS).pair_list

    def test_pictures_script_draws_what_the_documentation_shows(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="matplotlib (extra docs) is not installed")
        done = subprocess.run(
            [sys.executable, ROOT / "benchmarks" / "pictures.py", "--quick", tmp_path],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = {picture.name for picture in (ROOT / "docs" / "pictures").glob("*.png")}
        # Those of the random pairs, of the flights and of dashboards have scripts, and tests, of their own.
        shown = {name for name in shown if not name.startswith(("synthetic-", "craft-", "grafana-", "page-"))}
        assert {picture.name for picture in tmp_path.glob("*.png")} == shown
        assert done.stdout.count("from the geometric mean") == 3

    @pytest.mark.at_length
    def test_pictures_of_flights_are_those_that_their_script_draws(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="matplotlib (extra docs) is not installed")
        done = subprocess.run(
            [sys.executable, "-W", "error", ROOT / "benchmarks" / "pictures_craft.py", tmp_path],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = {picture.name for picture in (ROOT / "docs" / "pictures").glob("craft-*.png")}
        drawn = {picture.name: picture.stat().st_size for picture in tmp_path.glob("*.png")}
        assert drawn.keys() == shown
        assert all(10_000 < size < LARGEST_PICTURE_BYTES for size in drawn.values())
        assert done.stdout.count("windows are mixed") == 2
