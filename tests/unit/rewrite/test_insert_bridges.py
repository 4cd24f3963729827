"""Bridges at joins: what they free at the first go, on the written model, against the original."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.facts.choice import Choice
from tests.models import Array, parse, run
from tests.random_graphs.generator import make

NARROW = Choice(residual="params")
CHANNELS = 16


def block(stem: Sequence[int], branch: Sequence[int], stem_value: float = 0.0, value: float = 0.0) -> onnx.ModelProto:
    """A stem, a block of two padded convolutions, the Add of both; these channels are constant by their weights."""
    rng = np.random.default_rng(3)

    def weights(*shape: int) -> Array:
        made: Array = (rng.standard_normal(shape) / 4).astype(np.float32)
        return made

    c = CHANNELS
    stored = {"w0": weights(c, 3, 3, 3), "b0": weights(c), "w1": weights(c, c, 3, 3), "b1": weights(c)}
    stored |= {"w2": weights(c, c, 3, 3), "b2": weights(c), "g": weights(c), "h": weights(c), "w3": weights(4, c, 1, 1)}
    stored |= {"m": weights(c), "v": np.abs(weights(c)) + 1}
    stored["w0"][list(stem)], stored["b0"][list(stem)] = 0, stem_value or -1
    stored["g"][list(branch)], stored["h"][list(branch)] = 0, value
    return parse(
        """block (float[n,3,hh,ww] x) => (float[n,4,hh,ww] y) {
            s = Conv<pads=[1,1,1,1]>(x, w0, b0)
            r = Relu(s)
            c1 = Conv<pads=[1,1,1,1]>(r, w1, b1)
            r1 = Relu(c1)
            c2 = Conv<pads=[1,1,1,1]>(r1, w2, b2)
            n2 = BatchNormalization(c2, g, h, m, v)
            a = Add(n2, r)
            r2 = Relu(a)
            y = Conv(r2, w3)
        }""",
        stored,
    )


def pictures(height: int = 7, width: int = 7, scale: float = 1) -> Array:
    made: Array = (scale * np.random.default_rng(5).standard_normal((6, 3, height, width))).astype(np.float32)
    return made


def narrowed(model: onnx.ModelProto, choice: Choice = NARROW) -> analyzer.Pruned:
    """The smaller model, held against the original on data of another size and scale too."""
    pruned = analyzer.prune(model, {"x": pictures()}, choice=choice, latency=False)
    smaller = onnx.ModelProto.FromString(pruned.data)
    for x in (pictures(), pictures(5, 9, 30), np.zeros((1, 3, 4, 4), np.float32)):
        expected = run(model, {"x": x})["y"]
        np.testing.assert_allclose(run(smaller, {"x": x})["y"], expected, atol=1e-5 * np.abs(expected).max())
    return pruned


def parameters(model: onnx.ModelProto, choice: Choice = NARROW) -> int:
    return narrowed(model, choice).facts.after.parameters


def dims(pruned: analyzer.Pruned) -> dict[str, list[int]]:
    return {t.name: list(t.dims) for t in onnx.ModelProto.FromString(pruned.data).graph.initializer}


BOTH_IN_PART = (range(10), range(5, 14))  # the Add is dead at 5 to 9, each side elsewhere too


def test_a_bridge_frees_a_branch_of_which_a_part_goes_on_both_sides() -> None:
    pruned = narrowed(block(*BOTH_IN_PART))
    shapes = dims(pruned)
    assert shapes["w0"][0] == 6  # 10 to 15 are alive
    assert shapes["w1"][1] == 6
    assert shapes["w2"][0] == 7  # 0 to 4, 14, 15


@pytest.mark.parametrize("stem", [[], range(10), [0, 3, 15]])
@pytest.mark.parametrize("branch", [[], range(5, 14), [0, 1, 2]])
def test_what_bridges_left_a_second_prune_leaves_as_it_is(stem: Sequence[int], branch: Sequence[int]) -> None:
    once = narrowed(block(stem, branch))
    again = analyzer.prune(onnx.ModelProto.FromString(once.data), {"x": pictures()}, choice=NARROW, latency=False)
    assert again.facts.after.parameters == once.facts.after.parameters


@pytest.mark.parametrize("value", [0.5, -0.5])
def test_a_branch_that_is_constant_but_not_zero_goes_as_one_that_is_zero(value: float) -> None:
    """What it was is stored, one number for each channel."""
    zero = parameters(block([], range(5, 14)))
    assert parameters(block([], range(5, 14), value=value)) == zero + CHANNELS
    assert parameters(block([], range(5, 14), value=value), Choice()) > zero + CHANNELS


def test_a_constant_stem_that_is_padded_by_one_reader_and_joined_by_the_other_keeps_one_carrier() -> None:
    shapes = dims(narrowed(block(range(10), [], stem_value=0.7)))
    assert shapes["w0"][0] == 7
    assert shapes["w1"][1] == 7


@pytest.mark.parametrize("stem_value", [0.0, 0.7])
@pytest.mark.parametrize("value", [0.4, -0.4])
def test_constants_on_both_sides_are_one_constant_where_both_are(stem_value: float, value: float) -> None:
    model = block(*BOTH_IN_PART, stem_value, value)
    once = narrowed(model)
    zero = parameters(block(*BOTH_IN_PART))
    carrier = 28 + CHANNELS * 9 if stem_value else 0
    assert once.facts.after.parameters <= zero + carrier + 2 * CHANNELS
    again = analyzer.prune(onnx.ModelProto.FromString(once.data), {"x": pictures()}, choice=NARROW, latency=False)
    assert again.facts.after.parameters == once.facts.after.parameters


def test_constants_are_not_stored_where_that_costs_more_than_it_saves() -> None:
    """One channel of a 1x1 convolution of three inputs has four parameters; the join would store 16 numbers."""
    rng = np.random.default_rng(1)
    stored = {
        "w0": rng.standard_normal((16, 3, 1, 1)),
        "b0": rng.standard_normal(16),
        "w2": rng.standard_normal((4, 16, 1, 1)),
    }
    stored |= {"w1": rng.standard_normal((16, 3, 1, 1)), "b1": rng.standard_normal(16)}
    stored["w0"][2] = 0
    model = parse(
        """cheap (float[n,3,hh,ww] x) => (float[n,4,hh,ww] y) {
            p = Conv(x, w0, b0) q = Conv(x, w1, b1) r = Tanh(p) s = Tanh(q) a = Add(r, s) y = Conv(a, w2)
        }""",
        {name: array.astype(np.float32) for name, array in stored.items()},
    )
    assert not narrowed(model).changed


def test_what_bridges_store_is_no_part_of_the_original(tmp_path: Path) -> None:
    model = block([], range(5, 14), value=0.5)
    pruned = narrowed(model)
    assert pruned.facts.before.parameters == narrowed(model, Choice()).facts.before.parameters
    stored = {t.name for t in model.graph.initializer}
    assert set(pruned.masks()) <= stored
    pruned.save_masks(tmp_path / "masks.npz")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert {t["name"] for t in plan["tensors"]} <= stored


def test_no_bridge_takes_away_what_stays_only_to_round_a_width() -> None:
    rng = np.random.default_rng(2)
    stored = {"w0": rng.standard_normal((5, 16)), "b0": rng.standard_normal(16), "w1": rng.standard_normal((16, 3))}
    stored["w0"][:, :5], stored["b0"][:5] = 0, -1
    model = parse(
        "mlp (float[n,5] x) => (float[n,3] y) { h = Gemm(x, w0, b0) r = Relu(h) y = Gemm(r, w1) }",
        {name: array.astype(np.float32) for name, array in stored.items()},
    )
    x = rng.standard_normal((9, 5)).astype(np.float32)
    rounded, bridged = (
        analyzer.prune(model, {"x": x}, choice=Choice(round_to=4, residual=residual), latency=False)
        for residual in ("off", "params")
    )
    assert dims(rounded)["w0"] == [5, 12]
    assert dims(bridged) == dims(rounded)


@pytest.mark.parametrize("round_to", [2, 4])
@pytest.mark.parametrize("values", [(0.0, 0.0), (0.7, -0.5)])
def test_bridges_leave_widths_that_are_multiples(round_to: int, values: tuple[float, float]) -> None:
    model = block(*BOTH_IN_PART, *values)
    choice = Choice(residual="params", round_to=round_to)
    pruned = narrowed(model, choice)
    shapes = dims(pruned)
    widths = [*shapes["w0"][:1], *shapes["w1"][:2], *shapes["w2"][:2], shapes["w3"][1]]
    assert not [width for width in widths if width % round_to]
    assert pruned.facts.after.parameters < parameters(model, Choice(round_to=round_to))
    again = analyzer.prune(onnx.ModelProto.FromString(pruned.data), {"x": pictures()}, choice=choice, latency=False)
    assert again.facts.after.parameters == pruned.facts.after.parameters


@pytest.mark.parametrize("round_to", [1, 4])
def test_a_reader_that_is_narrowed_reads_a_width_that_is_a_multiple(round_to: int) -> None:
    """The map is an output of the model too, so it stays whole; its other reader does without what is dead."""
    model = block(range(5), [])
    model.graph.output.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, ["n", 16, "hh", "ww"]))
    shapes = dims(narrowed(model, Choice(residual="params", round_to=round_to)))
    assert shapes["w0"][0] == 16
    assert shapes["w1"][1] == (11 if round_to == 1 else 12)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_branch_of_which_one_channel_is_left_is_narrowed_to_that_channel(value: float) -> None:
    shapes = dims(narrowed(block(range(5, 12), range(1, 16), 0.0, value)))
    assert shapes["w0"][0] == 9
    assert shapes["w2"][0] == 1
    assert shapes["w3"][1] == 9


def test_bridges_are_searched_for_until_none_saves_anything() -> None:
    """With the first in place, the second convolution is constant in a channel that was computed from the stem's."""
    made = make(5075)
    once = analyzer.prune(made.model, made.probe, choice=NARROW, latency=False)
    again = analyzer.prune(onnx.ModelProto.FromString(once.data), made.probe, choice=NARROW, latency=False)
    assert again.facts.after.parameters == once.facts.after.parameters
