"""`analyzer.prove`: what holds for every input of a domain, what an input refutes, and what is left open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.bounds.linear_bounds import LinearBounds
from analyzer.bounds.part_bounds import PartBounds
from analyzer.errors import InputError, ProofContradicted, RunError
from analyzer.facts.domain import Box
from analyzer.facts.proof import Claim, Method, Outcome
from tests.models import parse, run

# Of six units: 0 never fires on [0, 1], 1 only near the corner (1, 1, 1), 2 always does, 3 is at zero by its weights,
# 4 fires on the probe, 5 is always on for the probe and not at (0, 0, 0).
WEIGHTS = np.array([[-1, -1, -1], [1, 1, 1], [1, 0, 0], [0, 0, 0], [1, -1, 0], [1, 1, 1]], np.float32).T
BIAS = np.array([-1, -2.5, 2, -1, 0, -0.25], np.float32)
TEXT = "g (float[n,3] x) => (float[n,6] y) { h = Gemm (x, w, b) y = Relu (h) }"
STORED = {"w": WEIGHTS, "b": BIAS}
PROBE = np.random.default_rng(0).uniform(0.2, 0.6, (40, 3)).astype(np.float32)


def outcomes(proof: analyzer.Proof) -> dict[tuple[int, Claim], Outcome]:
    return {(unit.unit, unit.claim): unit.outcome for unit in proof.units}


def proven(model: onnx.ModelProto, data: Any = None, domain: Any = "0:1", **options: Any) -> analyzer.Proof:
    return analyzer.prove(model, PROBE if data is None else data, domain=domain, **options)


@pytest.fixture(scope="module")
def proof() -> analyzer.Proof:
    return proven(parse(TEXT, STORED))


def test_every_claim_is_settled_and_says_how(proof: analyzer.Proof) -> None:
    assert outcomes(proof) == {
        (0, Claim.DEAD): Outcome.PROVEN,
        (1, Claim.DEAD): Outcome.REFUTED,
        (2, Claim.ALWAYS_ON): Outcome.PROVEN,
        (3, Claim.DEAD): Outcome.PROVEN,
        (5, Claim.ALWAYS_ON): Outcome.REFUTED,
    }
    method = {unit.unit: unit.method for unit in proof.units}
    assert method[0] is method[2] is Method.INTERVALS
    assert method[3] is Method.WEIGHTS
    assert proof.facts.ended_by == ""
    assert proof.facts.domain.ranges == {"x": (0.0, 1.0)}


def test_bounds_hold_what_the_unit_can_give(proof: analyzer.Proof) -> None:
    bounds = {unit.unit: (unit.low, unit.high) for unit in proof.units}
    assert bounds[0] == pytest.approx((0, 0), abs=0)
    assert bounds[1] == pytest.approx((0, 0.5), abs=1e-4)
    assert bounds[2] == pytest.approx((2, 3), abs=1e-4)


def test_every_witness_does_in_onnxruntime_what_it_is_said_to(proof: analyzer.Proof) -> None:
    inputs = proof.witnesses["x"]
    assert len(inputs) == proof.facts.witnesses and (inputs >= 0).all() and (inputs <= 1).all()
    for unit in proof.units:
        if unit.witness is not None:
            value = run(parse(TEXT, STORED), {"x": inputs[unit.witness : unit.witness + 1]})["y"][0, unit.unit]
            assert value > 0 if unit.claim is Claim.DEAD else value == 0


def test_the_witnesses_are_a_probe_on_which_the_units_move(proof: analyzer.Proof, tmp_path: Path) -> None:
    (written,) = proof.save_witnesses(tmp_path / "found")
    assert written.name == "witnesses.npz"
    audit = analyzer.audit(parse(TEXT, STORED), written)
    refuted = {u.unit for u in proof.units if u.outcome is Outcome.REFUTED and u.claim is Claim.DEAD}
    assert refuted and not refuted & set(audit.layers[0].dead)


def test_the_same_seed_finds_the_same_and_another_one_may_not() -> None:
    first, again = (proven(parse(TEXT, STORED), seed=3) for _ in range(2))
    assert first.units == again.units
    assert (first.witnesses["x"] == again.witnesses["x"]).all()


def test_without_a_budget_only_bounds_and_weights_count() -> None:
    proof = proven(parse(TEXT, STORED), budget=0)
    assert not proof.facts.counts()[Outcome.REFUTED]
    assert outcomes(proof)[0, Claim.DEAD] is Outcome.PROVEN
    assert proof.facts.ended_by == "budget"


def test_without_a_probe_points_of_the_domain_stand_in() -> None:
    proof = analyzer.prove(parse(TEXT, STORED), domain={"x": (0, 1)})
    assert proof.facts.probe is None and proof.facts.drawn == 1000
    assert outcomes(proof) == {
        (0, Claim.DEAD): Outcome.PROVEN,
        (2, Claim.ALWAYS_ON): Outcome.PROVEN,
        (3, Claim.DEAD): Outcome.PROVEN,
    }


def test_a_union_is_proven_where_all_boxes_are() -> None:
    """Unit 1 fires in neither of these corners, though in the box around both it does."""
    corners = [{"x": [[0, 0, 0], [1, 1, 0.4]]}, {"x": [[0, 0, 0], [0.4, 1, 1]]}]
    low_probe = PROBE[PROBE.max(axis=1) <= 0.4]
    proof = proven(parse(TEXT, STORED), low_probe, corners)
    assert outcomes(proof)[1, Claim.DEAD] is Outcome.PROVEN
    assert proof.facts.domain.boxes == 2


def test_the_range_of_the_probe_is_conditional() -> None:
    proof = proven(parse(TEXT, STORED), domain="probe-range")
    assert proof.facts.domain.conditional
    assert outcomes(proof)[1, Claim.DEAD] is Outcome.PROVEN
    assert "CONDITIONAL" in proof.report()


def test_a_sample_outside_of_the_domain_is_named() -> None:
    outside = PROBE.copy()
    outside[17, 2] = 1.5
    with pytest.raises(InputError, match=r"Sample 17 of .* outside of the domain: x\[0, 2\] is 1.5, .* 0 to 1"):
        proven(parse(TEXT, STORED), outside)


def test_a_unit_behind_a_dead_layer_is_woken() -> None:
    """Nothing moves behind these units on the probe, and only what goes through them can move the last one."""
    text = "g (float[n,3] x) => (float[n,1] y) { h = Gemm (x, w, b) r = Relu (h) z = Gemm (r, v, c) y = Relu (z) }"
    first = np.array([[1, 1, 1], [1, -1, 1]], np.float32).T
    stored = {
        "w": first, "b": np.array([-2.7, -1.8], np.float32),
        "v": np.array([[4.0], [-1.0]], np.float32), "c": np.array([-0.8], np.float32),
    }  # fmt: skip
    proof = proven(parse(text, stored), domain="0:1")
    assert {u.value: u.outcome for u in proof.units if u.value == "y"} == {"y": Outcome.REFUTED}


# Two equal units less one another, times next to nothing: never above 0, and no bounds of the two alone show that.
EQUAL = """g (float[n,16] x) => (float[n,2] y) {
    h = MatMul (x, w) r = Relu (h) z = MatMul (r, v) a = Relu (z) y = MatMul (a, o) }"""
EQUAL_STORED = {
    "w": np.repeat(np.random.default_rng(1).standard_normal((16, 1)), 2, axis=1).astype(np.float32),
    "v": np.array([[2**-23, 1.0], [-(2**-23), 1.0]], np.float32), "o": np.array([[1.0, 0.0], [1.0, 1.0]], np.float32),
}  # fmt: skip
EQUAL_PROBE = np.random.default_rng(0).uniform(-1, 1, (40, 16)).astype(np.float32)


def test_a_unit_that_is_as_good_as_dead_is_negligible_with_its_number() -> None:
    proof = proven(parse(EQUAL, EQUAL_STORED), EQUAL_PROBE, {"x": (-1, 1)}, budget=20)
    (unit,) = (u for u in proof.units if (u.value, u.unit) == ("a", 0))
    most = float(np.abs(EQUAL_STORED["w"][:, 0]).sum()) * 2**-23
    assert unit.outcome is Outcome.NEGLIGIBLE and unit.witness is None
    assert unit.change is not None and unit.high is not None
    assert 0 < unit.high <= most * 1.01 and unit.high <= unit.change <= most * 1.02
    assert "1 negligible" in proof.report() and proof.to_dict()["totals"]["dead"]["negligible"] == 1


def test_rows_that_end_before_any_input_do_not_matter() -> None:
    """The root of a sum of squares ends rows: there is no corner of the inputs that they lead to."""
    text = """g (float[n,16] x) => (float[n,1] y) {
        s = ReduceL2<axes = [1], keepdims = 1> (x) h = Gemm (s, w, b) r = Relu (h) z = MatMul (r, v) y = Relu (z) }"""
    stored = {
        "w": np.ones((1, 2), np.float32), "b": np.full(2, -1, np.float32), "v": np.array([[1], [-1]], np.float32)
    }  # fmt: skip
    proof = proven(parse(text, stored, 17), EQUAL_PROBE, {"x": (-1, 1)}, budget=20)
    assert {u.value: u.outcome for u in proof.units}["y"] is Outcome.OPEN


def test_an_input_that_is_one_number_does_not_matter() -> None:
    text = EQUAL.replace("float[n,16] x)", "float[n,16] x, int64 k)")
    text = text.replace("y = MatMul (a, o)", "q = MatMul (a, o) c = Cast<to = 1> (k) y = Add (q, c)")
    proof = proven(parse(text, EQUAL_STORED), {"x": EQUAL_PROBE, "k": np.array(2)}, {"x": (-1, 1)}, budget=20)
    assert [u.outcome for u in proof.units if (u.value, u.unit) == ("a", 0)] == [Outcome.NEGLIGIBLE]


def test_what_is_not_small_beside_the_outputs_stays_open() -> None:
    large = EQUAL_STORED | {"v": EQUAL_STORED["v"] * np.array([2**23, 1], np.float32)}
    proof = proven(parse(EQUAL, large), EQUAL_PROBE, {"x": (-1, 1)}, budget=20)
    assert [u.outcome for u in proof.units if (u.value, u.unit) == ("a", 0)] == [Outcome.OPEN]


@pytest.mark.parametrize("batch", ["n", "1", "4"])
def test_models_with_fixed_batches_are_searched_as_well(batch: str) -> None:
    model = parse(TEXT.replace("[n,", f"[{batch},"), STORED)
    found = outcomes(proven(model))
    assert found[0, Claim.DEAD] is Outcome.PROVEN
    assert found[1, Claim.DEAD] is Outcome.REFUTED


def test_a_branch_that_reads_what_is_bounded_changes_nothing() -> None:
    text = """g (float[n,3] x, bool c) => (float[n,6] z) {
        h = Gemm (x, w, b) y = Relu (h)
        z = If (c) <then_branch = t () => (float[n,6] u) { u = Neg (y) },
                    else_branch = e () => (float[n,6] v) { v = Abs (h) }>
    }"""
    proof = proven(parse(text, STORED), {"x": PROBE, "c": np.array(True)})
    found = {unit.unit: unit.outcome for unit in proof.units if unit.value == "y" and unit.claim is Claim.DEAD}
    assert found == {0: Outcome.PROVEN, 1: Outcome.REFUTED, 3: Outcome.PROVEN}
    assert "c" not in proof.witnesses or proof.witnesses["c"].shape == ()


def test_an_input_without_samples_is_searched_one_by_one() -> None:
    text = "g (float[3] x) => (float[6] y) { h = MatMul (x, w) s = Add (h, b) y = Relu (s) }"
    found = outcomes(proven(parse(text, STORED)))
    assert found[0, Claim.DEAD] is Outcome.PROVEN
    assert found[1, Claim.DEAD] is Outcome.REFUTED


def test_channels_of_pictures_need_all_positions_and_witnesses_are_on_the_grid(tmp_path: Path) -> None:
    kernel = np.zeros((2, 1, 2, 2), np.float32)
    kernel[0], kernel[1] = 1, -1
    text = "g (float[n,1,8,8] x) => (float[n,2,9,9] y) { h = Conv<pads=[1,1,1,1]> (x, w, b) y = Relu (h) }"
    model = parse(text, {"w": kernel, "b": np.array([-3.2, -0.5], np.float32)})
    probe = np.random.default_rng(1).uniform(0, 0.5, (20, 1, 8, 8)).astype(np.float32)
    proof = analyzer.prove(model, probe, domain="0:1")
    assert outcomes(proof) == {(0, Claim.DEAD): Outcome.REFUTED, (1, Claim.DEAD): Outcome.PROVEN}
    grid = proof.witnesses["x"] * 255
    assert np.allclose(grid, np.round(grid), atol=1e-3)
    written = proof.save_witnesses(tmp_path)
    assert [path.name for path in written] == ["witnesses.npz", "witness_0.png"]
    from PIL import Image

    assert np.array_equal(np.asarray(Image.open(written[1])), np.round(grid[0, 0]).astype(np.uint8))


# |x0 - x1| over [0, 1]: never above 1, which intervals do not show, and lines do.
DISTANCE = """g (float[n,2] x) => (float[n,2] y) {
    h = Gemm (x, w) r = Relu (h) z = Gemm (r, v, c) y = Relu (z) }"""
APART = {
    "w": np.array([[1, -1], [-1, 1]], np.float32),
    "v": np.array([[1, -1], [1, -1]], np.float32),
    "c": np.array([-1.1, 1.1], np.float32),
}


# A tent over [0, 1]: x - 2 max(x - 0.3, 0) is never above 0.3, and lines that hold for all of it say 0.6, or 0.3.
TENT = {
    "w": np.array([[1, 1], [0, 0]], np.float32), "b": np.array([0, -0.3], np.float32),
    "v": np.array([[1, -1], [-2, 2]], np.float32), "c": np.array([-0.4, 0.4], np.float32),
}  # fmt: skip
# It rises once more, from 0.6 on, to 0.4: no lines say less than 0.5.
ZIGZAG = {
    "w": np.array([[1, 1, 1], [0, 0, 0]], np.float32), "b": np.array([0, -0.3, -0.6], np.float32),
    "v": np.array([[1, -1], [-2, 2], [2, -2]], np.float32), "c": np.array([-0.45, 0.45], np.float32),
}  # fmt: skip
TENT_TEXT = DISTANCE.replace("Gemm (x, w)", "Gemm (x, w, b)")
TENT_PROBE = np.array([[0.1, 0.2], [0.9, 0.3]], np.float32)


@pytest.mark.parametrize(
    ("text", "stored", "method"),
    [(DISTANCE, APART, Method.LINEAR), (TENT_TEXT, TENT, Method.SLOPES), (TENT_TEXT, ZIGZAG, Method.SPLITTING)],
    ids=["by lines", "by slopes", "in parts"],
)
def test_what_intervals_do_not_show_is_proven(
    text: str, stored: dict[str, Any], method: Method, tmp_path: Path
) -> None:
    proof = analyzer.prove(parse(text, stored), TENT_PROBE, domain="0:1")
    of_y = {(u.unit, u.claim): (u.outcome, u.method) for u in proof.units if u.value == "y"}
    assert of_y == {(0, Claim.DEAD): (Outcome.PROVEN, method), (1, Claim.ALWAYS_ON): (Outcome.PROVEN, method)}
    proof.save_certificate(tmp_path / "certificate")
    assert analyzer.verify(parse(text, stored), tmp_path / "certificate").holds


def test_what_fixed_slopes_nearly_show_is_proven_with_slopes_that_are_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear bounds say that the first unit of y is at most 2, and the best slopes say -2."""
    random = np.random.default_rng(4)
    w, a, v, b, u = (random.standard_normal(s).astype(np.float32) for s in ((6, 10), 10, (10, 10), 10, (10, 5)))
    text = """g (float[n,6] x) => (float[n,5] y) {
        h = Gemm (x, w, a) r = Relu (h) k = Gemm (r, v, b) s = Relu (k) z = Gemm (s, u, c) y = Relu (z) }"""
    shift = np.array([-5.8, 9, 9, 9, 9], np.float32)
    model = parse(text, {"w": w, "a": a * 0.3, "v": v, "b": b * 0.3, "u": u, "c": shift})
    probe = random.uniform(0, 0.5, (50, 6)).astype(np.float32)
    with monkeypatch.context() as patched:
        patched.setattr("analyzer.api.settling.SPLIT_UNTIL", 0)
        proof = analyzer.prove(model, probe, domain="0:0.5")
        (dead,) = (unit for unit in proof.units if unit.value == "y" and unit.claim is Claim.DEAD)
        assert dead.outcome is Outcome.PROVEN and dead.method is Method.SLOPES
        proof.save_certificate(tmp_path / "certificate")
    assert analyzer.verify(model, tmp_path / "certificate").holds
    monkeypatch.setattr("analyzer.api.bounding.SLOPE_TURNS", 0)
    assert not analyzer.verify(model, tmp_path / "certificate").holds


def test_what_a_part_of_the_domain_breaks_is_not_proven_in_parts() -> None:
    barely = APART | {"c": np.array([-0.9999, 0.9999], np.float32)}
    proof = analyzer.prove(parse(DISTANCE, barely), np.array([[0.1, 0.2], [0.9, 0.3]], np.float32), domain="0:1")
    assert {u.outcome for u in proof.units if u.value == "y"} == {Outcome.REFUTED}


def test_tokens_are_tried_although_they_have_no_gradient() -> None:
    table = np.array([[-1.0], [-2.0], [3.0], [-4.0]], np.float32)
    text = "g (int64[n,2] x) => (float[n,2,1] y) { e = Gather (t, x) y = Relu (e) }"
    probe = np.array([[0, 1], [1, 3]])
    proof = analyzer.prove(parse(text, {"t": table}), probe, domain="tokens")
    (unit,) = proof.units
    assert unit.outcome is Outcome.REFUTED
    assert 2 in proof.witnesses["x"]
    assert proof.witnesses["x"].dtype == np.int64


def bounding(low: Any, high: Any) -> Any:
    """Bounds of y, whatever the model and the domain are."""
    box = Box(*(np.broadcast_to(np.asarray(side, np.float32), (1, 6)) for side in (low, high)))

    @contextmanager
    def bounded(*_: Any) -> Iterator[Any]:
        yield lambda _: {"y": box}, []

    return bounded


def test_bounds_that_a_sample_contradicts_stop_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.api.settling.bounding", bounding(0, 1e-3))
    with pytest.raises(ProofContradicted, match="a bug of deadunits"):
        proven(parse(TEXT, STORED))


def test_a_proof_that_the_search_contradicts_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds hold what the probe shows, and not what other inputs do: of unit 1 as if it were dead."""
    monkeypatch.setattr("analyzer.api.settling.bounding", bounding(0, [1, 0, 9, 9, 9, 9]))
    with pytest.raises(ProofContradicted, match="Unit 1 of y is proven to be dead"):
        proven(parse(TEXT, STORED))


def test_bounds_that_are_no_numbers_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.api.settling.bounding", bounding(np.nan, np.nan))
    found = proven(parse(TEXT, STORED), budget=0)
    assert all(u.method is Method.WEIGHTS for u in found.units if u.outcome is Outcome.PROVEN)


def test_a_callers_mistakes_are_said() -> None:
    with pytest.raises(InputError, match="did you mean"):
        proven(parse(TEXT, STORED), domain="pixel")
    with pytest.raises(InputError, match="budget is -1"):
        proven(parse(TEXT, STORED), budget=-1)
    with pytest.raises(InputError, match="random"):
        analyzer.prove(parse(TEXT, STORED), analyzer.Data(random=5), domain="0:1")
    with pytest.raises(InputError, match="The size of 'x'"):
        analyzer.prove(parse(TEXT.replace("[n,3]", "[n,k]"), STORED), domain="0:1")
    with pytest.raises(InputError, match="no probe"):
        analyzer.audit(parse(TEXT, STORED)).prove(domain="0:1")
    with pytest.raises(InputError, match="can be read only once"):
        analyzer.prove(parse(TEXT, STORED), ({"x": row[np.newaxis]} for row in PROBE), domain="0:1")


def test_without_linear_bounds_the_rest_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """What onnxruntime refuses is told, and intervals, the search and the parts go on."""

    def refused(*_: Any, **__: Any) -> Any:
        raise RunError("onnxruntime cannot load the model: a rank.")

    monkeypatch.setattr(LinearBounds, "bounds", refused)
    proof = proven(parse(EQUAL, EQUAL_STORED), EQUAL_PROBE, {"x": (-1, 1)}, budget=5)
    assert any("a rank" in note for note in proof.facts.notes)
    assert all(unit.method not in (Method.LINEAR, Method.SLOPES) for unit in proof.units)
    assert proof.facts.tried


def test_without_rows_over_parts_the_rest_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise RunError("onnxruntime cannot load the model: a rank.")

    monkeypatch.setattr(PartBounds, "highest", refused)
    proof = analyzer.prove(parse(TENT_TEXT, ZIGZAG), TENT_PROBE, domain="0:1", budget=5)
    assert any("a rank" in note for note in proof.facts.notes)
    assert {unit.outcome for unit in proof.units if unit.value == "y"} == {Outcome.OPEN}
