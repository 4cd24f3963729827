"""A revived model: the same file in shape, the same outputs by onnxruntime, and units that move and are heard again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.algebra.pattern import Array
from analyzer.errors import ComparisonFailed
from analyzer.rewrite.revive import Reviver
from tests.equivalence.agree import run, same
from tests.models import parse
from tests.random_graphs.generator import make

MODELS = sorted(path.parent for path in Path("sample_models").glob("*/model.onnx"))
KILLED = Path("sample_models/digits_mlp_killed")
GRAPHS = range(15)
LEARN = {"digits_mlp_killed": 100, "digits_cnn_dynamo": 65, "digits_keras_cnn": 33, "saturated_tanh": 30}  # again


def feeds_of(folder: Path) -> dict[str, Array]:
    with np.load(folder / "probe.npz") as data:
        return {name: data[name] for name in data}


def written(revived: analyzer.Revived) -> onnx.ModelProto:
    return onnx.load_from_string(revived.data)


def one_by_one(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    samples = len(next(iter(feeds.values())))
    parts = [run(model, {name: array[i : i + 1] for name, array in feeds.items()}) for i in range(samples)]
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def moves(audit: analyzer.Audit, units: Any) -> bool:
    dead = {layer.value: set(layer.dead) for layer in audit.layers}
    return all(dead[value].isdisjoint(chosen) for value, chosen in units.items())


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_sample_model_gives_the_same_and_its_units_move(folder: Path, tmp_path: Path) -> None:
    model, target = folder / "model.onnx", tmp_path / "revived.onnx"
    revived = analyzer.revive(model, folder / "probe.npz")
    revived.save(target)
    assert sum(map(len, revived.facts.units.values())) >= LEARN.get(folder.name, 0)
    before, after = onnx.load(model).graph, onnx.load(target).graph
    dims = {tensor.name: [*tensor.dims] for tensor in before.initializer}
    assert all(dims.get(tensor.name, [*tensor.dims]) == [*tensor.dims] for tensor in after.initializer)
    assert set(revived.state()) <= dims.keys()
    feeds = feeds_of(folder)
    same(run(model, feeds), run(target, feeds), 5e-5)
    again = analyzer.audit(target, folder / "probe.npz", causes=False)
    assert moves(again, revived.facts.units)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in after.initializer}
    for name, array in revived.state().items():
        np.testing.assert_array_equal(array, stored[name])


@pytest.mark.parametrize("seed", GRAPHS)
def test_random_graphs_give_the_same(seed: int) -> None:
    made = make(seed)
    data = made.model.SerializeToString()
    audit = analyzer.audit(data, made.probe, causes=False)
    revived = audit.revive()
    if revived.changed:
        same(one_by_one(made.model, made.probe), one_by_one(written(revived), made.probe), 5e-5)
        assert moves(analyzer.audit(written(revived), made.probe, causes=False), revived.facts.units)
    by_weights = audit.revive(choice=analyzer.Choice(evidence=analyzer.Evidence.STRUCTURAL))
    if by_weights.changed:  # whatever the input
        same(one_by_one(made.model, made.fresh), one_by_one(written(by_weights), made.fresh), 5e-5)


def test_a_unit_that_is_revived_is_heard_once_something_reads_it() -> None:
    """What a step of training changes first: the outgoing weights, whose gradient is what the unit gives."""
    revived = analyzer.revive(KILLED / "model.onnx", KILLED / "probe.npz")
    model, feeds = written(revived), feeds_of(KILLED)
    before = run(model, feeds)
    (weight,) = [t for t in model.graph.initializer if t.name == "6.weight"]
    array, kept = onnx.numpy_helper.to_array(weight).copy(), revived.masks()["6.weight"]
    assert not array[~kept].any()
    array[~kept] = 0.1
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    after = run(model, feeds)
    assert np.abs(np.subtract(after[0], before[0])).max() > 0.01


def test_fresh_weights_are_those_of_the_seed() -> None:
    audit = analyzer.audit(KILLED / "model.onnx", KILLED / "probe.npz", causes=False)
    first, again, other = (audit.revive(seed=seed).state()["0.weight"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_only_what_is_chosen_is_fresh() -> None:
    audit = analyzer.audit(KILLED / "model.onnx", KILLED / "probe.npz", causes=False)
    revived = audit.revive(choice=analyzer.Choice(only=("3",)))
    assert set(revived.facts.units) == {"/3/Relu_output_0"}
    assert set(revived.facts.left) == {"/1/Relu_output_0", "/5/Relu_output_0"}


def audited_module(module: str) -> tuple[analyzer.Audit, Any]:
    audit = analyzer.audit(KILLED / "model.onnx", KILLED / "probe.npz", causes=False)
    (layer,) = [layer for layer in audit.layers if layer.audited.module == module]
    return audit, layer


def test_layers_are_chosen_by_their_modules() -> None:
    audit, layer = audited_module("3")
    revived = audit.revive(choice=analyzer.Choice(units={"3": layer.dead[:1]}))
    assert revived.facts.units == {layer.value: layer.dead[:1]}


def test_units_that_are_alive_are_refused() -> None:
    audit, layer = audited_module("3")
    alive = next(unit for unit in range(layer.units) if unit not in layer.dead)
    with pytest.raises(analyzer.InputError, match=rf"^Unit {alive} .* so the outputs depend on it: take it out\.$"):
        audit.revive(choice=analyzer.Choice(units={"3": (layer.dead[0], alive)}))


FOR_CUTS = {"round_to": 8, "min_distance": 1.0, "lossy": {"/3/Relu_output_0": {1: 0.0}}, "residual": "params",
            "merge_linear": True, "branches": "taken", "vocabulary": True, "experts": True}  # fmt: skip


@pytest.mark.parametrize("asked", [{name: value} for name, value in FOR_CUTS.items()], ids=str)
def test_what_only_a_cut_can_do_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(analyzer.InputError, match=f"^{next(iter(asked))} says how a model gets smaller"):
        analyzer.revive(KILLED / "model.onnx", KILLED / "probe.npz", choice=analyzer.Choice(**asked))


@pytest.mark.parametrize("asked", [{"only": ("layer9",)}, {"skip": ("layer9",)}, {"units": {"layer9": (0,)}}], ids=str)
def test_layers_that_are_not_there_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(analyzer.InputError, match="layer9"):
        analyzer.revive(KILLED / "model.onnx", KILLED / "probe.npz", choice=analyzer.Choice(**asked))


SUMMED = """
g (float[N,3] x) => (float[N,1] y, float[N,2] z)
<float[4,3] w = {1,0,0, 0,1,0, 0,0,1, 1,1,1}, float[4] b = {9, 9, -99, -99}, float[2,4] v = {1,2,3,4, 5,6,7,8}>
{ h = Gemm<transB = 1>(x, w, b)  r = Relu(h)  y = ReduceSum<keepdims = 1>(r, axes)  z = Gemm<transB = 1>(r, v) }
"""


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceL2", "ReduceMax"])
def test_units_that_something_without_weights_reads_stay_as_they_are(op: str) -> None:
    text = SUMMED.replace("float[2,4] v", "int64[1] axes = {1}, float[2,4] v").replace("ReduceSum", op)
    x = np.random.default_rng(0).random((20, 3), np.float32)
    revived = analyzer.revive(parse(text, opset=18), {"x": x})
    assert not revived.changed
    assert revived.facts.left == {"r": (2, 3)}


CONSTANT = """
g (float[N,3] x) => (float[N,2] z)
<float[4,3] w = {1,0,0, 0,1,0, 0,0,0, 0,0,0}, float[4] b = {1, 2, 3, 5}, float[2,4] v = {1,2,3,4, 5,6,7,8},
 float[2] c = {1, 1}>
{ h = Gemm<transB = 1>(x, w, b)  r = Relu(h)  z = Gemm<transB = 1>(r, v BIAS) }
"""


def test_what_a_constant_unit_added_goes_into_the_bias_behind_it() -> None:
    x = np.random.default_rng(0).random((20, 3), np.float32)
    model = parse(CONSTANT.replace(" BIAS", ", c"), opset=17)
    revived = analyzer.revive(model, {"x": x})
    assert revived.facts.units == {"r": (2, 3)}
    np.testing.assert_allclose(revived.state()["c"], [1 + 3 * 3 + 4 * 5, 1 + 7 * 3 + 8 * 5])
    same(run(model, {"x": x}), run(written(revived), {"x": x}), 1e-6)


def test_no_bias_is_put_in_for_a_constant() -> None:
    """The training code has no place for it."""
    x = np.random.default_rng(0).random((20, 3), np.float32)
    revived = analyzer.revive(parse(CONSTANT.replace(" BIAS", ""), opset=17), {"x": x})
    assert not revived.changed
    assert [refused.detail for refused in revived.facts.refused] == ["a constant would need a bias that is not there"]


def test_outgoing_weights_that_are_not_zero_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Reviver._draw

    def faulty(self: Reviver, call: Any, total: Any) -> None:
        draw(self, call, total)
        name = call.inputs[total.weight]
        self._full[name][~self._kept(name)] = 0.5

    monkeypatch.setattr(Reviver, "_draw", faulty)
    revived = analyzer.revive(KILLED / "model.onnx", KILLED / "probe.npz")
    assert not revived.changed


def test_a_constant_that_is_forgotten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reviver, "_absorb", lambda *_: None)
    x = np.random.default_rng(0).random((20, 3), np.float32)
    with pytest.raises(ComparisonFailed, match="differs from the original: nothing was written"):
        analyzer.revive(parse(CONSTANT.replace(" BIAS", ", c"), opset=17), {"x": x})


SCALAR = """
g (float[N,3] x) => (float[N,2] y)
<float[4,3] w = {1,0,0, 0,1,0, 0,0,0, 0,0,0}, float[4] b = {0, 0, 9, -9},
 float[4,2] v = {1,2, 3,4, 5,6, 7,8}, float c = {1}>
{ h = Gemm<transB = 1>(x, w, b)  t = Tanh(h)  m = MatMul(t, v)  y = Add(m, c) }
"""


def test_a_bias_that_has_no_room_for_constants_leaves_the_units_as_they_are() -> None:
    x = np.random.default_rng(0).random((20, 3), np.float32)
    revived = analyzer.revive(parse(SCALAR, opset=17), {"x": x})
    assert not revived.changed
    assert revived.facts.left == {"t": (2, 3)}
    assert {refused.detail for refused in revived.facts.refused} == {"a constant would need a bias of another shape"}


TWINS = """
g (float[N,3] x) => (float[N,1] y)
<float[4,3] w = {1,0,0, 1,0,0, 0,1,0, 0,0,1}, float[1,4] v = {1,2,3,0}>
{ h = Gemm<transB = 1>(x, w)  r = Relu(h)  y = Gemm<transB = 1>(r, v) }
"""


def test_units_that_are_fresh_and_were_not_dead_are_counted_apart() -> None:
    x = np.random.default_rng(0).standard_normal((80, 3)).astype(np.float32)
    revived = analyzer.revive(parse(TWINS, opset=17), {"x": x}, choice=analyzer.Choice(merge_duplicates=True))
    assert revived.facts.units == {"r": (1, 3)}
    text = revived.report()
    assert "0 of 0 dead units can learn again" in text
    assert "2 more are fresh that no output reads, or that equal another" in text
    same(run(parse(TWINS, opset=17), {"x": x}), run(written(revived), {"x": x}), 1e-5)
