"""A deep network's audit and picture made by hand, for tests of reports that must stay quick at that size."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from analyzer.facts.audit import AuditFacts, LayerVerdicts, Locked, OperatorWithoutRule, ProbeSummary, TensorPlan
from analyzer.facts.causes import CauseCode, LayerDiagnosis, UnitCause
from analyzer.facts.judged import LeftOut, OperatorCount
from analyzer.facts.picture import GraphPicture, PictureNode, Role
from tests import made


def deep(layers: int, units: int = 64, samples: int = 300) -> tuple[AuditFacts, GraphPicture]:
    """Blocks of four ReLU layers and a skip connection; the share of dead units rises and falls with depth."""
    rng = np.random.default_rng(0)
    found = [_layer(rng, index, units, samples, layers) for index in range(layers)]
    locked = [
        Locked(layer.value, layer.dead, "residual-partner-alive", f"/block{i // 4}/Add joins it with a live value")
        for i, layer in enumerate(found)
        if i % 4 == 3 and layer.dead
    ]
    facts = made.facts(
        found, locked=tuple(locked), warnings=(), diagnoses=tuple(_diagnosis(layer) for layer in found if layer.dead)
    )
    return facts, picture(found)


def with_everything(layers: int) -> tuple[AuditFacts, GraphPicture]:
    """The same with long names, hundreds of tensors and warnings, and something in every column and section."""
    plain, _ = deep(layers)
    found = [_filled(layer, index) for index, layer in enumerate(plain.layers)]
    tensors = tuple(
        TensorPlan(f"backbone.stages.{i}.blocks.0.convolution.weight", (64, 64), (40, 64), 1536 + i, ((), ()))
        for i in range(layers)
    )
    left_out = tuple(
        LeftOut(f"com.example::Odd{i} has no rule", (OperatorCount("Odd", 2),), 900, 30, 1) for i in range(12)
    )
    facts = made.facts(
        found,
        holdout=ProbeSummary("holdout.npz", 360, "xxh3:" + "1" * 32),
        removable=replace(plain.removable, tensors=tensors),
        locked=tuple(replace(entry, detail="/backbone/Add joins it with a live value") for entry in plain.locked),
        judged=replace(made.facts().judged, multiply_adds_judged=5000, left_out=left_out),
        operators_without_rule=tuple(
            OperatorWithoutRule(f"com.example::Odd{i}", 2, "custom domain", 0, 30) for i in range(30)
        ),
        diagnoses=plain.diagnoses,
    )
    return facts, picture(found)


def _filled(layer: LayerVerdicts, index: int) -> LayerVerdicts:
    module = f"backbone.stages.{index // 8}.blocks.{index % 8}.activation_with_a_long_name"
    alive = [unit for unit in range(layer.units) if unit not in layer.dead]
    return replace(
        made.of_module(layer, module if index % 2 else ""),
        revived=layer.dead[:1],
        saturated=tuple(alive[:1]),
        always_on=tuple(alive[1:2]),
        nonfinite=tuple(alive[2:3]) if index % 50 == 0 else (),
    )


def picture(layers: list[LayerVerdicts]) -> GraphPicture:
    """Input, layers, a join after every fourth layer that also reads the join before, output."""
    nodes, edges, last, skip = [PictureNode("x", Role.INPUT)], [], 0, 0
    for i, layer in enumerate(layers):
        nodes.append(PictureNode(layer.audited.node, Role.LAYER, ("Gemm", layer.audited.op), layer.value))
        edges.append((last, len(nodes) - 1))
        last = len(nodes) - 1
        if i % 4 == 3:
            nodes.append(PictureNode(f"/block{i // 4}/Add", Role.JOIN, ("Add",)))
            edges += [(last, len(nodes) - 1), (skip, len(nodes) - 1)]
            last = skip = len(nodes) - 1
    nodes.append(PictureNode("y", Role.OUTPUT))
    edges.append((last, len(nodes) - 1))
    return GraphPicture(tuple(nodes), tuple(edges), whole=False)


def _layer(rng: np.random.Generator, index: int, units: int, samples: int, depth: int) -> LayerVerdicts:
    dead_share = max(0.0, 0.6 * math.sin(5 * index / depth))
    fired = rng.binomial(samples, rng.beta(1, 2, units))
    fired[rng.random(units) < dead_share] = 0
    maximum = np.where(fired > 0, rng.gamma(2.0, 1.0, units), 0.0)
    value = f"/block{index // 4}/act{index % 4}/Relu_output_0"
    seen = replace(made.seen([0.0] * units, maximum.tolist(), samples), fired=fired.astype(np.int64))
    return made.layer(made.relu(units, value), seen)


def _diagnosis(layer: LayerVerdicts) -> LayerDiagnosis:
    causes = tuple(
        UnitCause(unit, CauseCode.BIAS_DOMINATES, f"the bias is {-1 - unit / 7:.3g}", 1 + unit / 9)
        for unit in layer.dead
    )
    distances = [-1.5] * layer.units
    for cause in causes:
        distances[cause.unit] = cause.distance or 0.0
    return LayerDiagnosis(layer.value, causes, tuple(distances), ("Start biases at zero.",))
