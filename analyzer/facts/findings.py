"""One thing that is found out about a model or an audit of it: what every reader must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding does: an error fails the check, a warning is shown, a note only informs, off is not looked for."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OFF = "off"


class About(StrEnum):
    """What the name in a finding names."""

    MODEL = "model"
    LAYER = "layer"
    TENSOR = "tensor"
    INPUT = "input"
    OUTPUT = "output"
    PROBE = "probe"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """One thing found: `code` (such as DU001) and `name` (such as layer-dead) are stable, and mean the same.

    `message` is in our own words and numbers: names from files stand in `value`, `node` and `module` (a
    layer's name in the training code, where it is known), so that every format can
    escape them in its own way. `measured` and `allowed` are comparable numbers where there is a budget (a share if
    `allowed` was given as one). `units` are indices: of units, or of features of an input or output.
    """

    code: str
    name: str
    severity: Severity
    message: str
    about: About = About.MODEL
    value: str = ""
    node: str = ""
    units: tuple[int, ...] = ()
    measured: float | None = None
    allowed: float | None = None
    module: str = ""

    def __repr__(self) -> str:
        where = self.module or self.value or self.about
        return f"<Finding {self.code} {self.name} ({self.severity}), {where}: {self.message}>"
