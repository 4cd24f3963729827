"""What a notebook shows of an audit."""

from __future__ import annotations

from dataclasses import replace

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


def test_an_audit_of_nothing_is_shown() -> None:
    assert "0 of 0 units" in render_snippet(replace(made.facts(), layers=()))


def test_how_much_was_judged_is_shown() -> None:
    assert "judged: 100 % of multiply-adds" in render_snippet(made.facts())
