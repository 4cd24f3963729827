"""What the caller wants to go, held against what is dead: an edited plan, patterns, and units named as lossy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from analyzer.errors import InputError
from analyzer.facts.audit import LayerVerdicts, layer_named
from analyzer.facts.choice import Choice
from analyzer.facts.evidence import Evidence
from analyzer.facts.experts import RoutedExperts
from analyzer.facts.vocabulary import GatheredRows
from analyzer.facts.wording import did_you_mean
from analyzer.json_files import read_json

PLAN = "deadunits.plan/1"
LARGEST_PLAN = 512 * 2**20  # bytes; a plan of ten million units has half of it


def choice_from_plan(plan: str | Path | Mapping[str, Any], base: Choice) -> Choice:
    """The choice that an edited plan (a file, or what it holds) states: its units marked `remove`, and no other.

    Raises:
        InputError: the file cannot be read, or is not a plan.
    """
    document = (
        read_json(Path(plan), "plan", "write a plan with --masks and edit that", most=LARGEST_PLAN)
        if isinstance(plan, str | Path)
        else plan
    )
    units = document.get("units") if isinstance(document, dict) and document.get("schema") == PLAN else None
    if not isinstance(units, dict):
        raise InputError(f"The plan is not a deadunits plan (schema {PLAN}): write one with --masks.")
    wanted = {}
    for value, entries in units.items():
        try:
            wanted[value] = tuple(sorted({_unit(entry) for entry in entries if _flag(entry["remove"])}))
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(
                f'The plan\'s units of {value} are damaged: each is written as {{"unit": 3, "remove": true}}, '
                "with true or false."
            ) from error
    return replace(base, units=wanted)


def _unit(entry: Mapping[str, Any]) -> int:
    unit = entry["unit"]
    if not isinstance(unit, int) or isinstance(unit, bool):
        raise TypeError(unit)
    return unit


def _flag(remove: object) -> bool:
    if not isinstance(remove, bool):
        raise TypeError(remove)
    return remove


def check_choice(
    layers: Sequence[LayerVerdicts],
    choice: Choice,
    lossy: Mapping[str, Sequence[int]] | None = None,
    tables: Iterable[GatheredRows | RoutedExperts] = (),
) -> None:
    """Refuse what cannot be meant: names and units that do not exist, and units of a plan that are not dead.

    `lossy` are units that may go all the same (None: there can be none).

    Raises:
        InputError: the first such thing, and what to do about it.
    """
    by_name = {layer.value: layer for layer in layers}
    names = {name for layer in layers for name in layer.audited.names}
    names.update(name for table in tables for name in table.names)
    for pattern in (*choice.only, *choice.skip):
        if not any(fnmatchcase(name, pattern) for name in names):
            near = _near(pattern, names)
            raise InputError(f"No layer matches {pattern!r}{near}: name a value, a module, a node or an operator.")
    for value, units in {**(choice.units or {}), **(lossy or {})}.items():
        if value not in by_name:
            near = _near(value, names)
            raise InputError(f"The model has no layer {value!r}{near}: `deadunits audit --all` lists them.")
        for unit in units:
            if not 0 <= unit < by_name[value].units:
                raise InputError(f"{value} has units 0 to {by_name[value].units - 1}, no unit {unit}: take it out.")
    for value, units in (choice.units or {}).items():
        alive = sorted(set(units) - _dead(by_name[value]) - set((lossy or {}).get(value, ())))
        if alive:
            which = f"Unit {alive[0]} of {value} {_seen(by_name[value], alive[0])}"
            if lossy is None:
                raise InputError(f"{which}, so the outputs depend on it: take it out.")
            raise InputError(
                f"{which}, so removing it is not exact: take it out of the plan, or name it with "
                f"--lossy {value}:{alive[0]}."
            )


def check_evidence(choice: Choice, proof: object | None) -> None:
    """Refuse to go by a proof where there is none.

    Raises:
        InputError: how to have one.
    """
    if choice.evidence is Evidence.PROVEN and proof is None:
        raise InputError(
            'The evidence "proven" comes from a proof, and this audit has none: state a domain, as in '
            "analyzer.audit(model, data, domain=…)."
        )


def on_data_alone(
    layers: Iterable[LayerVerdicts], choice: Choice, merged_relus: Collection[str] = ()
) -> list[LayerVerdicts]:
    """The layers of which the choice takes something for granted that only the probe shows."""
    shown = (Evidence.STRUCTURAL, Evidence.PROVEN)
    by_data = merged_relus if choice.evidence is Evidence.OBSERVED else ()
    return [
        layer for layer in layers if layer.value in by_data or not {*choice.allowed(layer)} <= {*layer.dead_by(*shown)}
    ]


def rests_on_proof(layers: Iterable[LayerVerdicts], choice: Choice) -> bool:
    """Whether something that the choice lets go is dead by a proof over a domain."""
    return any({*choice.allowed(layer)}.intersection(layer.proven) for layer in layers)


def by_value(layers: Sequence[LayerVerdicts], units: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The same units by the values of their layers, where these are named by their modules."""
    named: dict[str, set[int]] = {}
    for name, wanted in units.items():
        layer = layer_named(layers, name)
        named.setdefault(name if layer is None else layer.value, set()).update(wanted)
    return {value: tuple(sorted(wanted)) for value, wanted in named.items()}


def alive_units(layers: Sequence[LayerVerdicts], lossy: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The units among those named as lossy that are not dead: for dead ones nothing is lost."""
    dead = {layer.value: _dead(layer) for layer in layers}
    alive = {value: tuple(sorted(set(units) - dead.get(value, set()))) for value, units in lossy.items()}
    return {value: units for value, units in alive.items() if units}


def _dead(layer: LayerVerdicts) -> set[int]:
    """Without those that an input of the domain moves."""
    return {*layer.dead}.difference(layer.refuted)


def choice_notes(layers: Sequence[LayerVerdicts], choice: Choice) -> list[str]:
    """What the choice holds back, in sentences."""
    notes: list[str] = []
    held = [layer for layer in layers if choice.covers(layer) and layer.dead_by(Evidence.OBSERVED)]
    units = sum(len(layer.dead_by(Evidence.OBSERVED)) for layer in held)
    if not held:
        return notes
    many = f"{units} unit{'s' if units > 1 else ''} that only the probe shows to be dead"
    samples = max(layer.samples for layer in held)
    bound = max(layer.firing_bound or 0.0 for layer in held)
    if choice.evidence is not Evidence.OBSERVED:
        notes.append(f"{many} stay: only {choice.evidence} evidence was asked for.")
    elif samples < choice.min_samples:
        notes.append(f"{many} stay: the probe has {samples} samples, and at least {choice.min_samples} were asked for.")
    elif bound > choice.max_firing_bound:
        notes.append(
            f"{many} stay: on {samples} samples each may still fire on up to {bound:.2%} of inputs, and at most "
            f"{choice.max_firing_bound:.2%} was asked for; give more samples."
        )
    elif choice.min_distance > 0:
        unknown = sum(not layer.distances or layer.distances[unit] is None for layer in held for unit in layer.dead)
        if unknown:
            notes.append(f"{unknown} of {many} stay, as it is not known how far they are from firing.")
    return notes


def _seen(layer: LayerVerdicts, unit: int) -> str:
    seen = layer.statistics
    if layer.evidence_of(unit) is Evidence.REFUTED:
        return "is moved by an input of the domain"
    if seen is None or not seen.samples:
        return "is not dead by the weights alone"
    return f"is not dead: it fires on {int(seen.fired[unit])} of {seen.samples} samples"


def _near(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known, 1)
    return f" ({hint})" if hint else ""
