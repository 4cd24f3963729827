"""How text becomes arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import ProbeError


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How a text becomes ids, and what goes with them (a mask, types of tokens, positions), by the inputs' names.

    Attributes:
        tokenizer: a `tokenizer.json`, as Hugging Face's `tokenizers` writes it.
        max_length: tokens that every text is cut or padded to; None: as the model declares, else as the
            tokenizer's file says, else each its own length.
    """

    tokenizer: str | Path
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Raise ProbeError for a length that no text has."""
        if self.max_length is not None and self.max_length < 1:
            raise ProbeError(f"The longest text has {self.max_length} tokens: give at least 1.")
