"""Audit and prune a folder of real models and print a Markdown table of what can go and what was measured.

Each case is a folder with model.onnx, probe.npz and (optionally) holdout.npz and case.json; the latter may name
inputs that are fed unchanged with every sample (`inputs.NAME.layout == "constant"`).

    python benchmarks/real_models.py FOLDER [CASE ...] [--no-latency]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import analyzer
from analyzer.errors import DeadunitsError

HEADER = (
    "| model | units | dead (of them constant) | parameters | after | difference on the probe | on the holdout "
    "| revived by the holdout | time after / before |\n|---|---|---|---|---|---|---|---|---|"
)


def constants_of(case: Path) -> list[str]:
    """Inputs that the case feeds unchanged."""
    path = case / "case.json"
    if not path.exists():
        return []
    inputs = json.loads(path.read_text())["inputs"]
    return [name for name, facts in inputs.items() if facts["layout"] == "constant"]


def row(case: Path, *, latency: bool) -> str:
    """One line of the table."""
    holdout = case / "holdout.npz"
    audit = analyzer.audit(
        case / "model.onnx",
        analyzer.Data(case / "probe.npz", holdout if holdout.exists() else None, constants=constants_of(case)),
    )
    pruned = audit.prune(latency=latency)
    facts = pruned.facts
    revived = sum(len(layer.revived or ()) for layer in audit.layers)
    constant = sum(len(layer.constant) for layer in audit.layers)
    compared = [f"{c.max_relative_difference:.1e}" if c is not None else "-" for c in (facts.comparison, facts.holdout)]
    spread = "-"
    if facts.latency is not None:
        timed = facts.latency
        spread = f"{timed.ratio:.2f} ({timed.ratio_low:.2f}-{timed.ratio_high:.2f})"
    kept = facts.after.parameters / facts.before.parameters if facts.before.parameters else 1.0
    return (
        f"| {case.name} | {audit.facts.units} | {audit.facts.dead} ({constant}) | {facts.before.parameters:,} "
        f"| {facts.after.parameters:,} ({kept:.1%}) | {compared[0]} | {compared[1]} | {revived} | {spread} |"
    )


def main() -> int:
    """Print the table; failures are rows too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--no-latency", action="store_true")
    arguments = parser.parse_args()
    cases = [c for c in sorted(arguments.folder.iterdir()) if (c / "model.onnx").exists()]
    cases = [c for c in cases if not arguments.cases or c.name in arguments.cases]
    print(HEADER)
    for case in cases:
        start = time.perf_counter()
        try:
            print(row(case, latency=not arguments.no_latency), flush=True)
        except DeadunitsError as error:
            print(f"| {case.name} | failed: {error} |", flush=True)
        print(f"{case.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
