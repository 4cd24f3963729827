"""What is printed in narrow and in wide terminals, with long names: no number is cut, and lines end clean."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from analyzer.facts.audit import AuditFacts, LayerVerdicts, Locked, OperatorWithoutRule, ProbeSummary, TensorPlan
from analyzer.facts.budgets import budgets_of
from analyzer.facts.experts import RoutedExperts
from analyzer.facts.history import Course, Descent, Narrowed, course_of
from analyzer.facts.wording import number, share
from analyzer.gate import judge
from analyzer.gate.catalogue import kind_named
from analyzer.report import explain
from analyzer.report.audit import terminal as audit
from analyzer.report.audit.layer_table import LEAST_BAR
from analyzer.report.check import terminal as check
from analyzer.report.compare import terminal as compare
from analyzer.report.console import Column, fitting, indented, put, room_for_names, table_of
from analyzer.report.prune import terminal as prune
from tests import made
from tests.gated import baseline, was
from tests.made_pruned import pruned
from tests.snapshots.stored import is_what_it_was

SNAPSHOTS = Path(__file__).parents[2] / "snapshots" / "widths"
WIDTHS = (60, 80, 120)
PATH = "/srv/experiments/2026-11-resnet-width-sweep/checkpoints/model.onnx"


def module(index: int) -> str:
    return f"backbone.stages.{index // 2}.blocks.{index % 2}.feed_forward.activation_function"


def value(index: int) -> str:
    return f"/{module(index).replace('.', '/')}/Relu_output_0"


def layers(dead: int = 12) -> list[LayerVerdicts]:
    """Six wide layers under names that differ in their middle only."""
    found = []
    for index in range(6):
        units = 2048 if index == 3 else 64
        layer = made.first_dead(units, (dead * index) % (units + 1), value(index))
        alive = [unit for unit in range(units) if unit not in layer.dead]
        layer = replace(layer, near_dead=tuple(alive[:1]), saturated=tuple(alive[1:3]), always_on=tuple(alive[3:4]))
        found.append(made.of_module(replace(layer, revived=layer.dead[:2]), module(index)))
    return found


def facts() -> AuditFacts:
    base = made.facts()
    tensors = tuple(
        TensorPlan(f"{module(i)}.weight", (2048, 64), (2048 - 60 * i, 64), 3840 * i, ((), ())) for i in range(1, 6)
    )
    tokens = np.array([12_000, 0, 830, 0, 11])
    return made.facts(
        layers(),
        model=replace(base.model, path=PATH),
        probe=replace(base.probe or ProbeSummary("", 0, ""), source=PATH.replace("model.onnx", "probe.npz")),
        holdout=ProbeSummary("holdout.npz", 120, "xxh3:1"),
        removable=replace(base.removable, tensors=tensors),
        locked=(Locked(value(3), (0, 1, 2), "residual-partner-alive", f"{module(2)}.Add also reads {value(1)}"),),
        operators_without_rule=(
            OperatorWithoutRule("com.example::Rotary", 12, "an operator of domain com.example", 9, 30),
        ),
        experts=(RoutedExperts(value(2), tokens, 1, module=module(2), removable=4096),),
    )


def course(runs: int = 7) -> Course:
    audits = [made.facts(layers(dead=8 + 2 * run), locked=()) for run in range(runs)]
    names = [f"width-sweep/checkpoints/step_{1000 * run:06d}" for run in range(runs)]
    cut = Descent(0, 1, tuple(Narrowed(value(i), module(i), 64, 64 - i) for i in range(1, 6)))
    return replace(course_of(audits, names), descents=(cut,))


def checked() -> Callable[[Console], None]:
    then = baseline([was(value(i), a.units, set(a.dead[5:]) | {63}) for i, a in enumerate(layers())], PATH)
    budgets = {"max-dead": "5%", "max-dead-layer": {"*": "10%", f"{module(1)}*": 3}, "min-samples": 2000}
    result = judge(facts(), budgets_of(budgets), then)
    return lambda console: check.render(result, console)


SENTENCES = [
    f"Unit 7 of {value(3)} (Relu, node {value(3)}, module {module(3)}) is 0 on all 360 samples.",
    "Why: weights-dominate, the weighted sum stays below firing on this data, even without the bias.",
    f"→ {value(3)} → {value(2)} frees index 7, 12-14, 1033, 2011 on axis 1 of {module(4)}.weight.",
]
SCENES: dict[str, Callable[[Console], None]] = {
    "audit": lambda console: audit.render(facts(), console, arguments=f"{PATH} --probe probe.npz"),
    "prune": lambda console: prune.render(
        facts(),
        pruned(removed_units={value(i): tuple(range(12 * i)) for i in range(1, 6)}, notes=(f"{module(1)} stays.",)),
        console,
        written=PATH,
    ),
    "check": lambda console: checked()(console),
    "compare": lambda console: compare.render(course(), console),
    "explain": lambda console: explain.render(SENTENCES, console),
    "explain_finding": lambda console: explain.render_page(kind_named("DU031").page(), console),
}
every_scene = pytest.mark.parametrize("scene", SCENES)
every_width = pytest.mark.parametrize("width", WIDTHS)


def printed(scene: str, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        SCENES[scene](console)
    return captured.get()


@every_scene
@every_width
def test_what_is_printed_is_what_it_was(scene: str, width: int) -> None:
    is_what_it_was(printed(scene, width), SNAPSHOTS / f"{scene}-{width}.txt")


@every_scene
@every_width
def test_lines_fit_and_have_no_blanks_at_their_ends(scene: str, width: int) -> None:
    lines = printed(scene, width).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    to_be_copied = ("  deadunits ", "Written  ")  # these are never folded
    assert [line for line in lines if len(line) > width and not line.startswith(to_be_copied)] == []


def rows(text: str, title: str) -> Iterator[str]:
    """The lines of a section."""
    section = text.split(f"\n{title}\n")[1].split("\n\n")[0]
    yield from section.splitlines()


@pytest.mark.parametrize("width", [40, 50, *WIDTHS, 200])
def test_numbers_of_layers_are_never_cut_and_names_stay_apart(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        audit.render(facts(), console)
    table = [line for line in rows(captured.get(), "Layers") if "%" in line]
    shown = [layer for layer in facts().layers if layer.dead or layer.near_dead]
    assert len(table) == len(shown)
    for line, layer in zip(table, shown, strict=True):
        numbers = [number(layer.units), number(len(layer.dead)) if layer.dead else "·", share(layer.dead_share)]
        assert re.search(rf" {re.escape(numbers[0])} .*{re.escape(numbers[1])} .* {re.escape(numbers[2])}$", line), line
    names = [line.split()[0] for line in table]
    assert len(set(names)) == len(names)


@every_width
def test_the_bar_shrinks_before_names_do(width: int) -> None:
    lines = list(rows(printed("audit", width), "Layers"))
    bars = {line.count("#") + line.count(".") for line in lines if line.endswith("100 %")}
    cut = any("…" in line for line in lines)
    assert not cut or all(len(re.findall("[#]", line)) <= LEAST_BAR for line in lines), bars


@every_width
def test_all_that_changed_in_a_course_is_in_its_table(width: int) -> None:
    found = course()
    table = list(rows(printed("compare", width), "Layers"))[1:-1]
    for line, layer in zip(table[::2], (a for a in found.layers if any(a.dead)), strict=True):
        change = layer.change()
        assert change is not None
        wanted = [number(len(units)) if units else "·" for units in (layer.dead[-1] or (), change.died, change.revived)]
        assert line.split()[-3:] == wanted


def test_further_lines_hang() -> None:
    console = Console(file=io.StringIO(), width=24, color_system=None, force_terminal=False)
    with console.capture() as captured:
        put(console, indented("- one and two and three and four and five and", by=2), indented(Text("short")))
    assert captured.get() == "  - one and two and\n    three and four and\n    five and\n  short\n"


def test_a_number_and_its_sign_are_not_parted_and_long_names_are_cut_in_the_middle() -> None:
    console = Console(file=io.StringIO(), width=24, color_system=None, force_terminal=False)
    with console.capture() as captured:
        put(console, Text("the budget allows all 50 % of it"), indented(f"of /{'x' * 40}/Relu it is"))
    assert captured.get() == "the budget allows all\n50 % of it\n  of\n    /xxxxx…xxxxxxxx/Relu\n    it is\n"


@pytest.mark.parametrize("text", ["", "a" * 50, "word " * 30, f"{'x' * 22} y", "a  b   c" * 9])
def test_a_hanging_text_loses_no_letter(text: str) -> None:
    console = Console(file=io.StringIO(), width=24, color_system=None, force_terminal=False)
    with console.capture() as captured:
        put(console, indented(text, whole=True))
    assert "".join(captured.get().split()) == "".join(text.split())
    assert all(len(line) <= 24 for line in captured.get().splitlines())


def test_columns_that_can_be_done_without_make_room_for_names() -> None:
    columns = [Column("units", ["1,024"]), Column("rare", ["12"], 2), Column("rarer", ["7"], 5)]
    assert fitting(columns, 80) == columns
    assert fitting(columns, 40) == columns[:2]
    assert fitting(columns, 30) == columns[:1]
    assert room_for_names(columns, 10) == 8
    console = Console(file=io.StringIO(), width=17, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table_of("layer", ["a long …"], columns[:1]))
    assert "1,024" in captured.get()
