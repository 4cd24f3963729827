"""How much a model may have of what: budgets as counts or shares, for the whole model and per layer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from analyzer.errors import InputError
from analyzer.facts.findings import Severity
from analyzer.facts.frozen import FrozenDict
from analyzer.facts.wording import suggestion, units_in

CODE = re.compile(r"DU\d{3}")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many, or at most such a share of the whole; exactly one of the two is given."""

    count: int | None = None
    share: float | None = None

    def exceeded(self, number: int, whole: int) -> bool:
        """Whether `number` of `whole` is too many."""
        if self.count is not None:
            return number > self.count
        return number > (self.share or 0.0) * whole * (1 + 1e-12)

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{100 * (self.share or 0.0):g} %"


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """Limits per layer: shell patterns on names, the last that matches holds; `*` is what all others have."""

    patterns: tuple[tuple[str, Limit], ...] = ()

    def for_any(self, names: Sequence[str]) -> Limit | None:
        """The limit of a layer known by these names (its value, module, node and operator); None: no limit."""
        pattern = self.pattern_of(names)
        return None if pattern is None else dict(self.patterns)[pattern]

    def pattern_of(self, names: Sequence[str]) -> str | None:
        """The pattern whose limit holds for a layer known by these names; None: none does."""
        matching = (
            pattern
            for pattern, _ in reversed(self.patterns)
            if any(name == pattern or fnmatchcase(name, pattern) for name in names)
        )
        return next(matching, None)

    def followed_by(self, others: LayerLimits) -> LayerLimits:
        """Both, `others` winning: its own `*` replaces the one here, its patterns come later."""
        fresh = {pattern for pattern, _ in others.patterns}
        mine = tuple(entry for entry in self.patterns if entry[0] not in fresh)
        return LayerLimits(tuple(sorted((*mine, *others.patterns), key=lambda entry: entry[0] != "*")))


@dataclass(frozen=True, slots=True)
class ExpectedDead:
    """Units that may be dead: a shell pattern on a layer's value or module, and indices (None: all of them)."""

    pattern: str
    units: frozenset[int] | None

    def covers(self, *names: str) -> bool:
        """Whether the entry is about a layer of these names, of which empty ones do not count."""
        return any(name == self.pattern or fnmatchcase(name, self.pattern) for name in names if name)


@dataclass(frozen=True, slots=True)
class Budgets:
    """What `check` allows; None or empty means no limit. See `budgets_of` for the spelling in files and flags."""

    max_dead: Limit | None = None
    max_dead_layer: LayerLimits = LayerLimits()
    max_constant: Limit | None = None
    max_constant_layer: LayerLimits = LayerLimits()
    max_near_dead: Limit | None = None
    max_near_dead_layer: LayerLimits = LayerLimits()
    max_saturated: Limit | None = None
    max_saturated_layer: LayerLimits = LayerLimits()
    max_prunable: Limit | None = None
    max_prunable_layer: LayerLimits = LayerLimits()
    min_judged: Limit | None = None
    min_proven: Limit | None = None
    min_samples: int | None = None
    expect_dead: tuple[ExpectedDead, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The mapping is read-only from here on."""
        object.__setattr__(self, "severity", FrozenDict(self.severity))

    @property
    def any_limit(self) -> bool:
        """Whether anything is limited, so that a check that looks at nothing has not done its work."""
        limits = (getattr(self, name) for name in _READERS if name.startswith("max_") or _READERS[name] is _share)
        return any(limit is not None and limit != LayerLimits() for limit in limits)

    def overridden_by(self, others: Budgets) -> Budgets:
        """These budgets with everything that `others` says put in its place (lists are joined)."""
        return Budgets(**{name: _joined(getattr(self, name), getattr(others, name)) for name in _READERS})


def _joined(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, LayerLimits):
        return mine.followed_by(theirs)
    if isinstance(mine, tuple):
        return (*mine, *(entry for entry in theirs if entry not in mine))
    if isinstance(mine, Mapping):
        return {**mine, **theirs}
    return mine if theirs is None else theirs


def budgets_of(settings: Mapping[str, Any], source: str = "budgets", others: Iterable[str] = ()) -> Budgets:
    """Budgets from plain values, as they stand in a TOML table or in keyword form (`max_dead` or `max-dead`).

    A limit is a count (`5`), or a share (`"5%"`, `0.05`); `min-judged` and
    `min-proven` are shares. `max-…-layer` is one limit, or a
    table of limits by shell pattern. `expect-dead` lists `VALUE:0-3,7` (or `VALUE:*`), `ignore` codes, `severity` maps
    codes to levels. `others` are settings that stand beside them and are not about budgets.

    Raises:
        InputError: a key or a value makes no sense; `source` is named in the message.
    """
    known = [name.replace("_", "-") for name in _READERS] + list(others)
    budgets: dict[str, Any] = {}
    for key, value in settings.items():
        name = key.replace("-", "_")
        if name in _READERS:
            budgets[name] = _READERS[name](value, f"{source}: {key}")
        elif key not in known:
            raise InputError(f"{source}: there is no setting {key!r}{suggestion(key, known)}")
    return Budgets(**budgets)


def limit_of(value: Any, where: str) -> Limit:
    """`5`, `"5"` (a count), `"5%"`, `0.05`, `"0.05"` (a share).

    Raises:
        InputError: it is none of these.
    """
    wrong = InputError(f"{where} = {value!r} is not a limit: write a count (5) or a share (5% or 0.05).")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,15}", text):
        return Limit(count=int(text))
    percent = text.endswith("%")
    try:
        share = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        raise wrong from None
    if not (math.isfinite(share) and 0 <= share <= 1) or (share == 1 and not percent):
        raise wrong  # 1.0 may mean one unit or all of them: 1 and 100% do not
    return Limit(share=share)


def expected_of(text: str, where: str) -> ExpectedDead:
    """`VALUE:0-3,7`, `VALUE:*`; cut at the last colon, because tensor names may contain some.

    Raises:
        InputError: it is not of that form.
    """
    pattern, _, units = text.rpartition(":")
    if pattern and units.strip() == "*":
        return ExpectedDead(pattern, None)
    listed = units_in(units)
    if not pattern or listed is None:
        raise InputError(f"{where}: {text!r} is not VALUE:UNITS: write for example /relu/Relu_output_0:0-3,7 or …:*.")
    return ExpectedDead(pattern, frozenset(listed))


def code_of(text: str, where: str) -> str:
    """A finding code in its canonical spelling; whether there is such a finding is for the catalogue to say.

    Raises:
        InputError: it is no code.
    """
    code = text.strip().upper()
    if not CODE.fullmatch(code):
        raise InputError(f"{where}: {text!r} is not a finding code: write for example DU003.")
    return code


def _share(value: Any, where: str) -> Limit:
    limit = limit_of(value, where)
    if limit.share is None:
        raise InputError(f"{where} = {value!r} is not a share: write 90% or 0.9.")
    return limit


def _layer_limits(value: Any, where: str) -> LayerLimits:
    if not isinstance(value, Mapping):
        return LayerLimits((("*", limit_of(value, where)),))
    entries = [(pattern, limit_of(limit, f"{where}[{pattern!r}]")) for pattern, limit in value.items()]
    return LayerLimits().followed_by(LayerLimits(tuple(entries)))


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where} = {value!r} is not a number of samples: give a whole number of at least 1.")
    return value


def _each(read: Callable[[str, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    """Reads a text, or several, each in the same way."""

    def read_all(value: Any, where: str) -> tuple[Any, ...]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{where} = {value!r} is not a list of texts.")
        return tuple(read(text, where) for text in texts)

    return read_all


def _severities(value: Any, where: str) -> dict[str, Severity]:
    if not isinstance(value, Mapping):
        raise InputError(f'{where} = {value!r} is not a table: write DU003 = "error" in it.')
    for key, level in value.items():
        if level not in [*Severity]:
            raise InputError(f"{where}: {key} = {level!r} is not a severity: choose one of {', '.join(Severity)}.")
    return {code_of(key, where): Severity(level) for key, level in value.items()}


#: How each setting is read: the only place that says what may stand in it.
_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    name: reader
    for what in ("dead", "constant", "near_dead", "saturated", "prunable")
    for name, reader in ((f"max_{what}", limit_of), (f"max_{what}_layer", _layer_limits))
} | {
    "min_judged": _share,
    "min_proven": _share,
    "min_samples": _count,
    "expect_dead": _each(expected_of),
    "ignore": _each(code_of),
    "severity": _severities,
}
