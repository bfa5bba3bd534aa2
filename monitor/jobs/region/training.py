"""Training of the networks: the paper's recipe, and a fast one.

Each batch holds windows of both forms, so that one network is right with its context and without. A training set that
is drawn anew for every epoch never shows the same window twice.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from monitor.jobs.region.network import FILTERS, CellNetwork, Mode, RegionNetwork
from monitor.jobs.region.precision import usable_precision
from monitor.types import BoolArray, FloatArray, IntArray, RegionExamples

Told: TypeAlias = Callable[[str], None]
Network: TypeAlias = RegionNetwork | CellNetwork

WINDOWS_AN_EPOCH: Final = 19_214
"""As many as the paper's training set has: 56.25 % of 34,159."""

_ASKED_AT_ONCE = 512
_WARM_UP = 0.1
_PLATEAU_FACTOR = 0.5
# A running mean of weights that began long before the weights were any good would drag.
_AVERAGING_BEGIN = 10


class Sampler(Protocol):
    """Draws windows to learn from."""

    def __call__(self, windows: int) -> RegionExamples:
        """About so many windows that it has not drawn before."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    network : 'fcn' or 'mlp'
    mode : 'log' or 'linear'
        How the variables are taken.
    filters : tuple of int, length 3
        Of the FCN.
    rate, least_rate : float
        Learning rate at most and at least.
    schedule : 'plateau' or 'cosine'
        Plateau: half the rate after `plateau` epochs without better accuracy in validation. Cosine: up for a tenth of the
        epochs, then down.
    plateau : int
    patience : int, or None
        Epochs without a smaller loss in validation after which training stops.
    epochs, batch, windows : int
        At most so many epochs; windows are those of an epoch where they are drawn.
    weight_decay, smoothing : float
        Of AdamW (0 is Adam); of the labels.
    averaging : float, or None
        Share of the weights' running mean that stays at each step; the mean is what is validated and kept.
    context_share : float
        Share of each batch in the context form, as far as windows have one.
    mixed_precision : bool
        Whether bfloat16 is used where the processor has it and gets it right.
    seed, threads : int
    """

    network: Literal["fcn", "mlp"] = "fcn"
    mode: Mode = "log"
    filters: tuple[int, int, int] = FILTERS
    rate: float = 2e-5
    least_rate: float = 1e-6
    schedule: Literal["plateau", "cosine"] = "plateau"
    plateau: int = 50
    patience: int | None = 20
    epochs: int = 1000
    batch: int = 92
    windows: int = WINDOWS_AN_EPOCH
    weight_decay: float = 0.0
    smoothing: float = 0.0
    averaging: float | None = None
    context_share: float = 0.5
    mixed_precision: bool = False
    seed: int = 20200902
    threads: int = 2


PAPER: Final = Recipe()
"""Adam at 2e-5, down on a plateau of accuracy to 1e-6 at least, early stopping, batches of 92, at most 1000 epochs."""

FAST: Final = Recipe(
    rate=2e-3,
    least_rate=1e-5,
    schedule="cosine",
    patience=None,
    epochs=64,
    batch=128,
    weight_decay=0.02,
    smoothing=0.02,
    averaging=0.998,
    context_share=0.4,
    mixed_precision=True,
)
"""AdamW on one cycle of the rate, with the running mean of the weights, in bfloat16 where that is right."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One point of the learning curve; losses are cross entropies in nat."""

    number: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network, ready to predict, as it was at its smallest loss in validation.

    Attributes
    ----------
    network : RegionNetwork or CellNetwork
        On the CPU.
    curve : tuple of Epoch
    best : int
        Number of the epoch that was kept.
    precision : str
        `bfloat16` or `float32`.
    """

    network: Network
    curve: tuple[Epoch, ...]
    best: int
    precision: str


@dataclass(frozen=True, slots=True)
class _Batches:
    """Windows as a network takes them: standardised, without those that are mixed."""

    values: Tensor
    label: Tensor
    context: BoolArray

    def __len__(self) -> int:
        return int(self.label.shape[0])


def fit(
    train: Sampler | RegionExamples,
    validation: RegionExamples,
    recipe: Recipe = FAST,
    *,
    told: Told = print,
    progress: bool = False,
) -> Fitted:
    """Train a network; the same recipe and windows give the same network on the same machine.

    Parameters
    ----------
    train : Sampler, or RegionExamples
        Drawn anew for each epoch, or the same ones for all. The moments to standardise by are those of the first epoch.
    validation : RegionExamples
        Half of them are asked in each form, as far as they have a context.
    recipe : Recipe
    told : callable
        Gets lines for people.
    progress : bool
        Whether a bar is shown.

    Raises
    ------
    ValueError
        There are not two windows to learn from or one to validate on, or the loss is not finite.
    """
    with _threads(recipe.threads), torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        first = train if isinstance(train, RegionExamples) else train(recipe.windows)
        training = _Training(_new_network(recipe, first), recipe, validation, told)
        return training.run(train, first, progress)


def logits_of(network: Network, examples: RegionExamples, context: BoolArray) -> FloatArray:
    """Logits (n, 10) of windows, in the context form where `context` (n,) says so."""
    network.eval()
    device = _device(network)
    found = []
    with torch.inference_mode():
        for start in range(0, len(examples), _ASKED_AT_ONCE):
            rows = slice(start, start + _ASKED_AT_ONCE)
            standardised = network.standardised(torch.from_numpy(examples.values[rows]).to(device))
            logits = network(standardised, torch.from_numpy(context[rows]).to(device))
            found.append(logits.double().cpu().numpy())
    return np.concatenate(found)


class _Training:
    """One run of a recipe."""

    def __init__(self, network: Network, recipe: Recipe, validation: RegionExamples, told: Told) -> None:
        self.recipe = recipe
        self.network = network
        self.told = told
        self.device = _device(network)
        self.rng = np.random.default_rng(recipe.seed)
        # With no decay of the weights it is Adam.
        self.optimiser = torch.optim.AdamW(
            network.parameters(), recipe.rate, weight_decay=recipe.weight_decay
        )
        self.mean = network if recipe.averaging is None else copy.deepcopy(network)
        self.validation = _batches(network, validation)
        if len(self.validation) == 0:
            raise ValueError("validation needs at least 1 window that is not mixed, got none")
        self.precision = torch.float32
        self.rate = recipe.rate
        self.steps = 0

    def run(self, train: Sampler | RegionExamples, first: RegionExamples, progress: bool) -> Fitted:
        recipe, curve = self.recipe, list[Epoch]()
        drawn = _batches(self.network, first)
        if recipe.mixed_precision:
            self.precision = usable_precision(self.network, drawn.values, drawn.label, self.told)
        best, kept = 0, self.mean
        with tqdm(total=recipe.epochs, unit="epoch", disable=not progress) as bar:
            for number in range(1, recipe.epochs + 1):
                if number > 1 and not isinstance(train, RegionExamples):
                    drawn = _batches(self.network, train(recipe.windows))
                curve.append(self.epoch(number, drawn))
                if best == 0 or curve[-1].validation_loss < curve[best - 1].validation_loss:
                    best, kept = number, copy.deepcopy(self.mean)
                bar.update()
                bar.set_postfix_str(_line(curve[-1]))
                if not progress:
                    self.told(f"epoch {number} of {recipe.epochs}: {_line(curve[-1])}")
                if recipe.patience is not None and number - best >= recipe.patience:
                    self.told(f"stopped: no smaller loss in validation for {recipe.patience} epochs")
                    break
                if recipe.schedule == "plateau":
                    self.rate = rate_on_plateau(curve, recipe)
        self.told(f"epoch {best} of {len(curve)} is kept: {_line(curve[best - 1])}")
        return Fitted(kept.eval().cpu(), tuple(curve), best, str(self.precision).removeprefix("torch."))

    def epoch(self, number: int, drawn: _Batches) -> Epoch:
        """Learn from all windows once."""
        if len(drawn) < 2:
            raise ValueError(f"training needs at least 2 windows that are not mixed, got {len(drawn)}")
        begin = time.perf_counter()
        self.network.train()
        # In equal parts: a last batch of one window would have no spread to normalise by.
        parts = np.array_split(self.rng.permutation(len(drawn)), math.ceil(len(drawn) / self.recipe.batch))
        total, right = 0.0, 0
        for index, rows in enumerate(parts):
            if self.recipe.schedule == "cosine":
                self.rate = rate_of_cycle((number - 1 + index / len(parts)) / self.recipe.epochs, self.recipe)
            loss, hits = self.step(drawn, rows)
            total, right = total + loss * rows.size, right + hits
        if not math.isfinite(total):
            raise ValueError(
                f"the loss of epoch {number} is not finite: try a smaller rate than {self.recipe.rate:g}, or float32"
            )
        loss, accuracy = self.validated()
        seconds = time.perf_counter() - begin
        return Epoch(number, total / len(drawn), right / len(drawn), loss, accuracy, self.rate, seconds)

    def step(self, drawn: _Batches, rows: IntArray) -> tuple[float, int]:
        """Learn from one batch; its loss, and how many were right."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        label = drawn.label[rows].to(self.device)
        context = drawn.context[rows] & (np.arange(rows.size) < self.recipe.context_share * rows.size)
        self.optimiser.zero_grad(set_to_none=True)
        with self.autocast():
            loss, logits = self.network.loss(
                drawn.values[rows].to(self.device),
                torch.from_numpy(context).to(self.device),
                label,
                self.recipe.smoothing,
            )
        loss.backward()  # type: ignore[no-untyped-call]  # the library has it so
        self.optimiser.step()
        self.steps += 1
        if self.recipe.averaging is not None:
            stays = min(self.recipe.averaging, self.steps / (self.steps + _AVERAGING_BEGIN))
            _follow(self.mean, self.network, stays)
        return float(loss.detach()), int((logits.detach().argmax(dim=1) == label).sum())

    def validated(self) -> tuple[float, float]:
        """Loss and accuracy in validation, every other window in the context form."""
        self.mean.eval()
        seen, loss, right = self.validation, 0.0, 0.0
        form = seen.context & (np.arange(len(seen)) % 2 == 0)
        with torch.inference_mode(), self.autocast():
            for start in range(0, len(seen), _ASKED_AT_ONCE):
                rows = slice(start, start + _ASKED_AT_ONCE)
                label = seen.label[rows].to(self.device)
                context = torch.from_numpy(form[rows]).to(self.device)
                logits = self.mean(seen.values[rows].to(self.device), context)
                loss += float(nn.functional.cross_entropy(logits, label, reduction="sum"))
                right += float((logits.argmax(dim=1) == label).sum())
        return loss / len(seen), right / len(seen)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def rate_on_plateau(curve: Sequence[Epoch], recipe: Recipe) -> float:
    """The rate of the next epoch: halved when accuracy has not been better for `recipe.plateau` epochs."""
    rate, best, waited = recipe.rate, -1.0, 0
    for epoch in curve:
        waited += 1
        if epoch.validation_accuracy > best:
            best, waited = epoch.validation_accuracy, 0
        elif waited >= recipe.plateau:
            rate, waited = max(rate * _PLATEAU_FACTOR, recipe.least_rate), 0
    return rate


def rate_of_cycle(done: float, recipe: Recipe) -> float:
    """The rate when a share of the training is done: up in a line, then down half a cosine."""
    if done < _WARM_UP:
        return recipe.least_rate + (recipe.rate - recipe.least_rate) * done / _WARM_UP
    phase = math.pi * (done - _WARM_UP) / (1.0 - _WARM_UP)
    return recipe.least_rate + (recipe.rate - recipe.least_rate) * (1.0 + math.cos(phase)) / 2.0


def _new_network(recipe: Recipe, first: RegionExamples) -> Network:
    network: Network
    if recipe.network == "fcn":
        network = RegionNetwork(recipe.mode, recipe.filters)
    else:
        network = CellNetwork(recipe.mode)
    network.standardise_by(first.values[~first.mixed])
    return network.to("cuda" if torch.cuda.is_available() else "cpu")


def _batches(network: Network, examples: RegionExamples) -> _Batches:
    whole = examples.at(~examples.mixed)
    values = torch.from_numpy(np.ascontiguousarray(whole.values, dtype=np.float32))
    with torch.inference_mode():
        standardised = network.standardised(values.to(_device(network))).cpu()
    return _Batches(standardised.clone(), torch.from_numpy(whole.label.copy()), whole.context)


def _follow(mean: Network, network: Network, stays: float) -> None:
    """Move the running mean of all that is learnt."""
    with torch.no_grad():
        current = network.state_dict()
        for name, value in mean.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1.0 - stays)
            else:
                value.copy_(current[name])


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device


def _line(epoch: Epoch) -> str:
    return (
        f"loss {epoch.train_loss:.4f}, in validation {epoch.validation_loss:.4f},"
        f" accuracy {epoch.validation_accuracy:.4f}, {epoch.seconds:.1f} s"
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
