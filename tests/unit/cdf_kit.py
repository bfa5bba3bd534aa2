"""Small CDF files as the missions name their variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cdflib.cdfwrite
import numpy as np
from cdflib import cdfepoch
from numpy.typing import ArrayLike

FLOAT, DOUBLE, EPOCH, EPOCH16, TT2000 = 44, 45, 31, 32, 33
_KIND_AT, _NAME_AT, _DIMENSIONS_AT = 20, 84, 340
FILL = np.float32(-1e31)
START = [2017, 11, 24, 1, 0, 0, 0, 0, 0]
START_NS = 1_511_485_200_000_000_000  # 2017-11-24T01:00:00Z, a multiple of 4.5 s


def tt2000(after_s: ArrayLike) -> np.ndarray[Any, Any]:
    """TT2000 so many seconds after START."""
    return cdfepoch.compute_tt2000(START) + np.rint(np.asarray(after_s) * 1e9).astype(np.int64)


class CdfFile:
    """A CDF that is written variable by variable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cdf = cdflib.cdfwrite.CDF(path, cdf_spec={"Compressed": 0}, delete=True)

    def __enter__(self) -> CdfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._cdf.close()

    def write(
        self,
        name: str,
        kind: int,
        data: ArrayLike,
        attributes: Mapping[str, object] | None = None,
        pack: int = 0,
    ) -> None:
        values = np.asarray(data)
        spec = {
            "Variable": name,
            "Data_Type": kind,
            "Num_Elements": 1,
            "Rec_Vary": True,
            "Dim_Sizes": list(values.shape[1:]),
            "Compress": pack,
        }
        self._cdf.write_var(spec, var_attrs=dict(attributes or {}), var_data=values)


def write_dis(
    path: Path, after_s: ArrayLike, craft: str = "mms1", velocity: str = "gse", **changes: Any
) -> Path:
    """Ion moments of MMS that begin so many seconds after START: N 1, 2, …; V (-400, 0, 30); T∥ 90, T⊥ 60."""
    after = np.asarray(after_s, dtype=np.float64)
    ones = np.ones(after.size, dtype=np.float32)
    density = changes.get("density", np.arange(1, after.size + 1, dtype=np.float32))
    common = {"DEPEND_0": "Epoch", "FILLVAL": [FILL, "CDF_FLOAT"]}
    with CdfFile(path) as cdf:
        cdf.write("Epoch", TT2000, changes.get("epoch", tt2000(after)))
        unit = changes.get("density_unit", "cm^-3")
        limits = {"VALIDMIN": [np.float32(0), "CDF_FLOAT"], "VALIDMAX": [np.float32(1e5), "CDF_FLOAT"]}
        cdf.write(
            f"{craft}_dis_numberdensity_fast", FLOAT, density, {**common, **limits, "UNITS": unit}, pack=6
        )
        velocities = np.stack([-400 * ones, 0 * ones, 30 * ones], axis=1)
        cdf.write(f"{craft}_dis_bulkv_{velocity}_fast", FLOAT, velocities, {**common, "UNITS": "km/s"})
        for name, value in (("para", 90), ("perp", 60)):
            cdf.write(f"{craft}_dis_temp{name}_fast", FLOAT, value * ones, {**common, "UNITS": "eV"})
    return path


def write_fgm(path: Path, after_s: ArrayLike, name: str = "mms1_fgm_b_gse_srvy_l2", **changes: Any) -> Path:
    """Field of MMS at so many seconds after START: (3, 4, 12) nT and 13 nT."""
    after = np.asarray(after_s, dtype=np.float64)
    field = changes.get("field", np.tile(np.float32([3, 4, 12, 13]), (after.size, 1)))
    attributes = {"DEPEND_0": "Epoch", "UNITS": "nT (all flags)", "FILLVAL": [FILL, "CDF_FLOAT"]}
    with CdfFile(path) as cdf:
        cdf.write("Epoch", TT2000, tt2000(after))
        cdf.write(name, FLOAT, field, attributes, pack=6)
    return path


def pairs_to_epoch16(path: Path, name: str) -> Path:
    """Make a variable of pairs of doubles one of EPOCH16, which the library reads but cannot write."""
    content = bytearray(path.read_bytes())
    record = content.index(name.encode() + b"\0") - _NAME_AT
    content[record + _KIND_AT : record + _KIND_AT + 4] = EPOCH16.to_bytes(4, "big")
    content[record + _DIMENSIONS_AT : record + _DIMENSIONS_AT + 4] = bytes(4)
    path.write_bytes(content)
    return path
