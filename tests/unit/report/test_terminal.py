"""What a person sees, wide and narrow."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from analyzer.facts.audit import AuditFacts, LayerVerdicts, OperatorWithoutRule, Removable, TensorPlan
from analyzer.facts.judged import Judged, LeftOut, OperatorCount
from analyzer.facts.thresholds import PRESETS
from analyzer.report.audit.terminal import LAYERS_SHOWN, render
from tests.made import by_weights, facts, first_dead, layer, relu, seen, tanh


def shown(made: AuditFacts, width: int = 100, *, show_all: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    render(made, Console(file=stream, width=width), show_all=show_all, arguments="m.onnx --probe p.npz")
    stream.flush()
    return raw.getvalue().decode(encoding)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_answer_comes_first() -> None:
    text = squeezed(shown(facts()))
    assert "63 of 96 units are dead (65.6 %)" in text
    assert "5,874 parameters can go (90.7 %)" in text
    assert "each is alive on less than 0.829 % of inputs like these" in text
    assert text.index("63 of 96") < text.index("Layers") < text.index("What can go") < text.index("Next")


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_but_the_command_to_copy(width: int) -> None:
    for line in shown(facts(), width, show_all=True).splitlines():
        assert len(line) <= width or "deadunits explain" in line


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_ends_in_blanks(width: int) -> None:
    assert [line for line in shown(facts(), width, show_all=True).splitlines() if line != line.rstrip()] == []


def test_the_verdict_is_said_first() -> None:
    assert shown(facts()).startswith("suspicious: ")


def test_the_next_command_is_on_one_line() -> None:
    lines = shown(facts(), 40).splitlines()
    assert "  deadunits explain m.onnx --probe p.npz --unit /net/0/Relu_output_0:0" in lines


def test_reasons_are_added_up_and_the_largest_comes_first() -> None:
    text = squeezed(shown(facts()))
    assert "4 units residual-partner-alive in 1 layer" in text
    assert "would unlock most" in text
    assert text.index("residual-partner-alive") < text.index("graph-output")


def test_columns_without_an_entry_are_left_out() -> None:
    assert "saturated " not in shown(facts()).split("Layers")[1]
    saturated = layer(tanh(8), seen([-1] * 8, [1] * 8, low_samples=[100] * 8))
    assert "saturated" in shown(facts([saturated])).split("Layers")[1]


def test_without_a_terminal_that_knows_blocks_bars_are_plain() -> None:
    text = shown(facts(), encoding="ascii")
    assert "####" in text
    assert "█" not in text


def test_many_layers_are_cut_and_all_shows_them() -> None:
    layers = [first_dead(8, 1 + i % 3, f"layer{i}") for i in range(LAYERS_SHOWN + 5)] + [first_dead(8, 0, "alive")]
    assert "5 more and 1 without dead units not shown" in shown(facts(layers))
    everything = shown(facts(layers), show_all=True)
    assert all(one.value in everything for one in layers)


def test_warnings_of_one_kind_are_cut_and_all_shows_them() -> None:
    layers = [first_dead(8, 8, f"layer{i}") for i in range(9)]
    made = facts(layers)
    text = squeezed(shown(made))
    assert "DU001 9 of these, the worst (--all): - layer" in text
    assert text.count("All 8 units of the layer are dead") == 1 + 3  # the verdict, and the worst
    assert "layer8: All 8 units of the layer are dead" in squeezed(shown(made, show_all=True))


def test_random_data_is_said_where_the_probe_is_named() -> None:
    probe = facts().probe
    assert probe is not None
    made = facts(probe=replace(probe, random=True))
    assert "RANDOM DATA" in shown(made)
    assert "deadunits audit m.onnx" in shown(made) or "--probe DATA" in shown(made)


def test_without_a_probe_the_next_step_is_to_give_one() -> None:
    text = squeezed(shown(facts(probe=None)))
    assert "only the weights were looked at" in text
    assert "--probe DATA" in text


def test_what_the_weights_decide_holds_for_any_input() -> None:
    dead = by_weights(first_dead(8, 2, "relu"), 0, 1)
    text = squeezed(shown(facts([dead])))
    assert "2 units dead by the weights alone, for every input that stays finite on the way" in text
    assert "no change beyond rounding for any input that stays finite on the way" in text


@pytest.mark.parametrize(
    ("layers", "advice"),
    [
        ([first_dead(8, 0, "relu")], "nothing to remove"),
        ([replace(first_dead(8, 0, "relu"), nonfinite=tuple(range(8)))], "find what makes NaN or infinity"),
        ([first_dead(8, 1, "relu")], "see why a unit is dead"),
        ([first_dead(8, 8, "relu")], "check the probe's preprocessing"),
        ([replace(first_dead(8, 1, "relu"), revived=(0,))], "put probe and holdout into one data set"),
        ([first_dead(8, 1, "relu", samples=5)], "give more samples"),
    ],
)
def test_the_next_step_fits_what_was_found(layers: list[LayerVerdicts], advice: str) -> None:
    probe = facts().probe
    assert probe is not None
    probe = replace(probe, samples=layers[0].samples)
    made = facts(layers, probe=probe, holdout=probe, removable=Removable(0, 0.0, 0, 0.0, ()))
    assert advice in squeezed(shown(made))


def test_what_nothing_reads_can_go_although_no_unit_is_dead() -> None:
    text = squeezed(shown(facts([first_dead(8, 0, "relu")], warnings=())))
    assert "5,874 parameters can go" in text
    assert "nothing to remove" not in text
    assert "deadunits prune" in text


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_definition_used_is_stated(preset: str) -> None:
    assert f"preset {preset}: near-dead" in squeezed(shown(facts(thresholds=PRESETS[preset])))


def test_names_from_the_file_cannot_steer_the_terminal() -> None:
    name = "\x1b[31mred[bold]:smile:[/bold]"
    plan = TensorPlan(name, (4,), (2,), 2, ((0, 1),))
    made = facts([layer(relu(4, name, name), seen([0] * 4, [0] * 4))], removable=Removable(2, 0.5, 0, 0.0, (plan,)))
    text = shown(made, 200, show_all=True)
    assert "\x1b" not in text
    assert "[31mred[bold]:smile:[/bold]" in text


def test_numbers_are_not_cut_where_columns_are_few() -> None:
    always_on = layer(relu(64, "/model/encoder/layers.1/Relu_output_0"), seen([0] * 13 + [1] * 51, [0] * 13 + [2] * 51))
    saturated = layer(tanh(4), seen([1, -1, -0.5, -1], [1, -1, 0.5, 1], 360, low_samples=[0, 0, 0, 359]))
    table = shown(facts([always_on, saturated]), 80).split("Layers\n")[1].split("\n\n")[0]
    assert table.split("\n")[0].split() == ["layer", "op", "units", "dead", "saturated", "always-on"]
    assert [line.split()[-1] for line in table.split("\n")[1:3]] == ["%", "%"]
    assert not [word for line in table.split("\n") for word in line.split()[1:] if word.endswith("…")]


@pytest.mark.parametrize("width", [80, 200])
def test_a_layer_has_both_its_names(width: int) -> None:
    made = facts([layer(relu(4, "relu_3", "encoder.layer.0.act"), seen([0] * 4, [0] * 4))])
    table = shown(made, width).split("Layers")[1]
    lines = [line.split()[0] for line in table.splitlines() if "encoder" in line or "relu_3" in line]
    assert lines[:2] == ["encoder.layer.0.act", "relu_3"]
    assert "DU001 encoder.layer.0.act (relu_3): " in squeezed(shown(made, width))


LITTLE = Judged(
    *(1000, 100, 50, 40, 3, 1, 2),
    left_out=(
        LeftOut("laid out in blocks", (OperatorCount("Conv", 11), OperatorCount("Add", 2)), 900, 10, 1),
        LeftOut("a subgraph", (OperatorCount("If", 1),), None, 0, 1),
    ),
)


def test_what_was_not_judged_stands_in_the_headline() -> None:
    text = squeezed(shown(facts([first_dead(8, 0, "relu")], judged=LITTLE)))
    head = text.partition("Warnings")[0]
    assert "0 of 8 units are dead (0 %) in what was judged" in head
    assert "judged: at most 10 % of multiply-adds, 80 % of parameters, 1 of 3 activations" in head
    assert "left out: 11 Conv, 2 Add (900 multiply-adds, 10 parameters): laid out in blocks" in head
    assert "left out: 1 If (multiply-adds not counted): a subgraph" in head
    assert "at least 1,000 multiply-adds" in head
    assert "deadunits explain DU031" in text
    assert "in use on this probe" not in text


def test_operators_without_a_rule_are_listed_by_what_they_cost() -> None:
    operators = (
        OperatorWithoutRule("LSTM", 2, "no rule", 5000, 30),
        OperatorWithoutRule("Range", 3, "no rule", 0, 0),
    )
    text = squeezed(shown(facts(operators_without_rule=operators)))
    assert "LSTM (2 nodes, 5,000 multiply-adds, 30 parameters): no rule" in text
    assert "Range" not in text
    assert "1 that cost nothing not shown (--all)" in text
    assert "Range (3 nodes, no cost)" in squeezed(shown(facts(operators_without_rule=operators), show_all=True))
    assert "Operators without a rule" not in shown(facts(operators_without_rule=operators[1:]))


def test_a_holdout_that_revives_nothing_is_said() -> None:
    probe = facts().probe
    dead = first_dead(8, 2, "relu")
    assert "the holdout (360 samples) revives none of them" in squeezed(shown(facts([dead], holdout=probe)))
    woken = replace(dead, revived=(0,))
    assert "revives none" not in shown(facts([woken], holdout=probe))
    assert "revives none" not in shown(facts([dead]))
