"""Text as probe data: lines of files, through a tokenizer's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line
from analyzer.facts.text_options import TextOptions
from analyzer.graph.view import TensorType
from analyzer.probes.fitting import Part
from analyzer.probes.input_names import quoted
from analyzer.probes.memory import check_shape
from analyzer.probes.opener import PIECE_BYTES, Opener, needs
from analyzer.probes.source import Source
from analyzer.regular_files import check_regular

MOST_TEXTS = 64  # that are held at a time
LONGEST = 1 << 22  # bytes of a line
_TOKEN_BYTES = 100  # what the library keeps of each
LARGEST_TOKENIZER = 1 << 28
_PADDINGS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "</s>")
_FED = {"mask": "attention_mask", "type": "type_ids", "segment": "type_ids", "position": "positions"}


@dataclass(frozen=True)
class TextReader:
    """A tokenizer, and which of what it gives goes to which input; `length`: tokens of every text."""

    tokenizer: Any
    fed: Mapping[str, str]
    length: int | None
    steps: Mapping[str, str]

    @property
    def at_once(self) -> int:
        """How many texts are turned into ids together."""
        return min(MOST_TEXTS, max(1, PIECE_BYTES // (_TOKEN_BYTES * (self.length or 1))))

    @classmethod
    def of(cls, options: TextOptions, inputs: Mapping[str, TensorType]) -> TextReader:
        """Options completed from the model's inputs.

        Raises:
            ProbeError: the tokenizer cannot be read, or inputs are not such as it gives.
        """
        fed = _fed(inputs)
        tokenizer, path = _tokenizer(Path(options.tokenizer)), Path(options.tokenizer)
        padding = tokenizer.padding or {}
        length = _length(options, inputs) or padding.get("length")
        tokenizer.no_padding()
        if length is not None:
            check_shape(length * _TOKEN_BYTES, f"A text of {length} tokens", "give a shorter length (--max-length)")
            tokenizer.enable_truncation(length)
            tokenizer.enable_padding(length=length, **_padding(tokenizer, padding, path.name))
        cut = f", at most {tokenizer.truncation['max_length']}" if tokenizer.truncation else ""
        tokens = f"as many as each text has{cut}" if length is None else str(length)
        return cls(tokenizer, fed, length, {"tokenizer": path.name, "tokens": tokens})

    def arrays(self, texts: Sequence[Any], where: str, first: int) -> Iterator[dict[str, Array]]:
        """Arrays by input name: of all texts, or of each where they are of their own lengths."""
        for number, text in enumerate(texts, start=first):
            if not isinstance(text, str):
                raise ProbeError(f"{where} {number} is no text: leave it out, or give an empty one.")
        for start in range(0, len(texts), self.at_once):
            encoded = self.tokenizer.encode_batch(list(texts[start : start + self.at_once]))
            if self.length is not None:
                yield self._of(encoded)
                continue
            for number, one in enumerate(encoded, start=first + start):
                if not one.ids:
                    raise ProbeError(f"{where} {number} has no tokens: leave it out, or give a length (--max-length).")
                yield self._of([one])

    def _of(self, encoded: Sequence[Any]) -> dict[str, Array]:
        ids = np.array([one.ids for one in encoded], np.int64)
        known = {"ids": ids, "positions": np.broadcast_to(np.arange(ids.shape[1]), ids.shape)}
        return {
            name: known[what] if what in known else np.array([getattr(one, what) for one in encoded], np.int64)
            for name, what in self.fed.items()
        }


def _fed(inputs: Mapping[str, TensorType]) -> dict[str, str]:
    """What goes to each input, by its name; to the one of no such name go the ids."""
    fed = {name: next((what for word, what in _FED.items() if word in name.lower()), "ids") for name in inputs}
    ids = [name for name, what in fed.items() if what == "ids"]
    if len(ids) != 1:
        raise ProbeError(
            f"Text gives token ids, a mask, types and positions, and which of them the inputs {quoted(inputs)} take is "
            "not to be seen from their names: give an .npz file."
        )
    return fed


def _length(options: TextOptions, inputs: Mapping[str, TensorType]) -> int | None:
    declared = {t.shape[1] for t in inputs.values() if t.shape is not None and len(t.shape) == 2}
    fixed = {length for length in declared if isinstance(length, int)}
    if any(t.shape is not None and len(t.shape) != 2 for t in inputs.values()) or len(fixed) > 1:
        raise ProbeError("The inputs are not of the shape samples x tokens, so they take no text: give an .npz file.")
    if fixed and options.max_length not in (None, *fixed):
        raise ProbeError(f"The model takes {min(fixed)} tokens: leave the longest text out (--max-length).")
    return next(iter(fixed), options.max_length)


def _tokenizer(path: Path) -> Any:
    needs("tokenizers", "text", "text")
    from tokenizers import Tokenizer

    try:
        size = check_regular(path).stat().st_size
        content = "" if size > LARGEST_TOKENIZER else path.read_text(encoding="utf-8")
        return Tokenizer.from_str(content)
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # the library raises bare ones
        raise ProbeError(f"{path} is no tokenizer.json that can be used: {first_line(error)}") from error


def _padding(tokenizer: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    if known:
        return {name: known[name] for name in ("direction", "pad_id", "pad_type_id", "pad_token")}
    token = next((token for token in _PADDINGS if tokenizer.token_to_id(token) is not None), None)
    if token is None:
        raise ProbeError(f"{where} names no token to pad with: give it one, or an .npz file of ids.")
    return {"pad_id": tokenizer.token_to_id(token), "pad_token": token}


def open_texts(files: Sequence[Path], name: str, opener: Opener) -> Source:
    """Files of text, of which each line that is not empty is a sample.

    Raises:
        ProbeError: the tokenizer cannot be used, or a file is no text.
    """
    if opener.texts is None:
        raise ProbeError(f"{name} is text: name the tokenizer that turns it into ids (--tokenizer tokenizer.json).")
    reader = TextReader.of(opener.texts, opener.inputs)

    def parts() -> Iterator[Part]:
        texts, first = chain.from_iterable(_lines(file, opener) for file in files), 1
        while held := [*islice(texts, MOST_TEXTS)]:
            for arrays in reader.arrays(held, f"{name}: text", first):
                yield opener.sampled.fitter.part(arrays, name)
            first += len(held)

    return Source(name, parts, preprocessing=reader.steps, skipped=opener.skipped)


def _lines(file: Path, opener: Opener) -> Iterator[str]:
    with opener.local(file).open("rb") as stream:
        for number in count(1):
            line = stream.readline(LONGEST + 1)
            if not line:
                return
            if len(line) > LONGEST:
                raise ProbeError(f"{file.name}: line {number} is longer than any text: write a text per line.")
            where = f"{file.name}: line {number}"
            text = opener.skipped.read(f"{file.name}, line {number}", partial(_decoded, line, where), where)
            if text:
                yield text


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ProbeError(f"{where} is not UTF-8 text: save it as UTF-8.") from error
