"""Numbers that pages state are those of the code."""

from __future__ import annotations

import pytest

from analyzer.api.options import RUN_LIMIT
from analyzer.causes import diagnose
from analyzer.facts.bound import firing_bound_of, samples_for_bound
from analyzer.facts.judged import LITTLE
from analyzer.facts.tolerances import REORDERED, REORDERED_QUANTISED
from analyzer.gate import dead_layers, not_judged, probe_itself, since_baseline
from analyzer.gate.situation import USEFUL_BOUND
from analyzer.graph import inlining, sparse
from analyzer.observe.halves import LARGEST_HALF, ROUNDS_TO_INFINITY
from analyzer.observe.pair_observer import SINGLE_SAMPLES
from analyzer.ops.lengths import _LONGEST
from analyzer.probes import data_watch, numpy_files
from analyzer.runtime import folding, run_limit
from analyzer.shapes import shape_run, shape_session
from analyzer.shapes.trial_feeds import LARGEST_GUESS
from tests.docs.pages import ROOT


def power(number: int) -> str:
    assert number.bit_count() == 1
    return f"2^{number.bit_length() - 1}"


def short(number: float) -> str:
    return f"{number:.0e}".replace("e-0", "e-")


MIB, GIB = 1 << 20, 1 << 30
#: Numbers that pages spell out; another one is missing here.
WORDS = {4: "four", 5: "five", 9: "nine", 0.25: "quarter", 0.5: "half", 1.5: "half as many again"}
SAID = {
    "docs/limits.md": (
        f"have room for {shape_session.ROOM // GIB} GiB of values, and for {shape_session.ROOM_PER_BYTE} times their",
        f"at most {power(LARGEST_GUESS)} numbers and {power(shape_run.MOST_MULTIPLY_ADDS)} multiply-adds",
        f"may take {RUN_LIMIT} s (`--run-limit`), one on a guess {shape_run.LONGEST_GUESS} s",
        f"ends the command {WORDS[run_limit.GRACE]} seconds later",
        f"when it takes {run_limit.SPARE // GIB} GiB more than there is room for",
        f"file of up to {numpy_files.PIECES_FROM // MIB} MiB is unpacked into memory",
        f"of a larger one {numpy_files.PIECE_OF_ARRAYS // MIB} MiB at a time",
        f"Values have at most {_LONGEST} axes",
        f"at most {diagnose.MOST_UNITS:,} units and, beyond {diagnose.LEAST_UNITS:,}, at most a "
        f"{WORDS[diagnose.SHARE]} of all, in at most {diagnose.MOST_LAYERS} layers",
        f"inlined up to {inlining.MOST_NODES:,} nodes and {inlining.MOST_BYTES // MIB} MiB",
        f"at most {folding.ROOM // MIB} MiB and {folding.ROOM_PER_BYTE} times what is stored",
        f"made dense, up to {sparse.LARGEST // GIB} GiB",
        f"A value that passes {LARGEST_HALF:,.0f}",
    ),
    "docs/pruning.md": (
        *(f"{short(REORDERED[dtype])} for {dtype}" for dtype in REORDERED),
        f"{short(REORDERED_QUANTISED)} for float16 and where values are quantised",
        f"one sample at a time (up to {SINGLE_SAMPLES})",
    ),
    "docs/decisions/0004-tolerances.md": tuple(f"{dtype} {short(allowed)}" for dtype, allowed in REORDERED.items()),
    "docs/findings/DU007.md": (
        f"{firing_bound_of(10):.0%}".replace("%", " %") + " for 10 samples",
        *(f"{share * 100:.0f} % for {samples_for_bound(share)}" for share in (0.05, 0.01)),
        f"fewer than {samples_for_bound(USEFUL_BOUND)} samples",
    ),
    "docs/findings/DU009.md": (
        f"at least {WORDS[since_baseline.FACTOR]}, and at least "
        f"{WORDS[round(100 * since_baseline.POINTS)]} points of a hundred",
    ),
    "docs/findings/DU014.md": (
        f"At least {WORDS[dead_layers.MOSTLY]} of a layer's units (of {WORDS[dead_layers.FEWEST_UNITS]} or more)",
    ),
    "docs/findings/DU031.md": (
        f"Less than {LITTLE * 100:.0f} % of the model's",
        f"less than {WORDS[not_judged.MOST]} was judged",
    ),
    "docs/findings/DU034.md": (
        f"at least {probe_itself.LARGER:.0f} times as much now, or at most a {1 / probe_itself.SMALLER:.0f}nd of it",
    ),
    "docs/findings/DU036.md": (
        f"at least {WORDS[round(10 * probe_itself.MOSTLY_DISTINCT)]} in ten do",
        f"the first {data_watch.MOST_COMPARED:,} samples",
    ),
    "docs/findings/DU037.md": (
        f"passes {LARGEST_HALF:,.0f}",
        f"From {ROUNDS_TO_INFINITY:,.0f} on",
    ),
}


@pytest.mark.parametrize(("page", "sentence"), [(page, said) for page, told in SAID.items() for said in told])
def test_what_a_page_says_is_so(page: str, sentence: str) -> None:
    assert sentence in " ".join((ROOT / page).read_text(encoding="utf-8").split())
