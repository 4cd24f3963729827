"""Numbers, shares and lists of indices in words, the same in every message and every report."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from os.path import commonprefix

_STEPS = (("T", 1e12), ("G", 1e9), ("M", 1e6))
_LONGEST_RANGE = 10_000_000  # units; a longer one is a slip of the keyboard

LONGEST_SENTENCE = 300  # characters, of an error
_MOST_CUTS = 4  # how often names that look alike are cut further on
_SHORT_NAME = 40  # characters, below which a name is not cut

PATIENCE = 1.0  # seconds of work before progress is shown
_STAGES = {
    "probe": "running the probe",
    "holdout": "running the holdout",
    "causes": "asking why",
    "bounds": "bounding",
    "search": "searching for inputs",
}
_COUNTED = {"bounds": "boxes", "search": "seconds at most"}  # samples, else

INDEPENDENCE_STATED = "Samples shared runs because they are said to be independent (--independent): nothing proves it"


def number(count: int) -> str:
    """`52,650`, and from a million on `25.6 M`."""
    for unit, size in _STEPS:
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def size(count: int) -> str:
    """Bytes: `412 B`, `52.7 kB`, `97.8 MB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return f"{count} B"


def share(part: float, whole: float = 1.0) -> str:
    """A percentage that is `0 %` only when nothing is there, and `100 %` only when everything is."""
    if not whole or not part:
        return "0 %"
    ratio = part / whole
    if ratio < 0.001:
        return "< 0.1 %"
    if 0.999 < ratio < 1:
        return "> 99.9 %"
    return f"{ratio * 100:.3g} %" if ratio < 0.1 else f"{ratio * 100:.1f} %".replace(".0 %", " %")


def counted(count: int, noun: str) -> str:
    """`1 unit`, `12 units`."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


def unit_ranges(units: tuple[int, ...], most: int = 8) -> str:
    """`0-3, 7, 12`, cut after `most` pieces."""
    pieces: list[list[int]] = []
    for unit in units:
        if pieces and unit == pieces[-1][1] + 1:
            pieces[-1][1] = unit
        else:
            pieces.append([unit, unit])
    texts = [f"{low}" if low == high else f"{low}-{high}" for low, high in pieces[:most]]
    return ", ".join(texts) + (", …" if len(pieces) > most else "")


def units_in(text: str) -> set[int] | None:
    """The units that `0-3,7` lists, the inverse of `unit_ranges`; None where it is no such list."""
    units: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:-([0-9]{1,9}))?\s*", piece)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= high - low <= _LONGEST_RANGE:
            return None
        units.update(range(low, high + 1))
    return units


def cut_in_the_middle(text: str, width: int) -> str:
    """At most `width` characters, with `…` in the middle: names differ at both ends."""
    if len(text) <= width:
        return text
    keep = max(width - 1, 2)
    head = max(keep // 3, 1)
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"


def cut_apart(names: Iterable[str], width: int) -> dict[str, str]:
    """Each name in at most `width` characters: cut in the middle, or after what those share that would look alike."""
    shown = {name: cut_in_the_middle(name, width) for name in names}
    for _ in range(_MOST_CUTS):
        alike = defaultdict[str, list[str]](list)
        for name, text in shown.items():
            alike[text].append(name)
        for group in (group for group in alike.values() if len(group) > 1):
            shared = len(commonprefix(group))  # noqa: RUF071 - of texts, not of paths
            for name in group:
                rest = name[min(shared, len(name) - (width - 1)) :]
                shown[name] = "…" + (rest if len(rest) < width else f"{rest[: width - 2]}…")
    return shown


def concise(sentence: str, width: int = LONGEST_SENTENCE) -> str:
    """At most `width` characters: the longest words, which are names, are cut in the middle, else the sentence."""
    pieces = re.split(r"(\s+)", sentence)
    while (excess := sum(map(len, pieces)) - width) > 0:
        place = max(range(len(pieces)), key=lambda place: len(pieces[place]))
        if len(pieces[place]) <= _SHORT_NAME:
            return cut_in_the_middle("".join(pieces), width)
        pieces[place] = cut_in_the_middle(pieces[place], max(len(pieces[place]) - excess, _SHORT_NAME))
    return "".join(pieces)


def did_you_mean(word: str, known: Iterable[str], most: int = 2) -> str:
    """`did you mean …?` with the nearest of what there is; empty where nothing is near."""
    near = difflib.get_close_matches(word.replace("_", "-"), names := list(known), n=most, cutoff=0.5)
    near = near or difflib.get_close_matches(word, names, n=most, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a sentence: `: did you mean …?`, or the list of what there is."""
    hint = did_you_mean(word, names := list(known))
    return f": {hint}" if hint else f"; there are {', '.join(names)}."


def unchanged_outputs(*, observed: bool, proven: bool = False) -> str:
    """What a cut leaves as it was; `observed`: it rests on what the data showed, `proven`: on a proof over a domain."""
    if observed:
        return "no change on the probe beyond rounding"
    if proven:
        return "no change beyond rounding for any input of the domain"
    return "no change beyond rounding for any input that stays finite on the way"


def stage_named(stage: str) -> str:
    """What goes on in a stage of the work."""
    return _STAGES.get(stage, stage)


def progress_of(done: int, total: int | None, stage: str = "") -> str:
    """`120 of 300 samples`, or `120 samples so far` for a source that does not say how many it has."""
    what = _COUNTED.get(stage, "samples")
    return f"{done:,} {what} so far" if total is None else f"{done:,} of {total:,} {what}"
