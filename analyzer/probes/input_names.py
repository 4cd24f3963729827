"""The model's inputs by name: which are missing, which are meant, and which count samples."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from analyzer.errors import ProbeError
from analyzer.graph.view import TensorType

# By tf2onnx, by torch.onnx and by its dynamo exporter: another one for every input.
_MADE_UP = re.compile(r"unk__\d+|.*_dynamic_axes_\d+|[su]\d+")


def check_names(came: Iterable[str], inputs: Mapping[str, TensorType], where: str) -> None:
    """Raise ProbeError that lists the inputs that are missing and the names that the model does not have."""
    names = list(came)
    missing = [n for n in inputs if n not in names]
    unknown = [n for n in names if n not in inputs]
    if not missing and not unknown:
        return
    said = []
    if missing:
        said.append(f"has no data for {quoted(missing)}")
    if unknown:
        said.append(f"holds {', '.join(_with_guess(n, missing) for n in unknown)}, which the model does not have")
    raise ProbeError(f"{where} {' and '.join(said)}: name the arrays after the model's inputs ({quoted(inputs)}).")


def check_constants(constants: Sequence[str], inputs: Mapping[str, TensorType]) -> frozenset[str]:
    """The names as a set; ProbeError when one is not an input."""
    for name in constants:
        if name not in inputs:
            raise ProbeError(
                f"{_with_guess(name, inputs)} is named as constant but is no input: the inputs are {quoted(inputs)}."
            )
    return frozenset(constants)


def quoted(names: Iterable[str]) -> str:
    """'a', 'b', 'c'."""
    return ", ".join(f"'{n}'" for n in names)


def _with_guess(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"'{name}' (did you mean '{near[0]}'?)" if near else f"'{name}'"


def has_sample_axis(name: str, inputs: Mapping[str, TensorType]) -> bool:
    """Whether axis 0 of this input counts samples.

    Always from rank 2 on. A vector input has one when another input has the same first dim (lengths beside
    sequences), or when the dim is named after the batch; else the vector is one sample as a whole.
    """
    shape = inputs[name].shape
    if shape is None or len(shape) != 1:
        return shape is None or len(shape) > 1
    if named_after_batch(shape[0]):
        return True
    return any(t.shape is not None and len(t.shape) > 1 and t.shape[0] == shape[0] for t in inputs.values())


def named_after_batch(dim: int | str | None) -> bool:
    """Whether a declared dim says by its name that it counts samples."""
    return isinstance(dim, str) and (dim.lower().startswith("batch") or dim == "N")


def says_nothing(dim: int | str | None) -> bool:
    """Whether a declared dim has no name, or one that an exporter made up: two such may be the same."""
    return dim is None or (isinstance(dim, str) and _MADE_UP.fullmatch(dim) is not None)
