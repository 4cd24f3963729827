"""Recurrent layers in a model: where their units are audited, which go, and what keeps its interface."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.rewrite import pair_directions
from tests.models import Array, parse, run

STEPS, INPUTS, HIDDEN = 5, 3, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.7, shape).astype(np.float32)


def weights(op: str, *empty: tuple[int, ...]) -> dict[str, Array]:
    """Weights of one layer, of which nothing ever enters some units: per direction."""
    d, g = len(empty), GATES[op]
    w, r, b = noise(d, g, HIDDEN, INPUTS), noise(d, g, HIDDEN, HIDDEN, seed=1), noise(d, 2, g, HIDDEN, seed=2)
    for direction, units in enumerate(empty):
        for array in (w, r):
            array[direction, -1, list(units)] = 0
        b[direction][:, -1, list(units)] = 0
    return {"w": w.reshape(d, -1, INPUTS), "r": r.reshape(d, -1, HIDDEN), "b": b.reshape(d, -1)}


def model(op: str, body: str, stored: dict[str, Array], attributes: str = "") -> onnx.ModelProto:
    layer = f"{op}<hidden_size = {HIDDEN}{attributes}>"
    return parse(f"g (float[N, {STEPS}, {INPUTS}] x) => (float y) {{ {body.replace(op, layer)} }}", stored)


def pruned(proto: onnx.ModelProto, feeds: dict[str, Array]) -> tuple[analyzer.Audit, dict[str, tuple[int, ...]]]:
    """The audit, and the shapes of what is stored in the smaller model, which gives the same."""
    audit = analyzer.audit(proto, feeds)
    small = onnx.ModelProto.FromString(audit.prune(latency=False).data)
    for one in range(len(next(iter(feeds.values())))):
        feed = {name: array[one : one + 1] for name, array in feeds.items()}
        for before, after in zip(run(proto, feed).values(), run(small, feed).values(), strict=True):
            np.testing.assert_allclose(after, before, atol=1e-5)
    return audit, {t.name: tuple(t.dims) for t in small.graph.initializer}


X = {"x": noise(8, STEPS, INPUTS, seed=5)}
TURNED = "t = Transpose<perm = [1, 0, 2]>(x)"


@pytest.mark.parametrize("op", GATES)
def test_units_into_which_nothing_comes_go(op: str) -> None:
    body = f"{TURNED} s = {op}(t, w, r, b) q = Squeeze(s, one) y = MatMul(q, v)"
    stored = weights(op, (0, 4)) | {"one": np.array([1]), "v": noise(HIDDEN, 2)}
    audit, shapes = pruned(model(op, body, stored), X)
    (layer, _) = audit.layers
    assert (layer.value, layer.structural) == ("s", (0, 4))
    assert shapes["r"] == (1, GATES[op] * 4, 4)
    assert shapes["v"] == (4, 2)


def test_directions_have_units_of_their_own_and_keep_an_index_while_either_needs_it() -> None:
    body = f"{TURNED} s = LSTM(t, w, r, b) u = Transpose<perm = [0, 2, 1, 3]>(s) q = Reshape(u, flat) y = MatMul(q, v)"
    stored = weights("LSTM", (0, 4), (4,)) | {"flat": np.array([0, 0, -1]), "v": noise(2 * HIDDEN, 2)}
    audit, shapes = pruned(model("LSTM", body, stored, ', direction = "bidirectional"'), X)
    (layer, _) = audit.layers
    assert (layer.value, layer.audited.op, layer.units) == ("q", "LSTM", 2 * HIDDEN)
    assert layer.structural == (0, 4, HIDDEN + 4)
    assert shapes["r"] == (2, 4 * (HIDDEN - 1), HIDDEN - 1)


BOTH = "s = LSTM(t, w, r, b) u = Transpose<perm = [0, 2, 1, 3]>(s) q = Reshape(u, flat)"


def test_directions_that_can_do_without_other_units_are_paired() -> None:
    stored = weights("LSTM", (0, 4, 2), (1, 5)) | {"flat": np.array([0, 0, -1]), "v": noise(2 * HIDDEN, 2)}
    proto = model("LSTM", f"{TURNED} {BOTH} y = MatMul(q, v)", stored, ', direction = "bidirectional"')
    audit, shapes = pruned(proto, X)
    assert audit.layers[0].structural == (0, 2, 4, HIDDEN + 1, HIDDEN + 5)
    assert shapes["r"] == (2, 4 * (HIDDEN - 2), HIDDEN - 2)
    assert shapes["v"] == (2 * HIDDEN - 5, 2)  # the gather leaves out what the layer keeps for its other direction
    result = audit.prune(latency=False)
    assert [*result.facts.removed_units.values()] == [audit.layers[0].structural]
    r = result.masks()["r"].reshape(2, 4, HIDDEN, HIDDEN)
    kept = [[unit for unit in range(HIDDEN) if r[direction, :, unit].any()] for direction in (0, 1)]
    assert kept[1] == [0, 2, 3, 4]
    assert len(kept[0]) == 4


def test_directions_are_paired_only_where_the_layer_itself_gets_smaller() -> None:
    stored = weights("LSTM", (0, 4, 2), (1, 5)) | {"flat": np.array([0, 0, -1]), "v": noise(2 * HIDDEN, 2)}
    stored |= {f"{name}2": array for name, array in stored.items()}
    again = "s2 = LSTM(t, w2, r2, b2) u2 = Transpose<perm = [0, 2, 1, 3]>(s2) q2 = Reshape(u2, flat)"
    body = f"{TURNED} {BOTH} {again} m = MatMul(q, v) n = MatMul(q2, v2) y = Add(m, n)"
    proto = model("LSTM", body, stored, ', direction = "bidirectional"')
    result = analyzer.audit(proto, X).prune(choice=analyzer.Choice(skip=("q2",)), latency=False)
    small = onnx.ModelProto.FromString(result.data)
    shapes = {t.name: tuple(t.dims) for t in small.graph.initializer}
    assert shapes["r"] == (2, 4 * (HIDDEN - 2), HIDDEN - 2)
    assert shapes["r2"] == (2, 4 * HIDDEN, HIDDEN)
    assert [node.op_type for node in small.graph.node].count("Gather") == 1


def test_what_is_said_of_paired_directions_is_in_the_order_of_the_original(tmp_path: Path) -> None:
    stored = weights("LSTM", (0, 4, 2), (1, 4)) | {"flat": np.array([0, 0, -1]), "v": noise(2 * HIDDEN, 2)}
    proto = model("LSTM", f"{TURNED} {BOTH} y = MatMul(q, v)", stored, ', direction = "bidirectional"')
    audit = analyzer.audit(proto, X)
    result = audit.prune(latency=False)
    masks = result.masks()
    result.save_masks(tmp_path / "masks.npz")
    planned = {tensor["name"]: tensor for tensor in json.loads((tmp_path / "plan.json").read_text())["tensors"]}
    shapes = {t.name: tuple(t.dims) for t in onnx.ModelProto.FromString(result.data).graph.initializer}
    assert {tensor.name for tensor in audit.removable.tensors} == masks.keys() == planned.keys()
    for tensor in audit.removable.tensors:
        mask = masks[tensor.name]
        for axis, removed in enumerate(tensor.removed):
            assert removed == tuple(i for i in range(mask.shape[axis]) if not mask.take(i, axis).any())
        assert planned[tensor.name]["removed"] == [list(removed) for removed in tensor.removed]
        assert tensor.removable == np.count_nonzero(~mask)
        assert tensor.kept == shapes[tensor.name]


def test_why_units_of_paired_directions_go_names_no_index_and_no_node_that_the_model_lacks() -> None:
    stored = weights("LSTM", (0, 4, 2), (1, 5)) | {"flat": np.array([0, 0, -1]), "v": noise(2 * HIDDEN, 2)}
    proto = model("LSTM", f"{TURNED} {BOTH} y = MatMul(q, v)", stored, ', direction = "bidirectional"')
    audit = analyzer.audit(proto, X)
    for name in ("w", "r", "b"):
        _, *why = audit.explain_parameter(name)
        assert [("paired" in line, "index 0" in line) for line in why] == [(True, False)]
    for unit in (0, 2, 4, HIDDEN + 1, HIDDEN + 5):
        text = "\n".join(audit.explain_unit("q", unit))
        assert "Gather" not in text
        assert f"MatMul_4 frees index {unit} on axis 0 of v" in text
        assert text.count("frees index") == 1
        alone = unit == 4  # the other direction has none to go with it, so the layer keeps it
        assert ("parts of b, r, w: the directions of the layer are paired" in text) != alone


def test_units_that_are_not_put_back_in_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_directions, "_back", lambda pairing: np.arange(2 * len(pairing.order)))
    with pytest.raises(AssertionError):  # what is derived of the new order is not what the run showed, so it stays
        test_directions_that_can_do_without_other_units_are_paired()


def test_directions_are_not_paired_where_something_else_reads_their_order() -> None:
    stored = weights("LSTM", (0, 4, 2), (1, 5)) | {"flat": np.array([0, 0, -1]), "v": noise(2 * HIDDEN, 2)}
    for more in ("z = Identity(s)", "z = ReduceMax<keepdims = 0>(s)"):
        proto = model("LSTM", f"{TURNED} {BOTH} y = MatMul(q, v) {more}", stored, ', direction = "bidirectional"')
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info("z"))
        assert pruned(proto, X)[1]["r"] == (2, 4 * HIDDEN, HIDDEN)


def test_directions_and_units_that_are_flattened_by_measured_lengths_go_as_well() -> None:
    body = f"""{TURNED} s = LSTM(t, w, r, b) u = Transpose<perm = [0, 2, 1, 3]>(s) m = Shape(u)
        a = Slice(m, zero, one) c = Slice(m, one, two) d = Slice(m, two, three) h = Slice(m, three, four)
        dh = Mul(d, h) flat = Concat<axis = 0>(a, c, dh) q = Reshape(u, flat) y = MatMul(q, v)"""
    places = {name: np.array([number]) for number, name in enumerate(("zero", "one", "two", "three", "four"))}
    audit, shapes = pruned(model("LSTM", body, weights("LSTM", (0, 4)) | places | {"v": noise(HIDDEN, 2)}), X)
    assert not audit.facts.locked
    assert shapes["r"] == (1, 4 * (HIDDEN - 2), HIDDEN - 2)
    assert shapes["v"] == (HIDDEN - 2, 2)


def test_what_nothing_reads_goes_though_it_moves() -> None:
    stored = weights("GRU", ()) | {"one": np.array([1]), "v": noise(HIDDEN, 2)}
    stored["v"][[1, 2]] = 0
    stored["r"].reshape(3, HIDDEN, HIDDEN)[:, [0, 2, 3, 4, 5], 1] = 0  # only itself
    stored["r"].reshape(3, HIDDEN, HIDDEN)[:, [0, 3, 4, 5], 2] = 0  # only itself and unit 1
    _, shapes = pruned(model("GRU", f"{TURNED} s = GRU(t, w, r, b) q = Squeeze(s, one) y = MatMul(q, v)", stored), X)
    assert shapes["r"] == (1, 3 * (HIDDEN - 2), HIDDEN - 2)


def last_step_only(op: str, stored: dict[str, Array]) -> onnx.ModelProto:
    """A layer of which nothing but the last hidden state is named."""
    stored = stored | {"zero": np.array([0]), "v": noise(HIDDEN, 2)}
    proto = model(op, f"{TURNED} none, s = {op}(t, w, r, b) q = Squeeze(s, zero) y = MatMul(q, v)", stored)
    next(node for node in proto.graph.node if node.op_type == op).output[0] = ""
    return proto


def test_every_step_is_audited_where_only_the_last_one_is_named() -> None:
    proto = last_step_only("LSTM", weights("LSTM", (3,)))
    audit, shapes = pruned(proto, X)
    layer = audit.layers[0]
    assert (layer.value, layer.audited.op, layer.dead) == ("s/every_step", "LSTM", (3,))
    assert shapes["r"] == (1, 4 * (HIDDEN - 1), HIDDEN - 1)
    small = onnx.ModelProto.FromString(audit.prune(latency=False).data)
    assert [list(node.output) for node in small.graph.node if node.op_type == "LSTM"] == [["", "s"]]
    assert analyzer.prune(last_step_only("LSTM", weights("LSTM", ())), X, latency=False).data == last_step_only(
        "LSTM", weights("LSTM", ())
    ).SerializeToString(deterministic=True)


def test_a_unit_that_only_rests_at_the_last_step_is_alive() -> None:
    stored = weights("RNN", ())
    stored["w"][0, 2] = [0, 0, 1]
    stored["r"][0, 2], stored["b"][0, [2, HIDDEN + 2]] = 0, 0
    silent_end = X["x"].copy()
    silent_end[:, -1, 2] = 0
    audit, _ = pruned(last_step_only("RNN", stored), {"x": silent_end})
    assert 2 not in audit.layers[0].dead


@pytest.mark.parametrize(("bias", "left"), [(-100, HIDDEN - 2), (100, HIDDEN - 1)])
def test_what_every_step_shows_holds_for_the_last_one_and_for_what_hears_of_it(bias: float, left: int) -> None:
    stored = weights("RNN", ())
    stored["b"][0, [1, 4]] = bias
    proto = last_step_only("RNN", stored)
    if bias < 0:
        next(n for n in proto.graph.node if n.op_type == "RNN").attribute.append(
            onnx.helper.make_attribute("activations", ["Relu"])
        )
    audit, shapes = pruned(proto, X)
    assert audit.layers[0].dead_by(analyzer.Evidence.OBSERVED) == (1, 4)
    assert shapes["r"] == (1, left, left)  # of two that are 1, but start at 0, one stands in for the other
    assert shapes["v"] == (left, 2)


def test_states_that_come_in_and_go_out_keep_their_interface() -> None:
    stored = weights("GRU", (0, 4)) | {"one": np.array([1]), "v": noise(HIDDEN, 2)}
    text = f"""g (float[N, {STEPS}, {INPUTS}] x, float[1, N, {HIDDEN}] h) => (float y, float[1, N, {HIDDEN}] after) {{
        {TURNED} s, after = GRU<hidden_size = {HIDDEN}>(t, w, r, b, , h) q = Squeeze(s, one) y = MatMul(q, v) }}"""
    stored["b"][0, [0, 4]] = -200  # of these nothing is kept from step to step
    proto = parse(text, stored)
    audit = analyzer.audit(proto, {**X, "h": noise(8, 1, 1, HIDDEN)})
    assert [(locked.reason, locked.units) for locked in audit.facts.locked] == [("interface", (0, 4))]
    small = onnx.ModelProto.FromString(audit.prune(latency=False).data)
    assert [d.dim_value for d in small.graph.input[1].type.tensor_type.shape.dim][2] == HIDDEN
    feed = {"x": X["x"][:1], "h": noise(1, 1, HIDDEN, seed=9)}
    for before, after in zip(run(proto, feed).values(), run(small, feed).values(), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)
