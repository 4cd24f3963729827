"""A certificate checked again: bounds computed anew, witnesses run once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from analyzer.api.audit_result import Audit
from analyzer.api.auditing import Model, audit_with_source
from analyzer.api.bounding import LinearBounding, bounding, bounds_over
from analyzer.api.certificates import Certificate, read_certificate
from analyzer.api.domains import drawn_probe, summary_of
from analyzer.api.options import Data, Progress, Run
from analyzer.api.reporting import Reporting
from analyzer.api.rewritten import Source
from analyzer.errors import InputError
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.domain import Box, within_both
from analyzer.facts.proof import ARITHMETICS, Claim, Failed, Method, Outcome, UnitProof, VerifiedFacts
from analyzer.facts.statistics import Bools
from analyzer.facts.thresholds import Thresholds
from analyzer.graph import LoadedModel
from analyzer.report.console import ReportConsole
from analyzer.runtime.loading import load_model
from analyzer.witness.claims import Claims, LayerClaims, aims_at, entries_of
from analyzer.witness.points import Points, count_of, taken
from analyzer.witness.proofs import proven
from analyzer.witness.removal import Removals, output_sizes, small
from analyzer.witness.sight import Feeding, Sight
from analyzer.witness.splitting import MOST_PARTS
from analyzer.witness.wanted_bounds import nearly_shown

FURTHER = (
    Method.LINEAR,
    Method.SLOPES,
    Method.SPLITTING,
)  # ways of proving that intervals over the whole domain are too wide for
AGAIN = 1e-5  # share by which a bound that is computed again may differ: sums may be taken in another order
DRAWN = 16  # points of the domain on which the model is run to see what its values are


@dataclass(frozen=True, eq=False, repr=False)
class Verified(Reporting):
    """What came of checking a certificate: `holds`, and what did not come out again."""

    _command: ClassVar[str] = "verify"
    facts: VerifiedFacts
    _inputs: tuple[Path, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything that the certificate says came out again."""
        return self.facts.holds

    def show(self, *, show_all: bool = False) -> None:
        """Print the report for a person; `show_all` lists every claim that did not come out again."""
        from analyzer.report.verify.terminal import render

        render(self.facts, ReportConsole(), show_all=show_all)

    def __repr__(self) -> str:
        facts = self.facts
        return f"<Verified: {facts.proven} proven and {facts.refuted} refuted again, {len(facts.failed)} not>"


def verify(
    model: Model, certificate: str | Path, *, run: Run | None = None, progress: Progress | None = None
) -> Verified:
    """Check a certificate of `prove` again: bounds are computed anew, witnesses run once more, each by itself.

    Raises:
        InputError: the model or the certificate cannot be used, or the certificate is about another model.
    """
    run, found = Run.of(run), read_certificate(certificate)
    with run.limited():
        loaded = load_model(model)
        _check_fits(found, loaded, Path(certificate).name)
        ulps = found.statement.ulps
        audited, source = audit_with_source(
            model,
            Data(drawn_probe(found.domain, loaded.graph.inputs, DRAWN, 0)),
            run,
            replace(Thresholds(), ulps=ulps),
            causes=False,
            progress=progress,
        )
        claims, units = _claims(found, audited)
        failed = [*_unknown(found, units), *_not_refuted(found, source, claims, units)]
        with _linear(found, source, claims, units) as (linear, narrower):
            failed += _not_proven(found, source, audited, claims, units, linear, narrower)
            failed += _not_negligible(found, source, claims, units, narrower)
    lost = {(f.value, f.unit, f.claim) for f in failed}
    again = [u.outcome for u in found.statement.units if (u.value, u.unit, u.claim) not in lost]
    facts = VerifiedFacts(
        model=audited.model,
        certificate=str(certificate),
        domain=summary_of(found.domain),
        arithmetic=found.statement.arithmetic,
        proven=again.count(Outcome.PROVEN),
        refuted=again.count(Outcome.REFUTED),
        open=sum(u.outcome is Outcome.OPEN for u in found.statement.units),
        failed=tuple(failed),
        negligible=again.count(Outcome.NEGLIGIBLE),
        ulps=ulps,
    )
    return Verified(facts, (Path(certificate), *source.inputs))


def _check_fits(found: Certificate, loaded: LoadedModel, name: str) -> None:
    """Refuse what is about another model, or what nobody here can compute again.

    Raises:
        InputError: which.
    """
    if found.statement.model_sha256 != loaded.sha256:
        raise InputError(
            f"{name} is about another model, whose file has the hash {found.statement.model_sha256[:12]}…."
        )
    if found.statement.arithmetic not in ARITHMETICS:
        raise InputError(f"{name} is about the arithmetic {found.statement.arithmetic!r}, which is not computed here.")
    claims = [(unit.value, unit.unit, unit.claim) for unit in found.statement.units]
    if len({*claims}) < len(claims):
        raise InputError(f"{name} says several things of one claim: make it again.")
    inputs, shapes = loaded.graph.inputs, {n: b.low.shape for n, b in found.domain.boxes[0].items()}
    fits = shapes.keys() == inputs.keys() and all(box.keys() == inputs.keys() for box in found.domain.boxes)
    fed = (*found.witnesses.items(), *found.large.items())
    whole = all(points.keys() == inputs.keys() for points in (found.witnesses, found.large) if points)
    counts = [{array.shape[:1] for array in points.values()} for points in (found.witnesses, found.large)]
    alike = all(len(count) <= 1 and () not in count for count in counts)
    if not (fits and whole and alike) or any(array.shape[1:] != shapes.get(n) for n, array in fed):
        raise InputError(f"The domain or the witnesses in {name} do not have the model's inputs: make it again.")
    arrays = [(n, end) for box in found.domain.boxes for n, b in box.items() for end in (b.low, b.high)]
    typed = all(inputs[n].dtype in (None, array.dtype) for n, array in (*arrays, *fed))
    if not typed or not all((b.low <= b.high).all() for box in found.domain.boxes for b in box.values()):
        raise InputError(f"The domain or the witnesses in {name} are no numbers that the model takes: make it again.")


def _claims(found: Certificate, audited: Audit) -> tuple[Claims, tuple[UnitProof, ...]]:
    """The claims of which the model has the layers, and what the certificate says of each, in the same order."""
    layers = {layer.value: layer for layer in audited.layers}
    entries = entries_of(audited._walk.context, [layers[u.value] for u in found.statement.units if u.value in layers])
    groups: dict[tuple[str, Claim], list[UnitProof]] = {}
    for unit in found.statement.units:
        if unit.value in layers and 0 <= unit.unit < layers[unit.value].units:
            groups.setdefault((unit.value, unit.claim), []).append(unit)
    made = []
    for (value, claim), units in groups.items():
        constants = np.array([np.nan if u.stays_at is None else u.stays_at for u in units])
        numbers = np.array([u.unit for u in units], np.int64)
        aims = tuple(tuple(aims_at(layers[value].audited, claim, entries[value], float(c))) for c in constants)
        made.append(LayerClaims(layers[value].audited, claim, numbers, constants, aims))
    return Claims(tuple(made), audited.facts.thresholds), tuple(u for units in groups.values() for u in units)


def _unknown(found: Certificate, units: tuple[UnitProof, ...]) -> Iterator[Failed]:
    known = {(u.value, u.unit, u.claim) for u in units}
    for unit in found.statement.units:
        if (unit.value, unit.unit, unit.claim) not in known:
            yield _failed(unit, "The model has no such unit.")


@contextmanager
def _linear(
    found: Certificate, source: Source, claims: Claims, units: tuple[UnitProof, ...]
) -> Iterator[tuple[LinearBounding | None, Mapping[str, Box]]]:
    """Linear bounds, and what they are over the domain, where something rests on them.

    They are asked of what `prove` asked: of less, other values would be within the work, and lines would lie otherwise.
    """
    if not any(u.outcome is Outcome.NEGLIGIBLE or u.method in FURTHER for u in units):
        yield None, {}
        return
    left = np.array([u.asked_of_lines for u in units], np.bool_)
    with LinearBounding(source, claims, left, found.domain, found.statement.arithmetic) as linear:
        yield linear, {} if linear.bounds is None else bounds_over(linear.around(), found.domain)


def _by_slopes(
    found: Certificate,
    claims: Claims,
    units: tuple[UnitProof, ...],
    linear: LinearBounding,
    narrower: Mapping[str, Box],
) -> Bools:
    """What linear bounds show whose slopes are sought, for the claims for which `prove` sought them."""
    if not any(u.method is Method.SLOPES for u in units):
        return np.zeros(len(units), np.bool_)
    left = np.array([u.asked_of_lines and u.method is not Method.LINEAR for u in units], np.bool_)
    sought = nearly_shown(claims, left, narrower)
    return proven(claims, within_both(narrower, bounds_over(linear.with_slopes(sought), found.domain)))


def _not_proven(
    found: Certificate,
    source: Source,
    audited: Audit,
    claims: Claims,
    units: tuple[UnitProof, ...],
    linear: LinearBounding | None,
    narrower: Mapping[str, Box],
) -> Iterator[Failed]:
    layers = {layer.value: layer for layer in audited.layers}
    asked = {u.value for u in units if u.outcome is Outcome.PROVEN}
    if not asked:
        return
    with bounding(source, asked, found.domain, found.statement.arithmetic) as (bound, _):
        shown = proven(claims, bounds_over(bound, found.domain))
        further = np.array([u.method in FURTHER and u.outcome is Outcome.PROVEN for u in units], np.bool_)
        shown |= further & proven(claims, narrower)
        if linear is not None:
            shown |= further & _by_slopes(found, claims, units, linear, narrower)
            splitter = linear.splitter(bound)
            for place in np.flatnonzero(further & ~shown).tolist():
                shown[place] = units[place].method is Method.SPLITTING and splitter.proves(place, most=2 * MOST_PARTS)
    for unit, bounded in zip(units, shown, strict=True):
        if unit.outcome is Outcome.PROVEN:
            if unit.method is Method.WEIGHTS and not _decided(layers[unit.value], unit):
                yield _failed(unit, "The weights do not decide it.")
            elif unit.method is not Method.WEIGHTS and not bounded:
                yield _failed(unit, "Bounds that were computed again do not show it.")


def _decided(layer: LayerVerdicts, unit: UnitProof) -> bool:
    return unit.claim is Claim.DEAD and unit.unit in layer.structural and layer.stays_at[unit.unit] == unit.stays_at


def _not_refuted(found: Certificate, source: Source, claims: Claims, units: tuple[UnitProof, ...]) -> Iterator[Failed]:
    if not any(unit.outcome is Outcome.REFUTED for unit in units):
        return
    shown, count = _shown(found, source, claims), count_of(found.witnesses)
    for place, unit in enumerate(units):
        if unit.outcome is Outcome.REFUTED:
            if unit.witness is None or not 0 <= unit.witness < count:
                yield _failed(unit, "Its witness is missing.")
            elif (
                outside := found.domain.outside({n: a[unit.witness] for n, a in found.witnesses.items()})
            ) is not None:
                yield _failed(unit, f"Its witness is no input of the domain: {outside}.")
            elif not shown[unit.witness][place]:
                yield _failed(unit, "Its witness does not show it.")


def _not_negligible(
    found: Certificate,
    source: Source,
    claims: Claims,
    units: tuple[UnitProof, ...],
    narrower: Mapping[str, Box],
) -> Iterator[Failed]:
    asked = {u.value for u in units if u.outcome is Outcome.NEGLIGIBLE}
    if not asked:
        return
    with bounding(source, (), found.domain, found.statement.arithmetic) as (bound, _):
        bounds = bounds_over(bound, found.domain)
    sizes = _sizes(found, source)
    removals = Removals(source.computed, source.shapes, bounds, {**bounds, **narrower}, threads=source.run.threads)
    for start, layer in zip(claims.starts, claims.layers, strict=False):
        own = {place: units[start + place] for place in range(len(layer.units))}
        places = [place for place, unit in own.items() if unit.outcome is Outcome.NEGLIGIBLE]
        changes = dict(removals.changes(layer, places))
        for place in places:
            unit, moved = own[place], changes.get(place)
            change = np.inf if moved is None else max(moved.values(), default=0.0)
            if unit.change is None or not change <= unit.change * (1 + AGAIN):
                yield _failed(unit, f"Without it an output may change by {change:.3g}.")
            elif moved is None or not small(moved, sizes, AGAIN):
                yield _failed(unit, f"An output may change by {change:.3g}, more than a thousandth of what it showed.")


def _sizes(found: Certificate, source: Source) -> Mapping[str, float]:
    """How large outputs are for the inputs that are to show it, of which those that are none of the domain do not."""
    feeds = ({n: a[place] for n, a in found.large.items()} for place in range(count_of(found.large)))
    within = [place for place, feed in enumerate(feeds) if found.domain.outside(feed) is None]
    return output_sizes(source.computed, taken(found.large, np.array(within, np.int64)), threads=source.run.threads)[0]


def _shown(found: Certificate, source: Source, claims: Claims) -> list[Bools]:
    """Per witness which claims it refutes, run by itself."""
    feeding = Feeding(source.shapes, 1, frozenset(found.domain.varying))
    sight = Sight(source.shown, claims, feeding, threads=source.run.threads, alone=True)
    try:
        return [
            _refuted(sight, claims, taken(found.witnesses, slice(i, i + 1))) for i in range(count_of(found.witnesses))
        ]
    finally:
        sight.close()


def _refuted(sight: Sight, claims: Claims, point: Points) -> Bools:
    kept, seen = sight.look(point)
    return claims.refuted(seen)[0] if count_of(kept) else np.zeros(claims.count, np.bool_)


def _failed(unit: UnitProof, why: str) -> Failed:
    return Failed(unit.value, unit.unit, unit.claim, unit.outcome, why)
