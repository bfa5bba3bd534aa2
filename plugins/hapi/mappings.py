"""Datasets whose parameters are known: of MMS, Cluster and THEMIS, and of INTERMAGNET's observatories.

Ids are those of CDAWeb, which splits a dataset with several time axes (`@0` is the first), of the Cluster Science Archive
and of INTERMAGNET's server at BGS. The variables are those of `monitor.io.files.cdf_names`, under the names that the
servers give them: CDAWeb adds those that are cleaned by their flags (`…_clean`, `…Q`, `…_noerr`), the Cluster Science
Archive leaves the dataset's name off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.io.files.cdf_names import KNOWN, KnownVariable

GROUND_COMPONENTS: Final = ("X", "Y", "Z", "H", "E", "F")
"""Of a station, all in nT. D is an angle on these servers, and no variation in nT: it is not taken."""

_CLEANED: Final = re.compile(r"(?:_clean|_noerr|Q)\Z")
_NO_COMPONENTS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class DatasetMapping:
    """A dataset that is known.

    Attributes
    ----------
    pattern : re.Pattern
        Of the station or spacecraft; its first group is put into `dataset`.
    dataset : str
        Id on the server.
    is_craft : bool
    components : mapping of str to str
        Of a station: which column is what.
    """

    pattern: re.Pattern[str]
    dataset: str
    is_craft: bool = True
    components: Mapping[str, str] = field(default_factory=lambda: _NO_COMPONENTS)

    def dataset_of(self, subject: str) -> str | None:
        """Id of the dataset of a station or spacecraft; None where it is none of the mapping's."""
        match = self.pattern.fullmatch(subject)
        return None if match is None else self.dataset.format(match[1], lower=match[1].lower())


_MMS, _CLUSTER, _THEMIS = (re.compile(p) for p in (r"MMS([1-4])", r"C([1-4])", r"TH([A-E])"))
_OBSERVATORY = re.compile(r"([A-Z0-9]{3})")

MAPPINGS: Final[Mapping[str, DatasetMapping]] = {
    "mms_fgm": DatasetMapping(_MMS, "MMS{0}_FGM_SRVY_L2@0"),
    "mms_fpi": DatasetMapping(_MMS, "MMS{0}_FPI_FAST_L2_DIS-MOMS"),
    "cluster_fgm": DatasetMapping(_CLUSTER, "C{0}_CP_FGM_SPIN"),
    "cluster_hia": DatasetMapping(_CLUSTER, "C{0}_CP_CIS_HIA_ONBOARD_MOMENTS"),
    "cluster_codif": DatasetMapping(_CLUSTER, "C{0}_CP_CIS_CODIF_HS_H1_MOMENTS"),
    "themis_fgm": DatasetMapping(_THEMIS, "TH{0}_L2_FGM@0"),
    "themis_mom": DatasetMapping(_THEMIS, "TH{0}_L2_MOM@0"),
    "themis_esa": DatasetMapping(_THEMIS, "TH{0}_L2_ESA@0"),
    "intermagnet_xyzf": DatasetMapping(
        _OBSERVATORY,
        "{lower}/best-avail/PT1S/xyzf",
        is_craft=False,
        components={"X": "Field_Vector[0]", "Y": "Field_Vector[1]", "Z": "Field_Vector[2]"},
    ),
    "intermagnet_hdzf": DatasetMapping(
        _OBSERVATORY,
        "{lower}/best-avail/PT1S/hdzf",
        is_craft=False,
        components={"H": "Field_Vector[0]", "Z": "Field_Vector[2]"},
    ),
}
"""Datasets by the name that the configuration uses."""


@dataclass(frozen=True, slots=True)
class KnownParameter:
    """A parameter of a server, and the variable that it is."""

    name: str
    known: KnownVariable
    components: tuple[str, ...]


def known_parameters(names: Iterable[str], dataset: str, craft: str) -> list[KnownParameter]:
    """Which of a dataset's parameters hold which components of a spacecraft, in the order of preference.

    A component is taken from the first variable that has it; of a variable that there is twice, as measured and
    cleaned by its flags, the first is as the files have it.
    """
    given = list(names)
    found: list[KnownParameter] = []
    taken: set[str] = set()
    for known in KNOWN:
        for cleaned in (False, True):
            for name in given:
                plain = _CLEANED.sub("", name) if cleaned else name
                match = known.pattern.fullmatch(plain) or known.pattern.fullmatch(f"{plain}__{dataset}")
                if match is None or f"{known.mission}{match[1].upper()}" != craft:
                    continue
                components = tuple(one for one in known.components if one not in taken)
                # A vector is taken whole, or its parts would be in different frames.
                if components == known.components or (components and known.frame is None):
                    found.append(KnownParameter(name, known, components))
                    taken.update(components)
    return found
