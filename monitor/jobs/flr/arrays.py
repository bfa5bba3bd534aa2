"""Named arrays in NPZ, HDF5 and MAT files. Nothing is unpickled, and sizes are asked before anything is read."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import io as scipy_io

from monitor.errors import ArchiveError
from monitor.types import FloatArray

Anything = npt.NDArray[Any]
T = TypeVar("T")

_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MATLAB_USER_BLOCK: Final = 512


class Arrays(ABC):
    """The arrays of one open file, by name."""

    def __init__(self, path: str, maximum_bytes: int) -> None:
        self.path = path
        self._maximum_bytes = maximum_bytes
        self.names: tuple[str, ...] = ()

    @abstractmethod
    def _get(self, name: str) -> Anything:
        """One array as MATLAB or numpy would show it; KeyError where there is none."""

    def array(self, name: str) -> Anything:
        """One array. Raises ArchiveError where there is none of this name, or one that cannot be used."""
        try:
            return _plain(self._get(name))
        except KeyError:
            shown = ", ".join(self.names[:12]) + (", …" if len(self.names) > 12 else "")
            raise ArchiveError(
                self.path, f"has no array {name!r}, which the mapping names; it has {shown[:300] or 'none'}"
            ) from None
        except (
            ValueError,
            TypeError,
            OSError,
            EOFError,
            RuntimeError,
            zlib.error,
            zipfile.BadZipFile,
        ) as error:
            raise ArchiveError(self.path, f"{name} cannot be read: {_one_line(error)}") from None

    def vector(self, name: str) -> Anything:
        """An array with one value a window, shape (n,). Raises ArchiveError."""
        values = self.array(name)
        if sum(size != 1 for size in values.shape) > 1:
            raise ArchiveError(
                self.path, f"{name} has the shape {values.shape}; one value a window is needed"
            )
        if values.dtype.kind not in "biufUM":
            raise ArchiveError(self.path, f"{name} holds {values.dtype}; numbers or texts are needed")
        return values.ravel()

    def numeric(self, name: str) -> FloatArray:
        """An array of numbers of any shape. Raises ArchiveError."""
        values = self.array(name)
        if values.dtype.kind not in "biuf":
            raise ArchiveError(self.path, f"{name} holds {values.dtype}; real numbers are needed")
        return values.astype(np.float64)

    def _check_size(self, name: str, size: int) -> None:
        if size > self._maximum_bytes:
            raise ArchiveError(
                self.path, f"{name} takes {size} bytes; {self._maximum_bytes} at most are read: split it"
            )


class _Npz(Arrays):
    def __init__(self, path: str, maximum_bytes: int, file: Any, sizes: Mapping[str, int]) -> None:
        super().__init__(path, maximum_bytes)
        self._file, self._sizes = file, sizes
        self.names = tuple(file.files)

    def _get(self, name: str) -> Anything:
        if name not in self.names:
            raise KeyError(name)
        self._check_size(name, self._sizes.get(f"{name}.npy", 0))
        values = _reading(lambda: self._file[name])
        if not isinstance(values, np.ndarray):  # numpy hands out the bytes of what begins as no array does
            raise ValueError("it is no array")
        return values


class _Hdf5(Arrays):
    """HDF5; with `matlab`, as MATLAB writes it: dimensions turned round, texts as code points."""

    def __init__(self, path: str, maximum_bytes: int, file: Any, h5py: Any, *, matlab: bool) -> None:
        super().__init__(path, maximum_bytes)
        self._file, self._h5py, self._matlab = file, h5py, matlab
        names: list[str] = []

        def note(name: str | bytes, item: Any) -> None:
            if isinstance(name, bytes):  # a name that is not UTF-8
                name = name.decode("utf-8", "replace")
            # What MATLAB keeps for itself (#refs#) is no variable.
            if isinstance(item, h5py.Dataset) and not name.startswith("#"):
                names.append(name.replace("/", ".") if matlab else name)

        file.visititems(note)
        self.names = tuple(names)

    def _get(self, name: str) -> Anything:
        item = self._file.get(name.replace(".", "/") if self._matlab else name)
        if not isinstance(item, self._h5py.Dataset):
            raise KeyError(name)
        self._check_size(name, int(item.nbytes))
        if self._h5py.check_string_dtype(item.dtype) is not None:
            texts: Anything = np.asarray(item.asstr()[()], dtype=str)
            return texts
        values: Anything = np.asarray(item[()])
        if not self._matlab:
            return values
        kind = item.attrs.get("MATLAB_class", b"")
        if kind == b"char":
            return np.array([_text(row) for row in np.atleast_2d(values.T)])
        if kind == b"cell":
            return np.array([self._cell(reference) for reference in values.T.ravel()])
        return values.T

    def _cell(self, reference: Any) -> Any:
        item = self._file[reference]
        values = np.asarray(item[()])
        if item.attrs.get("MATLAB_class", b"") == b"char":
            return _text(values.T.ravel())
        return _only(values)


class _Mat(Arrays):
    """MAT of versions 4 to 7; a field of a struct is `struct.field`."""

    def __init__(self, path: str, maximum_bytes: int) -> None:
        super().__init__(path, maximum_bytes)
        described = _reading(lambda: scipy_io.whosmat(path))
        self._sizes = {name: 8 * int(np.prod(shape, dtype=np.float64)) for name, shape, _ in described}
        self.names = tuple(name for name, _, _ in described)
        self._roots: dict[str, Any] = {}

    def _get(self, name: str) -> Anything:
        root, *fields = name.split(".")
        if root not in self.names:
            raise KeyError(name)
        self._check_size(root, self._sizes[root])
        if root not in self._roots:
            self._roots[root] = _reading(lambda: scipy_io.loadmat(self.path, variable_names=[root])[root])
        value = self._roots[root]
        for field in fields:
            if value.dtype.names is None or field not in value.dtype.names:
                raise KeyError(name)
            value = np.asarray(_only(value[field]))
        if value.dtype.names is not None:
            raise TypeError(f"it is a struct with the fields {', '.join(value.dtype.names)}; name one")
        return np.asarray(value)


@contextmanager
def open_arrays(path: Path, kind: str, maximum_bytes: int) -> Iterator[Arrays]:
    """Open a file of `kind` npz, hdf5 or mat. Raises ArchiveError for what is not such a file."""
    name = str(path)
    try:
        with path.open("rb") as file:
            head = file.read(_MATLAB_USER_BLOCK + len(_HDF5_SIGNATURE))
    except OSError as error:
        raise ArchiveError(name, f"cannot be read: {error.strerror or error}") from None
    hdf5 = _HDF5_SIGNATURE in (head[: len(_HDF5_SIGNATURE)], head[_MATLAB_USER_BLOCK:])
    if kind == "npz":
        with _npz(name, maximum_bytes) as arrays:
            yield arrays
    elif kind == "hdf5" or hdf5:
        if not hdf5:
            raise ArchiveError(name, "is no HDF5 file")
        with _hdf5(name, maximum_bytes, matlab=kind == "mat") as arrays:
            yield arrays
    else:
        try:
            arrays = _Mat(name, maximum_bytes)
        except ValueError as error:
            raise ArchiveError(name, f"is no MAT file, or a damaged one: {error}") from None
        yield arrays


@contextmanager
def _npz(name: str, maximum_bytes: int) -> Iterator[Arrays]:
    try:
        with zipfile.ZipFile(name) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        file = np.load(name, allow_pickle=False)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ArchiveError(name, f"is no NPZ file: {_one_line(error)}") from None
    with file:
        yield _Npz(name, maximum_bytes, file, sizes)


@contextmanager
def _hdf5(name: str, maximum_bytes: int, *, matlab: bool) -> Iterator[Arrays]:
    try:
        import h5py  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        what = "this MAT file is of version 7.3, which is HDF5, and that" if matlab else "HDF5"
        raise ArchiveError(
            name, f"{what} is read by h5py, which is not installed: pip install 'geospace-monitor[train]'"
        ) from None
    try:
        file = h5py.File(name, "r")
        arrays = _Hdf5(name, maximum_bytes, file, h5py, matlab=matlab)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ArchiveError(name, f"is a damaged HDF5 file: {_one_line(error)}") from None
    with file:
        yield arrays


def _reading(read: Callable[[], T]) -> T:
    """What a library makes of a file; ValueError where it stumbles."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what no mapping names
            return read()
    except Exception as error:  # noqa: BLE001  (a damaged file lets scipy and numpy raise whatever comes)
        raise ValueError(_one_line(error)) from None


def _plain(values: Anything) -> Anything:
    """Texts as texts: cell arrays and bytes turned to str."""
    if values.dtype.kind == "O":
        return np.array([_only(np.asarray(one)) for one in values.ravel()]).reshape(values.shape)
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _only(values: Anything) -> Any:
    """The one element of an array."""
    if values.size != 1:
        raise ValueError(f"a cell holds {values.size} values where one is needed")
    return values.ravel()[0]


def _text(codes: Anything) -> str:
    return "".join(chr(int(code)) for code in codes).rstrip("\0 ")


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
