"""The pages of a check and of a comparison: whole without scripts, and safe with names that mean harm."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.budgets import budgets_of
from analyzer.facts.findings import Severity
from analyzer.facts.history import Course, Descent, Narrowed, course_of
from analyzer.gate import judge
from analyzer.gate.catalogue import all_kinds
from analyzer.report.formats import renderer
from analyzer.report.html import course as course_page
from analyzer.report.html.check_section import parts_of
from analyzer.report.notebook import render_check, render_course
from tests import made
from tests.gated import HOSTILE, failing, healthy, passing, with_baseline
from tests.made import reported_check

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00"


def check_page(name: str = "failing") -> str:
    scenes = {"failing": failing, "passing": passing, "baseline": with_baseline}
    return renderer("check", "html")(reported_check(scenes[name]()))


def relu(value: str, *dead: int, units: int = 6) -> LayerVerdicts:
    maximum = [0.0 if unit in dead else 1.0 for unit in range(units)]
    return made.layer(made.relu(units, value), made.seen([0.0] * units, maximum, 100))


def course(*runs: AuditFacts, name: str = "epoch") -> Course:
    return course_of(runs, [f"{name} {place}" for place in range(1, len(runs) + 1)])


def three_runs(name: str = "a") -> Course:
    steps = [(relu(name, 5), relu("b")), (relu(name, 1, 2), relu("b")), (relu(name, 1, 2, 3), relu("b", 0))]
    return course(*(made.facts(layers) for layers in steps))


def text_of(page: str) -> str:
    """What a reader without scripts reads, on one line."""
    body = re.sub(r"<(script|style|noscript)\b.*?</\1>", " ", page.split("<body>")[1], flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


@pytest.mark.parametrize(
    ("scene", "opening"),
    [("failing", "Failed — 11 errors"), ("passing", "Passed — nothing found"), ("baseline", "Failed — ")],
)
def test_a_check_says_first_whether_it_passed(scene: str, opening: str) -> None:
    page = check_page(scene)
    title = re.search(r"<h1.*?</h1>", page)
    assert title is not None
    assert text_of(f"<body>{title[0]}").startswith(opening)
    assert page.index("<h1") < page.index("<h2")
    assert page.count("<h1") == 1
    word = "passed" if scene == "passing" else "FAILED"
    assert f"<title>{word}: Check of" in page


def test_every_finding_is_there_with_what_to_do() -> None:
    facts, page = failing(), check_page()
    for finding in facts.findings:
        assert f"{finding.code} {finding.name}" in page
        assert finding.message.split("(")[0].strip() in text_of(page).replace("&#39;", "'")
    assert page.count("<h4>What to do</h4>") == len({finding.code for finding in facts.findings})
    assert "turned off: DU014" in page


def test_more_findings_of_a_code_are_folded_in_not_left_out() -> None:
    layers = [made.first_dead(8, 8, f"layer{index}") for index in range(20)]
    page = renderer("check", "html")(reported_check(judge(made.facts(layers))))
    assert all(f"<b>layer{index}</b>" in page for index in range(20))
    assert "12 more findings of this code" in page


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.code)
def test_the_page_of_every_finding_can_be_shown(kind: object) -> None:
    parts = parts_of(kind.page())  # type: ignore[attr-defined]
    assert list(parts) == ["What it means", "Why it matters", "What to do"]
    assert all(part.startswith("<") and "](" not in part for part in parts.values())


def test_budgets_are_held_against_what_there_is_also_where_they_are_kept() -> None:
    budgets = {
        "max-dead": "5%",
        "max-dead-layer": {"*": 10, "/net/2/*": 2, "gone": 0},
        "max-prunable": "95%",
        "min-samples": 300,
        "min-judged": "90%",
    }
    uses = {(use.setting, use.pattern): use for use in judge(healthy(), budgets_of(budgets)).uses}
    assert [use.within for use in uses.values()] == [True, True, False, None, True, True, True]
    assert uses["max-dead", ""].found == "3 of 96 units (3.12 %)"
    assert uses["max-dead-layer", "*"].value == "/net/0/Relu_output_0"
    assert (uses["max-dead-layer", "/net/2/*"].over, uses["max-dead-layer", "/net/2/*"].among) == (1, 1)
    assert uses["max-dead-layer", "gone"].found == "no layer of this name"
    assert uses["max-prunable", ""].allowed == "at most 95 %"


def test_a_budget_that_could_not_be_checked_is_not_called_kept() -> None:
    unseen = replace(healthy(), probe=None)
    assert [use.within for use in judge(unseen, budgets_of({"max-dead": "50%", "max-dead-layer": 9})).uses] == [
        None
    ] * 2
    assert "not checked" in renderer("check", "html")(reported_check(judge(unseen, budgets_of({"max-dead": "50%"}))))


def test_a_budget_is_not_kept_where_there_is_a_finding_about_it_and_nowhere_else() -> None:
    codes = {
        "max-dead": "DU015", "max-dead-layer": "DU016", "max-constant": "DU017", "max-constant-layer": "DU017",
        "max-near-dead": "DU018", "max-near-dead-layer": "DU018", "max-saturated": "DU019",
        "max-saturated-layer": "DU019", "max-prunable": "DU020", "max-prunable-layer": "DU020", "min-samples": "DU007",
        "min-judged": "DU031",
    }  # fmt: skip
    audit, random, answers = failing().audit, Random(0), set[bool | None]()
    for _ in range(200):
        name = random.choice([*codes])
        limit: int | str = random.choice([1, 5, 20, 400, 6000])
        limit = 0 if random.random() < 0.1 and name != "min-samples" else limit
        limit = random.choice(["10%", "99%"]) if name == "min-judged" else limit
        if name.startswith("max") and random.random() < 0.5:
            limit = f"{random.randrange(101)}%"
        facts = judge(audit, budgets_of({name: limit}))
        (use,) = facts.uses
        asked = [finding for finding in facts.findings if finding.severity is Severity.ERROR]
        assert (codes[name] in {finding.code for finding in asked}) is (use.within is False), (name, limit)
        answers.add(use.within)
    assert answers == {True, False}


def test_units_that_changed_since_the_baseline_are_listed() -> None:
    text = text_of(check_page("baseline"))
    assert "renamed newly dead 2-4" in text
    assert "/net/2/Relu_output_0 alive again 9" in text
    assert "renamed was /net/0/Relu_output_0" in text
    assert "new is new" in text
    assert "old is gone" in text


def test_a_course_is_told_without_scripts() -> None:
    text = text_of(renderer("compare", "html")(three_runs()))
    assert "4 units died, 1 revived — 0 stayed dead" in text
    assert "a 2 epoch 2 1-2 5" in text
    assert "a 3 epoch 3 3 ·" in text
    assert "b 3 epoch 3 0 ·" in text


def test_layers_have_what_is_dead_in_one_run_in_the_other_and_in_both() -> None:
    page = renderer("compare", "html")(course(made.facts([relu("a", 0, 1, 2)]), made.facts([relu("a", 2, 3)])))
    row = text_of("<body>" + page.split('<section id="layers"')[1].split("<tbody>")[1].split("</tbody>")[0])
    assert row == "a Relu 6 3 2 1 2 1"


def test_a_model_that_was_cut_from_another_is_said_first() -> None:
    narrow = replace(made.facts([relu("a", units=4)]), model=replace(made.facts().model, parameters=4474, sha256="c"))
    cut = Descent(0, 1, (Narrowed("a", "fc", 6, 4),))
    page = renderer("compare", "html")(replace(course(made.facts([relu("a", 0, 1)]), narrow), descents=(cut,)))
    assert "epoch 2 was made from epoch 1: 2,000 of 6,474 parameters went (30.9 %)</h1>" in page
    assert "fc 6 4 2" in text_of(page)
    assert 'id="run"' not in page  # no layer can be followed
    assert "Not in every run" not in page  # what became narrower was said


def test_a_long_course_carries_what_changes_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course_page, "MOST_STATES", 20)
    monkeypatch.setattr(course_page, "STEPS_SHOWN", 1)
    text = text_of(renderer("compare", "html")(three_runs()))
    assert "Of 2 layers with dead units the 1 that change most are here" in text
    assert "The largest 1 changes; the JSON report has the other 2" in text


def test_nothing_that_died_is_a_page_too() -> None:
    page = renderer("compare", "html")(course(made.facts([relu("a")]), made.facts([relu("a")])))
    assert "0 units died" in page
    assert not re.search('id="(run|layers|steps)"', page)


def test_no_name_becomes_markup() -> None:
    runs = course(*(made.facts([relu(EVIL, *dead)]) for dead in ((0,), (1,))), name=EVIL)
    alone = course(made.facts([relu(EVIL, 0)]), made.facts([relu("b", units=3)]), name=EVIL)
    pages = [renderer("compare", "html")(shown) for shown in (runs, alone)]
    pages += [check_page(), render_check(failing()), render_course(runs)]
    for page in pages:
        own = page.split('<script type="text/plain"')[0]
        assert "<script" not in own
        assert "<img src=x" not in page
        assert HOSTILE not in page


def test_pages_of_comparisons_are_small_and_load_nothing() -> None:
    page = renderer("compare", "html")(three_runs())
    assert len(page) < 80_000
    assert not re.search(r"<link|<iframe|\bsrc=|@import|url\(", page)


def test_a_notebook_shows_what_was_found() -> None:
    shown = render_check(failing())
    assert "failed</b>: 11 errors" in shown
    assert "1 more finding." in shown
    assert "<script" not in shown
    shown = render_course(three_runs())
    assert "4 units died, 1 revived, 0 stayed dead" in shown
    assert 'compared.to_html("course.html")' in shown
