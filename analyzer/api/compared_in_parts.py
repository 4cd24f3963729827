"""A cut that is compared with its original in parts of the data: planned here, run anywhere, and put together again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from analyzer.api.chosen_cut import asked_for, by_values, chosen_cut
from analyzer.api.cutting import CutModel
from analyzer.api.kept_statistics import Statistics
from analyzer.api.rewritten import Source
from analyzer.errors import InputError
from analyzer.facts.choice import Choice
from analyzer.facts.evidence import Evidence
from analyzer.facts.sample_ranges import gaps, number_in
from analyzer.facts.wording import number
from analyzer.graph.structure import structure
from analyzer.observe.output_differences import ComparedBlocks
from analyzer.observe.tallies import ComparedCut
from analyzer.version import __version__
from analyzer.walk import Walk

if TYPE_CHECKING:
    from analyzer.api.audit_result import Audit


def planned_cut(source: Source, walked: Walk, choice: Choice, audit: Audit) -> Statistics:
    """The statistics of an audit with the cut that `prune` would make, as a plan for its comparison.

    Raises:
        InputError: it is no audit of statistics alone; the cut depends on more than these; or nothing goes.
        ComparisonFailed: no consistent cut was found: a bug of ours.
    """
    recalled = source.recalled
    if recalled is None or source.probe is not None:
        raise InputError(
            "A comparison in parts is planned by statistics alone, which say what is dead: give them (--statistics "
            "FILE), and no probe."
        )
    if choice.residual == "latency":
        raise InputError(
            "--residual latency goes by time, which other machines do not measure alike: choose params or off for a "
            "comparison in parts."
        )
    choice = by_values(walked.layers, choice)
    cut_model = cut_for(source, walked, choice, audit)
    if not cut_model.takes_anything:
        raise InputError("Nothing can be removed, so there is nothing to compare: `deadunits prune` says why.")
    tallies = recalled.statistics._tallies
    kept = replace(tallies, cut=ComparedCut(cut_hash(source, cut_model, choice), choice))
    without = replace(kept, counted=replace(kept.counted, compared=None))
    return Statistics(without, recalled.statistics.name, recalled.statistics._inputs)


def cut_for(source: Source, walked: Walk, choice: Choice, audit: Audit) -> CutModel:
    """The cut of a choice, which nobody compared yet."""
    source, walked = asked_for(source, walked, choice, audit, {})
    return chosen_cut(source, walked, choice, audit).model


def compared_in_parts(source: Source, cut_model: CutModel, choice: Choice) -> ComparedBlocks | None:
    """What parts of the data showed of this cut; None: they were compared with another one, and there is a probe.

    Raises:
        InputError: another cut was compared, and there is no probe.
    """
    recalled = source.recalled
    if recalled is None or recalled.cut is None or recalled.compared is None:
        return None
    if recalled.cut.cut == cut_hash(source, cut_model, choice):
        return recalled.compared
    if source.probe is not source.first:
        return None
    raise InputError(
        f"{recalled.statistics.name} holds the comparison of another cut than its statistics and this call give: make "
        "it again (`deadunits prune --to-compare`), with the same version of deadunits and the same options "
        "(--preset, --independent). Nothing was written."
    )


def check_complete(source: Source) -> None:
    """Blame the statistics, not the cut, where samples that they lack may move what goes.

    Raises:
        InputError: they lack some.
    """
    if source.recalled is not None and (missing := number_in(source.recalled.statistics.missing)):
        raise InputError(
            f"The comparison shows that both models differ, and {source.recalled.statistics.name} lacks "
            f"{number(missing)} samples of the data, on which units may fire that go: observe these, and plan the cut "
            "again. Nothing was written."
        )


def missing_notes(source: Source) -> list[str]:
    """What is said of samples that no part compared."""
    recalled = source.recalled
    if recalled is None or recalled.cut is None or source.probe is not source.first:
        return []
    total = recalled.statistics.total
    missing = number_in(gaps(recalled.cut.ranges, total))
    of_all = "" if total is None else f" of {number(total)}"
    compared = f"{number(number_in(recalled.cut.ranges))}{of_all} samples"
    return [f"Both models were compared on {compared}: the comparison of {number(missing)} is missing."] * bool(missing)


def cut_hash(source: Source, cut_model: CutModel, choice: Choice) -> str:
    """Of how the smaller model computes and what it keeps of the original; a cut of another hash is another one.

    Numbers that the cut computes (biases that take a constant in) are left out: they follow from the rest, and their
    last digits from the processor. The constants that units were seen at are in it: statistics of other samples may
    have others of the same units.
    """
    digest = xxhash.xxh3_128()
    for part in _described(source, cut_model, choice):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode() + b"\n")
    return f"xxh3:{digest.hexdigest()}"


def _described(source: Source, cut_model: CutModel, choice: Choice) -> Iterator[Any]:
    yield ["deadunits", __version__, source.loaded.sha256, asdict(choice), cut_model.removed_rows]
    keeps = cut_model.walk.closure.keeps
    for name in sorted(cut_model.walk.context.graph.initializer_names):
        if name in keeps:
            yield [name, *(xxhash.xxh3_128_hexdigest(np.packbits(kept).tobytes()) for kept in keeps.vectors(name))]
    for layer in cut_model.walk.layers:
        observed = [*layer.dead_by(Evidence.OBSERVED, Evidence.REFUTED, Evidence.PROVEN)]
        constants = layer.stays_at[observed] + 0.0  # zeros alike
        yield [layer.value, xxhash.xxh3_128_hexdigest(np.array(observed).tobytes() + constants.tobytes())]
    yield from structure(cut_model.smaller)
