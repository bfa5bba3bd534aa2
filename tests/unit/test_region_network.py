"""The networks and their training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from region_kit import TINY, examples, random_network
from torch import Tensor
from torch.nn import functional

from monitor.jobs.region import precision
from monitor.jobs.region.network import (
    CellNetwork,
    Mode,
    RegionNetwork,
    from_arrays,
    moments,
    parameter_count,
    to_arrays,
)
from monitor.jobs.region.training import (
    PAPER,
    Epoch,
    fit,
    logits_of,
    rate_of_cycle,
    rate_on_plateau,
)
from monitor.types import CONTEXT_CELLS, SUPPORT_CELLS, VARIABLES, WINDOW_CELLS, RegionExamples

ALL, NONE = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)


def cells(seed: int = 0, count: int = 6) -> Tensor:
    return torch.randn(count, SUPPORT_CELLS, 12, generator=torch.Generator().manual_seed(seed))


def test_parameters_as_many_as_the_papers() -> None:
    network = RegionNetwork()
    assert parameter_count(network) == 1_078_794
    running = sum(
        value.numel()
        for name, value in network.state_dict().items()
        if name.endswith(("running_mean", "running_var"))
    )
    assert parameter_count(network) + running == 1_080_842


def test_isolated_form_as_padded_convolutions() -> None:
    network = random_network()
    window = cells()[:, CONTEXT_CELLS[0] : CONTEXT_CELLS[0] + WINDOW_CELLS]
    current = window.transpose(1, 2)
    padding = ((3, 4), (2, 2), (1, 1))
    for around, convolution, norm in zip(padding, network.convolutions, network.norms, strict=True):
        current = functional.pad(current, around)
        current = functional.conv1d(current, convolution.weight[:, :, 0], convolution.bias)
        current = functional.batch_norm(
            current, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        ).relu()
    with torch.inference_mode():
        assert_allclose(network.isolated(window), current.detach(), atol=1e-5)


def test_context_form_is_the_middle_of_a_longer_stretch() -> None:
    network = random_network()
    stretch = torch.randn(1, 80, 12, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        long = network.valid(stretch)
        assert long.shape[2] == 80 - 13
        for begin in (0, 11, 27):
            whole = network.valid(stretch[:, begin : begin + SUPPORT_CELLS])
            assert whole.shape[2] == WINDOW_CELLS
            assert_allclose(long[:, :, begin : begin + WINDOW_CELLS], whole, atol=1e-5)


def test_forms_in_one_batch_as_each_alone() -> None:
    network, values = random_network(), cells()
    context = torch.tensor([True, False, False, True, True, False])
    with torch.inference_mode():
        both, whole, lone = network(values, context), network(values, ALL), network(values, NONE)
    assert_allclose(both, torch.where(context[:, None], whole, lone), atol=1e-5)
    assert (whole - lone).abs().max() > 1e-2


@pytest.mark.parametrize("network", [random_network(), CellNetwork()])
def test_lone_windows_do_not_look_around(network: RegionNetwork | CellNetwork) -> None:
    values, others = cells(0), cells(1)
    window = slice(CONTEXT_CELLS[0], CONTEXT_CELLS[0] + WINDOW_CELLS)
    others[:, window] = values[:, window]
    mixed = torch.tensor([True, False, False, False, False, False])
    with torch.inference_mode():
        assert_array_equal(network(values, NONE), network(others, NONE))
        assert_array_equal(network(values, mixed)[1:], network(others, mixed)[1:])


def test_windows_with_context_look_around() -> None:
    network, values = random_network(), cells(0)
    others = values.clone()
    others[:, 0] += 1.0
    with torch.inference_mode():
        assert ((network(values, ALL) - network(others, ALL)).abs().max(dim=1).values > 0.0).all()


@pytest.mark.parametrize(
    ("mode", "column"), [("linear", "N"), ("linear", "Bz"), ("log", "Vy"), ("log", "N"), ("log", "Bz")]
)
def test_standardised_over_the_training_set(mode: Mode, column: str) -> None:
    network = RegionNetwork(mode, (8, 8, 8))
    values = examples(300, masked=0.3).values
    network.standardise_by(values)
    place = VARIABLES.index(column)
    found = network.standardised(torch.from_numpy(values))[..., place].numpy()
    wanted = values[..., place].astype(np.float64)
    if mode == "log":
        wanted = {"Vy": wanted, "N": np.log10(wanted), "Bz": np.arcsinh(wanted / 5.0)}[column]
    wanted = np.clip((wanted - np.nanmean(wanted)) / np.nanstd(wanted), -8.0, 8.0)
    assert_allclose(found, np.nan_to_num(wanted), atol=1e-4)


def test_standardised_values_are_cut_and_finite() -> None:
    network = RegionNetwork("log", (8, 8, 8))
    network.standardise_by(examples(100).values)
    wild = torch.tensor([np.nan, np.inf, -np.inf, 0.0, -1e30, 1e30])[:, None, None].expand(6, 40, 12)
    found = network.standardised(wild)
    assert bool(torch.isfinite(found).all())
    assert_array_equal(found[0], 0.0)
    assert_array_equal(found[1], 8.0)
    assert float(found.min()) == -8.0


def test_moments_by_hand() -> None:
    values = np.full((4, 12), np.nan)
    values[:, VARIABLES.index("N")] = [1.0, 100.0, 0.0, np.nan]
    values[:, VARIABLES.index("Vx")] = [-400.0, -200.0, np.nan, np.nan]
    centre, width = moments(values, "log")
    logarithms = [0.0, 2.0, -3.0]
    assert_allclose(centre[VARIABLES.index("N")], np.mean(logarithms))
    assert_allclose(width[VARIABLES.index("N")], np.std(logarithms))
    assert_allclose(centre[VARIABLES.index("Vx")], -300.0)
    assert_allclose(width[VARIABLES.index("Vx")], 100.0)
    assert (centre[0], width[0]) == (0.0, 1.0)


def test_arrays_there_and_back() -> None:
    network = random_network("linear")
    again = from_arrays(to_arrays(network))
    assert again.mode == "linear"
    with torch.inference_mode():
        assert_array_equal(again(cells(), ALL), network(cells(), ALL))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": np.array("cubic")}, "mode must be log or linear, got cubic"),
        ({"dense.weight": np.zeros((9, 16), dtype=np.float32)}, "size mismatch for dense.weight"),
        ({"more": np.zeros(3)}, "Unexpected key"),
    ],
)
def test_arrays_that_do_not_belong_together_refused(change: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        from_arrays({**to_arrays(random_network()), **change})


def test_arrays_that_lack_a_layer_refused() -> None:
    arrays = to_arrays(random_network())
    del arrays["convolutions.1.bias"]
    with pytest.raises(ValueError, match=r"lack convolutions\.1\.bias"):
        from_arrays(arrays)


def test_training_learns_in_both_forms() -> None:
    fitted = fit(examples(600, 2), examples(300, 3), TINY, told=lambda _: None)
    held = examples(300, 4, context=1.0)
    for context in (np.zeros(300, dtype=np.bool_), np.ones(300, dtype=np.bool_)):
        label = logits_of(fitted.network, held, context).argmax(axis=1)
        assert (label == held.label).mean() > 0.75
    assert len(fitted.curve) == TINY.epochs
    assert fitted.curve[fitted.best - 1].validation_loss == min(one.validation_loss for one in fitted.curve)
    assert fitted.curve[-1].train_loss < 0.5 * fitted.curve[0].train_loss


def test_training_is_the_same_for_the_same_seed() -> None:
    short = replace(TINY, epochs=2)
    state = torch.random.get_rng_state()
    one, same, other = (
        to_arrays(fit(examples(200, 2), examples(50, 3), recipe, told=lambda _: None).network)["dense.weight"]
        for recipe in (short, short, replace(short, seed=1))
    )
    assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_draws_each_epoch_anew() -> None:
    asked: list[int] = []

    def sampler(windows: int) -> RegionExamples:
        asked.append(windows)
        return examples(windows, len(asked))

    fit(sampler, examples(50, 99), replace(TINY, epochs=3, windows=120), told=lambda _: None)
    assert asked == [120, 120, 120]


def test_training_stops_when_validation_gets_no_better() -> None:
    # Nothing can be learnt from labels that have nothing to do with the values.
    training, validation = examples(100, 2), examples(100, 3)
    shuffled = replace(training, label=np.random.default_rng(0).permutation(training.label))
    told: list[str] = []
    fitted = fit(
        shuffled, validation, replace(TINY, epochs=60, schedule="plateau", patience=3), told=told.append
    )
    assert len(fitted.curve) == fitted.best + 3
    assert "stopped: no smaller loss in validation for 3 epochs" in told


def test_training_of_the_baseline() -> None:
    recipe = replace(TINY, network="mlp", averaging=0.9)
    fitted = fit(examples(600, 2), examples(300, 3), recipe, told=lambda _: None)
    assert isinstance(fitted.network, CellNetwork)
    held = examples(200, 4)
    logits = logits_of(fitted.network, held, np.zeros(200, dtype=np.bool_))
    assert (logits.argmax(axis=1) == held.label).mean() > 0.6
    assert_allclose(np.exp(logits).sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("part", ["training", "validation"])
def test_training_without_windows_refused(part: str) -> None:
    sets = {"training": examples(20, 2), "validation": examples(20, 3)}
    sets[part] = replace(sets[part], mixed=np.ones(20, dtype=np.bool_))
    with pytest.raises(ValueError, match=rf"{part} needs at least \d windows? that (is|are) not mixed"):
        fit(sets["training"], sets["validation"], TINY, told=lambda _: None)


def curve(*accuracies: float) -> list[Epoch]:
    return [Epoch(number, 1.0, 0.5, 1.0, accuracy, 0.0, 0.0) for number, accuracy in enumerate(accuracies, 1)]


@pytest.mark.parametrize(
    ("accuracies", "halvings"),
    [((0.5, 0.6, 0.5), 0), ((0.6, 0.5, 0.6), 1), ((0.6, 0.5, 0.5, 0.5, 0.5), 2), ((0.6, 0.5, 0.7, 0.5), 0)],
)
def test_rate_halved_on_a_plateau(accuracies: tuple[float, ...], halvings: int) -> None:
    recipe = replace(PAPER, plateau=2)
    assert rate_on_plateau(curve(*accuracies), recipe) == PAPER.rate / 2**halvings


def test_rate_on_a_plateau_not_below_the_least() -> None:
    assert rate_on_plateau(curve(*[0.5] * 1000), PAPER) == PAPER.least_rate == 1e-6


def test_rate_of_a_cycle_up_and_down() -> None:
    rates = [rate_of_cycle(done, TINY) for done in np.linspace(0.0, 1.0, 101)]
    assert rates[0] == pytest.approx(TINY.least_rate)
    assert max(rates) == rates[10] == pytest.approx(TINY.rate)
    assert rates[-1] == pytest.approx(TINY.least_rate)
    assert all(math.copysign(1.0, step) == 1.0 for step in np.diff(rates[:11]))
    assert (np.diff(rates[10:]) <= 0.0).all()


def test_precision_refused_where_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    network, told = random_network(), list[str]()
    label = torch.arange(6)
    monkeypatch.setattr(precision, "_has_bfloat16", lambda _: True)
    assert precision.usable_precision(network, cells(), label, told.append) == torch.bfloat16
    true = functional.conv2d

    def wrong(current: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        turned = weight.flip(3) if torch.is_autocast_enabled("cpu") else weight
        return true(current, turned, bias)

    monkeypatch.setattr(functional, "conv2d", wrong)
    assert precision.usable_precision(network, cells(), label, told.append) == torch.float32
    assert told[0].startswith("bfloat16: right on this processor")
    assert told[1].startswith("float32: bfloat16 is wrong on this processor")


def test_precision_of_a_processor_without(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert (
        precision.usable_precision(random_network(), cells(), torch.arange(6), told.append) == torch.float32
    )
    assert told == ["float32: this processor has no bfloat16"]
