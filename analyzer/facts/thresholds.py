"""When a unit is called near-dead, saturated or constant, by own numbers or by a definition of the field.

Presets follow the definitions of the field, so that results can be compared with what others report:

    default    near-dead: fires on at most 1 % of samples; saturated: flat on at least 99 % of samples.
    strict     only what is exactly constant is dead (no tolerance), and nothing is near-dead; saturated: flat
               on every sample. QONNX's "stuck" channels: minimum == maximum.
    sagemaker  Amazon SageMaker Debugger's DeadRelu (active on less than 1 % counts as dead) and
               SaturatedActivation (flat where the gradient is under 1e-7, active on less than 1 %).
    apoz       Hu et al. 2016, "Network Trimming" (arXiv 1607.03250): share of zero positions above the
               layer's mean plus one standard deviation.
    dormant    Sokar et al. 2023, "The Dormant Neuron Phenomenon": mean magnitude at most tau = 0.025 of the
               layer's mean. The authors' code ships tau = 0, which lists only what `dead` lists already.

`apoz` and `dormant` need positions counted (`Thresholds.needs_positions`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from analyzer.errors import InputError


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a unit is called near-dead, saturated or dead; `preset` names the field's definition it follows.

    near_dead: share of samples on which it fires at most. saturated: share of samples in the flat region at least.
    flat_gradient: gradient of a sigmoid or tanh below which its input counts as flat. apoz: share of zero
    positions above which a unit is near-dead (None: not used). apoz_deviations: the same cut, stated as standard
    deviations above the layer's mean share (None). dormant: tau of the tau-dormant score (None). Where apoz,
    apoz_deviations or dormant is given it replaces near_dead.
    ulps: spread, in units in the last place, up to which a smooth activation counts as constant.
    """

    preset: str = "default"
    near_dead: float = 0.01
    saturated: float = 0.99
    flat_gradient: float = 1e-3
    apoz: float | None = None
    dormant: float | None = None
    ulps: int = 4
    apoz_deviations: float | None = None

    @property
    def needs_positions(self) -> bool:
        """Whether these thresholds need positions counted and magnitudes summed, which costs time."""
        return not (self.apoz is None and self.apoz_deviations is None and self.dormant is None)

    @classmethod
    def of(cls, given: Thresholds | str) -> Thresholds:
        """Thresholds as they are, or those of a preset.

        Raises:
            InputError: there is no such preset.
        """
        if isinstance(given, Thresholds):
            return given
        if given not in PRESETS:
            raise InputError(f"There is no preset {given!r}: choose one of {', '.join(PRESETS)}.")
        return PRESETS[given]

    def with_near_dead(self, share: float) -> Thresholds:
        """The same, with another share of samples up to which a unit is near-dead.

        Raises:
            InputError: these thresholds use no such share.
        """
        if self.needs_positions:
            raise InputError(f"Preset {self.preset} does not use a near-dead share of samples: leave one out.")
        return replace(self, near_dead=share)


PRESETS = MappingProxyType(
    {
        "default": Thresholds(),
        "strict": Thresholds(preset="strict", near_dead=0.0, saturated=1.0, ulps=0),
        "sagemaker": Thresholds(preset="sagemaker", near_dead=0.01, saturated=0.99, flat_gradient=1e-7),
        "apoz": Thresholds(preset="apoz", apoz_deviations=1.0),
        "dormant": Thresholds(preset="dormant", dormant=0.025),
    }
)
