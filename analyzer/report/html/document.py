"""What every page is: one file with its styles, scripts and data, which works offline and prints.

Names come from a model that may mean harm. Jinja escapes every one of them, scripts put them into the page as text
only, and a Content-Security-Policy lets nothing run but our own scripts (by their hashes) and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from analyzer.facts.wording import counted, number, share, size, unit_ranges
from analyzer.report.html.packed import zipped
from analyzer.report.phrases import (
    because,
    computed_by,
    counted_early,
    dims,
    full_name,
    named,
    not_finite,
    preprocessed,
    printable,
    samples_fed,
    shortened,
    units_of,
)
from analyzer.version import __version__

if TYPE_CHECKING:
    import jinja2

BASICS = ("words.js", "look.js")  # scripts of every page, in front of its own


def document(
    template: str,
    scripts: Sequence[str],
    data: Mapping[str, str],
    libraries: Sequence[str] = (),
    **context: Any,
) -> str:
    """A page: a template that fills `page.html.j2`, our scripts as one, and data that they read by its name."""
    own = "\n".join(_resource("static", name) for name in (*BASICS, *scripts))
    texts = [*(_resource("vendor", name) for name in libraries), f"(async () => {{\n'use strict';\n{own}\n}})();"]
    page = environment().get_template(template)
    text = page.render(
        version=__version__,
        style=_resource("static", "report.css"),
        scripts=texts,
        script_hashes=[_hash(text) for text in texts],
        data=data,
        **context,
    )
    return f"{text}\n"


@cache
def environment() -> jinja2.Environment:
    """Templates of the package: everything is escaped unless a template says otherwise."""
    import jinja2  # here, so that a plain audit does not wait for it

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("analyzer.report.html", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "number": number,
        "share": share,
        "size": size,
        "counted": counted,
        "printable": printable,
        "full_name": full_name,
        "because": because,
        "preprocessed": preprocessed,
        "computed_by": computed_by,
        "samples_fed": samples_fed,
        "counted_early": counted_early,
        "named": named,
        "not_finite": not_finite,
        "milliseconds": _milliseconds,
        "short": lambda value: f"{value:.3g}" if math.isfinite(value) else "not finite",
        "shortened": shortened,
        "dims": dims,
        "unit_ranges": unit_ranges,
        "units_of": units_of,
    }
    templates.globals |= {"number": number, "size": size, "milliseconds": _milliseconds}
    return templates


def as_text(data: Any) -> str:
    """JSON that a script reads, zipped."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return zipped(text.encode("utf-8", "replace"))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


@cache
def _resource(folder: str, name: str) -> str:
    """A packaged file as it must stand inside an element: no script of ours may hold the text that would end it."""
    text = files("analyzer.report.html").joinpath(folder, name).read_text(encoding="utf-8")
    assert "</script" not in text.lower(), name
    assert "</style" not in text.lower(), name
    return text


def _hash(text: str) -> str:
    # What the browser hashes has its line ends normalised.
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return "sha256-" + base64.b64encode(hashlib.sha256(normal.encode("utf-8")).digest()).decode("ascii")
