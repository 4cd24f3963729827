"""A settings file for `check`, made from a first audit: what the model is today, and no worse."""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from analyzer.api.audit_result import Audit
from analyzer.errors import OutputError
from analyzer.facts.addresses import is_address
from analyzer.facts.audit import AuditFacts
from analyzer.facts.budgets import budgets_of
from analyzer.facts.findings import Severity
from analyzer.gate import judge
from analyzer.probes.recognise import runs_code
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output


def kept_in_settings(path: object) -> bool:
    """Whether a settings file may name the data: files are read from there, and no code is run."""
    return isinstance(path, str) and not runs_code(path)


def write_settings(
    audit: Audit, path: str | Path, baseline: str | Path, probe: object, holdout: object
) -> tuple[str, ...]:
    """Write a settings file whose budgets the audited model just keeps, and the audit as baseline: both or none.

    Returns the findings, by code and name, for which the model fails all the same.

    Raises:
        OutputError: one of them is there already, or cannot be written.
    """
    for file in (path, baseline):
        if is_address(file):
            raise OutputError(f"{file} is an address, and what `check` reads lies here: name a file.")
        if Path(file).exists():
            raise OutputError(f"{file} is there already: name another file, or remove it first.")
    settings = check_output(path, audit._inputs)
    named = {"probe": probe, "holdout": holdout, "baseline": str(baseline)}
    sources = {key: str(source) for key, source in named.items() if kept_in_settings(source)}
    text = settings_text(audit.facts, settings.parent, sources)
    with written_together() as files:
        files.write(settings, text)
        audit.save_report(baseline, "json")
    given = {key: value for key, value in tomllib.loads(text).items() if key not in ("probe", "holdout", "baseline")}
    failing = judge(audit.facts, budgets_of(given), None).findings
    return tuple(dict.fromkeys(f"{f.code} {f.name}" for f in failing if f.severity is Severity.ERROR))


def settings_text(facts: AuditFacts, folder: Path, sources: Mapping[str, str]) -> str:
    """Budgets in TOML: what the audit found, rounded to whole percents; paths relative to the file's folder."""
    lines = ["# What `deadunits check` allows, as a first audit found the model: tighten it as it gets better."]
    places = {key: p if is_address(p) else os.path.relpath(p, folder) for key, p in sources.items()}
    lines += [f"{key} = {_quoted(place)}" for key, place in places.items()]
    lines.append(f"max-dead = {_up(facts.dead, facts.units)}")
    lines.append(f"max-prunable = {_up(facts.removable.parameters_share, 1)}")
    if facts.probe is not None:
        lines.append(f"min-samples = {facts.probe.samples}")
    if facts.judged.least is not None:
        lines.append(f'min-judged = "{math.floor(100 * facts.judged.least)}%"')
    if facts.layers:
        worst = max(facts.layers, key=lambda layer: layer.dead_share)
        lines += ["", "[max-dead-layer]", f'"*" = {_up(len(worst.dead), worst.units)}']
    return "\n".join(lines) + "\n"


def _up(part: float, whole: float) -> str:
    """A share as a text of TOML, a whole percent at least as large, and 1 at least."""
    return f'"{max(math.ceil(100 * part / whole - 1e-9) if whole else 0, 1)}%"'


def _quoted(text: str) -> str:
    """A string of TOML, which takes JSON's escapes but no DEL."""
    return json.dumps(text.replace(os.sep, "/"), ensure_ascii=False).replace("\x7f", "\\u007f")
