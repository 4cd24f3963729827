"""What a notebook shows of an audit."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

import analyzer
from analyzer.facts.proof import Outcome
from analyzer.report.notebook import LAYERS_SHOWN, render_snippet
from tests import made
from tests.deep import deep


def test_it_is_a_table_without_scripts_or_anything_from_elsewhere() -> None:
    shown = render_snippet(made.facts())
    assert "63 of 96 units are dead" in shown
    assert "<table" in shown
    assert not {"<script", "<link", "src=", "http"} & set(shown.split())


def test_a_deep_network_shows_the_layers_that_tell_most() -> None:
    facts, _ = deep(200)
    shown = render_snippet(facts)
    assert shown.count("<tr>") == LAYERS_SHOWN + 1
    worst = max(facts.layers, key=lambda layer: layer.dead_share)
    assert worst.value in shown
    assert f"{200 - LAYERS_SHOWN} more layers" in shown


def test_names_never_become_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    plain = made.of_module(made.first_dead(8, 3, evil), evil)
    assert "<img" not in render_snippet(made.facts([plain]))


def test_a_layer_has_both_its_names() -> None:
    shown = render_snippet(made.facts([made.of_module(made.first_dead(8, 3, "relu_3"), "layers.0.act")]))
    assert 'title="layers.0.act (relu_3)"' in shown


def test_an_audit_without_data_says_so() -> None:
    assert "the weights alone" in render_snippet(made.facts(probe=None))


def test_what_holds_over_a_domain_is_shown() -> None:
    layer = made.with_evidence(made.first_dead(8, 4, "relu"), structural=(0,), proven=(1,), refuted=(2,))
    outcomes = (Outcome.PROVEN, Outcome.PROVEN, Outcome.REFUTED, Outcome.OPEN)
    shown = render_snippet(made.facts([layer], proof=made.proof(conditional=True, outcomes=outcomes)))
    assert "dead over the domain pixels (x 0 to 1) (CONDITIONAL): 2 proven, 1 refuted, 1 open" in shown
    assert "1 proven, 1 refuted</span>" in shown


def test_an_audit_of_nothing_is_shown() -> None:
    assert "0 of 0 units" in render_snippet(replace(made.facts(), layers=()))


def test_how_much_was_judged_is_shown() -> None:
    assert "judged: 100 % of multiply-adds" in render_snippet(made.facts())


class Shown:
    """What IPython's `display` was given, and how it was changed since."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def display(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Shown:
        self.texts.append(content["text/plain"])
        return self

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        self.texts.append(content["text/plain"])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """A process that is a notebook's, as far as it can be seen, in which all work takes long."""

    class ZMQInteractiveShell:
        pass

    class Colab(ZMQInteractiveShell):
        pass

    shown = Shown()
    module = ModuleType("IPython")
    vars(module).update(get_ipython=Colab, display=SimpleNamespace(display=shown.display))
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr("analyzer.report.notebook_progress.PATIENCE", 0.0)
    monkeypatch.setattr("analyzer.report.notebook_progress._PAUSE", 0.0)
    return shown


def test_a_notebook_shows_progress_by_itself_and_keeps_none_of_it(notebook: Shown) -> None:
    analyzer.audit("sample_models/digits_mlp/model.onnx", "sample_models/digits_mlp/probe.npz")
    assert notebook.texts[0].startswith("running the probe: ")
    assert "running the probe: 300 of 300 samples" in notebook.texts
    assert notebook.texts[-1] == ""


def test_progress_of_the_callers_own_is_the_only_one(notebook: Shown) -> None:
    stages: list[str] = []
    analyzer.audit(
        "sample_models/digits_mlp/model.onnx",
        "sample_models/digits_mlp/probe.npz",
        progress=lambda stage, *_: stages.append(stage),
    )
    assert stages
    assert notebook.texts == []


def test_elsewhere_nothing_is_shown(notebook: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    analyzer.audit("sample_models/digits_mlp/model.onnx", "sample_models/digits_mlp/probe.npz", causes=False)
    assert notebook.texts == []
