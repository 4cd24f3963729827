"""Per-unit numbers as a few long arrays: compressed into one text that the browser unpacks itself."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.units import Kind

MOST_UNITS = 600_000  # of so many units the page carries every number: about 6 MB
_MANTISSA = np.uint32(0xFFFFF000)  # 11 bits of a float32's fraction: three digits, and the rest compresses away
_ALIGNMENT = 4


class Verdict(IntEnum):
    """One verdict per unit, the gravest that applies; the same numbers as in static/words.js."""

    ALIVE = 0
    ZERO = 1
    CONSTANT = 2
    NEAR_DEAD = 3
    SATURATED = 4
    ALWAYS_ON = 5
    NONFINITE = 6


STRUCTURAL, REVIVED, LOCKED, PROVEN, REFUTED = 8, 16, 32, 64, 128  # flags beside the verdict, in the same byte

#: Shares of samples on which a unit is active, finer at both ends, where the trouble is.
BINS = (
    *("never", "0 to 1 %", "1 to 5 %", "5 to 10 %"),
    *(f"{10 * i} to {10 * i + 10} %" for i in range(1, 9)),
    *("90 to 99 %", "99 to 100 %", "always"),
)
_EDGES = np.array([0.0, 0.01, 0.05, *(np.arange(1, 10) / 10), 0.99])  # upper edges of all bins but the last two


@dataclass(frozen=True, slots=True)
class Packed:
    """`data` holds all arrays one after the other; `index` says per array its type, where it starts and its length."""

    data: bytes
    index: dict[str, tuple[str, int, int]]
    offsets: tuple[int, ...]  # per layer where its units start, -1 where they are left out


def pack(facts: AuditFacts) -> Packed:
    """All numbers per unit, layers with findings first where a model has too many units to carry."""
    carried = _carried(facts.layers)
    diagnoses = {diagnosis.value: diagnosis for diagnosis in facts.diagnoses}
    locked: dict[str, set[int]] = {}
    for entry in facts.locked:
        locked.setdefault(entry.value, set()).update(entry.units)
    columns: dict[str, list[np.ndarray[Any, Any]]] = {"verdict": [], "fired": [], "low": [], "high": [], "distance": []}
    offsets, start = [], 0
    for layer, here in zip(facts.layers, carried, strict=True):
        offsets.append(start if here else -1)
        if here:
            start += layer.units
            for name, column in _units(layer, locked.get(layer.value, set()), diagnoses.get(layer.value)).items():
                columns[name].append(column)
    if not any(np.isfinite(part).any() for part in columns["distance"]):
        del columns["distance"]
    arrays = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    arrays |= _depth(facts.layers)
    return _joined(arrays, tuple(offsets))


def activity(layer: LayerVerdicts) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Share of samples on which each unit does something: fires, or is outside the flat region; None for linear."""
    seen = layer.statistics
    if seen is None or not seen.samples or layer.audited.kind is Kind.LINEAR:
        return None
    if layer.audited.kind is Kind.SATURATING:
        flat = (seen.low_samples + seen.high_samples) / max(seen.samples, 1)
        return np.asarray(1.0 - flat)
    return np.asarray(seen.fired / seen.samples)


def histogram(shares: np.ndarray[Any, np.dtype[np.float64]]) -> list[int]:
    """Units per bin of `BINS`."""
    places = np.where(shares >= 1.0, len(BINS) - 1, np.searchsorted(_EDGES, shares, side="left"))
    return np.bincount(places, minlength=len(BINS)).tolist()  # type: ignore[no-any-return]


def verdict_codes(layer: LayerVerdicts) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One `Verdict` per unit."""
    codes = np.zeros(layer.units, np.uint8)
    for units, verdict in (
        (layer.always_on, Verdict.ALWAYS_ON),
        (layer.saturated, Verdict.SATURATED),
        (layer.near_dead, Verdict.NEAR_DEAD),
        (layer.dead, Verdict.ZERO),
        (layer.constant, Verdict.CONSTANT),
        (layer.nonfinite, Verdict.NONFINITE),
    ):
        codes[list(units)] = verdict
    return codes


def _carried(layers: Sequence[LayerVerdicts]) -> list[bool]:
    order = sorted(range(len(layers)), key=lambda i: (-layers[i].dead_share, -len(layers[i].near_dead), i))
    carried, left = [False] * len(layers), MOST_UNITS
    for i in order:
        if layers[i].units <= left:
            carried[i], left = True, left - layers[i].units
    return carried


def _units(layer: LayerVerdicts, locked: set[int], diagnosis: LayerDiagnosis | None) -> dict[str, np.ndarray[Any, Any]]:
    flags = verdict_codes(layer)
    for units, flag in (
        (layer.structural, STRUCTURAL),
        (layer.proven, PROVEN),
        (layer.refuted, REFUTED),
        (layer.revived or (), REVIVED),
        (sorted(locked), LOCKED),
    ):
        flags[list(units)] |= flag
    seen, nothing = layer.statistics, np.full(layer.units, np.nan)
    fired = np.zeros(layer.units, np.uint32) if seen is None else seen.fired.astype(np.uint32)
    low, high = (nothing, nothing) if seen is None or not seen.samples else (seen.minimum, seen.maximum)
    measured = layer.distances or (diagnosis.distances if diagnosis is not None else ())
    distance = nothing
    if len(measured) == layer.units:
        distance = np.array([np.nan if d is None else d for d in measured], np.float64)
    return {"verdict": flags, "fired": fired, "low": _short(low), "high": _short(high), "distance": _short(distance)}


def _short(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """As float32 of three digits; what is not finite stays so."""
    with np.errstate(over="ignore"):
        narrow = np.asarray(numbers, np.float32)
    bits = narrow.view(np.uint32)
    rounded = ((bits + np.uint32(0x800)) & _MANTISSA).view(np.float32)
    return np.where(np.isfinite(narrow) & np.isfinite(rounded), rounded, narrow)


def _depth(layers: Sequence[LayerVerdicts]) -> dict[str, np.ndarray[Any, Any]]:
    """What the charts over depth need of every layer, carried or not."""
    counts = np.zeros((len(layers), len(BINS)), np.uint32)
    maxima = np.full((len(layers), 3), np.nan)
    for row, layer in enumerate(layers):
        if (shares := activity(layer)) is not None:
            counts[row] = histogram(shares)
        if layer.statistics is not None and layer.statistics.samples:
            finite = layer.statistics.maximum[np.isfinite(layer.statistics.maximum)]
            if finite.size:
                maxima[row] = np.quantile(finite, (0.0, 0.5, 1.0))
    return {"bins": counts.ravel(), "maxima": _short(maxima.ravel())}


def _joined(arrays: Mapping[str, np.ndarray[Any, Any]], offsets: tuple[int, ...]) -> Packed:
    parts, index, start = [], {}, 0
    for name, array in arrays.items():
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        index[name] = (array.dtype.name, start, array.size)
        padded = data + b"\0" * (-len(data) % _ALIGNMENT)
        parts.append(padded)
        start += len(padded)
    return Packed(b"".join(parts), index, offsets)


def zipped(data: bytes) -> str:
    """As text that any element can hold: base64 of gzip."""
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode("ascii")
