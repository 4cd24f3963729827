"""A real browser for the pages: the one that is installed (Debian: `apt-get install chromium`), none is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")

Open = Callable[..., Page]
DESKTOP, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=375, height=740)


def program() -> str | None:
    """Path of a browser: DEADUNITS_BROWSER, or what is installed."""
    return os.environ.get("DEADUNITS_BROWSER") or next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="module")  # not for all modules: while Playwright runs, no other event loop can
def browser() -> Iterator[Browser]:
    found = program()
    if found is None:
        pytest.skip("No browser here, so pages were not opened: install Debian's chromium, or set DEADUNITS_BROWSER.")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a file and waits until it is ready; fails when the page says, asks or throws anything."""
    complaints: list[str] = []
    requests: list[str] = []
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")

    def opened(path: Path, link: str = "") -> Page:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri() + link)
        page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        return page

    yield opened
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) <= 2


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], list[str]]:
    """What axe finds wrong with a page, by all of its rules: name and the first element of each."""
    source = (files(pytest.importorskip("axe_playwright_python")) / "axe.min.js").read_text(encoding="utf-8")

    def violations(page: Page) -> list[str]:
        page.evaluate(source)  # not by a script element, which the page would refuse
        found = page.evaluate("axe.run()")["violations"]
        return [f"{entry['id']}: {entry['nodes'][0]['html']} ({len(entry['nodes'])})" for entry in found]

    return violations


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
