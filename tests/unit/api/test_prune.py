"""Prune from Python: choices, edited plans, lossy units, and files whose weights lie beside them."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import analyzer
from analyzer import Choice, ComparisonFailed, Evidence, InputError
from analyzer.api import chosen_cut, cutting, pruning
from analyzer.api.agreement import compare_models
from analyzer.api.choosing import choice_from_plan
from analyzer.errors import OutputError, Refusal, RunError, RunFailure
from analyzer.rewrite.shrink import Shrinker, shrink
from tests.equivalence.agree import run, same
from tests.equivalence.cases import killed, weights, zeroed
from tests.models import parse

#: Units 0 and 2 never fire (0 by its weights alone), unit 4 fires on 3 of 60 samples.
STORED = killed(zeroed(weights(w1=(7, 6), b1=(6,), w2=(6, 4), b2=(4,)), "w1", (0,), 1), "b1", (0, 2))
X = np.random.default_rng(0).standard_normal((60, 7)).astype(np.float32)
_BEFORE = np.sort(X @ STORED["w1"][:, 4])
STORED["b1"][4] = -(_BEFORE[-4] + _BEFORE[-3]) / 2
TEXT = "g (float[N,7] x) => (float[A,B] y) {\nh = Gemm(x, w1, b1)\na = Relu(h)\ny = Gemm(a, w2, b2)\n}"


@pytest.fixture
def model() -> onnx.ModelProto:
    return parse(TEXT, STORED)


@pytest.fixture
def audit(model: onnx.ModelProto) -> analyzer.Audit:
    return analyzer.audit(model, X)


def removed(found: analyzer.Pruned) -> dict[str, tuple[int, ...]]:
    return dict(found.facts.removed_units)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), {"a": (0, 2)}),
        (Choice(evidence=Evidence.STRUCTURAL), {"a": (0,)}),
        (Choice(min_samples=61), {"a": (0,)}),
        (Choice(min_samples=60), {"a": (0, 2)}),
        (Choice(max_firing_bound=0.01), {"a": (0,)}),
        (Choice(max_firing_bound=0.05), {"a": (0, 2)}),
        (Choice(only=("a",)), {"a": (0, 2)}),
        (Choice(only=("Re*",)), {"a": (0, 2)}),
        (Choice(skip=("a",)), {}),
        (Choice(units={"a": (0, 2)}), {"a": (0, 2)}),
        (Choice(units={"a": (2,)}), {"a": (2,)}),
        (Choice(units={"a": ()}), {}),
        (Choice(units={}), {}),
    ],
)
def test_the_choice_says_what_may_go(audit: analyzer.Audit, choice: Choice, expected: dict[str, Any]) -> None:
    assert removed(audit.prune(choice=choice, latency=False)) == expected


def test_widths_stay_multiples(audit: analyzer.Audit) -> None:
    found = audit.prune(choice=Choice(round_to=5), latency=False)
    assert len(removed(found)["a"]) == 1
    assert not audit.prune(choice=Choice(round_to=8), latency=False).changed


def test_what_is_held_back_is_said(audit: analyzer.Audit) -> None:
    assert "only structural" in audit.prune(choice=Choice(evidence=Evidence.STRUCTURAL), latency=False).facts.notes[0]
    assert "at least 100" in audit.prune(choice=Choice(min_samples=100), latency=False).facts.notes[0]
    assert "give more samples" in audit.prune(choice=Choice(max_firing_bound=0.01), latency=False).facts.notes[0]
    assert not audit.prune(latency=False).facts.notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"choice": Choice(only=("b",))}, "No layer matches 'b'"),
        ({"choice": Choice(skip=("rleu",))}, "No layer matches 'rleu'"),
        ({"choice": Choice(units={"a": (1,)})}, "Unit 1 of a is not dead: it fires on"),
        ({"choice": Choice(units={"zz": (1,)})}, "no layer 'zz'"),
        ({"choice": Choice(units={"a": (6,)})}, "no unit 6"),
        ({"lossy": {"a": (17,)}}, "no unit 17"),
        ({"lossy": {"zz": (0,)}}, "no layer 'zz'"),
    ],
)
def test_what_cannot_be_meant_is_refused(audit: analyzer.Audit, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        audit.prune(latency=False, **arguments)


def test_a_plan_that_was_not_edited_gives_the_same_model(audit: analyzer.Audit, tmp_path: Path) -> None:
    found = audit.prune(latency=False)
    found.save_masks(tmp_path / "masks.npz")
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    again = audit.prune(choice=choice_from_plan(plan, Choice()), latency=False)
    assert again.data == found.data
    with np.load(tmp_path / "masks.npz") as masks:
        assert {name: masks[name].shape for name in masks} == {"w1": (7, 6), "b1": (6,), "w2": (6, 4)}
        assert not masks["w1"][:, 2].any()
        assert masks["w1"][:, 1].all()


def renamed(name: str) -> analyzer.Pruned:
    """The cut of the model whose first weight is called so."""
    model = parse(TEXT, STORED)
    model.graph.node[0].input[1] = next(t for t in model.graph.initializer if t.name == "w1").name = name
    return analyzer.audit(model, X).prune(latency=False)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/../b", "名"])
def test_masks_of_any_name_are_written(name: str, tmp_path: Path) -> None:
    renamed(name).save_masks(tmp_path / "masks.npz")
    with np.load(tmp_path / "masks.npz") as masks:
        assert masks[name].shape == (7, 6)


@pytest.mark.parametrize("name", ["n" * 70_000, "a\0b"])
def test_masks_whose_names_no_archive_holds_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="file can hold a tensor called"):
        renamed(name).save_masks(tmp_path / "masks.npz")
    assert list(tmp_path.iterdir()) == []


def test_an_edited_plan_is_obeyed(audit: analyzer.Audit, tmp_path: Path) -> None:
    audit.prune(latency=False).save_masks(tmp_path / "masks.npz")
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    told = [(entry["unit"], entry["evidence"], entry["remove"]) for entry in plan["units"]["a"]]
    assert told == [(0, "structural", True), (2, "observed", True)]
    plan["units"]["a"][0]["remove"] = False
    assert removed(audit.prune(choice=choice_from_plan(plan, Choice()), latency=False)) == {"a": (2,)}
    plan["units"]["a"].append({"unit": 4, "remove": True})
    with pytest.raises(InputError, match=r"it fires on 3 of 60 samples.*--lossy a:4"):
        audit.prune(choice=choice_from_plan(plan, Choice()), latency=False)
    found = audit.prune(choice=choice_from_plan(plan, Choice()), lossy={"a": (4,)}, latency=False)
    assert removed(found) == {"a": (2, 4)}


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"schema": "deadunits.plan/1"}, {"schema": "other", "units": {}},
     {"schema": "deadunits.plan/1", "units": {"a": 3}},
     {"schema": "deadunits.plan/1", "units": {"a": [{"unit": "x", "remove": True}]}},
     {"schema": "deadunits.plan/1", "units": {"a": [{"unit": 1}]}}],
)  # fmt: skip
def test_what_is_no_plan_is_refused(document: Any) -> None:
    with pytest.raises(InputError):
        choice_from_plan(document, Choice())


def test_a_lossy_unit_is_replaced_by_its_mean(audit: analyzer.Audit, model: onnx.ModelProto) -> None:
    found = audit.prune(lossy={"a": (4, 2)}, latency=False)
    assert removed(found) == {"a": (0, 2, 4)}
    assert found.facts.lossy_units == {"a": (4,)}  # unit 2 is dead: nothing is lost with it
    assert found.comparison is not None
    assert not found.comparison.within
    hidden = np.maximum(X @ STORED["w1"] + STORED["b1"], 0)
    hidden[:, 4] = hidden[:, 4].mean()
    small = onnx.ModelProto.FromString(found.data)
    np.testing.assert_allclose(run(small, {"x": X})[0], hidden @ STORED["w2"] + STORED["b2"], atol=1e-5)
    facts = {p.key: p.value for p in small.metadata_props}
    assert facts["deadunits.evidence"] == "lossy"


def test_lossy_needs_data(model: onnx.ModelProto) -> None:
    with pytest.raises(InputError, match="give a probe"):
        analyzer.prune(model, lossy={"a": (4,)})


def test_a_difference_stops_everything(audit: analyzer.Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Shrinker._set_tensor

    def wrong(self: Shrinker, name: str, array: Any) -> None:
        honest(self, name, array + 1)

    monkeypatch.setattr(Shrinker, "_set_tensor", wrong)
    stored = killed(zeroed(STORED, "w1", (0,), 1), "b1", (0,), 2.0)  # a constant that goes into a bias
    with pytest.raises(ComparisonFailed, match=r"differs from the original in y by .* nothing was written"):
        analyzer.prune(parse(TEXT, stored), X, latency=False)


@pytest.mark.parametrize("residual", ["off", "latency"])
@pytest.mark.parametrize(
    ("op_type", "reason"), [("NoSuch", r"cannot load the model: .*NoSuch"), ("Gemm", r"cannot run the model: ")]
)
def test_a_pruned_model_that_does_not_run_is_no_fault_of_the_user(
    audit: analyzer.Audit, monkeypatch: pytest.MonkeyPatch, op_type: str, reason: str, residual: Any
) -> None:
    def broken(loaded: Any, *others: Any) -> Any:
        smaller, anew = shrink(loaded, *others)
        last = list(smaller.model.graph)[-1]
        last.op_type = op_type
        if op_type == "Gemm":  # a product of lengths that do not fit
            last.attributes.add(ir.AttrInt64("transA", 1))
        return smaller, anew

    monkeypatch.setattr(cutting, "shrink", broken)
    monkeypatch.setattr(cutting, "_with_bridges", lambda plain, *others: replace(plain))
    sentence = rf"^The pruned model does not run, which is a bug of deadunits: nothing was written \(.*{reason}.*\)\.$"
    with pytest.raises(ComparisonFailed, match=sentence):
        audit.prune(choice=Choice(residual=residual), latency=False)


def test_memory_that_runs_out_is_no_bug_of_the_pruned_model(
    audit: analyzer.Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*others: Any, **more: Any) -> None:
        raise RunError("onnxruntime ran out of memory: lower the batch size.", RunFailure.MEMORY)

    monkeypatch.setattr(chosen_cut, "measure_latency", full)
    monkeypatch.setattr(cutting, "_with_bridges", lambda plain, *others: replace(plain))
    with pytest.raises(RunError, match="out of memory"):
        audit.prune(choice=Choice(residual="latency"), latency=False)


def test_without_a_probe_both_are_run_on_random_data(model: onnx.ModelProto) -> None:
    found = analyzer.prune(model)
    assert removed(found) == {"a": (0,)}
    assert found.comparison is not None
    assert found.comparison.source == "random data"
    assert found.facts.latency is not None


def test_the_holdout_is_compared_too(model: onnx.ModelProto) -> None:
    other = X.copy()
    found = analyzer.prune(model, analyzer.Data(X, other * 30), latency=False)
    assert found.facts.holdout is not None
    assert not found.facts.holdout.within
    assert found.audit.layers[0].revived == (2,)
    assert found.facts.perturbed is not None


# ---- weights beside the file


def test_a_cut_that_was_replaced_is_gone_before_the_models_run(
    audit: analyzer.Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[weakref.ref[ir.Graph]] = []

    def cut_again(*arguments: Any) -> Any:
        for _ in range(2):
            smaller, anew = shrink(*arguments)
            cuts.append(weakref.ref(smaller.model.graph))
        return smaller, anew

    def compared(*arguments: Any) -> Any:
        assert [cut() is not None for cut in cuts] == [False, True]
        return compare_models(*arguments)

    monkeypatch.setattr(cutting, "shrink", cut_again)
    monkeypatch.setattr(pruning, "compare_models", compared)
    monkeypatch.setattr(pruning, "WORTH_COLLECTING", 0)
    gc.disable()  # a graph refers to itself, and the collector may come at any time
    try:
        assert audit.prune(latency=False).changed
    finally:
        gc.enable()


@pytest.fixture
def large(tmp_path: Path, model: onnx.ModelProto) -> Path:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "model.onnx"
    wide = parse(TEXT, killed(weights(w1=(7, 400), b1=(400,), w2=(400, 4), b2=(4,)), "b1", range(100)))
    onnx.save(wide, str(path), save_as_external_data=True, location="weights.bin", size_threshold=64)
    return path


def test_weights_beside_the_file_stay_beside_the_file(large: Path, tmp_path: Path) -> None:
    found = analyzer.prune(large, X, latency=False)
    with pytest.raises(InputError, match="save"):
        _ = found.data
    target = tmp_path / "small.onnx"
    found.save(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "small.onnx", "small.onnx.data"]
    assert target.stat().st_size < 2500
    assert found.facts.after.parameters == 300 * 8 + 300 * 4 + 4
    onnx.checker.check_model(str(target), full_check=False)
    same(run(large, {"x": X}), run(target, {"x": X}))
    again = analyzer.prune(target, X, latency=False)
    assert not again.changed
    first = target.read_bytes(), (tmp_path / "small.onnx.data").read_bytes()
    analyzer.prune(large, X, latency=False).save(target)
    assert first == (target.read_bytes(), (tmp_path / "small.onnx.data").read_bytes())


def test_an_unchanged_model_takes_its_weights_along(large: Path, tmp_path: Path) -> None:
    found = analyzer.prune(large, X, choice=Choice(evidence=Evidence.STRUCTURAL), latency=False)
    assert not found.changed
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "copy.onnx"
    found.save(target)
    assert target.read_bytes() == large.read_bytes()
    assert (tmp_path / "out" / "weights.bin").read_bytes() == large.with_name("weights.bin").read_bytes()
    found.save(large.with_name("beside.onnx"))
    same(run(large, {"x": X}), run(large.with_name("beside.onnx"), {"x": X}))


def test_the_weights_of_the_input_are_never_written_over(tmp_path: Path, large: Path) -> None:
    path = large.with_name("b.onnx")
    onnx.save(
        onnx.load(str(large)), str(path), save_as_external_data=True, location="small.onnx.data", size_threshold=64
    )
    found = analyzer.prune(path, X, latency=False)
    with pytest.raises(OutputError, match="is an input"):
        found.save(large.with_name("small.onnx"))
    with pytest.raises(OutputError, match="is an input"):
        found.save(path)


def test_a_large_result_is_split_too(model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.graph.save.LARGEST_INSIDE", 100)
    monkeypatch.setattr("analyzer.graph.save.SMALLEST_BESIDE", 16)
    found = analyzer.prune(model, X, latency=False)
    found.save(tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx.data").exists()
    same(run(model, {"x": X}), run(tmp_path / "small.onnx", {"x": X}))


def test_the_sizes_are_those_of_the_file(model: onnx.ModelProto, tmp_path: Path) -> None:
    found = analyzer.prune(model, X, latency=False)
    found.save(tmp_path / "small.onnx")
    assert found.facts.after.bytes == (tmp_path / "small.onnx").stat().st_size
    stored = onnx.load(str(tmp_path / "small.onnx")).graph.initializer
    assert found.facts.after.parameters == sum(onnx.numpy_helper.to_array(tensor).size for tensor in stored)


def test_a_node_that_refuses_is_left_whole(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = shrink
    asked: list[int] = []

    def once(loaded: Any, context: Any, plan: Any) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise Refusal(loaded.graph.nodes[2].name, "shape-computed-at-runtime", "for a test")
        return honest(loaded, context, plan)

    audit = analyzer.audit(model, X)
    monkeypatch.setattr(cutting, "shrink", once)
    found = audit.prune(latency=False)
    assert [r.reason for r in found.facts.refused] == ["shape-computed-at-runtime"]


def test_a_cut_that_would_grow_the_model_is_not_made_and_no_mask_speaks_of_it(
    audit: analyzer.Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = audit._walk.context.graph
    monkeypatch.setattr(cutting, "count_parameters", lambda graph: 10 if graph is original else 11)
    pruned = audit.prune(latency=False)
    assert not pruned.changed
    assert "would need 1 more" in " ".join(pruned.facts.notes)
    assert pruned.masks() == {}
    assert pruned._walk.removable.parameters == 0


def test_a_dead_unit_with_one_number_per_sample_goes_and_says_how_far_it_is() -> None:
    stored = weights(w1=(7, 1), b1=(1,), w2=(7, 3)) | {"a": np.array([1])}
    stored["b1"][:] = -100
    model = parse(
        "g (float[N,7] x) => (float[N] y, float[N,3] z) {\nh = Gemm(x, w1, b1)\ns = Squeeze(h, a)\nr = Relu(s)\n"
        "y = Neg(r)\nu = Unsqueeze(r, a)\nq = Gemm(x, w2)\nz = Add(q, u)\n}",
        stored,
    )
    found = analyzer.audit(model, X)
    ((value, distances),) = [(d.value, d.distances) for d in found.facts.diagnoses if any(d.distances)]
    assert value == "r"
    assert distances[0] is not None
    assert distances[0] > 5
    small = found.prune().data
    for count in (1, 9):
        same(run(model, {"x": X[:count]}), run(onnx.load_from_string(small), {"x": X[:count]}))
