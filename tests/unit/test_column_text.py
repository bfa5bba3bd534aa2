"""Text in columns: the lines of CARISMA and their like, times in one column or six, and archives read by it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from archive_kit import carisma_text
from monitor_plugins.column_text import ColumnText
from pydantic import ValidationError

from monitor.config import Config
from monitor.decoders.base import FileReader
from monitor.errors import ArchiveError, DecodeError, PluginError
from monitor.io.files import SourceSeries, open_archives
from monitor.plugins import installed
from monitor.plugins.reading import file_readers
from monitor.testing import check_decoder
from monitor.types import SECOND_NS, Message, SampleBlock, Surroundings

T0_NS = 1_483_228_795 * SECOND_NS  # 2016-12-31T23:59:55Z
RECEIVED_NS = T0_NS + 86_400 * SECOND_NS
HEADED = """Some array of magnetometers
YYYY MM DD HH MM SS     HAN X   HAN Y   HAN Z
----------------------------------------------
2017 01 01 00 00 00    13759.4  1715.1 49852.7
2017 01 01 00 00 10    13759.5 99999.9 49852.5
2017  1  1  0  0 20.0 -13759.4-1715.2 49852.7
"""


def decoder(**options: object) -> ColumnText:
    return ColumnText(ColumnText.Options.model_validate(options), Surroundings("column_text"))


def decoded(text: str, topic: str = "day.txt", **options: object) -> list[SampleBlock]:
    return list(decoder(**options).decode(Message(topic, text.encode(), RECEIVED_NS)))


def block(count: int = 10, components: str = "XYZ") -> SampleBlock:
    values = np.arange(3.0 * count).reshape(3, count) - 12_345.125
    return SampleBlock("GILL", tuple(components), T0_NS, SECOND_NS, values)


def carisma(count: int = 10, components: str = "XYZ", gap: int | None = 3) -> str:
    whole = block(count, components)
    if gap is not None:
        whole.values[1, gap] = np.nan
    return carisma_text(whole)


def test_decoder_holds_to_what_every_decoder_promises() -> None:
    texts = [carisma(), HEADED, carisma(4, "HDZ")]
    check_decoder(decoder, [Message("GILL.F01", text.encode(), RECEIVED_NS) for text in texts])


def test_lines_of_carisma_give_three_components_and_a_bad_flag_a_gap() -> None:
    text = carisma()
    # Columns of fixed width: what is long and negative touches its neighbour.
    assert "\n20161231235955-12345.125-12335.125-12325.125 .\n" in text
    (found,) = decoded(text)
    assert (found.source, found.components) == ("GILL", ("X", "Y", "Z"))
    assert (found.t0_ns, found.step_ns) == (T0_NS, SECOND_NS)
    expected = block().values
    expected[:, 3] = np.nan
    np.testing.assert_array_equal(found.values, expected)


def test_six_columns_of_time_name_their_station_and_components() -> None:
    (found,) = decoded(HEADED)
    assert (found.source, found.components, found.step_ns) == ("HAN", ("X", "Y", "Z"), 10 * SECOND_NS)
    np.testing.assert_array_equal(
        found.values, [[13759.4, 13759.5, -13759.4], [1715.1, np.nan, -1715.2], [49852.7, 49852.5, 49852.7]]
    )


@pytest.mark.parametrize(
    ("text", "topic", "options", "source", "components"),
    [
        (carisma(), "x.txt", {"station": "ABC"}, "ABC", "XYZ"),
        (carisma(components="HDZ"), "x.txt", {}, "GILL", "HDZ"),
        (carisma().partition("\n")[2], "20161231ISLL.F01", {}, "ISLL", "XYZ"),
        (carisma().partition("\n")[2], "pina_2016.txt", {"components": "HEZ"}, "PINA", "HEZ"),
        ("Poker Flat, H D Z in nT\n" + HEADED.partition("-\n")[2], "POKER_2017.txt", {}, "POKER", "HDZ"),
    ],
)
def test_station_and_components_are_told_by_options_header_or_name(
    text: str, topic: str, options: dict[str, object], source: str, components: str
) -> None:
    found = decoded(text, topic, **options)
    assert {(one.source, "".join(one.components)) for one in found} == {(source, components)}


def test_gap_in_the_times_begins_another_block() -> None:
    lines = carisma(30, gap=None).splitlines()
    first, second = decoded("\n".join([*lines[:9], *lines[15:]]))
    assert (first.count, second.count) == (8, 16)
    assert second.t0_ns == T0_NS + 14 * SECOND_NS
    np.testing.assert_array_equal(second.values, block(30).values[:, 14:])


@pytest.mark.parametrize(
    ("text", "topic", "reason", "named"),
    [
        ("", "x.txt", "wrong_type", "a time and three numbers"),
        ("time,H\n2017-01-01T00:00:00Z,1\n", "x.txt", "wrong_type", "a time and three numbers"),
        (carisma().partition("\n")[2], "1.txt", "bad_topic", "set its `station`"),
        (HEADED.replace("HAN", "  ").replace("X", "1"), "HAN.txt", "no_component", "set its `components`"),
        (carisma() + "20170101000005 1 2\n", "x.txt", "wrong_type", "line 12 is '20170101000005 1 2'"),
        (carisma().replace("20170101000000", "20170132000000"), "x.txt", "bad_time", "line 7"),
        (carisma().replace("20161231235955", "00161231235955"), "x.txt", "bad_time", "line 2"),
        (carisma().replace("20161231235955", "99161231235955"), "x.txt", "bad_time", "line 2"),
        (carisma(1, gap=None), "x.txt", "bad_step", "1 sample times"),
        (
            carisma().replace("20161231", "19161231").replace("2017", "1917"),
            "x.txt",
            "time_out_of_range",
            "before 1990",
        ),
        (carisma().replace("201", "203"), "x.txt", "time_out_of_range", "after it was received"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, topic: str, reason: str, named: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decoded(text, topic)
    assert caught.value.reason == reason
    assert named in caught.value.detail


def test_options_are_held_to_their_form() -> None:
    for options in ({"station": "x"}, {"station": "A\n"}, {"components": "ABC"}, {"odd": 1}):
        with pytest.raises(ValidationError):
            decoder(**options)


class TestInArchives:
    """Through what `process` and `replay` read files with."""

    CONFIG = Config.model_validate({"plugins": {"text": {"plugin": "column_text", "kind": "decoder"}}})

    def readers(self) -> list[FileReader]:
        return file_readers(self.CONFIG, installed())

    def test_it_is_asked_only_where_it_is_switched_on(self, tmp_path: Path) -> None:
        path = tmp_path / "20161231GILL.csv"
        path.write_text(carisma())
        assert file_readers(Config.model_validate({}), installed()) == []
        with pytest.raises(ArchiveError, match=r"has no column `time`.* switch on a plugin .*column_text"):
            open_archives([path])
        (series,) = open_archives([path], readers=self.readers())
        assert (series.source, series.count, series.path) == ("GILL", 10, str(path))

    def test_files_are_told_apart_by_content(self, tmp_path: Path) -> None:
        contents = {
            "text.cdf": carisma().encode(),
            "text.csv.gz": gzip.compress(carisma().encode()),
            "table.F01": b"time,GILL_H\n2017-01-01T00:00:00Z,1\n2017-01-01T00:00:01Z,2\n",
        }
        found: dict[str, SourceSeries] = {}
        for name, content in contents.items():
            path = tmp_path / name
            path.write_bytes(content)
            (found[name],) = open_archives([path], readers=self.readers())
        assert {name: "".join(one.components) for name, one in found.items()} == {
            "text.cdf": "XYZ",
            "text.csv.gz": "XYZ",
            "table.F01": "H",
        }
        (named,) = open_archives([f"ABK={tmp_path / 'text.cdf'}"], readers=self.readers())
        assert named.source == "ABK"
        assert not named.values.flags.writeable

    def test_what_is_wrong_names_file_and_line(self, tmp_path: Path) -> None:
        path = tmp_path / "GILL.F01"
        path.write_text(carisma() + "rubbish\n")
        with pytest.raises(ArchiveError) as caught:
            open_archives([path], readers=self.readers())
        assert (
            str(caught.value)
            == f"{path}: wrong_type: line 12 is 'rubbish': expected a time and three numbers"
        )

    def test_reader_that_fails_is_named(self, tmp_path: Path) -> None:
        class Broken:
            name = "broken"

            def __init__(self, recognises: bool) -> None:
                self._recognises = recognises

            def recognises(self, head: bytes) -> bool:
                if not self._recognises:
                    raise ZeroDivisionError("a bug")
                return True

            def decode(self, message: Message) -> list[SampleBlock]:
                return ["rubbish"]  # type: ignore[list-item]

        path = tmp_path / "GILL.F01"
        path.write_text(carisma())
        for good, what in ((False, "ZeroDivisionError: a bug"), (True, "expected a SampleBlock, found str")):
            with pytest.raises(ArchiveError, match=f"cannot be read by the plugin broken .*{what}"):
                open_archives([path], readers=[Broken(good)])

    def test_decoder_of_messages_alone_is_no_reader(self) -> None:
        config = Config.model_validate({"plugins": {"native": {"plugin": "native", "kind": "decoder"}}})
        with pytest.raises(PluginError, match="native: reads messages and no files: name it under inputs"):
            file_readers(config, installed())
