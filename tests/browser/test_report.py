"""The HTML report in a real browser: every test also fails on a console message or a request to anywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from analyzer.facts.audit import Locked
from analyzer.facts.fed import WitnessPicture
from analyzer.report.html.page import render_html
from tests import made
from tests.browser.conftest import PHONE, Open, sideways
from tests.deep import deep, picture

LAYERS = 24
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
# All in one go, before the browser tells anybody that the page was scrolled.
SCROLL_AND_CLICK = """() => {
    const network = document.getElementById('network'), target = network.querySelector('canvas');
    const press = (...types) => types.forEach((type) => {
        const box = network.getBoundingClientRect();
        const place = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, detail: 1};
        target.dispatchEvent(new MouseEvent(type, {...place, bubbles: true, cancelable: true, view: window}));
    });
    press('mousemove');
    scrollBy(0, 120);
    press('mousedown', 'mouseup', 'click');
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts, graph = deep(LAYERS, units=40)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(facts, graph), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts, graph = deep(2000)
    path = tmp_path_factory.mktemp("report") / "large.html"
    path.write_text(render_html(facts, graph), encoding="utf-8")
    return path


def rows(page: Page) -> list[str]:
    found = page.locator("#table tbody tr:visible th a")
    return [str(name) for name in found.evaluate_all("links => links.map(link => link.title)")]


def test_every_chart_is_drawn_when_it_is_scrolled_to(open_page: Open, report: Path) -> None:
    page = open_page(report)
    for name in ("network", "strip", "depth-verdicts", "depth-rates", "depth-maxima"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
        expect(page.locator(f"#{name} canvas").first).to_be_visible()


def test_searching_shows_the_layers_that_fit(open_page: Open, report: Path) -> None:
    page = open_page(report)
    assert len(rows(page)) == LAYERS
    page.get_by_role("searchbox").fill("block2 RELU")
    assert rows(page) == [f"/block2/act{i}/Relu_output_0" for i in range(4)]
    expect(page.locator("#shown")).to_have_text(f"4 of {LAYERS} layers")
    page.get_by_role("searchbox").fill("no such layer")
    assert rows(page) == []


def test_the_filter_leaves_layers_with_dead_units(open_page: Open, report: Path) -> None:
    page = open_page(report)
    facts, _ = deep(LAYERS, units=40)
    page.get_by_label("Which layers to show").select_option("dead")
    assert rows(page) == [layer.value for layer in facts.layers if layer.dead]


def test_names_in_the_table_are_not_cut_at_their_ends(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.set_viewport_size({"width": 1200, "height": 900})  # the least at which the table stands beside the network
    cut = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent)"
    assert page.locator("#table tbody tr:visible th").evaluate_all(cut) == []


def test_names_keep_room_beside_many_columns(open_page: Open, tmp_path: Path) -> None:
    layer = made.with_evidence(made.first_dead(12, 6, "relu"), structural=(0,), proven=(1, 2), refuted=(3,))
    locked = (Locked(layer.value, (4, 5), "interface", ""),)
    path = tmp_path / "report.html"
    path.write_text(
        render_html(made.facts([layer], locked=locked, proof=made.proof()), picture([layer])), encoding="utf-8"
    )
    page = open_page(path)
    page.set_viewport_size({"width": 1200, "height": 900})
    assert page.locator("#table thead th").count() >= 9
    box = page.locator("#table tbody tr:visible th").first.bounding_box()
    assert box is not None and box["width"] >= 120
    assert sideways(page) == 0


def test_headings_sort_both_ways(open_page: Open, report: Path) -> None:
    page = open_page(report)
    facts, _ = deep(LAYERS, units=40)
    most = sorted(facts.layers, key=lambda layer: -layer.dead_share)[0].value
    heading = page.locator("#table thead").get_by_role("button", name="Share")
    heading.click()
    assert rows(page)[0] == most
    expect(page.locator("#table th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    heading.click()
    assert rows(page)[0] != most
    page.locator("#table thead").get_by_role("button", name="#").click()
    assert rows(page) == [layer.value for layer in facts.layers]


def test_a_click_on_a_row_shows_the_layer_and_can_be_linked_to(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.locator("#table tbody tr").nth(5).click()
    expect(page.locator("#layer-title")).to_have_text("/block1/act1/Relu_output_0")
    assert page.url.endswith("#layer-5")
    again = open_page(report, "#layer-7")
    expect(again.locator("#layer-title")).to_have_text("/block1/act3/Relu_output_0")
    expect(again.locator("#table [aria-current]")).to_contain_text("block1/act3")


def test_links_in_the_text_lead_to_the_layer(open_page: Open, report: Path) -> None:
    page = open_page(report)
    link = page.locator(".reason-list a").first
    wanted = link.inner_text()
    link.click()
    expect(page.locator("#layer-title")).to_have_text(wanted)
    expect(page.locator("#layer-title")).to_be_in_viewport()


def test_a_click_on_a_box_chooses_its_layer(open_page: Open, report: Path) -> None:
    page = open_page(report, "#layer-9")
    page.locator("#zoom-layer").click()  # brings its box to the middle
    page.locator("#layer-after").click()
    expect(page.locator("#layer-title")).to_have_text("/block2/act2/Relu_output_0")
    page.locator("#network").click()  # clicks the middle
    expect(page.locator("#layer-title")).to_have_text("/block2/act1/Relu_output_0")


def test_a_click_meets_its_box_while_the_page_is_scrolled(open_page: Open, report: Path) -> None:
    page = open_page(report, "#layer-9")
    page.locator("#zoom-layer").click()
    page.locator("#layer-after").click()
    page.locator("#network").scroll_into_view_if_needed()
    page.evaluate(SCROLL_AND_CLICK)
    expect(page.locator("#layer-title")).to_have_text("/block2/act1/Relu_output_0")


def test_the_keyboard_is_enough(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.locator("#table tbody tr a").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#layer-title")).to_have_text("/block0/act1/Relu_output_0")
    page.keyboard.press("End")
    expect(page.locator("#layer-title")).to_have_text(f"/block{LAYERS // 4 - 1}/act3/Relu_output_0")
    page.locator("#network").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#layer-title")).to_have_text(f"/block{LAYERS // 4 - 1}/act2/Relu_output_0")
    for key in ("+", "-", "0", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "search"


def test_units_are_listed_and_filtered(open_page: Open, report: Path) -> None:
    page = open_page(report)
    facts, _ = deep(LAYERS, units=40)
    index = max(range(LAYERS), key=lambda i: len(facts.layers[i].dead))
    page.locator(f'#table a[href="#layer-{index}"]').click()
    page.get_by_text("Units one by one").click()
    lines = page.locator("#units tbody tr")
    expect(lines).to_have_count(40)
    page.get_by_label("Which units to show").select_option("1")
    expect(lines).to_have_count(len(facts.layers[index].dead))
    expect(lines.first).to_contain_text("bias-dominates")
    page.get_by_label("Order").select_option("distance")
    expect(page.locator("#layer-causes")).to_contain_text("Start biases at zero.")


def test_evidence_over_a_domain_has_a_column_colours_and_a_filter(
    open_page: Open, axe: Callable[[Page], list[str]], tmp_path: Path
) -> None:
    layer = made.with_evidence(made.first_dead(12, 6, "relu"), structural=(0,), proven=(1, 2), refuted=(3,))
    path, seen = tmp_path / "report.html", [WitnessPicture(PIXEL, {"relu": (3,)})]
    facts = made.facts([layer], locked=(), proof=made.proof())
    path.write_text(render_html(facts, picture([layer]), witnesses=seen), encoding="utf-8")
    page = open_page(path)
    page.locator("#units-box summary").click()
    cells = page.locator("#units tbody tr td:nth-child(3)")
    expect(cells.first).to_have_text("by the weights")
    assert cells.all_text_contents()[:5] == [
        "by the weights",
        *["proven for the domain"] * 2,
        "on 360 samples only: an input moves it",
        "open, on 360 samples",
    ]
    chips = page.locator("#units tbody tr td:nth-child(3) i").evaluate_all("all => all.map(i => i.style.background)")
    assert len(chips) == 6 and len(set(chips)) == 4
    page.locator("#units-filter").select_option("proven")
    expect(page.locator("#units-shown")).to_have_text("2 units")
    entries = [text.strip() for text in page.locator("#legend li").all_text_contents()]
    assert entries == ["alive 6", "dead (zero) 6", "by the weights 1", "proven 2", "open 2", "refuted 1"]
    expect(page.locator(".woken img")).to_be_visible()
    page.locator(".woken a").click()
    expect(page.locator("#layer-title")).to_have_text("relu")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)  # charts follow the new width
    assert sideways(page) == 0
    assert axe(page) == []


def test_light_and_dark_follow_the_system_and_the_button(open_page: Open, report: Path) -> None:
    page = open_page(report)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(colour)
    assert light != dark
    page.locator("#theme").click()
    assert page.evaluate(colour) == light


def test_a_print_shows_every_layer_and_the_network_as_an_image(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#network-print")).to_be_visible()
    assert str(page.locator("#network-print").get_attribute("src")).startswith("data:image/png")
    assert len(rows(page)) == LAYERS
    expect(page.locator("#search")).to_be_hidden()
    assert len(page.pdf()) > 20_000


# Whether a picture has more than one colour, and lies within the page.
PRINTED = """picture => {
  const sheet = Object.assign(document.createElement('canvas'), {width: 200, height: 60}).getContext('2d');
  sheet.drawImage(picture, 0, 0, 200, 60);
  const pixels = new Uint32Array(sheet.getImageData(0, 0, 200, 60).data.buffer);
  const box = picture.getBoundingClientRect();
  return new Set(pixels).size > 4 && box.left >= 0 && box.right <= innerWidth + 1;
}"""


@pytest.mark.parametrize("scrolled", [False, True])
def test_a_print_has_every_chart_whole_whether_it_was_seen_or_not(
    open_page: Open, report: Path, scrolled: bool
) -> None:
    page = open_page(report)
    if scrolled:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(200)
    page.set_viewport_size({"width": 720, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    pictures = page.locator(".chart-print")
    pictures.evaluate_all("all => Promise.all(all.map(picture => picture.decode()))")
    assert pictures.count() >= 5  # the strip, three over depth, the reasons
    assert all(picture.evaluate(PRINTED) for picture in pictures.all())
    assert page.locator("canvas:visible").count() == 0


def test_names_that_mean_harm_stay_text(open_page: Open, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    plain = made.first_dead(16, 12, evil)
    layer = replace(plain, audited=replace(plain.audited, op=evil, node=evil))
    path = tmp_path / "evil.html"
    path.write_text(render_html(replace(made.facts([layer]), locked=()), picture([layer])), encoding="utf-8")
    page = open_page(path)
    expect(page.locator("#layer-title")).to_have_text(evil)
    page.get_by_text("Units one by one").click()
    page.locator("#strip").hover()
    page.wait_for_timeout(200)
    assert page.locator("img:not(#network-print)").count() == 0


def test_a_model_without_layers_opens(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text(
        render_html(replace(made.facts(), layers=(), locked=(), warnings=()), picture([])), encoding="utf-8"
    )
    expect(open_page(path).locator("#layer")).to_be_hidden()


@pytest.mark.slow
def test_opening_two_thousand_layers_takes_under_three_seconds_of_processor_time(browser: Browser, large: Path) -> None:
    """Of the page's main thread, the best of three; a reader on a busy machine waits longer."""
    taken = []
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(large.as_uri(), wait_until="commit")
        page.wait_for_selector("html[data-ready=yes]")
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        taken.append(metrics["TaskDuration"])
        page.close()
    assert min(taken) < 3


def test_a_long_table_grows_as_it_is_scrolled(open_page: Open, large: Path) -> None:
    page = open_page(large)
    shown = len(rows(page))
    assert shown < 2000
    page.locator(".list .scroll").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    page.wait_for_timeout(200)
    assert len(rows(page)) > shown
    page.get_by_role("searchbox").fill("block499/act3")
    assert rows(page) == ["/block499/act3/Relu_output_0"]


def test_without_javascript_there_are_tables_and_no_empty_boxes(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#table tbody tr:visible").count() == LAYERS
    assert page.locator(".chart:visible, .graph:visible, #layer:visible").count() == 0
    context.close()
