"""The types on the data path: frozen, slotted, and free of anything that needs the outside.

Time is int64 nanoseconds UTC since 1970-01-01, taken from the samples. A gap is NaN: a gap is data, not an error.
"""

from monitor.types.findings import (
    CLASSES,
    Chain,
    ChainState,
    Finding,
    Illumination,
    LineEnds,
    MassDensity,
    PhysicalReading,
    PlasmapauseEstimate,
    PowerLaw,
    Reading,
)
from monitor.types.product import (
    Product,
)
from monitor.types.samples import (
    SECOND_NS,
    BoolArray,
    ComplexArray,
    Domain,
    Float32Array,
    FloatArray,
    IntArray,
    Json,
    Message,
    Pair,
    RealArray,
    SampleBlock,
    Tick,
    iso_time,
)
from monitor.types.spectra import (
    GainProfile,
    Label,
    ResonanceBatch,
    ResonanceEvidence,
    SpectrumBatch,
    StationQuality,
    WindowBatch,
)

__all__ = [
    "CLASSES",
    "SECOND_NS",
    "BoolArray",
    "Chain",
    "ChainState",
    "ComplexArray",
    "Domain",
    "Finding",
    "Float32Array",
    "FloatArray",
    "GainProfile",
    "Illumination",
    "IntArray",
    "Json",
    "Label",
    "LineEnds",
    "MassDensity",
    "Message",
    "Pair",
    "PhysicalReading",
    "PlasmapauseEstimate",
    "PowerLaw",
    "Product",
    "Reading",
    "RealArray",
    "ResonanceBatch",
    "ResonanceEvidence",
    "SampleBlock",
    "SpectrumBatch",
    "StationQuality",
    "Tick",
    "WindowBatch",
    "iso_time",
]
