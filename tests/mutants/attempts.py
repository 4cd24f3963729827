"""One call of the command with damaged files, what came of it, and what must hold of every such call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.facts.wording import LONGEST_SENTENCE

LONGEST, MOST_MEMORY = 60, 3 << 30  # seconds of the processor, which a busy machine does not lengthen; bytes
OUT = "out"  # the folder that outputs go to


@dataclass(frozen=True)
class Attempt:
    """Files by their paths, and the arguments of a call in their folder."""

    files: Mapping[str, bytes]
    arguments: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Put the files into an empty folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / OUT).mkdir()


@dataclass(frozen=True)
class Outcome:
    """`code` None: the process died (`err` says how), or it did not end in time."""

    code: int | None
    out: str = ""
    err: str = ""
    seconds: float = 0
    memory: int = 0
    left: Mapping[str, bytes] = field(default_factory=dict)  # all files of the folder


def faults(attempt: Attempt, outcome: Outcome) -> Iterator[str]:
    """What is wrong with an outcome: 0, 1 or 2, one sentence at most, within time and memory, nothing damaged."""
    written = {name for name in outcome.left if name.startswith(f"{OUT}/")}
    inputs = {name: content for name, content in outcome.left.items() if name not in written}
    sentence = outcome.err.removeprefix("deadunits: ")
    if outcome.code not in (0, 1, 2):
        yield f"ends with {outcome.code}: {outcome.err}"
    if "Traceback" in outcome.err + outcome.out:
        yield f"traceback: {outcome.err}"
    if outcome.code in (0, 1) and outcome.err:
        yield f"speaks though it is done: {outcome.err}"
    if outcome.code == 2:
        if sentence == outcome.err or sentence.count("\n") != 1 or len(sentence.strip()) > LONGEST_SENTENCE:
            yield f"is not one sentence: {outcome.err}"
        if not all(c.isprintable() for c in sentence.strip("\n")):
            yield f"steers the terminal: {sentence!a}"
        if written or outcome.out:
            yield f"writes though it fails: {sorted(written)} {outcome.out}"
    if any(name.endswith(".part") for name in written):
        yield f"leaves drafts: {sorted(written)}"
    if outcome.seconds > LONGEST:
        yield f"takes {outcome.seconds:.0f} s"
    if outcome.memory > MOST_MEMORY:
        yield f"takes {outcome.memory / (1 << 30):.1f} GiB"
    if outcome.code is not None and inputs != dict(attempt.files):
        changed = {*inputs, *attempt.files} - {n for n in inputs if inputs[n] == attempt.files.get(n)}
        yield f"changes its inputs: {sorted(changed)}"
