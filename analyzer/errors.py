"""Every deliberate error of the project.

    DeadunitsError
    ├── InputError            the input or the call is wrong (exit code 2)
    │   ├── ModelError        the model file cannot be used
    │   ├── ProbeError        the probe data cannot be used with this model
    │   ├── RunError          onnxruntime cannot load or run the model
    │   │   └── OtherBranch   a sample takes another branch than the one that is looked at
    │   ├── RunEnded          a run took longer, or more memory, than it may
    │   └── OutputError       an output file cannot be written
    ├── ProofContradicted     an input does what was proven to be impossible (exit code 3)
    ├── Refusal               a rewrite that does not happen, with its reason
    └── ComparisonFailed      the rewritten model differs from the original (exit code 3)

A message says what is wrong and what to do about it, in one or two sentences.
"""

from __future__ import annotations

from enum import Enum


class DeadunitsError(Exception):
    """Base of all deliberate errors."""


class InputError(DeadunitsError):
    """The input or the call was wrong; the message says what to change."""


class ModelError(InputError):
    """The model file cannot be read, is not valid, or is not supported."""


class ProbeError(InputError):
    """The probe data cannot be read or does not fit the model's inputs."""


class RunFailure(Enum):
    """What kind of refusal a `RunError` is."""

    REFUSED = "refused"  # a node or a feed, in a run
    NOT_LOADED = "not loaded"  # the model, before any run
    NO_KERNEL = "no kernel"  # not loaded for an operator that this onnxruntime does not have
    MEMORY = "memory"  # it ran out
    TOO_LARGE = "too large"  # more memory than the session was given room for


class RunError(InputError):
    """onnxruntime refused to load or to run the model; carries its reason in one sentence.

    `node` is the name of the node that onnxruntime names, where it names one.
    """

    def __init__(self, message: str, kind: RunFailure = RunFailure.REFUSED, node: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.node = node


class RunEnded(InputError):
    """A run of the model was ended. No `RunError`: whoever tries another feed after one would wait as long again."""


class OtherBranch(RunError):
    """A feed takes other branches than those that are looked at: `conditions` are not what they were."""

    def __init__(self, conditions: frozenset[str]) -> None:
        super().__init__("A feed takes other branches of the model than the samples before it.")
        self.conditions = conditions


class OutputError(InputError):
    """An output file cannot be written; nothing was left behind."""


class Refusal(DeadunitsError):
    """A rewrite that does not happen: the node and a reason code with its detail."""

    def __init__(self, node: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{node}: {reason}" + (f" ({detail})" if detail else ""))
        self.node = node
        self.reason = reason
        self.detail = detail


class ComparisonFailed(DeadunitsError):
    """The rewritten model does not agree with the original; nothing was written."""


class ProofContradicted(DeadunitsError):
    """An input does what was proven to be impossible: a bug of ours; nothing is handed out."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text as the end of a sentence."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."


def root_of(error: BaseException) -> BaseException:
    """The reason of an error that libraries wrapped in the names of their own steps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
