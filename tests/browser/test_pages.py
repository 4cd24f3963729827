"""The pages of a check and of a comparison in a real browser, and what a reader who cannot see much finds in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from analyzer.facts.audit import AuditFacts
from analyzer.facts.budgets import budgets_of
from analyzer.facts.checked import CheckFacts
from analyzer.facts.evidence import Evidence
from analyzer.facts.frozen import FrozenDict
from analyzer.facts.history import Course, course_of
from analyzer.gate import judge
from analyzer.report.formats import renderer
from analyzer.report.html.page import render_html
from tests import made
from tests.browser.conftest import PHONE, Open, sideways
from tests.deep import with_everything
from tests.gated import baseline, was
from tests.made_pruned import with_everything as pruned

LAYERS, MANY, RUNS = 12, 150, 6
EVIL = "</script><img src=x onerror=alert(1)>"
Axe = Callable[[Page], list[str]]


def dying(layers: int, runs: int = RUNS, units: int = 64) -> Course:
    """Units of all layers die one after another, and some revive."""
    random = np.random.default_rng(0)
    audits = []
    for run in range(runs):
        found = []
        for index in range(layers):
            alive = random.random(units) > run / (runs + 1 + index % 3)
            name = f"/backbone/stages.{index // 4}/blocks.{index % 4}/activation_with_a_long_name/Relu_output_0"
            found.append(made.layer(made.relu(units, name), made.seen([0.0] * units, alive.astype(float).tolist())))
        audits.append(made.facts(found, locked=()))
    return course_of(audits, [f"checkpoints/epoch {run}" for run in range(runs)])


def checked(audit: AuditFacts) -> CheckFacts:
    then = [was(layer.value, layer.units, set(layer.dead[2:]) | {63}) for layer in audit.layers[1:]]
    before = baseline(then)
    budgets = {"max-dead": "5%", "max-dead-layer": {"*": "50%", "backbone.stages.1.*": 3}, "min-samples": 9}
    return judge(audit, budgets_of(budgets), before)


def check_page(audit: AuditFacts, folder: Path, name: str = "check") -> Path:
    return written(folder / f"{name}.html", renderer("check", "html")(made.reported_check(checked(audit))))


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def course(folder: Path) -> Path:
    return written(folder / "course.html", renderer("compare", "html")(dying(LAYERS)))


@pytest.fixture(scope="module")
def check(folder: Path) -> Path:
    return check_page(with_everything(LAYERS)[0], folder)


def test_the_slider_shows_which_units_are_dead_in_each_run(open_page: Open, course: Path) -> None:
    page = open_page(course)
    facts = dying(LAYERS)
    slider, said, first = page.get_by_label("Run", exact=True), page.locator("#run-said"), page.locator(".strip").first
    for run in (RUNS - 1, 0, 3):
        slider.fill(str(run))
        summary = facts.runs[run]
        expect(said).to_contain_text(f"{summary.label} ({run + 1} of {RUNS}): {summary.dead} of {summary.units} units")
        expect(page.locator("[data-run][aria-current]")).to_contain_text(summary.label)
        expect(first).to_contain_text(f"{len(facts.layers[0].dead[run] or ())} of 64 units dead")
    died, revived, _ = facts.total(2, 3)
    expect(said).to_contain_text(f"Since checkpoints/epoch 2: {died} died, {revived} revived.")
    slider.press("ArrowRight")
    expect(said).to_contain_text("epoch 4 (5 of 6)")
    assert first.locator("canvas").get_attribute("aria-label") == first.locator("p").inner_text().replace(" ", ": ", 1)


def test_squares_are_painted_anew_as_the_slider_moves(open_page: Open, course: Path) -> None:
    page = open_page(course)
    canvas, pictures = page.locator(".strip canvas").first, set()
    for run in range(RUNS):
        page.get_by_label("Run", exact=True).fill(str(run))
        pictures.add(canvas.evaluate("canvas => canvas.toDataURL()"))
    assert len(pictures) == RUNS


def test_a_unit_that_is_pointed_at_says_its_course(open_page: Open, course: Path) -> None:
    page = open_page(course)
    page.locator(".strip canvas").first.hover(position={"x": 4, "y": 4})
    assert str(page.locator(".strip canvas").first.get_attribute("title")).startswith("unit 0: alive in checkpoints/")


def test_over_a_domain_the_squares_say_what_is_proven(open_page: Open, folder: Path) -> None:
    facts = dying(1)
    codes = (Evidence.PROVEN, Evidence.REFUTED, Evidence.OBSERVED)
    (layer,) = facts.layers
    shown = (FrozenDict({kind: (dead or ())[i::3] for i, kind in enumerate(codes)}) for dead in layer.dead)
    layers = (replace(layer, evidence=tuple(shown)),)
    page = open_page(written(folder / "domain.html", renderer("compare", "html")(replace(facts, layers=layers))))
    dead, strip = layers[0].dead[-1] or (), page.locator(".strip").first
    every, data = len(dead[::3]), len(dead[1::3])
    expect(strip).to_contain_text(
        f"{len(dead)} of 64 units dead, {data} dead on the data only, {every} dead for every input"
    )
    size = strip.locator("canvas").evaluate("canvas => canvas.clientWidth") / 64
    for unit, said in zip(dead[:3], ("dead for every input in", "dead on the data only in", "dead in"), strict=True):
        strip.locator("canvas").hover(position={"x": (unit + 0.4) * size, "y": 4})
        assert f" {said} checkpoints/epoch" in str(strip.locator("canvas").get_attribute("title"))


def test_many_layers_are_added_as_they_are_asked_for(open_page: Open, folder: Path) -> None:
    page = open_page(written(folder / "many.html", renderer("compare", "html")(dying(90, runs=2, units=48))))
    expect(page.locator(".strip")).to_have_count(40)
    for there in (80, 90):
        page.get_by_role("button", name="Show more layers").click()
        expect(page.locator(".strip")).to_have_count(there)
    expect(page.get_by_role("button", name="Show more layers")).to_be_hidden()


def test_pages_without_javascript_have_their_tables(browser: Browser, course: Path, check: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(course.as_uri())
    assert page.locator("#units:visible, .tools:visible, canvas:visible").count() == 0
    assert page.locator("#layers tbody tr:visible").count() == LAYERS
    page.locator("#steps summary").click()  # there are many
    assert page.locator("#steps tbody tr:visible").count() >= LAYERS
    page.goto(check.as_uri())
    expect(page.locator("h1")).to_contain_text("Failed")
    assert page.locator(".budgets tbody tr:visible").count() == 4
    assert page.locator(".finding:visible").count() >= 5
    context.close()


def test_a_finding_leads_to_its_layer(open_page: Open, check: Path) -> None:
    page = open_page(check)
    page.locator(".finding").get_by_text("Show the layer").first.click()
    expect(page.locator("#layer-title")).to_be_in_viewport()


@pytest.mark.parametrize("name", ["course", "check"])
def test_a_print_has_everything_also_what_is_folded_in(
    open_page: Open, name: str, request: pytest.FixtureRequest
) -> None:
    page = open_page(request.getfixturevalue(name))
    page.set_viewport_size({"width": 720, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    hidden = "all => all.filter(one => !one.checkVisibility()).map(one => one.textContent)"
    folded = page.locator("details:not(#units-box) > :not(summary)")
    assert folded.count() > 5 or name != "check"
    assert folded.evaluate_all(hidden) == []
    beyond = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)"
    assert page.locator("table:visible, canvas:visible, svg:visible").evaluate_all(beyond) == []
    cropped = "all => all.filter(one => getComputedStyle(one).overflow !== 'visible').map(one => one.className)"
    assert page.locator(".wide:visible, .scroll:visible, .warnings ul:visible").evaluate_all(cropped) == []
    assert len(page.pdf()) > 20_000


def test_names_that_mean_harm_stay_text(open_page: Open, folder: Path) -> None:
    layers = [made.first_dead(16, dead, EVIL) for dead in (3, 12)]
    facts = [made.facts([layer], locked=()) for layer in layers]
    page = open_page(written(folder / "evil.html", renderer("compare", "html")(course_of(facts, [EVIL, f"{EVIL}2"]))))
    page.locator(".strip canvas").hover(position={"x": 3, "y": 3})
    assert EVIL in page.locator(".strip").inner_text()
    assert EVIL in page.locator("#run-said").inner_text()
    assert page.locator("img").count() == 0


def pages(folder: Path, layers: int) -> dict[str, Path]:
    """Every kind of page."""
    facts, graph = with_everything(layers)
    return {
        "audit": written(folder / f"audit{layers}.html", render_html(facts, graph)),
        "prune": written(folder / f"prune{layers}.html", render_html(facts, graph, pruned())),
        "check": check_page(facts, folder, f"check{layers}"),
        "compare": written(
            folder / f"compare{layers}.html", renderer("compare", "html")(dying(layers, runs=2, units=5))
        ),
    }


@pytest.fixture(scope="module")
def large(folder: Path) -> dict[str, Path]:
    return pages(folder, MANY)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audit", "check", "compare"])
def test_axe_finds_nothing_on_large_reports_on_a_phone(
    open_page: Open, axe: Axe, large: dict[str, Path], name: str
) -> None:
    page = open_page(large[name])
    page.set_viewport_size(PHONE)
    assert axe(page) == []


@pytest.mark.parametrize("name", ["audit", "prune", "check", "compare"])
def test_axe_finds_nothing_on_a_dark_screen(open_page: Open, axe: Axe, folder: Path, name: str) -> None:
    page = open_page(pages(folder, LAYERS)[name])
    page.emulate_media(color_scheme="dark")
    assert axe(page) == []


def test_axe_finds_what_is_wrong(open_page: Open, axe: Axe, course: Path) -> None:
    page = open_page(course)
    page.evaluate("document.getElementById('run').removeAttribute('id')")  # its label names nothing now
    assert [found.split(":")[0] for found in axe(page)] == ["label"]


@pytest.mark.parametrize("name", ["audit", "check", "compare"])
def test_on_a_phone_what_is_dead_and_its_share_are_in_sight(open_page: Open, large: dict[str, Path], name: str) -> None:
    page = open_page(large[name])
    page.set_viewport_size(PHONE)
    assert sideways(page) == 0
    headings = ["Dead", "Share"] if name != "compare" else ["Dead in 1", "Died", "Revived"]
    for heading in headings:
        column = page.locator("#layers thead th", has_text=heading).first
        column.scroll_into_view_if_needed()
        box = column.bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"], heading
    assert page.locator("#layers .scroll, #layers .wide").first.evaluate("box => box.scrollLeft") == 0
