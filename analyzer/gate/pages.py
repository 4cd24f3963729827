"""Pages about findings, made from the docstrings: `python -m analyzer.gate.pages write|check [FOLDER]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from analyzer.gate.catalogue import all_kinds
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.finding_page import page

FOLDER = Path("docs/findings")
INDEX = "README.md"
_MADE = "<!-- Made from the docstring in {module} by `python -m analyzer.gate.pages write`; do not edit here. -->"


def pages(kinds: Sequence[FindingKind]) -> dict[str, str]:
    """File name to text: one page per finding, and the index."""
    made = {f"{kind.code}.md": f"{page(kind)}\n{_MADE.format(module=kind.module)}\n" for kind in kinds}
    rows = [f"| [{kind.code}]({kind.code}.md) | `{kind.name}` | {kind.severity} | {kind.title} |" for kind in kinds]
    made[INDEX] = "\n".join(
        [
            "# Findings",
            "",
            "What `deadunits check` can find. Codes are stable and never reused; `deadunits explain CODE` prints one.",
            "An error fails the check, a warning is shown, a note is only told.",
            "",
            "| code | name | severity | finding |",
            "|---|---|---|---|",
            *rows,
            "",
            _MADE.format(module="analyzer.gate"),
            "",
        ]
    )
    return made


def stale(kinds: Sequence[FindingKind], folder: Path = FOLDER) -> list[str]:
    """Names of pages that are missing, differ from the docstrings, or have no finding any more."""
    wanted = pages(kinds)
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")} if folder.is_dir() else {}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def _main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[1]) if len(arguments) > 1 else FOLDER
    if list(arguments[:1]) == ["write"]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages(all_kinds()).items():
            (folder / name).write_text(text, encoding="utf-8")
        return 0
    if list(arguments[:1]) == ["check"]:
        old = stale(all_kinds(), folder)
        advice = "run `python -m analyzer.gate.pages write`"
        sys.stderr.writelines(f"{folder / name} is out of date: {advice}.\n" for name in old)
        return 1 if old else 0
    sys.stderr.write("usage: python -m analyzer.gate.pages write|check [FOLDER]\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
