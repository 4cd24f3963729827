"""Audits held against each other: layers are found again, units died, revived or stayed."""

from __future__ import annotations

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.history import course_of
from tests.made import facts, layer, of_module, relu, seen


def relu_layer(value: str, dead: tuple[int, ...], units: int = 6) -> LayerVerdicts:
    maximum = [0.0 if unit in dead else 1.0 for unit in range(units)]
    return layer(relu(units, value), seen([0.0] * units, maximum, 100))


def audit(*layers: LayerVerdicts) -> AuditFacts:
    return facts(layers)


def test_units_died_revived_or_stayed() -> None:
    course = course_of([audit(relu_layer("a", (0, 1))), audit(relu_layer("a", (1, 2)))], ["x", "y"])
    change = course.layers[0].change()
    assert change is not None
    assert (change.died, change.revived, change.stayed) == ((2,), (0,), (1,))
    assert course.total() == (1, 1, 1)


def test_layers_whose_names_changed_are_found_by_their_order() -> None:
    first = audit(relu_layer("a", (0,)), relu_layer("b", (1,)))
    second = audit(relu_layer("p", (0,)), relu_layer("q", (1, 2)))
    course = course_of([first, second], ["x", "y"])
    assert [found.names for found in course.layers] == [("a", "p"), ("b", "q")]
    assert course.total() == (1, 0, 2)


def test_modules_count_more_than_tensors() -> None:
    """Exporters number tensors through: another activation before a layer moves its name on to the next one."""
    first = audit(of_module(relu_layer("relu", (0,)), "a"), of_module(relu_layer("relu_1", (1,)), "b"))
    second = audit(
        of_module(relu_layer("relu", ()), "new"), of_module(relu_layer("relu_1", (0,)), "a"),
        of_module(relu_layer("relu_2", (1,)), "b"),
    )  # fmt: skip
    course = course_of([first, second], ["x", "y"])
    assert course.total() == (0, 0, 2)
    assert [(found.module, found.names) for found in course.layers] == [
        ("new", (None, "relu")), ("a", ("relu", "relu_1")), ("b", ("relu_1", "relu_2")),
    ]  # fmt: skip


def test_names_count_more_than_order() -> None:
    first = audit(relu_layer("a", (0,)), relu_layer("b", (1,)))
    second = audit(relu_layer("b", (1,)), relu_layer("a", (0,)))
    assert course_of([first, second], ["x", "y"]).total() == (0, 0, 2)


def test_a_layer_of_another_width_is_another_layer() -> None:
    course = course_of([audit(relu_layer("a", (0,))), audit(relu_layer("a", (0,), units=5))], ["x", "y"])
    assert sorted(found.names for found in course.layers if found.names[0]) == [("a", None)]
    assert len(course.unmatched) == 2
    assert course.total() == (0, 0, 0)


def test_a_layer_that_only_one_run_has_stands_where_it_stood() -> None:
    first = audit(relu_layer("a", ()), relu_layer("b", (), units=4), relu_layer("c", ()))
    second = audit(relu_layer("a", ()), relu_layer("c", ()))
    course = course_of([first, second], ["x", "y"])
    assert [found.value for found in course.layers] == ["a", "b", "c"]


def test_a_course_over_many_runs_is_told_step_by_step() -> None:
    runs = [audit(relu_layer(f"r{i}", tuple(range(i)))) for i in range(4)]
    course = course_of(runs, list("wxyz"))
    assert course.layers[0].names == ("r0", "r1", "r2", "r3")
    assert [course.total(i, i + 1) for i in range(3)] == [(1, 0, 0), (1, 0, 1), (1, 0, 2)]
    assert course.layers[0].shares() == (0.0, 1 / 6, 2 / 6, 3 / 6)
