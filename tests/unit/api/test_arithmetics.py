"""What proofs hold for: single precision, TensorFloat, halves, or the formulas, and what each is good for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.errors import InputError, ProofContradicted
from analyzer.facts.proof import ARITHMETICS, Outcome
from tests.models import parse
from tests.unit.api.test_prove import EQUAL, EQUAL_PROBE, EQUAL_STORED, PROBE, STORED, TEXT, bounding


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arithmetics") / "model.onnx"
    onnx.save(parse(TEXT, STORED), path)
    return path


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_proof_says_for_which_arithmetic_it_holds(model: Path, tmp_path: Path, arithmetic: str) -> None:
    """Unit 0 stays 1 below zero; where numbers keep 11 bits it may come a little closer."""
    path = tmp_path / "certificate"
    proof = analyzer.prove(model, PROBE, domain="0:1", arithmetic=arithmetic)
    proof.save_certificate(path)
    assert proof.facts.arithmetic == arithmetic and ARITHMETICS[arithmetic] in " ".join(proof.report().split())
    verified = analyzer.verify(model, path)
    assert verified.holds and verified.facts.arithmetic == arithmetic
    assert ARITHMETICS[arithmetic] in " ".join(verified.report().split())
    high = next(u.high for u in proof.units if u.unit == 2)
    assert high is not None and (high > 3.001) == (arithmetic in ("tf32", "float16"))


def test_a_margin_that_single_precision_keeps_may_be_none_in_halves(tmp_path: Path) -> None:
    """A unit that stays 1e-3 below zero: halves are a thousandth of the sum's terms apart."""
    tight = parse(TEXT, STORED | {"b": np.array([-1, -3.001, 2, -1, 0, -0.25], np.float32)})
    found = {
        arithmetic: {u.unit: u.outcome for u in analyzer.prove(tight, PROBE, domain="0:1", arithmetic=arithmetic).units}
        for arithmetic in ARITHMETICS
    }
    assert [found[arithmetic][1] is Outcome.PROVEN for arithmetic in ARITHMETICS] == [True, False, False, True]
    assert all(units[0] is Outcome.PROVEN for units in found.values())


def test_what_may_overflow_in_halves_is_said() -> None:
    """Bounds hold as long as nothing passes 65,504; where they do not say that, the report does."""
    large = parse(TEXT, STORED | {"b": STORED["b"] + np.array([0, 0, 65600, 0, 0, 0], np.float32)})
    proof = analyzer.prove(large, PROBE, domain="0:1", arithmetic="float16", budget=1)
    assert any("1 value may pass 65,504 by the bounds, first y" in note for note in proof.facts.notes)
    single = analyzer.prove(large, PROBE, domain="0:1", budget=1)
    assert not any("65,504" in note or "float16" in note for note in single.facts.notes)


def test_what_is_proven_of_formulas_may_be_moved_by_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the formulas kept unit 1 at 0: neither an input that moves it nor a sample beyond contradicts them."""
    monkeypatch.setattr("analyzer.api.settling.bounding", bounding(0, [1, 0, 9, 9, 9, 9]))
    with pytest.raises(ProofContradicted):
        analyzer.prove(parse(TEXT, STORED), PROBE, domain="0:1")
    proof = analyzer.prove(parse(TEXT, STORED), PROBE, domain="0:1", arithmetic="real")
    assert "1 claim proven in real numbers, and refuted in single precision by its rounding." in proof.facts.notes
    monkeypatch.setattr("analyzer.api.settling.bounding", bounding(0, 1e-3))
    with pytest.raises(ProofContradicted):
        analyzer.prove(parse(TEXT, STORED), PROBE, domain="0:1", budget=0)
    analyzer.prove(parse(TEXT, STORED), PROBE, domain="0:1", arithmetic="real", budget=0)


def test_nothing_rests_on_formulas_alone(model: Path) -> None:
    audited = analyzer.audit(model, PROBE)
    with pytest.raises(InputError, match="none for what a runtime computes"):
        audited.with_proof(audited.prove(domain="0:1", arithmetic="real", budget=0))
    halves = audited.with_proof(audited.prove(domain="0:1", arithmetic="float16", budget=0))
    assert next(layer for layer in halves.layers if layer.value == "y").proven == (0,)


def test_a_model_of_halves_is_bounded_in_halves_alone() -> None:
    text, stored = (
        TEXT.replace("float[", "float16["),
        {name: array.astype(np.float16) for name, array in STORED.items()},
    )
    claims = {
        arithmetic: analyzer.prove(parse(text, stored), PROBE.astype(np.float16), domain="0:1", arithmetic=arithmetic)
        for arithmetic in ("float32", "float16")
    }
    proven = {a: {u.unit for u in p.units if u.outcome is Outcome.PROVEN} for a, p in claims.items()}
    assert proven["float32"] <= {3} and proven["float16"] >= {0, 2, 3}


def test_linear_bounds_are_not_for_halves() -> None:
    found = {
        arithmetic: analyzer.prove(
            parse(EQUAL, EQUAL_STORED), EQUAL_PROBE, domain={"x": (-1, 1)}, budget=2, arithmetic=arithmetic
        )
        for arithmetic in ("float32", "float16")
    }
    said = "No linear bounds are computed for float16: only intervals were."
    assert [said in proof.facts.notes for proof in found.values()] == [False, True]
