"""MARTAS, the acquisition software of many observatories: `<station>/<sensor>/{data,meta,dict}` as it really sends.

The format is that of MARTAS 2 (https://github.com/geomagpy/MARTAS): lines of text, whose columns only `meta` explains.
"""

from __future__ import annotations

from monitor.decoders.martas.decoder import MartasDecoder

__all__ = ["MartasDecoder"]
