"""How sound becomes arrays."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.errors import ProbeError


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """How a file of sound becomes inputs: windows that follow one another, as numbers from -1 to 1.

    Attributes:
        rate: samples a second that all files must have; None: the same in all, whatever it is. Nothing is resampled.
        window: samples of sound in one sample of data; None: as the model declares, else a file each.
    """

    rate: int | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        """Raise ProbeError for what no sound has."""
        for name, value in (("rate", self.rate), ("window", self.window)):
            if value is not None and value < 1:
                raise ProbeError(f"The sound's {name} is {value}: it must be at least 1.")
