"""From the walk to the smaller model: merges, bridges, the cut itself, each only where it holds and pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analyzer.api.default_cut import takes_something
from analyzer.api.unit_order import Base, reordered
from analyzer.errors import ComparisonFailed, InputError, Refusal, RunError, RunFailure
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.bridge import Bridge
from analyzer.facts.choice import Choice
from analyzer.facts.pruned import Refused
from analyzer.facts.units import ShapeTable
from analyzer.facts.vocabulary import GatheredRows
from analyzer.facts.wording import counted
from analyzer.graph import LoadedModel
from analyzer.graph.restore_defaults import restore_defaults
from analyzer.ops.context import Context
from analyzer.rewrite.duplicates import Twins, merge_duplicates
from analyzer.rewrite.fewer_experts import Routed, tables_of, without_empty, without_marks, without_stacked
from analyzer.rewrite.fewer_rows import without_rows
from analyzer.rewrite.fold_orders import fold_orders
from analyzer.rewrite.insert_bridges import insert_bridges
from analyzer.rewrite.linear import merge_linear
from analyzer.rewrite.order_blocks import last_block_went
from analyzer.rewrite.shrink import shrink
from analyzer.rewrite.that_pay import that_pay
from analyzer.rewrite.written_norms import ConstantChannels, norms_over_constants, write_out
from analyzer.units.select import select_units
from analyzer.walk import Walk, walk
from analyzer.walk.bridge_search import find_bridges
from analyzer.walk.compose import compose, left_of, stand_ins
from analyzer.walk.parameters import count_parameters

MOST_REFUSALS = 50
MOST_ROUNDS = 8  # cuts after the first; each takes something away


@dataclass(frozen=True, eq=False)
class CutModel:
    """A cut model with the walk that cut it; `base` is the model that was cut."""

    walk: Walk
    base: Base
    smaller: LoadedModel
    written_anew: bool  # tensors were, for single readers that may now be cut further
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    written_norms: int = 0  # normalisations that are written out
    merged_relus: tuple[str, ...] = ()  # always on; the dense layers around them are one
    removed_rows: Mapping[str, int] = field(default_factory=dict)  # of embeddings: as many went, by table
    removed_experts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by router

    @property
    def takes_anything(self) -> bool:
        """Whether it is smaller than the model that was given."""
        return bool(takes_something(self.walk) or self.merged_relus or self.removed_rows or self.removed_experts)


def cut(
    loaded: LoadedModel,
    shapes: ShapeTable,
    layers: Sequence[LayerVerdicts],
    choice: Choice,
    measure: Callable[[LoadedModel], ShapeTable],
    walked: Walk | None = None,
    vocabulary: Sequence[GatheredRows] = (),
    routed: Sequence[Routed] = (),
) -> list[CutModel]:
    """The cut model; with residual `latency` others that have bridges or norms written out, to be timed against it.

    `measure` gives the shapes of a model that was cut; `walked` is the walk of this choice, where it was taken;
    `vocabulary` are the embeddings that may lose rows, `routed` the routers that may lose experts.

    Raises:
        ComparisonFailed: no consistent cut was found: a bug of ours.
    """
    base, twins = Base(loaded, shapes), Twins()
    if routed:
        marked, shapes = without_marks(loaded, shapes, routed, next_best=choice.unseen_expert == "next")
        marked = marked.refreshed()
        base, walked = Base(without_empty(marked, Context(marked.graph, shapes)).refreshed(), shapes), None
    if choice.merge_duplicates:
        merged, twins = merge_duplicates(base.loaded, base.walk(layers, choice).context)
        base, walked = (base, walked) if merged is base.loaded else (Base(merged, shapes), None)
    base, walked = reordered(base, base.walk(layers, choice) if walked is None else walked, layers, choice)
    cuts = _cuts(base, walked, layers, choice, measure)
    cuts = [_with_fewer_experts(cut_model, routed, choice) for cut_model in cuts]
    cuts = [_no_larger(cut_model, loaded, shapes, layers, choice) for cut_model in cuts]
    cuts = [_with_fewer_rows(cut_model, vocabulary, choice) for cut_model in cuts]
    return [replace(cut_model, notes=(*_merged_twins(cut_model, twins), *cut_model.notes)) for cut_model in cuts]


def _cuts(
    base: Base,
    walked: Walk,
    layers: Sequence[LayerVerdicts],
    choice: Choice,
    measure: Callable[[LoadedModel], ShapeTable],
) -> list[CutModel]:
    """The cut of the base, and with residual `latency` others that save more, each until nothing more goes."""
    plain = _cut(base, layers, choice, walked)
    cuts = [plain]
    if choice.residual != "off":
        starts = dict.fromkeys((plain, _with_norms_written_out(plain, layers, choice)))
        options = dict.fromkeys((plain, *(_with_bridges(start, layers, choice) for start in starts)))
        cuts = sorted(options, key=lambda option: -_left(option.walk))
        cuts = cuts[-1:] if choice.residual == "params" else cuts
    cuts = [_finished(cut_model, choice, measure) for cut_model in cuts]
    if choice.merge_linear:
        cuts = [_merged(cut_model, choice, measure) for cut_model in cuts]
    cuts = [_without_gathers(cut_model, base, measure) for cut_model in cuts]
    for cut_model in cuts:
        restore_defaults(base.loaded, cut_model.smaller)
    return [replace(cut_model, smaller=cut_model.smaller.refreshed()) for cut_model in cuts]


def default_cut(
    base: Base,
    chosen: Walk,
    loaded: LoadedModel,
    shapes: ShapeTable,
    layers: Sequence[LayerVerdicts],
    measure: Callable[[LoadedModel], ShapeTable],
) -> CutModel:
    """The cut of the base that is made where nothing else is asked for; none where it saves nothing."""
    (default,) = _cuts(base, chosen, layers, Choice(), measure)
    return _no_larger(default, loaded, shapes, layers, Choice())


def _no_larger(
    cut_model: CutModel, loaded: LoadedModel, shapes: ShapeTable, layers: Sequence[LayerVerdicts], choice: Choice
) -> CutModel:
    """The cut, or none: a small saving can cost more than it saves, in a new bias or a second copy of a tensor."""
    grown = count_parameters(cut_model.smaller.graph) - count_parameters(loaded.graph)
    if grown <= 0:
        return cut_model
    whole = walk(loaded.graph, shapes, layers, choice, shapes.shapes)  # masks and plan say so too
    note = f"The cut would need {grown} more parameters than it saves, so the model stays as it is."
    base, notes = Base(loaded, shapes), (*cut_model.notes, note)
    return CutModel(whole, base, loaded, written_anew=False, refused=cut_model.refused, notes=notes)


def _merged_twins(cut_model: CutModel, twins: Twins) -> list[str]:
    """What is said of the twins that went; those that something else needs stay."""
    keeps = cut_model.walk.closure.keeps
    gone = sum(int((~keeps.get((value, axis)))[units].sum()) for value, (axis, units) in twins.items())
    if not gone:
        return []
    many, were = ("1 unit computes", "was") if gone == 1 else (f"{gone} units compute", "were")
    return [f"{many} the same as another and {were} merged into it."]


def _cut(base: Base, layers: Sequence[LayerVerdicts], choice: Choice, walked: Walk | None = None) -> CutModel:
    """Cut; a node that refuses is left whole and the walk is taken again."""
    pinned: set[str] = set()
    refused: list[Refused] = []
    for _ in range(MOST_REFUSALS):
        chosen = base.walk(layers, choice, pinned) if walked is None or pinned else walked
        try:
            smaller, written_anew = shrink(base.loaded, chosen.context, chosen.cut)
            return CutModel(chosen, base, smaller, written_anew, tuple(refused))
        except Refusal as refusal:
            refused.append(Refused(refusal.node, refusal.reason, refusal.detail))
            node = next(n for n in base.loaded.graph.nodes if n.name == refusal.node)
            pinned |= {name for name in (*node.inputs, *node.outputs) if name}
    raise ComparisonFailed("Too many nodes refuse the cut: nothing was written; please report this model.")


def _finished(cut_model: CutModel, choice: Choice, measure: Callable[[LoadedModel], ShapeTable]) -> CutModel:
    """Cut the smaller model again, as long as that takes something away.

    A channel that was kept only as an input for its readers was computed from others, and may be constant without them;
    a tensor that was written anew for one of its readers can be cut for that reader alone; where a last block went,
    another one is the last.
    """
    if choice.units is not None or choice.lossy:  # what the user listed is what goes
        return cut_model
    for _ in range(MOST_ROUNDS):
        if not (stand_ins(cut_model.walk) or cut_model.written_anew or last_block_went(cut_model.walk)):
            return cut_model
        smaller = cut_model.smaller.refreshed()
        shapes = _shapes_of(smaller, cut_model, measure)
        if shapes is None:
            return cut_model
        layers = [left_of(cut_model.walk, audited) for audited in select_units(smaller.graph, shapes)]
        again = _cut(Base(smaller, shapes), layers, choice)
        whole = compose(cut_model.walk, again.walk)
        if whole is None or _weight(again.smaller) >= _weight(smaller):
            return cut_model
        anew, refused = cut_model.written_anew or again.written_anew, (*cut_model.refused, *again.refused)
        cut_model = replace(cut_model, walk=whole, smaller=again.smaller, written_anew=anew, refused=refused)
    return cut_model


def _shapes_of(
    model: LoadedModel, cut_model: CutModel, measure: Callable[[LoadedModel], ShapeTable]
) -> ShapeTable | None:
    """Shapes of what was cut; None: the data can be read only once, or it does not run, as the comparison will say."""
    try:
        return replace(measure(model), contradicted=cut_model.walk.contradicted)
    except InputError as error:
        if isinstance(error, RunError) and error.kind is RunFailure.MEMORY:
            raise
        return None


def _without_gathers(cut_model: CutModel, base: Base, measure: Callable[[LoadedModel], ShapeTable]) -> CutModel:
    """Without gathers, inserted into the base or for its blocks, that units do without once the model is cut."""
    inserted = cut_model.base.reordered.nodes
    if cut_model.bridges:
        inserted |= {node.name for node in cut_model.base.loaded.graph.nodes}
        inserted -= {node.name for node in base.loaded.graph.nodes} - base.reordered.nodes
    smaller = cut_model.smaller.refreshed() if inserted else cut_model.smaller
    if not any(node.name in inserted for node in smaller.graph.nodes):
        return cut_model
    shapes = _shapes_of(smaller, cut_model, measure)
    if shapes is None:
        return cut_model
    smaller, moved = fold_orders(smaller, shapes, inserted)
    order = replace(cut_model.walk.reordered, values=moved)
    return replace(cut_model, smaller=smaller, walk=replace(cut_model.walk, reordered=order))


def _with_fewer_rows(cut_model: CutModel, vocabulary: Sequence[GatheredRows], choice: Choice) -> CutModel:
    """Without the rows of embeddings that the data never gathers."""
    if not vocabulary:
        return cut_model
    smaller, gone = without_rows(cut_model.smaller, vocabulary, choice.unseen_id)
    if not gone:
        return cut_model
    refused = "are refused by onnxruntime on the CPU; elsewhere give --unseen-id"
    others = refused if choice.unseen_id is None else f"are read as id {choice.unseen_id}"
    notes = [
        f"{table.table}: {counted(gone[table.table], 'row')} went that the probe never gathers ({table.sentence}). "
        f"Ids of other rows {others}."
        for table in vocabulary
        if table.table in gone
    ]
    return replace(cut_model, smaller=smaller.refreshed(), removed_rows=gone, notes=(*cut_model.notes, *notes))


def _with_fewer_experts(cut_model: CutModel, routed: Sequence[Routed], choice: Choice) -> CutModel:
    """Without what is stored, one behind another, for experts that nothing chooses."""
    if not routed:
        return cut_model
    next_best = choice.unseen_expert == "next"
    keeps = cut_model.walk.closure.keeps
    smaller = without_stacked(cut_model.smaller, routed, keeps, next_best=next_best).refreshed()
    tables = tables_of(smaller.graph, smaller.graph.initializer_shape, routed)
    others = (
        "take the next best experts"
        if next_best
        else ("are refused by onnxruntime on the CPU; elsewhere give --unseen-expert next")
    )
    notes = [f"{f.why_gone}." + (f" Tokens that would go there {others}." if f.idle else "") for _, f in routed]
    notes.append("The models are not compared on the probe with noise, which may send tokens to experts that went.")
    smaller = without_rows(smaller, tables)[0].refreshed()
    gone = {facts.router: facts.gone for _, facts in routed}
    return replace(cut_model, smaller=smaller, removed_experts=gone, notes=(*cut_model.notes, *notes))


def _weight(model: LoadedModel) -> tuple[int, int]:
    """Parameters, then nodes."""
    graph = model.refreshed().graph
    return count_parameters(graph), len(graph.nodes)


def _with_bridges(plain: CutModel, layers: Sequence[LayerVerdicts], choice: Choice) -> CutModel:
    """The cut with the bridges that save parameters.

    With some in place more is constant, or one-sidedly so: others are looked for until none is found.
    """
    bridged = plain
    for _ in range(MOST_ROUNDS):
        bridges = _that_pay(bridged, layers, choice)
        if not bridges:
            break
        cut_again = _cut(_bridged(bridged.base, bridges), layers, choice)
        bridged = replace(
            cut_again,
            bridges=(*bridged.bridges, *bridges),
            refused=(*bridged.refused, *cut_again.refused),
        )
    built, saved = len(bridged.bridges), _left(plain.walk) - _left(bridged.walk)
    many, they = ("1 gather was", "it saves") if built == 1 else (f"{built} gathers were", "they save")
    note = f"{many} inserted at joins of unequally dead branches; {they} {saved} parameters."
    return replace(bridged, notes=(*plain.notes, note), written_norms=plain.written_norms) if built else plain


def _bridged(base: Base, bridges: Sequence[Bridge]) -> Base:
    return Base(*insert_bridges(base.loaded, base.shapes, bridges), base.reordered)


def _that_pay(bridged: CutModel, layers: Sequence[LayerVerdicts], choice: Choice) -> Sequence[Bridge]:
    """The bridges that can be built, without those that save nothing, or less than they store."""
    exact = bridged.walk
    if choice.round_to > 1:
        exact = bridged.base.walk(layers, replace(choice, round_to=1))
    bridges = find_bridges(exact, choice.round_to)

    def saved(some: Sequence[Bridge]) -> int:
        return _left(bridged.walk) - _left(_bridged(bridged.base, some).walk(layers, choice))

    return that_pay(bridges, saved, again=bool(bridged.bridges))


def _with_norms_written_out(plain: CutModel, layers: Sequence[LayerVerdicts], choice: Choice) -> CutModel:
    """The cut with those normalisations written out over fewer channels that save parameters so."""
    base, context = plain.base, plain.walk.context

    def written(some: Sequence[ConstantChannels]) -> Base:
        return Base(*write_out(base.loaded, base.shapes, context, some), base.reordered)

    norms = that_pay(
        norms_over_constants(plain.walk, choice),
        lambda some: _left(plain.walk) - _left(written(some).walk(layers, choice)),
    )
    if not norms:
        return plain
    cut_again, count = _cut(written(norms), layers, choice), len(norms)
    many, were, they = ("", "was", "it saves") if count == 1 else ("s", "were", "they save")
    saved = _left(plain.walk) - _left(cut_again.walk)
    what = f"{count} LayerNormalization{many} {were} written out"
    note = f"{what} over the channels that are not constant; {they} {saved} parameters."
    refused = (*plain.refused, *cut_again.refused)
    return replace(cut_again, notes=(note,), written_norms=count, refused=refused)


def _left(walked: Walk) -> int:
    """Parameters that stay."""
    return walked.parameters - walked.removable.parameters


def _merged(cut_model: CutModel, choice: Choice, measure: Callable[[LoadedModel], ShapeTable]) -> CutModel:
    """Dense layers around a ReLU whose remaining units are all always on, merged where that is smaller."""
    always = _always_on(cut_model, choice)
    if not always:
        return cut_model
    allowed = [value for value, trusted in always.items() if trusted]
    model = cut_model.smaller.refreshed()
    shapes = _shapes_of(model, cut_model, measure)
    if shapes is None:
        return cut_model
    merged, gone = merge_linear(model, shapes, allowed)
    _, held = merge_linear(merged, shapes, [value for value, trusted in always.items() if not trusted])
    notes = [*cut_model.notes]
    if gone:
        many = "1 ReLU that is always on was" if len(gone) == 1 else f"{len(gone)} ReLUs that are always on were"
        notes.append(f"{many} removed and the dense layers around {'it' if len(gone) == 1 else 'them'} merged.")
    if held:
        one_held = "1 ReLU stays: only the probe shows it"
        many = one_held if len(held) == 1 else f"{len(held)} ReLUs stay: only the probe shows them"
        notes.append(f"{many} to be always on, and more evidence was asked for.")
    return replace(cut_model, smaller=merged if gone else cut_model.smaller, notes=tuple(notes), merged_relus=gone)


def _always_on(cut_model: CutModel, choice: Choice) -> dict[str, bool]:
    """Values whose remaining units were always on, and whether the choice lets the data decide that."""
    always = {}
    keeps = cut_model.walk.closure.keeps
    for layer in cut_model.walk.layers:
        if choice.covers(layer) and layer.value in keeps and keeps.alive(layer.value):
            kept = np.flatnonzero(keeps.get((layer.value, layer.audited.axis))).tolist()
            if set(kept) <= set(layer.always_on):
                always[layer.value] = choice.takes_for_identity(layer, kept)
    return always
