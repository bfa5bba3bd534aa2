"""No code comes from data: nothing in the package unpickles, evaluates or asks a shell, and files that try are refused."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import monitor
from monitor.config import parse_config
from monitor.errors import ArchiveError, ConfigurationError, ModelError
from monitor.jobs.flr.arrays import open_arrays
from monitor.jobs.region.real_data import WINDOWS, region_windows
from monitor.models.base import unpack_arrays

PACKAGE = Path(monitor.__file__).parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "plugins").rglob("*.py")])

UNPICKLING = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "jsonpickle",
    "marshal",
    "shelve",
}
DOWNLOADING = {"ftplib", "http.client", "pip", "requests", "smtplib", "telnetlib", "urllib.request", "xmlrpc"}
# What makes code of text, or a process of it.
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "runpy.run_path"}
# What is safe with one argument alone.
WITH = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
YAML = {
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "yaml.load_all",
    "yaml.Loader",
    "yaml.UnsafeLoader",
}


def faults(source: str) -> Iterator[str]:
    """What a module does that could make code of data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in YAML:
            yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    for name in names:
        if name in DOWNLOADING or name.partition(".")[0] in UNPICKLING | DOWNLOADING:
            yield f"import {name}"


def _call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {word.arg: word.value for word in node.keywords}
    if name in CALLS:
        yield name
    if name in WITH:
        key, value = WITH[name]
        found = given.get(key)
        if not (isinstance(found, ast.Constant) and found.value is value):
            yield f"{name} without {key}={value}"
    shell = given.get("shell")
    if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
        yield f"{name} with a shell"
    if name.endswith("create_subprocess_shell"):
        yield name
    if name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
        yield f"{name} of a name that is computed"


# The one door for code that is named and not written here: an installed entry point that the operator has switched on.
MEANT = {Path("monitor/plugins/in_process.py"): ["import_module of a name that is computed"]}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_module_makes_no_code_of_data(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == MEANT.get(path.relative_to(PACKAGE.parent), [])


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "from urllib.request import urlopen",
        "from urllib import request",
        "import http.client",
        "eval(text)",
        "def f(x):\n    return __import__(x)",
        "exec(compile(text, 'x', 'exec'))",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=safe)",
        "torch.load(path)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "subprocess.run(line, shell=True)",
        "asyncio.create_subprocess_shell(line)",
        "importlib.import_module(name)",
        "os.system(line)",
    ],
)
def test_what_could_make_code_of_data_is_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "import json\nnetwork.eval()\nre.compile(text)",
        "np.load(path, allow_pickle=False)",
        "importlib.import_module('onnxruntime')",
        "subprocess.run([program, argument])",
        "from urllib.parse import urlsplit",
    ],
)
def test_what_is_harmless_is_let_pass(source: str) -> None:
    assert list(faults(source)) == []


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a trap makes; that it does is tried first."""
    path = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(path)))
    assert path.exists()
    path.unlink()
    return path


def trap_file(path: Path, mark: Path, names: tuple[str, ...]) -> Path:
    np.savez(path, **{name: np.array([Trap(mark)], dtype=object) for name in names})  # type: ignore[arg-type]
    return path


def test_arrays_of_a_model_are_not_unpickled(tmp_path: Path, mark: Path) -> None:
    path = trap_file(tmp_path / "novelty.npz", mark, ("mean",))
    with pytest.raises(ModelError, match="plain arrays"):
        unpack_arrays(path.read_bytes(), str(path))
    assert not mark.exists()


def test_labelled_arrays_are_not_unpickled(tmp_path: Path, mark: Path) -> None:
    path = trap_file(tmp_path / "own.npz", mark, ("frequency",))
    with pytest.raises(ArchiveError), open_arrays(path, "npz", 10_000_000) as arrays:
        arrays.array("frequency")
    assert not mark.exists()


def test_windows_of_spacecraft_are_not_unpickled(tmp_path: Path, mark: Path) -> None:
    trap_file(tmp_path / WINDOWS, mark, ("bt", "n_est", "ti", "x_gse", "run", "label"))
    with pytest.raises(ArchiveError):
        region_windows(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:os.system ['touch {mark}']",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_configuration_is_not_run(mark: Path, value: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_config(f"pairs: [TAR-BRZ]\nlog: {value.format(mark=mark)}\n", "c.yaml")
    assert not mark.exists()
