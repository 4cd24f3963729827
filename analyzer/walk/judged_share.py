"""How much of a model has verdicts: what each node costs, and whether the units that it makes were looked at.

A node is judged where the audited value that its units reach first was seen; one that makes no units of its own (a
product of two activations) where the units that it reads were. See docs/decisions/0016-judged-share.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analyzer.facts.audit import Conditions, LayerVerdicts, OperatorWithoutRule
from analyzer.facts.judged import Judged, LeftOut, OperatorCount
from analyzer.graph import Role
from analyzer.ops.context import NEVER, Call, Context
from analyzer.ops.operator import traits_of
from analyzer.walk.parameters import parameters_of, readers_of

NO_DATA = "no data was given"
MIXED = "samples of one batch influence each other"
UNSEEN = "their shapes in the run do not show their units"
NO_LAYER = "their units lead to no audited value"
_SEEN = ""  # where a reason would stand: judged


@dataclass(frozen=True)
class Costs:
    """Multiply-adds of each node by its index (None: not known), and the parameters that it reads."""

    multiply_adds: Mapping[int, int | None]
    parameters: Mapping[str, int]
    readers: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, context: Context) -> Costs:
        """The costs of all nodes for the shapes of the run."""
        sizes = parameters_of(context.graph)
        return cls(
            {call.op.node.index: call.multiply_adds(context.shapes.__getitem__) for call in context.calls},
            sizes,
            {name: [node.index for node in readers_of(context.graph, name)] for name in sizes},
        )

    def read(self) -> Counter[int]:
        """Parameters by node; those that several nodes read count for each."""
        numbers = Counter[int]()
        for name, readers in self.readers.items():
            numbers.update(dict.fromkeys(readers, self.parameters[name]))
        return numbers


def operators_without_rule(context: Context, costs: Costs) -> tuple[OperatorWithoutRule, ...]:
    """Operators of which nothing is known, or too little, the most expensive first."""
    calls: dict[tuple[str, str], list[int]] = {}
    for call in context.calls:
        why = call.barrier
        if why is not None and call.barrier != NEVER and call.op.node.role is not Role.ENTRY:
            calls.setdefault((call.op.node.qualified_type, why), []).append(call.op.node.index)
    read = costs.read()
    listed = (
        OperatorWithoutRule(
            op, len(nodes), why, _sum(costs.multiply_adds[n] for n in nodes), sum(read[n] for n in nodes)
        )
        for (op, why), nodes in calls.items()
    )
    return tuple(sorted(listed, key=lambda entry: (*_expensive(entry.multiply_adds, entry.parameters), entry.op)))


def judged_share(
    context: Context, costs: Costs, layers: Sequence[LayerVerdicts], conditions: Conditions, *, data: bool
) -> Judged:
    """What of the model has verdicts; without `data` nothing has."""
    left = {**dict.fromkeys(conditions.mixed, MIXED), **dict.fromkeys(conditions.unseen, UNSEEN)}
    verdicts = {layer.value: _SEEN if layer.samples else left.get(layer.value, NO_DATA) for layer in layers}
    read = costs.read()
    status, alone = _statuses(context, costs, read, verdicts, _SEEN if data else NO_DATA)
    rows: dict[str, _Row] = {}
    for why in verdicts.values():
        rows.setdefault(why, _Row()).activations += 1
    for call in context.calls:
        index = call.op.node.index
        row = rows.setdefault(status[index], _Row())
        row.multiply_adds.append(costs.multiply_adds[index])
        row.activations += index in alone
        if costs.multiply_adds[index] != 0 or read[index]:
            row.operators[call.op.node.qualified_type] += 1
    for name, readers in costs.readers.items():
        why = next((status[index] for index in readers if status[index] != _SEEN), _SEEN)
        rows.setdefault(why, _Row()).parameters += costs.parameters[name]
    samples = max(context.table.samples, 1)
    seen = rows.get(_SEEN, _Row())
    entries = [row.entry(why, samples) for why, row in rows.items() if why != _SEEN]
    entries = [entry for entry in entries if entry.operators or entry.parameters or entry.activations]
    counts = [n for n in costs.multiply_adds.values() if n is not None]
    return Judged(
        multiply_adds=sum(counts) // samples,
        multiply_adds_judged=sum(n for n in seen.multiply_adds if n is not None) // samples,
        parameters=sum(row.parameters for row in rows.values()),
        parameters_judged=seen.parameters,
        activations=sum(row.activations for row in rows.values()),
        activations_judged=seen.activations,
        not_counted=len(costs.multiply_adds) - len(counts),
        left_out=tuple(sorted(entries, key=lambda entry: _expensive(entry.multiply_adds, entry.parameters))),
    )


@dataclass
class _Row:
    """What has one status, while it adds up."""

    operators: Counter[str] = field(default_factory=Counter)
    multiply_adds: list[int | None] = field(default_factory=list)
    parameters: int = 0
    activations: int = 0

    def entry(self, why: str, samples: int) -> LeftOut:
        products = _sum(self.multiply_adds)
        operators = tuple(OperatorCount(op, nodes) for op, nodes in self.operators.most_common())
        return LeftOut(
            why, operators, None if products is None else products // samples, self.parameters, self.activations
        )


def _statuses(
    context: Context, costs: Costs, read: Counter[int], verdicts: Mapping[str, str], inputs: str
) -> tuple[dict[int, str], set[int]]:
    """Per node why it is not judged, and the nodes that make units which no audited value shows."""
    ahead = _reached(context, costs, read, verdicts)
    status: dict[int, str] = {}
    alone: set[int] = set()
    units: dict[str, str | None] = dict.fromkeys((*context.graph.inputs, *context.graph.defaults), inputs)
    for call in context.calls:
        index, node = call.op.node.index, call.op.node
        if any(name in context.graph.static_values for name in call.outputs):
            status[index] = _SEEN
            continue
        places = traits_of(node).geometry
        given = [units.get(n) for p, n in enumerate(node.inputs) if n and p not in places]
        own = _worst([*given, *(units.get(name) for name in node.captured)])
        lead = _best(ahead.get(name) for name in call.outputs)
        costly = costs.multiply_adds[index] != 0 or read[index] > 0
        if call.opaque and costly:
            why: str | None = call.opaque
            alone.add(index)
        elif lead is not None:
            why = lead
        elif costly and (call.makes_units or own is None):
            why = inputs or call.barrier or NO_LAYER
            alone.add(index)
        else:
            why = own
        status[index] = why or _SEEN
        units.update({name: verdicts.get(name, why) for name in call.outputs if name})
    return status, alone


def _reached(context: Context, costs: Costs, read: Counter[int], verdicts: Mapping[str, str]) -> dict[str, str | None]:
    """Per value the status of the audited value that its units reach first, itself included; of several, the best."""
    ahead: dict[str, str | None] = dict(verdicts)
    for call in reversed(context.calls):
        traits, node = traits_of(call.op.node), call.op.node
        found = _best(ahead.get(name) for name in call.outputs)
        if found is None or traits.measures or call.opaque is not None or call.makes_units:
            continue
        for position, name in enumerate(node.inputs):
            if name and name not in verdicts and position not in traits.geometry and not _summed(call, position):
                ahead[name] = _best([ahead.get(name), found])
    return ahead


def _summed(call: Call, position: int) -> bool:
    return bool(call.known_rule.summed_axes(call.op, position))


def _best(statuses: Iterable[str | None]) -> str | None:
    known = [status for status in statuses if status is not None]
    return _SEEN if _SEEN in known else known[0] if known else None


def _worst(statuses: Iterable[str | None]) -> str | None:
    known = [status for status in statuses if status is not None]
    return next((status for status in known if status != _SEEN), known[0] if known else None)


def _sum(numbers: Iterable[int | None]) -> int | None:
    listed = [*numbers]
    return None if None in listed else sum(n for n in listed if n is not None)


def _expensive(multiply_adds: int | None, parameters: int) -> tuple[bool, int, int]:
    """Sorts what is not counted first, then what costs most."""
    return multiply_adds is not None, -(multiply_adds or 0), -parameters
