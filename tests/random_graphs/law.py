"""What must hold for every graph that is pruned, whatever it looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx

import analyzer
from analyzer import Audit, Pruned
from analyzer.errors import ComparisonFailed
from tests.equivalence.agree import promise_is_kept
from tests.models import Array, session
from tests.random_graphs.generator import Made

TOLERANCE = 5e-5
SMALLEST_SCALE = 1e-3


def outputs(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs for every sample, one at a time, on exactly the nodes of the model."""
    running, samples = session(model), len(next(iter(feeds.values())))
    runs = [running.run(None, {n: a[i : i + 1] for n, a in feeds.items()}) for i in range(samples)]
    return [np.concatenate(arrays) for arrays in zip(*runs, strict=True)]


class DisagreementError(AssertionError):
    """Outputs differ by more than rounding."""


def difference(one: list[Array], two: list[Array]) -> float:
    """The largest one, as a share of the largest entry of its output."""
    shares = [0.0]
    for a, b in zip(one, two, strict=True):
        assert a.shape == b.shape
        scale = max(float(np.abs(a).max(initial=0)), 1e-6)
        shares.append(float(np.abs(a.astype(np.float64) - b).max(initial=0)) / scale)
    return max(shares)


def agree(one: list[Array], two: list[Array]) -> None:
    """Equal up to the rounding of another order of summation."""
    found = difference(one, two)
    if not found <= TOLERANCE:
        raise DisagreementError(f"outputs differ by {found:.1e} of their scale")


def trembles(made: Made) -> bool:
    """Whether outputs differ by more than rounding as soon as the last digit of every weight does.

    Attention without a scale or a normalisation does that, where its logits are in the thousands.
    """
    random, feeds = np.random.default_rng(0), (made.probe, made.fresh)
    expected = [outputs(made.model, fed) for fed in feeds]
    for _ in range(8):
        model = onnx.ModelProto.FromString(made.model.SerializeToString())
        for tensor in model.graph.initializer:
            weight = onnx.numpy_helper.to_array(tensor)
            if weight.dtype == np.float32:
                toward = np.where(weight == 0, 0, random.choice([-np.inf, np.inf], size=weight.shape))
                tensor.CopyFrom(
                    onnx.numpy_helper.from_array(np.nextafter(weight, toward, dtype=np.float32), tensor.name)
                )
        if any(difference(seen, outputs(model, fed)) > TOLERANCE for seen, fed in zip(expected, feeds, strict=True)):
            return True
    return False


def prune_obeys(made: Made, *, fresh: bool = True) -> Pruned | None:
    """Exact on the probe, by the weights alone exact everywhere, never larger, and done after once.

    None for a graph whose outputs are nothing but rounding (there is no scale to hold a difference against), and for
    one that is refused, or comes out different, where it `trembles`.
    """
    try:
        return _prune_obeys(made, fresh=fresh)
    except (ComparisonFailed, DisagreementError):
        if trembles(made):
            return None
        raise


def _prune_obeys(made: Made, *, fresh: bool) -> Pruned | None:
    before = made.model.SerializeToString(deterministic=True)
    expected = outputs(made.model, made.probe)
    if any(0 < float(np.abs(a).max(initial=0)) < SMALLEST_SCALE for a in expected):
        return None
    audit = analyzer.audit(made.model, made.probe)
    pruned = audit.prune(latency=False)
    assert made.model.SerializeToString(deterministic=True) == before
    assert not audit.facts.conditions.withdrawn, "a wrong rule is not excused by what the run shows"
    assert not any("derived" in note for note in pruned.facts.notes), pruned.facts.notes
    small = onnx.ModelProto.FromString(pruned.data)
    onnx.checker.check_model(small, full_check=True)
    agree(expected, outputs(small, made.probe))
    assert pruned.facts.after.parameters <= pruned.facts.before.parameters
    assert pruned.facts.after.multiply_adds <= pruned.facts.before.multiply_adds
    assert pruned.changed or pruned.data == before
    promise_is_kept(pruned)
    masks_describe(pruned, made.model, small)
    again = analyzer.audit(pruned.data, made.probe)
    if not newly_dead(audit, pruned, again):
        repeated = again.prune(latency=False)
        assert not repeated.changed, repeated.facts.removed_units
    if fresh:
        structural = analyzer.prune(made.model, latency=False)
        agree(outputs(made.model, made.fresh), outputs(onnx.ModelProto.FromString(structural.data), made.fresh))
    return pruned


def masks_describe(pruned: Pruned, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """A weight that one node reads has as many elements left as its mask says, unless it was spread over more axes."""
    readers = Counter(name for node in before.graph.node for name in node.input)
    left = {t.name: t for t in after.graph.initializer}
    masks = pruned.masks() if pruned.changed else {}
    for tensor in before.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims or readers[tensor.name] != 1:
            continue
        kept = int(masks[tensor.name].sum()) if tensor.name in masks else int(np.prod(tensor.dims))
        if tensor.name not in left:
            assert not kept, tensor.name
        elif len(left[tensor.name].dims) == len(tensor.dims):
            assert int(np.prod(left[tensor.name].dims)) == kept, tensor.name


def newly_dead(audit: Audit, pruned: Pruned, again: Audit) -> bool:
    """Whether units that hardly vary became constant by another rounding: those may go the next time."""
    before = {layer.value: layer for layer in audit.layers}
    for layer in again.layers:
        if layer.value not in before:
            continue
        gone = set(pruned.facts.removed_units.get(layer.value, ()))
        left = [unit for unit in range(before[layer.value].units) if unit not in gone]
        observed = set(layer.dead_by(analyzer.Evidence.OBSERVED))
        if len(left) != layer.units or not {left[unit] for unit in observed} <= set(before[layer.value].dead):
            return True
    return False
