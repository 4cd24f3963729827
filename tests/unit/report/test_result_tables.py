"""Layers and findings show themselves as tables, in an interpreter and in a notebook."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import analyzer
from analyzer.facts.findings import Finding, Severity
from analyzer.report.result_tables import Findings, Layers

KILLED = Path("sample_models/digits_mlp_killed")


@pytest.fixture(scope="module")
def audit() -> analyzer.Audit:
    return analyzer.audit(KILLED / "model.onnx", KILLED / "probe.npz", causes=False)


def test_layers_are_a_table(audit: analyzer.Audit) -> None:
    assert repr(audit.layers).splitlines()[:2] == [
        "layer                 op    units  dead  near-dead  saturated  dead share",
        "1 (/1/Relu_output_0)  Relu     64    51          1          0      79.7 %",
    ]
    assert max(map(len, repr(audit.layers).splitlines())) <= 80
    html = Layers(audit.layers)._repr_html_()
    assert html.count("<tr>") == 1 + len(audit.layers)
    assert "<td>1 (/1/Relu_output_0)</td><td>Relu</td><td>64</td><td>51</td>" in html


def test_they_are_tuples_all_the_same(audit: analyzer.Audit) -> None:
    assert audit.layers == audit.facts.layers
    assert audit.warnings == audit.facts.warnings
    assert repr(audit.layers[0]) == "<LayerVerdicts of 1 (/1/Relu_output_0): 51 of 64 units dead on 300 samples>"
    assert repr(Layers(())) == "()"


def test_findings_and_a_check_are_a_table(audit: analyzer.Audit) -> None:
    first, *others = repr(audit.warnings).splitlines()
    assert first.split() == ["severity", "code", "name", "where", "what"]
    assert others[0].startswith("warning   DU014  layer-mostly-dead  1 (/1/Relu_output_0)  51 of 64 units are dead")
    assert repr(audit.warnings[0]).startswith("<Finding DU014 layer-mostly-dead (warning), 1: 51 of 64 units")
    checked = analyzer.check(KILLED / "model.onnx", KILLED / "probe.npz", budgets={"max-dead": "5%"})
    headline, *table = repr(checked).splitlines()
    assert headline.endswith("failed, 4 findings>")
    assert table == repr(checked.findings).splitlines()
    page = checked._repr_html_()
    assert ">failed</b>: 1 error, 2 warnings, 1 note" in page and page.count("<tr") == 1 + len(checked.findings)


def test_names_from_files_are_shown_and_obeyed_nowhere(audit: analyzer.Audit) -> None:
    name = "<script>\x1b[31m" + "x" * 90
    layer = replace(audit.layers[0], audited=replace(audit.layers[0].audited, value=name, module=""))
    finding = Finding("DU001", "layer-dead", Severity.ERROR, "Dead.", value=name)
    for listing in (Layers([layer]), Findings([finding])):
        assert "\x1b" not in repr(listing)
        assert "<script>" not in listing._repr_html_()
        assert len(repr(listing).splitlines()[1]) < 120


def test_a_long_list_is_cut_and_says_so(audit: analyzer.Audit) -> None:
    many = Layers([audit.layers[0]] * 45)
    assert repr(many).splitlines()[-1] == "… 5 more"
    assert many._repr_html_().endswith("</table>… 5 more")
