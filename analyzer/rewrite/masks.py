"""The cut in the original's own terms: boolean masks per stored tensor, and the plan as a document to edit."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array, Mask
from analyzer.errors import OutputError
from analyzer.facts.audit import LayerVerdicts, Removable
from analyzer.facts.choice import Choice
from analyzer.facts.cut import CutPlan, elements_kept
from analyzer.ops.context import Context

LONGEST_MEMBER = (1 << 16) - 1  # bytes of a name in a zip file


def keep_masks(context: Context, plan: CutPlan, names: Collection[str], rows: Mapping[str, Array]) -> dict[str, Mask]:
    """Per stored tensor of which something goes: True where an element stays, in the tensor's own shape.

    `names` are the original's tensors: what bridges store is not the user's to cut. `rows` are those that stay of
    embeddings that lose some.
    """
    masks: dict[str, Mask] = {}
    for name in sorted(context.graph.initializer_names & set(names)):
        shape = context.graph.initializer_shape(name)
        if not shape or not context.graph.consumers.get(name):
            continue
        grouped = _grouped(context, plan, name) if plan.keeps.alive(name) else None
        mask = elements_kept(plan.keeps, name, shape) if grouped is None else grouped
        mask = plan.reordered.original(name, mask)
        if name in rows:
            mask = mask & np.isin(np.arange(shape[0]), rows[name]).reshape(-1, *(1,) * (len(shape) - 1))
        if not mask.all():
            masks[name] = mask
    return masks


def _grouped(context: Context, plan: CutPlan, name: str) -> Mask | None:
    """The mask of a tensor of which not whole indices stay, as one of its readers tells."""
    calls = ((context.by_node[node.index], position) for node, position in context.graph.consumers[name])
    masks = (call.rule.entries_kept(call.op, position, plan.keeps) for call, position in calls)
    return next((mask for mask in masks if mask is not None), None)


def plan_document(
    context: Context,
    plan: CutPlan,
    layers: Sequence[LayerVerdicts],
    removable: Removable,
    choice: Choice,
    names: Collection[str],
    rows: Mapping[str, Array],
) -> tuple[bytes, str]:
    """The masks as the bytes of an .npz file, and the plan as JSON text.

    In the plan `remove` says what may go and is there to be edited, `removed` what went; `modules` are the
    layers' names in the training code, which may stand for the values. Of `tensors` that lie in another order when they
    are cut (paired directions), the mask says all that goes, not `removed`.

    Raises:
        OutputError: an archive cannot hold the name of a tensor.
    """
    document: dict[str, Any] = {
        "schema": "deadunits.plan/1",
        "units": {
            layer.value: [
                {
                    "unit": unit,
                    "value": value,
                    "evidence": str(layer.evidence_of(unit) or "lossy"),
                    "remove": unit in constants,
                    "removed": not bool(plan.keeps.get((layer.value, layer.audited.axis))[unit]),
                }
                for unit, value in sorted(
                    ({unit: float(layer.stays_at[unit]) for unit in layer.dead} | constants).items()
                )
            ]
            for layer, constants in ((layer, choice.constants(layer)) for layer in layers)
            if (layer.dead or constants) and layer.value in plan.keeps
        },
        "modules": {layer.value: layer.audited.module for layer in layers if layer.audited.module},
        "tensors": [
            {"name": t.name, "shape": list(t.shape), "kept": list(t.kept), "removed": [list(r) for r in t.removed]}
            for t in removable.tensors
            if t.name in names
        ],
    }
    return archive(keep_masks(context, plan, names, rows)), json.dumps(document, indent=1) + "\n"


def archive(arrays: Mapping[str, Array]) -> bytes:
    """An .npz file; NumPy's own writer takes names as keywords, of which some are its own (`file`).

    Raises:
        OutputError: an archive cannot hold the name of a tensor.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            member = f"{name}.npy"
            if "\0" in member or len(member.encode()) > LONGEST_MEMBER:
                raise OutputError(f"No .npz file can hold a tensor called '{name}': rename it, or leave this file out.")
            with file.open(member, "w", force_zip64=True) as stored:
                np.lib.format.write_array(stored, array)
    return stream.getvalue()
