"""Findings about the data itself, by their severity; a check never passes on data that is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.facts.budgets import budgets_of
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.probe_condition import InputCondition, LabelsInData, ProbeCondition
from analyzer.gate import judge
from tests.made import facts, first_dead
from tests.models import Array, parse

RNG = np.random.default_rng(8)
CODES = ("DU032", "DU033", "DU034", "DU035", "DU036")
INPUT = InputCondition("x", floats=True, nonfinite=0, empty=False, constant=False)
SOUND = ProbeCondition(samples=360, nonfinite=0, distinct=360, compared=360, inputs=(INPUT,))


def found(budgets: dict[str, Any] | None = None, **condition: Any) -> dict[str, Severity]:
    audit = facts((first_dead(8, 0, "a"),), warnings=())
    assert audit.probe is not None
    data = analyzer.ProbeSummary("p", 360, "", condition=ProbeCondition(**{**fields(SOUND), **condition}))
    audit = type(audit)(**{**fields(audit), "probe": data})
    return {f.code: f.severity for f in judge(audit, budgets_of(budgets or {})).findings if f.code in CODES}


def fields(instance: Any) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in type(instance).__dataclass_fields__}


def entry(**changed: Any) -> dict[str, Any]:
    return {"inputs": (InputCondition(**{**fields(INPUT), **changed}),)}


def test_sound_data_is_no_finding() -> None:
    assert found() == {}


def test_nan_is_an_error_where_nothing_else_is_there_or_budgets_are_asked_about() -> None:
    assert found(**entry(nonfinite=3)) == {"DU032": Severity.WARNING}
    assert found(**entry(nonfinite=360)) == {"DU032": Severity.WARNING}  # an imputer may take that
    assert found({"max-dead": 5}, **entry(nonfinite=3)) == {"DU032": Severity.WARNING}
    assert found({"max-dead": 5}, **entry(nonfinite=360)) == {"DU032": Severity.ERROR}
    assert found(**entry(nonfinite=360, empty=True)) == {"DU032": Severity.ERROR}


def test_constant_inputs() -> None:
    assert found(**entry(constant=True)) == {"DU033": Severity.WARNING}
    assert found(**entry(constant=True, floats=False)) == {"DU033": Severity.NOTE}
    still = {"still": (1, 2), "features": 4}
    assert found(**entry(**still)) == {"DU033": Severity.NOTE}
    assert found(**entry(**still, layered=True)) == {"DU033": Severity.WARNING}
    assert found(**entry(constant=True), compared=1, distinct=1, samples=1) == {}  # one sample shows nothing


def test_labels() -> None:
    assert found(labels=(LabelsInData("y", column=False, fed=False),)) == {"DU035": Severity.NOTE}
    assert found(labels=(LabelsInData("label", column=True, fed=True),)) == {"DU035": Severity.WARNING}


def test_all_that_is_no_input_is_one_finding() -> None:
    others = tuple(LabelsInData(f"c{n}", column=True, fed=False, alike=False) for n in range(50))
    audit = facts((first_dead(8, 0, "a"),), warnings=())
    condition = ProbeCondition(**{**fields(SOUND), "labels": (LabelsInData("y", column=True, fed=False), *others)})
    audit = type(audit)(**{**fields(audit), "probe": analyzer.ProbeSummary("p", 360, "", condition=condition)})
    findings = [f for f in judge(audit, budgets_of({})).findings if f.code == "DU035"]
    assert [f.value for f in findings] == ["y", ""]
    assert findings[1].message == (
        "Left out, as the model has no such inputs: c0, c1, c2, c3, c4, c5, c6, c7 and 42 more."
    )
    assert findings[1].severity is Severity.NOTE


def test_repeated_samples() -> None:
    assert found(distinct=359) == {"DU036": Severity.NOTE}
    assert found(distinct=100) == {"DU036": Severity.WARNING}
    assert found({"min-samples": 200}, distinct=100)["DU036"] is Severity.ERROR
    assert found({"min-samples": 100}, distinct=100)["DU036"] is Severity.WARNING
    assert found({"min-samples": 200}, distinct=100, compared=300)["DU036"] is Severity.WARNING  # of 60 nobody knows


MODEL = parse(
    "g (float[n, 3, 8, 8] x) => (float[n, 4] y) { c = Conv(x, k) r = Relu(c) p = GlobalMaxPool(r) y = Flatten(p) }",
    {"k": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)},
)
IMAGES = RNG.normal(size=(70, 3, 8, 8)).astype(np.float32)


def findings(data: Array | analyzer.Data) -> list[Finding]:
    source = data if isinstance(data, analyzer.Data) else {"x": data}
    return [w for w in analyzer.audit(MODEL, source, causes=False).warnings if w.code in CODES]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_check_never_passes_on_data_that_is_not_finite(broken: float) -> None:
    data = np.full_like(IMAGES, broken)
    for budgets in ({}, {"max-dead": "50%"}, {"ignore": ["DU002"]}):
        result = analyzer.check(MODEL, {"x": data}, budgets=budgets)
        assert not result.passed
        assert "DU032" in {f.code for f in result.findings if f.severity is Severity.ERROR}
        assert "NaN or infinity" in result.report("markdown").splitlines()[2]


@pytest.mark.parametrize("command", ["terminal", "html"])
def test_the_headline_claims_no_health_from_such_data(command: str) -> None:
    text = analyzer.audit(MODEL, {"x": np.full_like(IMAGES, np.nan)}, causes=False).report(command)
    assert "showed NaN or infinity and got no verdict" in " ".join(text.split())
    swallowed: onnx.ModelProto = parse(
        "g (float[n, 3] x) => (float[n, 3] y) { i = IsNaN(x) z = Where(i, s, x) y = Relu(z) }",
        {"s": RNG.normal(size=(1, 3)).astype(np.float32)},
    )
    rows = RNG.normal(size=(70, 3)).astype(np.float32)
    rows[:, 0] = np.nan
    text = analyzer.audit(swallowed, {"x": rows}, causes=False).report(command)
    assert "NaN or infinity in every sample" in " ".join(text.split())


def test_channels_are_found_through_the_model() -> None:
    data = IMAGES.copy()
    data[:, 2] = 0.5
    (told,) = findings(data)
    assert (told.name, told.value, told.units, "1 of 3 channels" in told.message) == ("input-constant", "x", (2,), True)


def test_of_drawn_data_nothing_is_said() -> None:
    assert findings(analyzer.Data(random=70)) == []
