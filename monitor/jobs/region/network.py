"""The fully convolutional network of Breuillard et al. (2020), in two forms with the same weights, and the baseline.

The **context** form convolves over real cells only and takes the mean over the window's: windows that overlap share all
but their means. The **isolated** form pads every layer of a lone window with zeros, as the paper does. One batch may
hold both: a window without context is one whose outer cells are put to zero before every layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from monitor.types import (
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    FloatArray,
    RealArray,
)

Mode: TypeAlias = Literal["log", "linear"]
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]

KERNELS: Final = (8, 5, 3)
FILTERS: Final = (256, 512, 256)
"""Of the paper: twice those of Wang et al. (2017)."""
CLIP: Final = 8.0
"""Standardised values are cut at ± this."""
FIELD_SCALE_nT: Final = 5.0
"""Components of B are taken as asinh(B / this): linear below, logarithmic above."""
FLOORS: Final = {"B": 0.1, "N": 1e-3, "Tpar": 1.0, "Tperp": 1.0, "T": 1.0}
"""Least values that a logarithm is taken of: nT, cm⁻³, eV."""
FIELD: Final = slice(0, 3)
LOGARITHMIC: Final = (slice(3, 5), slice(9, 12))
"""Columns of the components of B, and of |B|, N and the temperatures."""
NORM_EPSILON: Final = 1e-3

# bfloat16 convolutions of twelve channels have been seen to be wrong; those of sixteen have not.
_CHANNELS = 16
# As Keras has it: 0.99 of the old mean stays.
_NORM_MOMENTUM = 0.01
_SMALLEST_WIDTH = 1e-6
_HIDDEN = 256
_WINDOW = slice(CONTEXT_CELLS[0], CONTEXT_CELLS[0] + WINDOW_CELLS)


def same_padding(kernel: int) -> tuple[int, int]:
    """Cells before and after that keep the length, as Keras has it: the odd one behind."""
    return (kernel - 1) // 2, kernel // 2


def transformed(values: Tensor, mode: Mode) -> Tensor:
    """Physical values (…, 12) as they are standardised: their logarithms in mode `log`, themselves in `linear`."""
    if mode == "linear":
        return values
    parts = [torch.asinh(values[..., FIELD] / FIELD_SCALE_nT)]
    place = FIELD.stop
    for columns in LOGARITHMIC:
        parts.append(values[..., place : columns.start])
        floor = values.new_tensor([FLOORS[name] for name in VARIABLES[columns]])
        parts.append(torch.log10(torch.maximum(values[..., columns], floor)))
        place = columns.stop
    return torch.cat(parts, dim=-1)


def moments(values: RealArray, mode: Mode) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the twelve transformed variables over all cells that are there.

    A variable that is nowhere there, or never changes, keeps a width of 1.

    Parameters
    ----------
    values : ndarray, shape (…, 12)
        NaN is missing.
    """
    flat = torch.from_numpy(np.ascontiguousarray(values).reshape(-1, len(VARIABLES))).double()
    found = transformed(flat, mode).numpy()
    known = np.isfinite(found)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, found, 0.0).sum(axis=0) / count
    width = np.sqrt(np.where(known, (found - centre) ** 2, 0.0).sum(axis=0) / count)
    return centre, np.where(width > _SMALLEST_WIDTH, width, 1.0)


class Standardised(nn.Module):
    """What both networks begin with: transformed, standardised over the training set, cut; missing is the mean."""

    centre: Tensor
    width: Tensor

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.mode: Mode = mode
        self.register_buffer("centre", torch.zeros(len(VARIABLES)))
        self.register_buffer("width", torch.ones(len(VARIABLES)))

    def standardise_by(self, values: RealArray) -> None:
        """Take the moments from a training set (…, 12)."""
        centre, width = moments(values, self.mode)
        self.centre.copy_(torch.from_numpy(centre))
        self.width.copy_(torch.from_numpy(width))

    def standardised(self, values: Tensor) -> Tensor:
        """Physical values (n, t, 12) as the network takes them, 0 where they are NaN."""
        scaled = (transformed(values, self.mode) - self.centre) / self.width
        return torch.nan_to_num(scaled.clamp(-CLIP, CLIP), nan=0.0)


class RegionNetwork(Standardised):
    """The FCN: three convolutions with batch normalisation and ReLU, the mean over the window, a dense layer.

    Parameters
    ----------
    mode : 'log' or 'linear'
    filters : tuple of int, length 3
        The paper's, with which there are 1,078,794 trainable parameters, unless told otherwise.
    """

    def __init__(self, mode: Mode = "log", filters: tuple[int, int, int] = FILTERS) -> None:
        super().__init__(mode)
        widths = (len(VARIABLES), *filters)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[one], widths[one + 1], (1, kernel)) for one, kernel in enumerate(KERNELS)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(count, eps=NORM_EPSILON, momentum=_NORM_MOMENTUM) for count in filters
        )
        self.dense = nn.Linear(filters[-1], len(REGIONS))
        for layer in (*self.convolutions, self.dense):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Logits of windows of either kind.

        Parameters
        ----------
        standardised : Tensor, shape (n, SUPPORT_CELLS, 12)
        context : Tensor, shape (n,), bool
            Which take the context form; of the others the outer cells count for nothing.

        Returns
        -------
        Tensor, shape (n, 10)
        """
        if not bool(context.any()):
            return self.classified(self.isolated(standardised[:, _WINDOW]))
        if bool(context.all()):
            return self.classified(self.valid(standardised))
        current = _channels(standardised)
        position = -CONTEXT_CELLS[0]
        for index, kernel in enumerate(KERNELS):
            cells = torch.arange(position, position + current.shape[-1], device=current.device)
            kept = context[:, None] | ((cells >= 0) & (cells < WINDOW_CELLS))
            current = self._layer(index, current * kept[:, None, None, :])
            position += same_padding(kernel)[0]
        return self.classified(current[:, :, 0])

    def valid(self, standardised: Tensor) -> Tensor:
        """Features (n, f, t - 13) of the context form, one a cell that has real context, of cells (n, t, 12)."""
        current = _channels(standardised)
        for index in range(len(KERNELS)):
            current = self._layer(index, current)
        return current[:, :, 0]

    def isolated(self, standardised: Tensor) -> Tensor:
        """Features (n, f, t) of the isolated form: every layer's input is padded with zeros."""
        current = _channels(standardised)
        for index, kernel in enumerate(KERNELS):
            current = self._layer(index, functional.pad(current, same_padding(kernel)))
        return current[:, :, 0]

    def classified(self, features: Tensor) -> Tensor:
        """Logits (n, 10) of features (n, f, t): their mean over the cells, through the dense layer."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.dense(features.float().mean(dim=2))
        return logits

    def loss(
        self, standardised: Tensor, context: Tensor, label: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy to learn from, and the logits."""
        logits = self(standardised, context)
        return functional.cross_entropy(logits, label, label_smoothing=smoothing), logits

    def _layer(self, index: int, current: Tensor) -> Tensor:
        convolution = self.convolutions[index]
        assert isinstance(convolution, nn.Conv2d)
        lacking = current.shape[1] - convolution.in_channels
        weight = functional.pad(convolution.weight, (0, 0, 0, 0, 0, lacking))
        found: Tensor = self.norms[index](functional.conv2d(current, weight, convolution.bias))
        return functional.relu(found)


class CellNetwork(Standardised):
    """The baseline: a multilayer perceptron on the twelve variables of single cells, which knows nothing of time.

    The paper's is in a supplement that is not public. This one has two hidden layers of 256; it learns every cell of a
    window as the window's region, and the window's probability is the mean of its cells'.
    """

    def __init__(self, mode: Mode = "log") -> None:
        super().__init__(mode)
        self.layers = nn.Sequential(
            nn.Linear(len(VARIABLES), _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, len(REGIONS)),
        )

    def forward(self, standardised: Tensor, context: Tensor) -> Tensor:
        """Logarithms of the windows' probabilities (n, 10); the context is not looked at."""
        return _windows(self._cells(standardised))

    def loss(
        self, standardised: Tensor, context: Tensor, label: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy of the cells to learn from, and the windows' logits."""
        cells = self._cells(standardised)
        wanted = label[:, None].expand(-1, WINDOW_CELLS)
        found = functional.cross_entropy(cells.flatten(0, 1), wanted.flatten(), label_smoothing=smoothing)
        return found, _windows(cells)

    def _cells(self, standardised: Tensor) -> Tensor:
        cells: Tensor = self.layers(standardised[:, _WINDOW])
        return cells.float()


def to_arrays(network: RegionNetwork) -> dict[str, npt.NDArray[Any]]:
    """All that a network has learnt, by name, with its mode: for an NPZ file without pickle."""
    state = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    return {"mode": np.array(network.mode), **state}


def from_arrays(arrays: Arrays) -> RegionNetwork:
    """The network of what `to_arrays` gave, ready to predict.

    Raises
    ------
    ValueError
        Arrays are missing, surplus, or of shapes that do not belong together.
    """
    mode = str(arrays.get("mode"))
    if mode not in ("log", "linear"):
        raise ValueError(f"weights: mode must be log or linear, got {mode}")
    names = [f"convolutions.{one}.bias" for one in range(len(KERNELS))]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"weights: the arrays lack {', '.join(missing)}")
    first, second, third = (int(arrays[name].size) for name in names)
    network = RegionNetwork("log" if mode == "log" else "linear", (first, second, third))
    state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items() if name != "mode"}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"weights: {' '.join(str(error).split())}") from error
    return network.eval()


def parameter_count(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _channels(standardised: Tensor) -> Tensor:
    """Cells (n, t, v) as the convolutions take them: (n, 16, 1, t), channels last in memory."""
    wide = functional.pad(standardised, (0, _CHANNELS - standardised.shape[-1]))
    return wide[:, None].permute(0, 3, 1, 2)


def _windows(cells: Tensor) -> Tensor:
    return torch.logsumexp(functional.log_softmax(cells, dim=2), dim=1) - float(np.log(WINDOW_CELLS))


assert sum(CONTEXT_CELLS) + WINDOW_CELLS == SUPPORT_CELLS == WINDOW_CELLS + sum(KERNELS) - len(KERNELS)
