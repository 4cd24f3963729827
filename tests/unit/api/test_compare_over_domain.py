"""Comparisons over a domain: what died and revived for certain, and what is dead on the probe only."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Evidence
from analyzer.errors import InputError, ProofContradicted
from tests.models import parse, run
from tests.promised import satisfies
from tests.unit.api.test_over_domain import EVERYWHERE, PROBE, STORED, TEXT, shown_too
from tests.wrong_proofs import all_dead_proven

#: Of the same units, 4 and 5 die and 0 and 1 revive on the probe; over [0, 1] 4 and 7 die, and 0 and 6 revive.
LATER = STORED | {"b": np.array([2, -1, 2, -1, -3, -2, 5.65, 10], np.float32)}


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return parse(TEXT, STORED)


@pytest.fixture(scope="module")
def compared(model: onnx.ModelProto) -> analyzer.Compared:
    later = parse(TEXT, LATER)
    return analyzer.compare([model, later], PROBE, labels=["Then", "Now"], domain="0:1", budget=20)


def test_what_died_and_revived_has_evidence_where_it_is_dead(compared: analyzer.Compared) -> None:
    (layer,) = (layer for layer in compared.layers if layer.value == "y")
    change, certain = layer.change(), layer.for_every_input()
    assert change is not None and (change.died, change.revived, change.stayed) == ((4, 5), (0, 1), (3, 6, 7))
    assert layer.shown_by(change.died, -1) == {Evidence.PROVEN: (4,), Evidence.REFUTED: (5,)}
    assert layer.shown_by(change.revived, 0) == {Evidence.PROVEN: (0,), Evidence.REFUTED: (1,)}
    assert certain is not None and (certain.died, certain.revived, certain.stayed) == ((4, 7), (0, 6), (3,))
    assert compared.facts.for_every_input() == (2, 2)


def test_what_changed_for_certain_did_so_at_the_corners(compared: analyzer.Compared, model: onnx.ModelProto) -> None:
    """Moved by an input in the one model, by none in the other."""
    corners = np.array(np.meshgrid(*[[0, 1]] * 3), np.float32).reshape(3, -1).T
    inputs = np.concatenate([corners, PROBE, EVERYWHERE])
    moves = []
    for one in (model, parse(TEXT, LATER)):
        values = run(shown_too(one, "y"), {"x": inputs})["y"]
        moves.append({int(unit) for unit in np.flatnonzero(np.ptp(values, axis=0))})
    certain = next(layer for layer in compared.layers if layer.value == "y").for_every_input()
    assert certain is not None
    assert {*certain.died} <= moves[0] - moves[1] and {*certain.revived} <= moves[1] - moves[0]
    assert {*certain.stayed}.isdisjoint(moves[0] | moves[1])


def test_every_report_of_a_comparison_says_what_holds_over_the_domain(compared: analyzer.Compared) -> None:
    said = "For every input of the domain 2 died and 2 revived for certain"
    text, page = compared.report(), compared.report("html")
    for shown in (" ".join(text.split()), page, compared._repr_html_(), compared.report("svg")):
        assert said in shown and "1 of those that died on the probe" in shown
    squeezed = " ".join(text.split())
    assert "y died 4 proven; 5 refuted" in squeezed and "y revived 0 proven; 1 refuted" in squeezed
    assert "Domain: from 0 to 1 (x 0 to 1)" in squeezed
    assert "stayed dead, in Now 1 1 · 1" in squeezed and "Stayed dead, in Now" in page
    document = compared.to_dict()
    satisfies("compare", document)
    assert document["over_domain"] == {
        "died": {"structural": 0, "proven": 1, "observed": 0, "refuted": 1},
        "revived": {"structural": 0, "proven": 1, "observed": 0, "refuted": 1},
        "stayed_then": {"structural": 1, "proven": 1, "observed": 0, "refuted": 1},
        "stayed_now": {"structural": 1, "proven": 1, "observed": 0, "refuted": 1},
        "died_for_certain": 2,
        "revived_for_certain": 2,
    }
    layer = next(layer for layer in document["layers"] if layer["value"] == "y")
    assert layer["evidence"][1] == {"structural": [3], "proven": [4, 7], "refuted": [5, 6]}
    assert document["runs"][0]["proof"]["totals"]["dead"]["refuted"] == 2


def test_a_comparison_without_a_domain_says_nothing_of_one(model: onnx.ModelProto) -> None:
    plain = analyzer.compare([model, parse(TEXT, LATER)], PROBE)
    document = plain.to_dict()
    assert document["over_domain"] is None and document["runs"][0]["proof"] is None
    assert all(layer["evidence"] == [] and layer["for_certain"] is None for layer in document["layers"])
    assert not any("domain" in shown for shown in (plain.report(), plain._repr_html_()))
    assert next(layer for layer in plain.layers if layer.value == "y").shown_by((0, 1), 0) == {}


def test_runs_of_different_domains_are_said_to_be_so(model: onnx.ModelProto) -> None:
    """The range of each probe is another one: what one moves is no contradiction to what holds in the other."""
    wide = np.ones((2, 3), np.float32)
    compared = analyzer.compare(model, probes=[PROBE, np.concatenate([PROBE, wide])], domain="probe-range", budget=5)
    text = " ".join(compared.report().split())
    assert "the runs have different domains" in text and "CONDITIONAL" in text
    with pytest.raises(InputError, match="lies outside of the domain"):
        analyzer.compare(model, probes=[PROBE, wide + 1], domain="0:1", budget=0)


def test_a_proof_of_one_run_that_another_run_contradicts_ends_the_comparison(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_dead_proven(monkeypatch)
    probes = [PROBE, np.concatenate([PROBE, np.ones((1, 3), np.float32)])]
    with pytest.raises(ProofContradicted, match="Unit 1 of y is proven to be dead in one run and moves in another"):
        analyzer.compare(model, probes=probes, domain="0:1", budget=0)
