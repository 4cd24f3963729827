"""LayerNormalization written out over the channels that are not constant: the written model against the original."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import analyzer
from analyzer import Choice
from analyzer.errors import ComparisonFailed
from analyzer.facts.evidence import Evidence
from analyzer.rewrite import written_norms
from tests.made_pruned import latency
from tests.models import Array, build, run

PARAMS = Choice(residual="params", evidence=Evidence.STRUCTURAL)


class Stream:
    """A pre-norm stream of `width` channels, of which `dead` hold one constant each from end to end."""

    def __init__(self, seed: int, width: int = 16, dtype: str = "float32", blocks: int = 2) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype, self.width, self.blocks = np.dtype(dtype), width, blocks
        self.stored: dict[str, Array] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.scaled_to_zero = False  # in every normalisation the scale of dead channels is 0
        self.opset, self.in_parts = 18, False  # normalisations as exporters write them without the operator

    def drawn(self, *shape: int) -> Array:
        return np.asarray(self.rng.standard_normal(shape) / np.sqrt(shape[0]), self.dtype)

    def add(self, op: str, *inputs: str | Array, **attributes: Any) -> str:
        names = []
        for given in inputs:
            if not isinstance(given, str):
                name = f"t{len(self.stored)}"
                self.stored[name] = given
                given = name
            names.append(given)
        self.nodes.append(helper.make_node(op, names, [f"v{len(self.nodes)}"], f"n{len(self.nodes)}", **attributes))
        return str(self.nodes[-1].output[0])

    def dense(self, x: str, inputs: int, outputs: int, still: Array | None = None) -> str:
        """`still` are the constants of outputs that hold one (NaN: they do not)."""
        w, b = self.drawn(inputs, outputs), self.drawn(outputs)
        if still is not None:
            held = ~np.isnan(still)
            w[:, held], b[held] = 0, still[held]
        return self.add("Add", self.add("MatMul", x, w), b)

    def norm(self, x: str, dead: Array, shifted: bool = True) -> str:
        scale = 1 + self.drawn(self.width) / 3
        if self.scaled_to_zero:
            scale[dead] = 0
        learned = [scale, self.drawn(self.width)] if shifted else [scale]
        if not self.in_parts:
            return self.add("LayerNormalization", x, *learned, axis=-1)
        centred = self.add("Sub", x, self.mean(x))
        variance = self.mean(self.add("Pow", centred, np.asarray(2, self.dtype)))
        root = self.add("Sqrt", self.add("Add", variance, np.asarray(1e-5, self.dtype)))
        y = self.add("Mul", self.add("Div", centred, root), scale)
        return self.add("Add", learned[1], y) if shifted else y

    def mean(self, x: str, axis: int = -1) -> str:
        axes = {"axes": [axis]} if self.opset < 18 else {}
        return self.add("ReduceMean", x, *([] if axes else [np.array([axis])]), **axes)

    def attention(self, x: str) -> str:
        """One head, of 32 channels."""
        query, key, value = (self.dense(x, self.width, 32) for _ in range(3))
        scores = self.add("Softmax", self.add("MatMul", query, self.add("Transpose", key, perm=[0, 2, 1])))
        return self.add("MatMul", scores, value)

    def model(self, dead: Array, constants: Array) -> onnx.ModelProto:
        """`constants` [blocks + 1, dead]: what the start and each block add to the dead channels."""

        def still(row: int) -> Array:
            values = np.full(self.width, np.nan, self.dtype)
            values[dead] = constants[row]
            return values

        stream = self.dense("x", 6, self.width, still(0))
        for block in range(self.blocks):
            normed = self.norm(stream, dead, shifted=block != 1)
            inner = self.attention(normed) if block % 2 else self.add("Relu", self.dense(normed, self.width, 32))
            stream = self.add("Add", stream, self.dense(inner, 32, self.width, still(block + 1)))
        self.dense(self.norm(stream, dead), self.width, 3)
        return self.built(self.nodes[-1].output[0])

    def built(self, *outputs: str, opset: int = 0) -> onnx.ModelProto:
        return build(self.nodes, {"x": self.drawn(2, 5, 6)}, self.stored, outputs, opset or self.opset, free=[0])

    def data(self, samples: int = 12) -> Array:
        return self.rng.standard_normal((samples, 5, 6)).astype(self.dtype)


def stream_and_dead(
    seed: int, kind: str, in_parts: bool = False, opset: int = 18, **given: Any
) -> tuple[Stream, onnx.ModelProto, Array]:
    stream = Stream(seed, **given)
    stream.in_parts, stream.opset = in_parts, opset
    share = stream.rng.choice([0.25, 0.4, 0.5])
    dead = np.sort(stream.rng.choice(stream.width, int(share * stream.width), replace=False))
    shape = stream.blocks + 1, len(dead)
    constants = np.zeros(shape) if kind == "zero" else stream.rng.standard_normal(shape)
    if kind == "equal":
        constants[:] = constants[:, :1]
    return stream, stream.model(dead, constants.astype(stream.dtype)), dead


def pruned(model: onnx.ModelProto, x: Array, choice: Choice = PARAMS) -> tuple[onnx.ModelProto, analyzer.Pruned]:
    result = analyzer.prune(model, {"x": x}, choice=choice, latency=False)
    return onnx.ModelProto.FromString(result.data), result


def differs(model: onnx.ModelProto, smaller: onnx.ModelProto, x: Array) -> float:
    """The largest difference, as a share of the largest output."""
    (before,), (after,) = run(model, {"x": x}).values(), run(smaller, {"x": x}).values()
    return float(np.abs(before.astype(np.float64) - after).max() / np.abs(before).max())


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("dtype", "within", "kind"),
    [
        ("float32", 1e-5, "zero"),
        ("float32", 1e-5, "equal"),
        ("float32", 1e-5, "different"),
        ("float16", 5e-3, "different"),
        ("float64", 1e-12, "zero"),
    ],
)
def test_dead_channels_of_a_stream_go(dtype: str, within: float, kind: str) -> None:
    stream, model, dead = stream_and_dead(0, kind, dtype=dtype)
    smaller, result = pruned(model, stream.data())
    assert "LayerNormalization" not in operators(smaller)
    carriers = 1 if kind in ("zero", "equal") else 2
    widths = {t.name: list(t.dims) for t in smaller.graph.initializer}
    assert widths["t0"] == [6, stream.width - len(dead) + carriers]
    for samples in (1, 3):
        assert differs(model, smaller, 3 * stream.data(samples)) < within
    assert any("written out" in note for note in result.facts.notes)
    assert not any("number" in name and len(dims) == 1 for name, dims in widths.items())  # no shift where none was
    plain = pruned(model, stream.data(), Choice(evidence=Evidence.STRUCTURAL))[1]
    assert result.facts.before == plain.facts.before
    assert not pruned(smaller, stream.data())[1].changed


@pytest.mark.parametrize(
    ("kind", "opset", "dtype", "within"), [("zero", 13, "float32", 1e-5), ("different", 18, "float16", 5e-3)]
)
def test_normalisations_in_several_nodes_are_as_those_in_one(kind: str, opset: int, dtype: str, within: float) -> None:
    stream, model, _ = stream_and_dead(0, kind, in_parts=True, opset=opset, dtype=dtype)
    smaller, result = pruned(model, stream.data())
    assert "ReduceMean" not in operators(smaller)
    assert any(note.startswith("3 LayerNormalizations were written out") for note in result.facts.notes)
    for samples in (1, 3):
        assert differs(model, smaller, 3 * stream.data(samples)) < within
    whole = pruned(stream_and_dead(0, kind, dtype=dtype)[1], stream.data())[1]
    assert result.facts.after.parameters == whole.facts.after.parameters


def in_parts() -> tuple[Stream, str, Array]:
    stream, x, dead = started()
    stream.in_parts = True
    return stream, x, dead


def test_what_is_read_from_within_a_normalisation_holds_its_channels() -> None:
    for inner in range(7):
        stream, x, dead = in_parts()
        before = len(stream.nodes)
        y = stream.dense(stream.norm(x, dead), 16, 3)
        read = str(stream.nodes[before + inner].output[0])
        assert not narrowed(stream, (y, stream.add("Tanh", read))), stream.nodes[before + inner].op_type


def test_a_mean_over_another_axis_is_no_layer_normalisation() -> None:
    stream, x, _ = in_parts()
    centred = stream.add("Sub", x, stream.mean(x, 1))
    root = stream.add(
        "Sqrt", stream.add("Add", stream.mean(stream.add("Mul", centred, centred)), np.array(1e-5, np.float32))
    )
    y = stream.add("Mul", stream.add("Div", centred, root), 1 + stream.drawn(16) / 3)
    smaller, _ = pruned(stream.built(stream.dense(y, 16, 3)), stream.data())
    assert operators(smaller).count("ReduceMean") == 2


def test_by_default_a_normalisation_keeps_its_axis() -> None:
    stream, model, _ = stream_and_dead(0, "zero")
    smaller, result = pruned(model, stream.data(), Choice(evidence=Evidence.STRUCTURAL))
    assert not result.changed
    assert operators(smaller).count("LayerNormalization") == 3


def test_channels_that_only_the_data_shows_to_be_constant_go_too() -> None:
    stream = Stream(3)
    still = np.arange(stream.width) < 6
    bias = np.where(still, -100.0, 1.0).astype(np.float32)
    x = stream.add("Relu", stream.add("Add", stream.add("MatMul", "x", stream.drawn(6, stream.width)), bias))
    y = stream.dense(stream.norm(x, still), stream.width, 3)
    model, data = stream.built(y), stream.data()
    smaller, result = pruned(model, data, Choice(residual="params"))
    assert "LayerNormalization" not in operators(smaller)
    assert result.facts.observed
    assert differs(model, smaller, data) < 1e-5


def narrowed(stream: Stream, outputs: tuple[str, ...], within: float = 1e-5, opset: int = 18) -> bool:
    """Whether a normalisation of the model was written out; the outputs are the same in any case."""
    model = stream.built(*outputs, opset=opset)
    smaller, _ = pruned(model, stream.data())
    before, after = (run(m, {"x": x}) for x in [stream.data(3)] for m in (model, smaller))
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=0, atol=within * np.abs(array).max())
    return not {"LayerNormalization", "ReduceMean"}.intersection(operators(smaller))


def started(seed: int = 5, dead: int = 6) -> tuple[Stream, str, Array]:
    """A stream of which the first channels are constant."""
    stream = Stream(seed)
    values = np.full(stream.width, np.nan, np.float32)
    values[:dead] = stream.drawn(dead)
    return stream, stream.dense("x", 6, stream.width, values), np.arange(stream.width) < dead


@pytest.mark.parametrize("opset", [17, 21])
def test_opsets_that_have_it(opset: int) -> None:
    stream, x, dead = started()
    assert narrowed(stream, (stream.dense(stream.norm(x, dead), 16, 3),), opset=opset)


def test_nothing_is_written_out_where_something_else_needs_the_channels() -> None:
    stream, x, dead = started()
    y = stream.dense(stream.norm(x, dead), 16, 3)
    assert not narrowed(stream, (y, stream.add("Softmax", x)))


def test_a_channel_that_comes_to_life_later_stays() -> None:
    stream, x, dead = started(dead=8)
    first = stream.norm(x, dead)
    later = np.full(16, np.nan, np.float32)
    later[:7] = 0  # channel 7 does not stay
    x = stream.add("Add", x, stream.dense(first, 16, 16, later))
    y = stream.dense(stream.norm(x, dead), 16, 3)
    model = stream.built(y)
    smaller, _ = pruned(model, stream.data())
    assert "LayerNormalization" not in operators(smaller)
    assert {t.name: list(t.dims) for t in smaller.graph.initializer}["t5"] == [16 - 7 + 2]
    assert differs(model, smaller, stream.data(3)) < 1e-5


@pytest.mark.parametrize("zero", [True, False])
def test_a_reader_that_is_no_sum_gets_channels_of_scale_0_alone_as_constants(zero: bool) -> None:
    stream, x, dead = started()
    stream.scaled_to_zero = zero
    y = stream.add("Tanh", stream.norm(x, dead))
    assert narrowed(stream, (stream.dense(y, 16, 3),)) == zero


def test_constants_that_differ_from_token_to_token_hold_their_channels() -> None:
    stream, x, dead = started()
    stream.scaled_to_zero = True
    tokens = stream.add("Transpose", stream.norm(x, dead), perm=[0, 2, 1])
    tokens = stream.add("Relu", stream.dense(tokens, 5, 9))
    mixed = stream.add("Transpose", stream.dense(tokens, 9, 5), perm=[0, 2, 1])
    last = stream.norm(stream.add("Add", x, mixed), dead)
    assert not narrowed(stream, (stream.dense(last, 16, 3),))


def test_readers_share_a_weight_with_others() -> None:
    stream, x, dead = started()
    shared = stream.drawn(16, 4)
    stream.stored["shared"] = shared
    normed = stream.norm(x, dead)
    outputs = [stream.add("MatMul", normed, "shared"), stream.dense(normed, 16, 5)]
    outputs.append(stream.add("MatMul", stream.dense("x", 6, 16), "shared"))
    narrowed(stream, tuple(outputs))  # whether it pays is not the point


def test_a_gemm_that_reads_its_weight_transposed() -> None:
    stream, x, dead = started()
    flat = stream.add("Reshape", x, np.array([-1, 16]))
    normed = stream.norm(flat, dead)
    y = stream.add("Gemm", normed, stream.drawn(7, 16), stream.drawn(7), transB=1, alpha=0.5)
    assert narrowed(stream, (y,))


@pytest.mark.parametrize(("view", "taken"), [([-1, 16], True), ([-1, 8], False)])
def test_a_gemm_behind_a_view(view: list[int], taken: bool) -> None:
    stream, x, dead = started()
    flat = stream.add("Reshape", stream.norm(x, dead), np.array(view))
    assert narrowed(stream, (stream.add("Gemm", flat, stream.drawn(view[1], 7), stream.drawn(7)),)) == taken


def test_what_lies_beside_the_channels_is_not_read_by_other_weights() -> None:
    for seed in range(2):
        stream, x, dead = started(seed)
        normed = stream.norm(x, dead)
        if seed:
            beside = stream.add("Pad", normed, np.array([0, 0, 0, 0, 2, 0]), np.array(3, np.float32))
        else:
            beside = stream.add("Concat", normed, stream.dense("x", 6, 16), axis=1)
        assert not narrowed(stream, (stream.dense(beside, 16, 3),))


@pytest.mark.parametrize("carried", [False, True])
def test_a_normalisation_of_a_normalisation_is_written_out_too(carried: bool) -> None:
    stream, x, dead = started(dead=8)
    stream.scaled_to_zero = True
    first = stream.norm(x, dead)
    stream.scaled_to_zero = not carried
    assert narrowed(stream, (stream.dense(stream.norm(first, dead), 16, 12),))


@pytest.mark.parametrize("attributes", [{"axis": 1}, {"stash_type": 11}, {"axis": -2}])
def test_other_calls_are_left_as_they_are(attributes: dict[str, int]) -> None:
    stream, x, _ = started()
    wide = (5, 16) if "axis" in attributes else (16,)
    y = stream.add("LayerNormalization", x, 1 + stream.drawn(*wide) / 9, **attributes)
    model = stream.built(stream.dense(y, 16, 3))
    if "stash_type" not in attributes:  # onnxruntime takes no other
        assert not pruned(model, stream.data())[1].changed


def test_mean_and_deviation_as_outputs_hold_the_channels() -> None:
    stream, x, _ = started()
    stream.stored |= {"g": 1 + stream.drawn(16) / 9}
    stream.nodes.append(helper.make_node("LayerNormalization", [x, "g"], ["y", "mean"], "norm"))
    assert not narrowed(stream, (stream.dense("y", 16, 3), "mean"))


def test_a_large_scale_in_half_precision_is_not_made_infinite() -> None:
    stream = Stream(1, dtype="float16")
    values = np.full(16, np.nan, np.float16)
    values[:6] = 0
    x = stream.dense("x", 6, 16, values)
    scale = np.full(16, 200.0, np.float16)
    y = stream.add("LayerNormalization", x, scale, axis=-1)
    w = np.full((16, 3), 50, np.float16)
    w[8:] *= -1
    model = stream.built(stream.add("MatMul", y, w))
    smaller, _ = pruned(model, stream.data())
    assert "LayerNormalization" in operators(smaller)


def _no_spread(constants: Array, width: int) -> tuple[float, float]:
    return float(constants.mean()), 0.0


def _of_what_stays(constants: Array, width: int) -> tuple[float, float]:
    return written_norms_mean_and_spread(constants, width - len(constants))


def _mean_of_zero(constants: Array, width: int) -> tuple[float, float]:
    return 0.0, written_norms_mean_and_spread(constants, width)[1]


written_norms_mean_and_spread = written_norms._mean_and_spread


@pytest.mark.parametrize("fault", [_no_spread, _of_what_stays, _mean_of_zero])
def test_wrong_statistics_are_noticed(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, model, _ = stream_and_dead(1, "different")
    monkeypatch.setattr(written_norms, "_mean_and_spread", fault)
    with pytest.raises(ComparisonFailed):
        pruned(model, stream.data())


def test_a_carrier_of_the_wrong_constant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, model, _ = stream_and_dead(1, "different")
    monkeypatch.setattr(written_norms, "_carriers", lambda dead, value, used: (int(dead[0]),))
    with pytest.raises(ComparisonFailed):
        pruned(model, stream.data())


@pytest.mark.parametrize(("ratio", "taken"), [(0.9, True), (1.2, False)])
def test_by_latency_it_is_taken_where_it_is_no_slower(
    ratio: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, model, _ = stream_and_dead(2, "zero")
    monkeypatch.setattr("analyzer.api.chosen_cut.measure_latency", lambda *others, **more: latency(ratio))
    smaller, result = pruned(model, stream.data(), Choice(residual="latency", evidence=Evidence.STRUCTURAL))
    assert ("LayerNormalization" not in operators(smaller)) == taken
    assert any("LayerNormalization written out would" in note for note in result.facts.notes) != taken
