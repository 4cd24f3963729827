"""What a user lets a prune take away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal

from analyzer.errors import InputError
from analyzer.facts.evidence import Evidence
from analyzer.facts.frozen import FrozenDict
from analyzer.facts.given import WithDefaults, is_number

if TYPE_CHECKING:
    from analyzer.facts.audit import LayerVerdicts
    from analyzer.facts.experts import RoutedExperts
    from analyzer.facts.vocabulary import GatheredRows


_EVIDENCE = (Evidence.STRUCTURAL, Evidence.PROVEN, Evidence.OBSERVED)
#: What can be asked of a revival, too: which units are fresh. All else says how a model gets smaller.
FOR_REVIVALS = frozenset(("evidence", "only", "skip", "min_samples", "max_firing_bound", "units", "merge_duplicates"))


@dataclass(frozen=True, slots=True)
class Choice(WithDefaults):
    """Which dead units may go.

    evidence: `structural` takes only what the weights alone decide, `proven` also what bounds show for every input of
    the domain that the audit was held against, `observed` also what was seen, unless an input of that domain refutes
    it. only / skip: shell
    patterns on value, module, node or operator names, and on embeddings; others stay whole. min_samples: observed units
    of smaller probes stay. max_firing_bound: observed units whose 95 % bound on firing is larger stay. round_to: widths
    of layers stay multiples of it. units: per layer (its value or module) the only observed units that may go (an
    edited plan). lossy: per value units that go although they are not dead, each with the constant that takes its
    place; not exact. residual: let units go that are dead on one side of a join only, by gathers, and channels
    in front of a LayerNormalization, which is written out, where that saves parameters, or where it is measured to be
    no slower than without. merge_duplicates: units that compute the same are
    merged. merge_linear: dense layers around a ReLU that is always on are merged where that is smaller. branches:
    `taken` leaves out branches (of an If) that no sample takes; for inputs that would take them the model then computes
    something else. vocabulary: rows of embeddings that the probe never gathers go; further ids are refused by
    onnxruntime on the CPU (elsewhere give `unseen_id`), or read as `unseen_id`. experts: experts of mixtures go that no
    token of the probe is routed to; a token that would be is `refused` by onnxruntime on the CPU, or, with
    `unseen_expert` next, takes the next best experts that stay.
    """

    evidence: Evidence = Evidence.OBSERVED
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    min_samples: int = 0
    max_firing_bound: float = 1.0
    round_to: int = 1
    units: Mapping[str, tuple[int, ...]] | None = None
    min_distance: float = 0.0
    lossy: Mapping[str, Mapping[int, float]] | None = None
    residual: Literal["off", "params", "latency"] = "off"
    merge_duplicates: bool = False
    merge_linear: bool = False
    branches: Literal["all", "taken"] = "all"
    vocabulary: bool = False
    unseen_id: int | None = None
    experts: bool = False
    unseen_expert: Literal["refused", "next"] = "refused"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: the first such thing, and what to give.
        """
        for name, fits, instead in (
            ("evidence", self.evidence in _EVIDENCE, "choose structural, proven or observed"),
            ("min_samples", is_number(self.min_samples, 0, kind=Integral), "give a whole number of at least 0"),
            ("round_to", is_number(self.round_to, 1, kind=Integral), "give a whole number of at least 1"),
            ("max_firing_bound", is_number(self.max_firing_bound, 0, 1), "give a share from 0 to 1"),
            ("min_distance", is_number(self.min_distance, 0), "give a number of at least 0"),
            ("residual", self.residual in ("off", "params", "latency"), "choose off, params or latency"),
            ("branches", self.branches in ("all", "taken"), "choose all or taken"),
            ("only", _are_patterns(self.only), "give a list of patterns"),
            ("skip", _are_patterns(self.skip), "give a list of patterns"),
            ("vocabulary", not self.vocabulary or self.evidence == "observed", "only data shows it: choose observed"),
            ("experts", not self.experts or self.evidence == "observed", "only data shows it: choose observed"),
            ("unseen_expert", self.unseen_expert in ("refused", "next"), "choose refused or next"),
            (
                "unseen_id",
                self.unseen_id is None or is_number(self.unseen_id, 0, kind=Integral),
                "give an id from 0 on",
            ),
            ("units", isinstance(self.units, dict | None), "give the units of each value as a dict"),
        ):
            if not fits:
                raise _refused(name, getattr(self, name), instead)
        if self.unseen_id is not None and not self.vocabulary:
            raise InputError(
                f"--unseen-id {self.unseen_id} has no effect without --vocabulary: add it, or leave --unseen-id out."
            )
        if self.unseen_expert != "refused" and not self.experts:
            raise InputError(
                f"--unseen-expert {self.unseen_expert} has no effect without --experts: add it, or leave it out."
            )
        object.__setattr__(self, "evidence", Evidence(self.evidence))  # its name may have been given
        object.__setattr__(self, "only", tuple(self.only))
        object.__setattr__(self, "skip", tuple(self.skip))
        if self.units is not None:
            object.__setattr__(self, "units", FrozenDict({value: tuple(units) for value, units in self.units.items()}))
        if self.lossy is not None:
            lossy = FrozenDict({value: FrozenDict(constants) for value, constants in self.lossy.items()})
            object.__setattr__(self, "lossy", lossy)

    @property
    def only_for_cuts(self) -> tuple[str, ...]:
        """What is asked that a revival has no use for."""
        others = (field for field in fields(self) if field.name not in FOR_REVIVALS)
        return tuple(field.name for field in others if getattr(self, field.name) != field.default)

    def covers(self, layer: LayerVerdicts) -> bool:
        """Whether the layer may lose units at all."""
        return self._wants(layer.audited.names)

    def _wants(self, names: Sequence[str]) -> bool:
        return (not self.only or _matches(names, self.only)) and not _matches(names, self.skip)

    @property
    def exact(self) -> Choice:
        """The same choice without its lossy part."""
        return replace(self, lossy=None)

    def constants(self, layer: LayerVerdicts) -> dict[int, float]:
        """The units that are taken for constants, and what they are taken for."""
        dead = {unit: float(layer.stays_at[unit]) for unit in self.allowed(layer)}
        return dead | dict((self.lossy or {}).get(layer.value, {}))

    def allowed(self, layer: LayerVerdicts) -> list[int]:
        """The dead units that may be taken for constants."""
        if not self.covers(layer):
            return []
        observed = layer.dead_by(Evidence.OBSERVED) if self.trusts(layer) else ()
        proven = () if self.evidence is Evidence.STRUCTURAL else layer.proven
        wanted = None if self.units is None else set(self.units.get(layer.value, ()))
        shown = (*proven, *(unit for unit in observed if self._far(layer, unit)))
        return sorted((*layer.structural, *(unit for unit in shown if wanted is None or unit in wanted)))

    def trusts(self, layer: LayerVerdicts) -> bool:
        """Whether what only the probe shows of the layer may be relied on."""
        bound = layer.firing_bound if layer.firing_bound is not None else 1.0
        return (
            self.evidence is Evidence.OBSERVED and layer.samples >= self.min_samples and bound <= self.max_firing_bound
        )

    def takes_rows(self, table: GatheredRows, samples: int) -> bool:
        """Whether some rows of a table go, and the probe is enough to part with them."""
        return self.vocabulary and table.lost() > 0 and self._relies_on(table, table.names, samples)

    def takes_experts(self, router: RoutedExperts, samples: int) -> bool:
        """Whether some experts of a router go, and the probe is enough to part with them."""
        return self.experts and bool(router.removable) and self._relies_on(router, router.names, samples)

    def _relies_on(self, counts: GatheredRows | RoutedExperts, names: Sequence[str], samples: int) -> bool:
        bound = counts.unseen_bound
        trusted = samples >= self.min_samples and bound is not None and bound <= self.max_firing_bound
        return trusted and self._wants(names)

    def takes_for_identity(self, layer: LayerVerdicts, units: Iterable[int]) -> bool:
        """Whether a layer whose remaining units were always on in the data may be taken for one that always is."""
        known = () if self.evidence is Evidence.STRUCTURAL else layer.proven_on
        if unproven := {*units}.difference(known):
            seen = self.trusts(layer) and unproven.isdisjoint(layer.refuted_on)
            return seen and all(self._far(layer, unit) for unit in unproven)
        return self.evidence is not Evidence.STRUCTURAL

    def _far(self, layer: LayerVerdicts, unit: int) -> bool:
        if self.min_distance <= 0:
            return True
        distance = layer.distances[unit] if layer.distances else None
        return distance is not None and distance >= self.min_distance


def _are_patterns(given: object) -> bool:
    """Several; a single text would be read as one pattern per letter."""
    return isinstance(given, list | tuple) and all(isinstance(pattern, str) for pattern in given)


def _refused(name: str, given: object, instead: str) -> InputError:
    text = str(given) if isinstance(given, Real) else repr(str(given) if isinstance(given, str) else given)
    return InputError(f"The choice's {name} is {text}: {instead}.")


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
