"""How much of a model was looked at: the share of multiply-adds, parameters and activations with a verdict."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.facts.wording import counted, number, share

NAMED = 3  # operators of one reason
LITTLE = 0.9  # less was judged than this: what was not could hide more than budgets of a few percent allow


def cost_of(multiply_adds: int | None, parameters: int) -> str:
    """`1.2 M multiply-adds, 5,000 parameters`; None: not counted."""
    parts = ["multiply-adds not counted"] if multiply_adds is None else []
    parts += [counted(multiply_adds, "multiply-add")] if multiply_adds else []
    parts += [counted(parameters, "parameter")] if parameters else []
    return ", ".join(parts) or "no cost"


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """So many nodes of one operator."""

    op: str
    nodes: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What gets no verdict, for one reason; `multiply_adds` is None where those of some operator are not counted."""

    reason: str
    operators: tuple[OperatorCount, ...]
    multiply_adds: int | None
    parameters: int
    activations: int

    @property
    def cost(self) -> str:
        """In words."""
        return cost_of(self.multiply_adds, self.parameters)

    @property
    def who(self) -> str:
        """`11 Conv, 2 LSTM`, or how many activations where no operator costs anything."""
        named = [f"{number(entry.nodes)} {entry.op}" for entry in self.operators]
        named[NAMED:] = ["others"] if len(named) > NAMED else []
        return ", ".join(named) or counted(self.activations, "activation")


@dataclass(frozen=True, slots=True)
class Judged:
    """What there is, and what of it was judged; multiply-adds are those of one sample, as far as they are counted.

    `activations` are the values whose units there are to judge: audited layers, and operators of which nothing is known
    but that they cost something. `not_counted` operators have multiply-adds of unknown number.
    """

    multiply_adds: int = 0
    multiply_adds_judged: int = 0
    parameters: int = 0
    parameters_judged: int = 0
    activations: int = 0
    activations_judged: int = 0
    not_counted: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def multiply_adds_share(self) -> float | None:
        """Of all that are counted: at most this share where some operator's are not. None: none are counted."""
        return self.multiply_adds_judged / self.multiply_adds if self.multiply_adds else None

    @property
    def parameters_share(self) -> float | None:
        """Of all parameters; None where there are none."""
        return self.parameters_judged / self.parameters if self.parameters else None

    @property
    def at_most(self) -> bool:
        """Whether something was left out whose multiply-adds are not counted."""
        return any(entry.multiply_adds is None for entry in self.left_out)

    @property
    def least(self) -> float | None:
        """The smallest of the shares; None where there was nothing to judge."""
        shares = [self.multiply_adds_share, self.parameters_share]
        shares += [self.activations_judged / self.activations] if self.activations else []
        return min((each for each in shares if each is not None), default=None)

    def covers(self, wanted: float) -> bool:
        """Whether at least this share of everything was judged, for sure."""
        return not self.at_most and (self.least is None or self.least >= wanted * (1 - 1e-12))

    @property
    def least_shown(self) -> str:
        """The smallest of the shares: `≤ 4.1 %`, or a dash."""
        return "-" if self.least is None else ("≤ " if self.at_most else "") + share(self.least)

    @property
    def little(self) -> bool:
        """Whether so much was left out, or so much may have been, that verdicts on the rest say little."""
        return self.at_most or (self.least is not None and self.least < LITTLE)

    @property
    def shares(self) -> str:
        """`at most 35 % of multiply-adds, 12 % of parameters, 5 of 16 activations`."""
        parts = [f"{share(self.multiply_adds_judged, self.multiply_adds)} of multiply-adds"]
        if not self.multiply_adds:
            parts = ["multiply-adds not counted"] if self.not_counted else []
        elif self.at_most and self.multiply_adds_judged == self.multiply_adds:
            parts = [f"all multiply-adds but those of {counted(self.not_counted, 'operator')} (not counted)"]
        elif self.at_most:
            parts[0] = f"at most {parts[0]}"
        if self.parameters:
            parts.append(f"{share(self.parameters_judged, self.parameters)} of parameters")
        if self.activations:
            parts.append(f"{number(self.activations_judged)} of {counted(self.activations, 'activation')}")
        return ", ".join(parts) or "nothing, as nothing was there to judge"

    @property
    def cost(self) -> str:
        """`at least 1.2 M multiply-adds`."""
        if self.not_counted and not self.multiply_adds:
            return "multiply-adds not counted"
        return ("at least " if self.not_counted else "") + counted(self.multiply_adds, "multiply-add")
