"""Whether several samples may share a feed: what is proven, and what a feed of two shows beside feeds of one each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from analyzer.algebra.pattern import Array, Shape
from analyzer.errors import RunError
from analyzer.facts.tolerances import REBATCHED, REBATCHED_QUANTISED
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import Graph, LoadedModel
from analyzer.graph.coarsest import coarsest_types
from analyzer.ops.operator import is_quantised, traits_of
from analyzer.probes.fitting import Feeds
from analyzer.probes.probe import Probe
from analyzer.runtime.session import Session
from analyzer.shapes.free_dims import joined_axes
from analyzer.shapes.sample_rows import close, grown_axis, row_means, same_samples, show_both
from analyzer.shapes.shape_session import ShapeRun, Shown, extended


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a probe is fed: `size` samples at a time, with the first dim of `free_inputs` made free if need be.

    `inseparable` samples of each feed may influence each other, so that they count as one.
    """

    size: int
    free_inputs: tuple[str, ...] = ()
    inseparable: int = 1

    @property
    def batchable(self) -> bool:
        """Whether several samples share a feed and each is seen by itself."""
        return self.size > self.inseparable

    def counted(self, samples: int) -> int:
        """As how many so many samples count."""
        return samples // self.inseparable


def plan_batches(shapes: ShapeTable, probe: Probe, batch_size: int, values: Sequence[str] = ()) -> BatchPlan:
    """Feed up to `batch_size` samples at once where the data allows it and they do not influence each other.

    `values` are the values whose samples must be separable.
    """
    scrambled = any(v in shapes.scrambled for v in values)
    if not (shapes.independent and probe.batchable) or scrambled or batch_size <= shapes.samples:
        return BatchPlan(shapes.samples, inseparable=shapes.inseparable)
    return BatchPlan(batch_size, shapes.free_inputs)


@dataclass(frozen=True)
class TwoSamples:
    """A look at two samples in one feed; it can only say no, as a third one may change everything.

    `alone` is the table of one sample; `samples` are the two feeds and `outputs` what they gave, `pair` is both in
    one; `given` are the bytes of a sample that was not guessed.
    """

    loaded: LoadedModel
    threads: int | None
    alone: ShapeTable
    samples: Sequence[Feeds]
    pair: Feeds
    outputs: Sequence[Feeds]
    given: int

    def table(self, together: Shown | None) -> ShapeTable:
        """The table with sample axes, where the pair gives what both give; `together` is what the pair gave."""
        if together is not None and self._agree(together):
            return self._batched(together, ())
        alone = self.alone if together is None else self._mixed(together[0])
        free = self._fixed_inputs()
        with suppress(RunError):
            if free:
                with ShapeRun(self.loaded, self.threads, self.given, free, self.alone.dtypes) as run:
                    together = run(self.pair)
                if self._agree(together):
                    return self._batched(together, free)
        return alone

    def _agree(self, together: Shown) -> bool:
        first, second = self.outputs
        return show_both(together[1], first, second, self._coarsest)

    @cached_property
    def _coarsest(self) -> Mapping[str, str]:
        return coarsest_types(self.loaded.graph, self.alone.dtypes)

    def _batched(self, together: Shown, free: tuple[str, ...]) -> ShapeTable:
        axes = {n: grown_axis(s, together[0].get(n, s)) for n, s in self.alone.shapes.items()}
        folded = {n: a for n, a in axes.items() if a is not None and a.rows > 1}
        scrambled = dict[str, int | None].fromkeys(n for n, a in axes.items() if a is None)
        scrambled |= {n: folded[n].axis for n in self._not_sample_major(folded, free)}
        known = {n: SampleAxis(None) if a is None or n in scrambled else a for n, a in axes.items()}
        grown = {n: frozenset({axis}) for n, axis in scrambled.items() if axis is not None}
        return replace(
            self.alone,
            sample_axes=known,
            batchable=True,
            free_inputs=free,
            scrambled=scrambled,
            dynamic=joined_axes(self.alone.dynamic, grown),
        )

    def _mixed(self, grown: Mapping[str, Shape]) -> ShapeTable:
        """The table with the values that differ when two samples share a feed, by more than rounding and chance.

        And with what follows them. Behind a scale that samples share it is this that makes them differ. Judged by the
        mean magnitude of each row; values that grow in some other way than sample by sample are left out.
        """
        graph, alone, axes = self.loaded.graph, self.alone, dict[str, SampleAxis]()
        coarse = REBATCHED_QUANTISED if is_quantised(graph) else 0.0
        for name in sorted(set(graph.producer) & set(grown) - _lengths(graph) - graph.inside):
            axis = grown_axis(alone.shapes[name], grown[name])
            scale = coarse > 0 and axis is not None and axis.axis is None
            if axis is not None and not scale and alone.dtypes.get(name) in REBATCHED:
                axes[name] = axis
        means, mixed, scaled, together = self._row_means(axes, magnitude=True), set[str](), set[str](), set[str]()
        if means is None:
            return alone
        for node in graph.nodes:
            names, traits = {o for o in node.outputs if o}, traits_of(node)
            read = () if traits.measures else (*node.inputs, *node.captured)
            for group in (mixed, scaled, together):
                group.update(names if group.intersection(read) else ())
            scaled.update(names if traits.shares_scale else ())
            for name in names & set(axes):
                both, first, second, again = means[name]
                tolerance, axis = max(coarse, REBATCHED[self._coarsest[name]]), axes[name]
                rows = SampleAxis(None if axis.axis is None else 0, axis.rows)
                if not same_samples(both, first, second, rows, tolerance) and close(again, first, tolerance):
                    (together if name in scaled else mixed).add(name)
        return replace(alone, mixed=frozenset(mixed), scaled_together=frozenset(together - mixed))

    def _row_means(
        self, axes: Mapping[str, SampleAxis], free: tuple[str, ...] = (), *, magnitude: bool = False
    ) -> dict[str, list[Array]] | None:
        """The mean of each row of these values: of both samples in one feed, of the first, the second, the first again.

        None where onnxruntime refuses that.
        """
        editor, shapes = extended(self.loaded, free), self.alone.shapes
        editor.clear_outputs()
        means = {n: row_means(editor, n, len(shapes[n]), axis, magnitude=magnitude) for n, axis in axes.items()}
        editor.output(*means.values())
        with suppress(RunError), Session(editor.loaded, threads=self.threads, few_runs=True) as session:
            runs = session.run_each([self.pair, *self.samples, self.samples[0]])
            return {name: [run[mean] for run in runs] for name, mean in means.items()}
        return None

    def _fixed_inputs(self) -> tuple[str, ...]:
        """Inputs that grow with the samples although the model declares their first dim as a number.

        None where others are declared free: whoever runs the model may give it more of those alone.
        """
        declared = self.loaded.graph.inputs
        grown = [n for n, a in self.pair.items() if a.shape != self.samples[0][n].shape]
        numbered = tuple(n for n in grown if isinstance((declared[n].shape or (None,))[0], int))
        return numbered if len(numbered) == len(grown) else ()

    def _not_sample_major(self, folded: Mapping[str, SampleAxis], free: tuple[str, ...]) -> set[str]:
        """Values whose rows do not come first sample first, by the mean of each row."""
        computed = {n: axis for n, axis in folded.items() if n not in self.pair}
        seen = {n: axis for n, axis in computed.items() if n not in self.loaded.graph.inside}
        known = {n: axis for n, axis in seen.items() if self.alone.dtypes.get(n) not in (None, "object")}
        means = self._row_means(known, free) if known else {}
        major = {
            name
            for name, (together, first, second, _) in (means or {}).items()
            if same_samples(together, first, second, SampleAxis(0, known[name].rows))
        }
        return set(computed) - major


def _lengths(graph: Graph) -> set[str]:
    """Values computed from stored tensors and lengths alone: they tell how many samples there are."""
    known: set[str] = set(graph.initializer_names)
    for node in graph.nodes:
        if traits_of(node).measures or (node.inputs and known.issuperset(i for i in node.inputs if i)):
            known.update(node.outputs)
    return known
