"""The picture to be shared: sound XML whatever names are, small, and true to the numbers."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from analyzer.facts.history import course_of
from analyzer.report.audit.svg import to_text as audit_svg
from analyzer.report.compare.svg import to_text as compare_svg
from tests import made
from tests.deep import deep

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '</text><script>alert(1)</script>&"\x1b\x00'


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "rect", "text", "tspan", "title"}
    return ["".join(element.itertext()) for element in root.iter() if element.tag in (f"{SVG}text", f"{SVG}title")]


def test_the_headline_and_every_layer_are_in_the_picture() -> None:
    facts = made.facts()
    said = texts(audit_svg(made.reported(facts)))
    assert said[0] == "63 of 96 units are dead (65.6 %)"
    assert said[1].startswith("suspicious · ")
    for layer in facts.layers:
        assert any(f"{len(layer.dead)} of {layer.units} units dead" in text for text in said)


@pytest.mark.parametrize("name", [EVIL, "", "模型" * 60])
def test_names_from_files_stay_names(name: str) -> None:
    facts = made.facts([made.of_module(made.first_dead(8, 3, name), name)])
    facts = replace(facts, model=replace(facts.model, path=name))
    texts(audit_svg(made.reported(facts)))
    texts(compare_svg(course_of([facts, facts], [name, "b"])))


def test_a_deep_network_stays_a_small_picture() -> None:
    facts, _ = deep(2000)
    svg = audit_svg(made.reported(facts))
    assert "not shown" in texts(svg)[-2]
    assert len(svg) < 1_000_000


def test_runs_stand_beside_each_other() -> None:
    then, now = made.facts([made.first_dead(8, 2, "relu")]), made.facts([made.first_dead(8, 6, "relu")])
    said = texts(compare_svg(course_of([then, now], ["before", "after"])))
    assert said[0] == "4 units died, 0 revived"
    assert {"relu, before: 2 of 8 units dead", "relu, after: 6 of 8 units dead"} <= {*said}
