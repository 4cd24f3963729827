"""Every format of a check: as it was (snapshots), valid by its schema, and safe against names from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
import xmlschema

from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import About, Finding, Severity
from analyzer.report.check.github import MOST
from analyzer.report.check.markdown import code
from analyzer.report.check.terminal import name
from analyzer.report.formats import RENDERERS, renderer
from analyzer.version import __version__
from tests.gated import HOSTILE, failing, passing, with_baseline
from tests.made import reported_check
from tests.promised import satisfies
from tests.snapshots.stored import is_what_it_was

TESTS = Path(__file__).parents[2]
SNAPSHOTS, SCHEMAS = TESTS / "snapshots" / "check", TESTS / "schemas"
SCENES: dict[str, Callable[[], CheckFacts]] = {"failing": failing, "passing": passing, "baseline": with_baseline}
SUFFIXES = {"terminal": "txt", "json": "json", "markdown": "md", "junit": "xml", "sarif": "sarif", "github": "log"}

assert set(RENDERERS["check"]) - {"html"} == set(SUFFIXES)  # of pages see test_pages.py
every_scene = pytest.mark.parametrize("scene", SCENES)


@every_scene
@pytest.mark.parametrize("form", SUFFIXES)
def test_a_report_is_what_it_was(scene: str, form: str) -> None:
    text = renderer("check", form)(reported_check(SCENES[scene]())).replace(f'"{__version__}"', '"VERSION"')
    is_what_it_was(text, SNAPSHOTS / f"{scene}.{SUFFIXES[form]}")


@every_scene
@pytest.mark.parametrize("form", RENDERERS["check"])
def test_a_report_ends_in_a_newline_and_can_be_written_anywhere(scene: str, form: str) -> None:
    text = renderer("check", form)(reported_check(SCENES[scene]()))
    assert text.endswith("\n") and not text.endswith("\n\n")
    text.encode("utf-8")
    assert "\x1b" not in text


@every_scene
def test_json_satisfies_its_schema(scene: str) -> None:
    report = json.loads(renderer("check", "json")(reported_check(SCENES[scene]())))
    satisfies("check", report)
    assert report["passed"] is (scene == "passing")


@every_scene
def test_sarif_satisfies_the_official_schema(scene: str) -> None:
    rules = json.loads((SCHEMAS / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    log = json.loads(renderer("check", "sarif")(reported_check(SCENES[scene]())))
    jsonschema.Draft202012Validator(rules, format_checker=jsonschema.FormatChecker()).validate(log)


@every_scene
def test_junit_satisfies_the_schema_of_jenkins(scene: str) -> None:
    xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd").validate(Xml.ElementTree(junit(scene)))


def junit(scene: str) -> Xml.Element:
    return Xml.fromstring(renderer("check", "junit")(reported_check(SCENES[scene]())))


def sarif(scene: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(renderer("check", "sarif")(reported_check(SCENES[scene]())))["runs"][0]
    return run


def test_junit_counts_what_it_lists() -> None:
    suite = junit("failing").find("testsuite")
    assert suite is not None
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) > 5
    assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped")) == 1


def test_sarif_names_a_rule_and_the_model_for_every_result() -> None:
    run = sarif("failing")
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("net%201.onnx")
    assert run["invocations"][0]["exitCode"] == 1


def test_sarif_fingerprints_tell_findings_apart() -> None:
    prints = [result["partialFingerprints"]["deadunits/v1"] for result in sarif("failing")["results"]]
    assert len(set(prints)) == len(prints)


def test_sarif_messages_hold_no_placeholder_and_no_link() -> None:
    messages = [result["message"]["text"] for result in sarif("failing")["results"]]
    assert any("{{0}}" in message for message in messages)
    assert not any("[e](" in message.replace("\\[", "").replace("\\]", "") for message in messages)


def test_every_line_for_github_is_one_command_or_our_own_words() -> None:
    *commands, last = renderer("check", "github")(reported_check(failing())).splitlines()
    assert len(commands) == MOST + sum(f.severity is not Severity.ERROR for f in failing().findings)  # errors are many
    for line in commands:
        kind, _, properties = line.removeprefix("::").split("::")[0].partition(" ")
        assert kind in ("error", "warning", "notice")
        assert [pair.partition("=")[0] for pair in properties.split(",")] == ["file", "title"]
    assert last.startswith("deadunits check FAILED")


def test_at_most_ten_annotations_of_a_kind_the_worst_first_and_the_last_says_how_many_more() -> None:
    found = [
        Finding("DU014", "layer-mostly-dead", Severity.WARNING, "m", About.LAYER, f"layer {n}", units=tuple(range(n)))
        for n in range(1, 12)
    ]
    found += [Finding("DU018", "over-budget", Severity.ERROR, "m", About.LAYER, f"{n}") for n in range(MOST)]
    found += [Finding("DU013", "random-data", Severity.WARNING, "the data", About.PROBE)]
    lines = renderer("check", "github")(reported_check(replace(passing(), findings=tuple(found)))).splitlines()
    errors, warnings = ([line for line in lines if line.startswith(f"::{kind} ")] for kind in ("error", "warning"))
    assert len(errors) == len(warnings) == MOST
    assert "the data" in warnings[0] and "layer 11" in warnings[1] and "layer 4" in warnings[-2]
    assert "and 3 more warnings" in warnings[-1]
    assert "more" not in errors[-1]


def test_no_line_of_a_log_starts_with_a_name_from_a_file() -> None:
    for line in renderer("check", "terminal")(reported_check(failing())).splitlines():
        assert not line.lstrip().startswith(("::", "a|b"))
    assert ": :error::x" in name("a ::error::x")


def test_markdown_names_stay_inside_their_code_span_and_cell() -> None:
    text = renderer("check", "markdown")(reported_check(failing()))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5, row
    span = code(HOSTILE)
    fence = len(span) - len(span.lstrip("`"))
    assert fence == 3 and span.endswith("`" * fence) and "`" * fence not in span.strip("`")


@pytest.mark.parametrize("text", ["`", "``", " ", "", "`a", "b`", "a|b", "\n"])
def test_any_name_makes_a_whole_code_span(text: str) -> None:
    span = code(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert span.startswith(fence) and span.endswith(fence)
    inner = span.removeprefix(fence).removesuffix(fence)
    assert fence not in inner
    assert "\n" not in span and "|" not in span.replace("\\|", "")


def test_what_was_turned_off_is_said() -> None:
    assert "turned off: DU014" in renderer("check", "terminal")(reported_check(failing()))


def test_what_improved_is_told() -> None:
    for form in ("terminal", "markdown"):
        assert "alive again: 9" in renderer("check", form)(reported_check(with_baseline())), form
    assert json.loads(renderer("check", "json")(reported_check(with_baseline())))["baseline"]["revived"][0][
        "units"
    ] == [9]
