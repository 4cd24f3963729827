"""Audits, prunes and checks that hold what a probe shows against every input of a domain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice, Data, Evidence
from analyzer.errors import ComparisonFailed, InputError, ProofContradicted
from analyzer.facts.proof import Claim, Outcome, with_proofs
from analyzer.probes.stated_domain import OWN_METADATA
from tests.models import parse, run
from tests.wrong_proofs import all_dead_proven

# Of eight units, 0 never fires on [0, 1], 1 only near the corner (1, 1, 1), 2 always does, 3 is at zero by its weights,
# 4 fires on the probe, 5 is always on for the probe and not at (0, 0, 0), 6 is at 6, and 7 leaves 6 near (1, 1, 1).
WEIGHTS = np.array(
    [[-1, -1, -1], [1, 1, 1], [1, 0, 0], [0, 0, 0], [1, -1, 0], [1, 1, 1], [1, 1, 0], [-1, -1, -1]], np.float32
).T
BIAS = np.array([-1, -2.5, 2, -1, 0, -0.25, 7, 8.5], np.float32)
TEXT = """g (float[n,3] x) => (float[n,2] z) {
    h = Gemm (x, w, b) zero = Constant <value: tensor = float {0}> () six = Constant <value: tensor = float {6}> ()
    y = Clip (h, zero, six) z = MatMul (y, v) }"""
STORED = {"w": WEIGHTS, "b": BIAS, "v": np.random.default_rng(1).normal(size=(8, 2)).astype(np.float32)}
PROBE = np.random.default_rng(0).uniform(0.2, 0.6, (40, 3)).astype(np.float32)
EVERYWHERE = np.concatenate(
    [np.random.default_rng(2).uniform(0, 1, (200, 3)), np.random.default_rng(3).integers(0, 2, (50, 3))]
).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return parse(TEXT, STORED)


@pytest.fixture(scope="module")
def biased() -> onnx.ModelProto:
    """The same with a bias behind, for what a constant leaves there: a revival adds no node."""
    return parse(TEXT.replace("z = MatMul (y, v)", "z = Gemm (y, v, c)"), STORED | {"c": np.zeros(2, np.float32)})


@pytest.fixture(scope="module")
def audited(model: onnx.ModelProto) -> analyzer.Audit:
    return analyzer.audit(model, PROBE, domain="0:1", budget=20)


def removed(pruned: analyzer.Pruned) -> tuple[int, ...]:
    return pruned.facts.removed_units.get("y", ())


def differs(model: onnx.ModelProto, pruned: analyzer.Pruned, inputs: np.ndarray[Any, Any]) -> float:
    """By how much the smaller model's output does, one input at a time and all together."""
    smaller = onnx.load_from_string(pruned.data)
    alone = np.concatenate([run(smaller, {"x": one[None]})["z"] for one in inputs])
    together, before = (run(m, {"x": inputs})["z"] for m in (smaller, model))
    return float(max(np.abs(alone - before).max(), np.abs(together - before).max()))


def test_every_dead_unit_has_the_evidence_that_the_domain_gives(audited: analyzer.Audit) -> None:
    (layer,) = (layer for layer in audited.layers if layer.value == "y")
    assert layer.structural == (3,)
    assert layer.proven == (0, 6)
    assert layer.refuted == (1, 7)
    assert layer.dead == (0, 1, 3, 6, 7)
    assert layer.evidence_of(1) is Evidence.REFUTED and layer.evidence_of(4) is None
    assert (layer.proven_on, layer.refuted_on) == ((2,), (5,))
    assert audited.proof is not None and audited.facts.proof is audited.proof.facts


def test_what_an_input_moves_no_longer_goes_and_says_so(audited: analyzer.Audit, model: onnx.ModelProto) -> None:
    assert [entry.units for entry in audited.locked if entry.reason == "refuted"] == [(1, 7)]
    assert audited.removable.parameters < analyzer.audit(model, PROBE).removable.parameters
    assert audited.removable.parameters == sum((8 - 5) * n for n in (3, 1, 2)) - 2  # the output got a bias
    assert "not for every input of the domain" in audited.explain_unit("y", 1)[0]
    assert audited.explain_unit("y", 1)[-1].startswith("It stays: refuted")
    assert "for every input of the domain (proven)" in audited.explain_unit("y", 6)[0]


def test_a_unit_is_explained_with_what_became_of_it(audited: analyzer.Audit, model: onnx.ModelProto) -> None:
    """Outcome, how, bounds and, where it is refuted, the input that moves it: one that does."""
    assert audited.explain_unit("y", 6)[1:4] == [
        "The domain: from 0 to 1 (x 0 to 1).",
        "Over it: proven to be dead, by bounds of all that can be computed.",
        "Bounds over it: between 6 and 6, computed in float32 in any order of summation, with plain convolutions, as "
        "long as nothing overflows.",
    ]
    assert "proven to be dead; the weights decide it" in audited.explain_unit("y", 3)[2]
    _, _, said, bounds, *_ = audited.explain_unit("y", 1)
    assert said.startswith("Over it: dead on the probe only; ") and "the witness at index " in said
    numbers = said.split("x = ")[1].rstrip(").").split(", ")
    witness = np.array([[float(number) for number in numbers]], np.float32)
    assert run(shown_too(model, "y"), {"x": witness})["y"][0, 1] > 0
    assert bounds.startswith("Bounds over it: between 0 and 0.5")
    assert "always on on the probe only" in audited.explain_unit("y", 5)[2]
    assert audited.explain_unit("y", 4) == ["Unit 4 of y is not dead: alive."]
    unsearched = analyzer.audit(model, PROBE, domain="probe-range", budget=0)
    assert "CONDITIONAL, as nobody said that inputs stay in it" in unsearched.explain_unit("y", 0)[1]
    open_ = analyzer.audit(model, PROBE, domain="0:1", budget=0).explain_unit("y", 1)
    assert "open: neither proven nor refuted by 0 inputs that were tried" in open_[2]
    assert not any("Over it" in line for line in analyzer.audit(model, PROBE).explain_unit("y", 1))


def test_a_revival_leaves_what_an_input_moves(biased: onnx.ModelProto) -> None:
    revived = analyzer.revive(biased, PROBE, domain="0:1", budget=20)
    assert ({*revived.facts.units.get("y", ()), *revived.facts.asleep.get("y", ())}) == {0, 3, 6}
    assert revived.facts.left["y"] == (1, 7)
    assert revived.facts.proven and revived.facts.domain is not None and revived.facts.domain.samples > 100
    fresh = onnx.load_from_string(revived.data)
    before, after = (run(m, {"x": EVERYWHERE})["z"] for m in (biased, fresh))
    assert np.abs(before - after).max() < 1e-5
    notes = {entry.key: entry.value for entry in fresh.metadata_props}
    assert (
        revived.audit.proof is not None and notes["deadunits.domain_digest"] == revived.audit.proof.facts.domain.digest
    )
    document = json.loads(revived.report("json"))
    assert document["evidence"]["y"]["proven"] == [0, 6] and document["evidence"]["y"]["refuted"] == [1, 7]
    assert document["proof"]["totals"]["dead"]["refuted"] == 2 and document["domain"]["within"]
    text = revived.report()
    assert "2 units left, as inputs of the domain move them" in text
    assert "for every input of the domain" in text and "2 fresh units proven dead" in text
    without = analyzer.revive(biased, PROBE)
    assert without.facts.left == {} and not without.facts.proven and "proof" in without.to_dict()
    before, after = (run(m, {"x": EVERYWHERE})["z"] for m in (biased, onnx.load_from_string(without.data)))
    assert np.abs(before - after).max() > 0.1, "the outputs are the same where units stay dead, and there alone"


@pytest.mark.parametrize(
    ("evidence", "domain", "fresh", "proven"),
    [
        ("structural", "0:1", {3}, False),
        ("proven", "0:1", {0, 3, 6}, True),
        ("observed", "probe-range", {0, 1, 3, 6, 7}, True),
        ("proven", None, {3}, False),
    ],
)
def test_fresh_is_what_the_evidence_allows(
    evidence: Any, domain: str | None, fresh: set[int], proven: bool, biased: onnx.ModelProto
) -> None:
    revived = analyzer.revive(biased, PROBE, choice=Choice(evidence=evidence), domain=domain, budget=20)
    assert {*revived.facts.units.get("y", ()), *revived.facts.asleep.get("y", ())} == fresh
    assert revived.facts.proven is proven
    assert ("CONDITIONAL" in revived.report()) == (domain == "probe-range")


def test_a_revival_by_a_wrong_proof_is_caught_by_inputs_of_the_domain(
    biased: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_dead_proven(monkeypatch)
    with pytest.raises(ComparisonFailed, match="differs from the original"):
        analyzer.revive(biased, PROBE, choice=Choice(evidence=Evidence.PROVEN), domain="0:1", budget=0)


def test_the_witnesses_move_what_is_refuted(audited: analyzer.Audit, model: onnx.ModelProto) -> None:
    assert audited.proof is not None
    again = analyzer.audit(model, Data(PROBE, holdout=dict(audited.proof.witnesses)))
    assert next(layer for layer in again.layers if layer.value == "y").revived == (1, 7)


@pytest.mark.parametrize(
    ("evidence", "domain", "gone"),
    [
        ("structural", None, (3,)),
        ("structural", "0:1", (3,)),
        ("proven", "0:1", (0, 3, 6)),
        ("observed", "0:1", (0, 3, 6)),
        ("observed", None, (0, 1, 3, 6, 7)),
        ("proven", "probe-range", (0, 1, 3, 6, 7)),
    ],
)
def test_what_goes_is_what_the_evidence_allows(
    evidence: Any, domain: str | None, gone: tuple[int, ...], model: onnx.ModelProto
) -> None:
    pruned = analyzer.prune(model, PROBE, choice=Choice(evidence=evidence), domain=domain, budget=20, latency=False)
    assert removed(pruned) == gone


def test_a_proven_cut_is_the_same_everywhere_and_an_observed_one_is_not(
    audited: analyzer.Audit, model: onnx.ModelProto
) -> None:
    proven = audited.prune(choice=Choice(evidence=Evidence.PROVEN), latency=False)
    assert differs(model, proven, EVERYWHERE) < 1e-5
    assert proven.facts.domain is not None and proven.facts.domain.samples > 100 and proven.facts.domain.within
    assert not proven.facts.observed and proven.facts.proven
    assert differs(model, analyzer.prune(model, PROBE, latency=False), EVERYWHERE) > 0.1


def test_open_units_go_on_the_data_alone_and_stay_where_proof_is_asked_for(model: onnx.ModelProto) -> None:
    audited = analyzer.audit(model, PROBE, domain="0:1", budget=0)
    layer = next(layer for layer in audited.layers if layer.value == "y")
    assert layer.dead_by(Evidence.OBSERVED) == (1, 7) and not layer.refuted
    observed, proven = (
        audited.prune(choice=Choice(evidence=evidence), latency=False)
        for evidence in (Evidence.OBSERVED, Evidence.PROVEN)
    )
    assert removed(observed) == (0, 1, 3, 6, 7) and observed.facts.observed and observed.facts.domain is None
    assert removed(proven) == (0, 3, 6)
    assert (
        "2 units that only the probe shows to be dead stay: only proven evidence was asked for." in proven.facts.notes
    )


@pytest.mark.parametrize("budget", [0, 20])
def test_a_proof_that_is_wrong_is_caught_by_inputs_of_the_domain(
    budget: float, model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corners show it where nothing was searched, witnesses where something was found."""
    all_dead_proven(monkeypatch)
    audited = analyzer.audit(model, PROBE, domain="0:1", budget=budget)
    with pytest.raises(ComparisonFailed, match="differs from the original"):
        audited.prune(choice=Choice(evidence=Evidence.PROVEN), latency=False)


def test_the_model_records_what_it_was_proven_for_and_it_can_be_asked_again(
    audited: analyzer.Audit, tmp_path: Path
) -> None:
    pruned = audited.prune(choice=Choice(evidence=Evidence.PROVEN), latency=False)
    pruned.save(tmp_path / "small.onnx")
    notes = {entry.key: entry.value for entry in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert audited.proof is not None
    assert json.loads(notes[OWN_METADATA]) == {"x": {"low": 0.0, "high": 1.0}}
    assert notes["deadunits.domain_digest"] == audited.proof.facts.domain.digest
    assert notes["deadunits.evidence"] == "proven" and notes["deadunits.arithmetic"] == "float32"
    assert notes["deadunits.domain_source"] == "from 0 to 1"
    again = analyzer.prove(tmp_path / "small.onnx", PROBE, domain="model", budget=0)
    assert again.facts.domain.digest == audited.proof.facts.domain.digest


def test_a_conditional_proof_is_called_so_in_the_model_and_in_every_report(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    pruned = analyzer.prune(model, PROBE, choice=Choice(evidence=Evidence.PROVEN), domain="probe-range", latency=False)
    notes = {entry.key: entry.value for entry in onnx.load_from_string(pruned.data).metadata_props}
    assert "nobody said that inputs stay in it" in notes["deadunits.domain_source"]
    assert "CONDITIONAL" in pruned.report() and "CONDITIONAL" in pruned.audit.report()
    checked = analyzer.check(model, PROBE, domain="probe-range", budget=1)
    for format in ("terminal", "markdown", "html"):
        assert "CONDITIONAL" in checked.report(format), format
    assert checked.to_dict()["domain"]["conditional"] and checked.audit.to_dict()["proof"]["domain"]["conditional"]


def test_without_a_domain_proven_is_what_holds_whatever_is_fed(tmp_path: Path) -> None:
    """Behind a Sigmoid sums are bounded, whatever comes: unit 0 never fires, unit 1 may."""
    text = """g (float[n,3] x) => (float[n,1] z) {
        s = Sigmoid (x) h = Gemm (s, w, b) y = Relu (h) z = MatMul (y, v) }"""
    stored = {"w": np.ones((3, 3), np.float32), "b": np.array([-3.1, -2.9, 0], np.float32)}
    model = parse(text, stored | {"v": np.ones((3, 1), np.float32)})
    pruned = analyzer.prune(model, PROBE, choice=Choice(evidence=Evidence.PROVEN), latency=False)
    assert removed(pruned) == (0,)
    wide = np.random.default_rng(0).normal(0, 30, (300, 3)).astype(np.float32)
    assert differs(model, pruned, wide) < 1e-5
    assert pruned.facts.domain is not None and pruned.facts.domain.samples == 128
    assert any("Inputs may be any number" in note for note in pruned.facts.notes)
    notes = {entry.key: entry.value for entry in onnx.load_from_string(pruned.data).metadata_props}
    assert notes[OWN_METADATA] == '"any"'
    again = analyzer.prove(pruned.data, PROBE, domain="model")
    assert again.facts.domain.source == "what the model's file says" and not again.facts.domain.ranges
    with pytest.raises(InputError, match="give a probe"):
        analyzer.prove(model)
    proof = analyzer.prove(model, PROBE)
    assert {unit.unit: unit.outcome for unit in proof.units if unit.claim is Claim.DEAD} == {
        0: Outcome.PROVEN,
        1: Outcome.OPEN,
    }
    assert proof.facts.tried == 0 and proof.facts.ended_by == ""
    assert any("no inputs were searched" in note for note in proof.facts.notes)
    proof.save_certificate(tmp_path / "certificate")
    assert analyzer.verify(model, tmp_path / "certificate").holds


def test_the_holdout_must_lie_in_the_domain_and_cannot_move_what_is_proven(model: onnx.ModelProto) -> None:
    outside, inside = PROBE[:4] + np.float32(0.5), np.ones((2, 3), np.float32)
    with pytest.raises(InputError, match="lies outside of the domain"):
        analyzer.audit(model, Data(PROBE, holdout=outside), domain="0:1")
    fitting = analyzer.audit(model, Data(PROBE, holdout=inside), domain="0:1", budget=20)
    assert next(layer for layer in fitting.layers if layer.value == "y").revived == (1, 7)
    unheld = analyzer.audit(model, Data(PROBE, holdout=inside), domain="probe-range")
    assert next(layer for layer in unheld.layers if layer.value == "y").proven == (0, 1, 6, 7)
    assert fitting.proof is not None
    units = tuple(replace(unit, outcome=Outcome.PROVEN) for unit in fitting.proof.units)
    wrong = replace(fitting.proof, facts=replace(fitting.proof.facts, units=units))
    with pytest.raises(ProofContradicted, match="the holdout moves it"):
        analyzer.audit(model, Data(PROBE, holdout=inside)).with_proof(wrong)


def test_a_layer_that_is_proven_to_be_always_on_may_be_merged() -> None:
    text = "g (float[n,6] x) => (float[n,2] z) { h = Gemm (x, w, b) y = Relu (h) z = Gemm (y, v, c) }"
    random = np.random.default_rng(5)
    stored = {
        "w": random.normal(size=(6, 6)).astype(np.float32), "b": np.full(6, 20, np.float32),
        "v": random.normal(size=(6, 2)).astype(np.float32), "c": np.zeros(2, np.float32),
    }  # fmt: skip
    probe = random.uniform(0, 1, (20, 6)).astype(np.float32)
    choice = Choice(evidence=Evidence.PROVEN, merge_linear=True)
    merged = analyzer.prune(parse(text, stored), probe, choice=choice, domain="0:1", budget=1, latency=False)
    assert merged.facts.removed_relus == ("y",) and merged.facts.proven and not merged.facts.observed
    wide = analyzer.prune(parse(text, stored), probe, choice=choice, domain="-100:100", budget=5, latency=False)
    assert not wide.facts.removed_relus
    by_data = Choice(merge_linear=True)
    moved = analyzer.prune(parse(text, stored), probe, choice=by_data, domain="-100:100", budget=5, latency=False)
    assert not moved.facts.removed_relus, "an input of the domain refutes it"
    seen = analyzer.prune(parse(text, stored), probe, choice=by_data, latency=False)
    assert seen.facts.removed_relus == ("y",) and seen.facts.observed and not seen.facts.proven


def test_evidence_without_a_proof_is_refused(model: onnx.ModelProto, audited: analyzer.Audit) -> None:
    plain = analyzer.audit(model, PROBE)
    for act in (plain.prune, plain.revive):
        with pytest.raises(InputError, match="state a domain"):
            act(choice=Choice(evidence=Evidence.PROVEN))
    with pytest.raises(InputError, match="there is no probe: give one"):
        analyzer.audit(model, domain="0:1")
    with pytest.raises(InputError, match="is moved by an input of the domain"):
        audited.prune(choice=Choice(units={"y": (1,)}), latency=False)
    assert audited.proof is not None
    with pytest.raises(InputError, match="about other claims"):
        analyzer.audit(model, PROBE[:20]).with_proof(audited.proof)


def test_a_proof_speaks_only_of_what_the_audit_claims(model: onnx.ModelProto, audited: analyzer.Audit) -> None:
    """The same data, judged so that nothing is dead: no unit becomes dead by a proof."""
    proof, layer = audited.proof, next(layer for layer in audited.layers if layer.value == "y")
    assert proof is not None
    alive = analyzer.LayerVerdicts.unseen(layer.audited)
    assert with_proofs(alive, proof.units).dead == () == with_proofs(alive, proof.units).proven_on
    of_layer, plain = [u for u in proof.units if u.value == "y"], analyzer.audit(model, PROBE)
    layer = next(layer for layer in plain.layers if layer.value == "y")
    assert with_proofs(layer, of_layer).proven == (0, 6)
    assert with_proofs(replace(layer, stays_at=layer.stays_at + 1), of_layer).proven == ()


def test_lossy_may_take_what_an_input_moves(audited: analyzer.Audit) -> None:
    pruned = audited.prune(lossy={"y": [1]}, latency=False)
    assert removed(pruned) == (0, 1, 3, 6)
    assert pruned.facts.lossy_units == {"y": (1,)} and pruned.facts.domain is None


def _net(random: np.random.Generator) -> tuple[onnx.ModelProto, np.ndarray[Any, Any]]:
    """Three layers of which units are at 0 or at 6 over [-1, 1], or near a corner of it only not, and a probe."""
    stored: dict[str, np.ndarray[Any, Any]] = {}
    lines, value, width = [], "x", 4
    for number in range(3):
        units = int(random.integers(4, 9))
        weights = random.normal(size=(width, units)).astype(np.float32)
        reach = np.abs(weights).sum(axis=0) * (1 if number == 0 else 6)  # what the sum can be, at most
        bias = random.normal(size=units).astype(np.float32)
        kind = random.integers(0, 4, units)
        bias = np.where(kind == 1, -1.05 * reach, np.where(kind == 2, 6 + 1.05 * reach, bias))
        bias = np.where((kind == 3) & (number == 0), -0.97 * reach, bias)
        stored |= {f"w{number}": weights, f"b{number}": bias.astype(np.float32)}
        lines.append(f"h{number} = Gemm ({value}, w{number}, b{number}) y{number} = Clip (h{number}, zero, six)")
        value, width = f"y{number}", units
    stored["v"] = random.normal(size=(width, 2)).astype(np.float32)
    constants = "zero = Constant <value: tensor = float {0}> () six = Constant <value: tensor = float {6}> ()"
    text = f"g (float[n,4] x) => (float[n,2] z) {{ {constants} {' '.join(lines)} z = MatMul ({value}, v) }}"
    return parse(text, stored), random.uniform(-0.5, 0.5, (60, 4)).astype(np.float32)


@pytest.mark.parametrize("seed", range(12))
def test_random_nets_cut_by_proof_are_the_same_at_every_corner_and_within(seed: int) -> None:
    random = np.random.default_rng(seed)
    model, probe = _net(random)
    pruned = analyzer.prune(
        model, probe, choice=Choice(evidence=Evidence.PROVEN), domain="-1:1", budget=1, latency=False
    )
    corners = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    inputs = np.concatenate([corners, random.uniform(-1, 1, (100, 4))]).astype(np.float32)
    assert sum(map(len, pruned.facts.removed_units.values())) > 0
    scale = float(np.abs(run(model, {"x": inputs})["z"]).max())
    assert differs(model, pruned, inputs) <= 1e-4 * scale
    for layer in pruned.audit.layers:
        values = run(shown_too(model, layer.value), {"x": inputs})[layer.value]
        moved = {unit for unit in layer.dead if np.ptp(np.append(values[:, unit], layer.stays_at[unit])) > 0}
        assert not moved & {*layer.proven, *layer.structural}


def shown_too(model: onnx.ModelProto, value: str) -> onnx.ModelProto:
    """The model with this value as an output."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if value != "z":
        shown.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))
    return shown
