"""An audit as a pandas table, one row per unit; pandas is optional and imported only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.errors import InputError
from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "value", "module", "node", "op", "unit", "verdict", "evidence", "constant", "samples", "fired",
    "minimum", "maximum", "minimum_exact",
)  # fmt: skip


def to_frame(facts: AuditFacts) -> pd.DataFrame:
    """One row per unit of every audited value.

    `verdict` is the first that holds of dead, nonfinite, near_dead, saturated, always_on, alive, or `unseen`
    without data; `constant` what a dead unit stays at, else NaN. How much of the model the rows speak of stands in
    `attrs["judged"]`, as in the JSON report.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise InputError('to_frame() needs pandas: pip install "deadunits[tables]".') from error
    from analyzer.report.audit.json import Judged  # not before: an audit that writes no JSON need not load it
    from analyzer.report.documents import plain

    parts = [_columns(layer) for layer in facts.layers]
    frame = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) if parts else [] for name in COLUMNS})
    frame.attrs["judged"] = plain(Judged, facts.judged)
    return frame


def _columns(layer: LayerVerdicts) -> dict[str, np.ndarray[Any, Any]]:
    units = layer.units
    verdict = np.full(units, "alive" if layer.samples else "unseen", dtype=object)
    for name in ("always_on", "saturated", "near_dead", "nonfinite", "dead"):
        verdict[list(getattr(layer, name))] = name
    evidence = np.full(units, str(Evidence.OBSERVED) if layer.samples else "", dtype=object)
    for kind in Evidence:
        evidence[list(layer.dead_by(kind))] = str(kind)
    columns: dict[str, np.ndarray[Any, Any]] = {
        "value": np.full(units, layer.value, dtype=object),
        "module": np.full(units, layer.audited.module, dtype=object),
        "node": np.full(units, layer.audited.node, dtype=object),
        "op": np.full(units, layer.audited.op, dtype=object),
        "unit": np.arange(units),
        "verdict": verdict,
        "evidence": evidence,
        "constant": layer.stays_at,
        "samples": np.full(units, layer.samples),
    }
    return columns | _seen(layer)


def _seen(layer: LayerVerdicts) -> dict[str, np.ndarray[Any, Any]]:
    seen, units = layer.statistics, layer.units
    if seen is None or not layer.samples:
        nothing = np.full(units, np.nan)
        return {
            "fired": np.zeros(units, np.int64),
            "minimum": nothing,
            "maximum": nothing,
            "minimum_exact": np.zeros(units, np.bool_),
        }
    return {
        "fired": seen.fired,
        "minimum": np.where(np.isfinite(seen.minimum), seen.minimum, np.nan),
        "maximum": np.where(np.isfinite(seen.maximum), seen.maximum, np.nan),
        "minimum_exact": seen.minimum_exact,
    }
