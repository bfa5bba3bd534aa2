"""A model on disk: one folder with its files and its card. Nothing is used before all of it is checked.

The card's hashes find accidents and exchanged files; they are no signature, because who can change a file can change
the card (decision 5). So what is read is data only, of bounded size, and never leaves the folder.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.errors import ModelError
from monitor.models.card import (
    CARD_FILES,
    DataSource,
    ModelCard,
    ModelInfo,
    SchemaRecord,
    file_digests,
    read_json,
)
from monitor.models.card_page import card_page
from monitor.types import Json

__all__ = [
    "LARGEST_BYTES",
    "DataSource",
    "ModelCard",
    "ModelInfo",
    "OpenModel",
    "SchemaRecord",
    "bundled",
    "file_digests",
    "open_model",
    "pack_arrays",
    "read_card",
    "unpack_arrays",
    "write_card",
    "write_model",
]

LARGEST_BYTES: Final = 200_000_000
"""Of all files of a model together, packed or unpacked."""

Arrays = dict[str, npt.NDArray[Any]]

_CARD, _PAGE = CARD_FILES
_LARGEST_CARD_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model whose files are those of its card.

    Attributes
    ----------
    folder : str
    card : ModelCard
    contents : mapping of str to bytes
        Every file that the card names.
    """

    folder: str
    card: ModelCard
    contents: Mapping[str, bytes]

    @property
    def info(self) -> ModelInfo:
        """What products, metrics and the status say of it."""
        return self.card.info

    def path(self, name: str) -> str:
        """Where a file lies, for an error about it."""
        return str(Path(self.folder, name))

    def read(self, name: str) -> bytes:
        """The bytes of a file; ModelError where the card does not name it."""
        if name not in self.contents:
            raise ModelError(
                self.path(_CARD),
                f"expected a file {name} in the card, found {', '.join(sorted(self.contents))}",
            )
        return self.contents[name]

    def document(self, name: str) -> Json:
        """A file of JSON; ModelError where it is something else."""
        return read_json(self.read(name), self.path(name))

    def arrays(self, name: str) -> Arrays:
        """The arrays of an NPZ file; ModelError where it is something else, or would have to be unpickled."""
        return unpack_arrays(self.read(name), self.path(name))


def open_model(folder: Path, kind: str) -> OpenModel:
    """Read a model and check its card, its kind, and the hash of every file.

    Whoever makes the features asks `card.require_schema` for them before the model is used.

    Parameters
    ----------
    folder : Path
    kind : str
        What the model is wanted for.

    Raises
    ------
    ModelError
        Something is missing, too large, leads out of the folder, or is not what it should be; where hashes differ,
        the text names both.
    """
    card = read_card(folder)
    if card.kind != kind:
        raise ModelError(str(folder / _CARD), f"expected a model of kind {kind}, found {card.kind}")
    contents: dict[str, bytes] = {}
    left = LARGEST_BYTES
    for name, expected in card.files.items():
        contents[name] = _read(folder, name, left)
        left -= len(contents[name])
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            raise ModelError(
                str(folder / name),
                f"expected SHA-256 {expected}, found {found}: this is not the file that the card describes",
            )
    return OpenModel(str(folder), card, contents)


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model, whose files are not looked at; ModelError where it cannot be used."""
    return ModelCard.from_json(_read(folder, _CARD, _LARGEST_CARD_BYTES), str(folder / _CARD))


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json` and `card.md` into a folder that is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CARD).write_bytes(card.to_json())
    (folder / _PAGE).write_text(card_page(card), encoding="utf-8")


def write_model(folder: Path, card: ModelCard, contents: Mapping[str, bytes]) -> None:
    """Write the files of a model, then its card; ValueError where the card does not describe these files."""
    if dict(card.files) != file_digests(contents):
        raise ValueError(f"the card describes {dict(card.files)}, but the files are {file_digests(contents)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    write_card(folder, card)


def bundled(name: str) -> Path:
    """The folder of a model that comes with this package; ModelError where there is none of this name."""
    home = Path(str(files("monitor.models"))) / "bundled"
    known = sorted(path.parent.name for path in home.glob(f"*/{_CARD}"))
    if name not in known:
        raise ModelError(str(home), f"expected one of {', '.join(known) or 'no models'}, found {name!r}")
    return home / name


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The bytes of an NPZ file, the same for the same arrays; ValueError for an array of objects."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name} holds objects, which only a pickle could keep")
    stream = io.BytesIO()
    # Not compressed: the same bytes whatever the compressor of the day.
    np.savez(stream, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]  # names meet `allow_pickle`
    return stream.getvalue()


def unpack_arrays(data: bytes, path: str) -> Arrays:
    """The arrays of an NPZ file, never unpickled; ModelError that names `path` where that cannot be done."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > LARGEST_BYTES:
            raise ModelError(path, f"expected at most {LARGEST_BYTES} bytes of arrays, found {size}")
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise ModelError(
            path, f"expected an NPZ file of plain arrays, found something else: {error}"
        ) from error
    strange = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if strange:
        raise ModelError(path, f"expected arrays only, found {', '.join(strange)}")
    return arrays


def _read(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of a file that lies in the folder itself."""
    path = folder / name
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve(strict=True)):
            raise ModelError(str(path), f"expected a file in the model's own folder, found a link to {real}")
        if not real.is_file():
            raise ModelError(str(path), "expected a file, found something else")
        size = real.stat().st_size
        if size > limit:
            raise ModelError(str(path), f"expected at most {limit} bytes, found {size}")
        return real.read_bytes()
    except (OSError, RuntimeError) as error:  # before Python 3.13 a circle of links is a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else None
        raise ModelError(
            str(path), f"expected a file of the model, found none to read: {reason or error}"
        ) from error
