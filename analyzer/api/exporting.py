"""Nets of training frameworks as ONNX files: modules of PyTorch and models of Keras, exported as they are.

Neither framework is loaded here: a net shows that it is there.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from analyzer.api.options import Data
from analyzer.errors import InputError, ModelError, first_line, root_of
from analyzer.graph import TensorType
from analyzer.graph.handed_over import LARGEST_PROTO
from analyzer.probes.names_in_data import names_in
from analyzer.probes.probe import Probe, open_probe
from analyzer.runtime.session import Session

LOOKED_AT = 16  # samples that show which lengths are free, and whether the file computes what the module does
_TOLERANCE = 1e-3  # of the largest output
_OURSELVES = "export it yourself with torch.onnx.export, and give the file"
_Feeds = dict[str, Any]
_Axes = Mapping[str, Mapping[int, str]]


def as_file(model: Any, data: Data) -> tuple[Any, Data]:
    """A module of PyTorch or a model of Keras as the bytes of an ONNX file; anything else as it is.

    A module is called with the first samples of the probe; data that can be read only once is given back whole.

    Raises:
        ModelError: it cannot be exported, or what the file computes is something else.
        ProbeError: the probe holds nothing that the module can be called with.
    """
    if _is_a(model, "keras", "Model"):
        try:
            return exported_keras(model), data
        except Exception as error:  # exporters raise what they like
            advice = "Call it on a sample first, as training does: model(x[:1])."
            raise ModelError(f"The Keras model cannot be exported: {_reason(error)} {advice}") from error
    if not _is_a(model, "torch.nn", "Module"):
        return model, data
    model = getattr(model, "_orig_mod", model)  # of what torch.compile made
    if data.probe is None:
        raise ModelError(f"A PyTorch module is exported with samples of its input: give a probe, or {_OURSELVES}.")
    if sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())) > LARGEST_PROTO:
        raise ModelError(f"The module is larger than one file can hold (2 GiB): {_OURSELVES}.")
    try:
        return _with_samples(model, data)
    except InputError:
        raise
    except Exception as error:  # exporters raise what they like
        raise ModelError(f"The module cannot be exported: {_reason(error)} Else {_OURSELVES}.") from error


def exported(
    module: Any, example: Any, free: _Axes | None = None, check: Callable[[bytes], object] | None = None
) -> bytes:
    """A module of PyTorch in evaluation mode, as an ONNX file with a free batch, without a trace left in the module.

    `example` is what the module is called with: a tensor, a tuple of positional or a dict of named arguments. Inputs of
    the file are called as the arguments of `forward`. `free` names their axes whose lengths are free (None: the first
    of each). What `check` refuses of one exporter is taken from the other.
    """
    import torch

    named = _named(module, example)
    axes = {name: {0: "batch"} for name in named} if free is None else free
    with _evaluating(module), _silent():
        try:
            return _by(torch.onnx.export, module, named, axes, check, dynamo=False)
        except Exception as first:  # noqa: BLE001  what one exporter refuses the other may take
            try:
                return _by(torch.onnx.export, module, named, axes, check, dynamo=True)
            except Exception as second:  # noqa: BLE001  whichever of the two reasons is one of ours
                ours = (error for error in (first, second) if isinstance(error, InputError))
                raise next(ours, root_of(second)) from None


def exported_keras(model: Any) -> bytes:
    """A model of Keras 3, on any of its backends that exports ONNX."""
    with tempfile.TemporaryDirectory() as folder, _silent():
        path = Path(folder) / "model.onnx"
        model.export(path, format="onnx", verbose=False)
        return path.read_bytes()


def _reason(error: BaseException) -> str:
    """What an exporter says, some of which write pages."""
    return f"{shorten(first_line(error), 200, placeholder=' …').rstrip('.')}."


def _is_a(model: object, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(model, kind)


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """The module in evaluation mode, each of its layers as it was afterwards."""
    import torch

    training = [(layer, layer.training) for layer in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for layer, mode in training:
            layer.training = mode


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """While exporters talk about themselves, in prints, warnings and logs."""
    before = logging.root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        logging.disable(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(before)


def _by(
    export: Any, module: Any, named: _Feeds, axes: _Axes, check: Callable[[bytes], object] | None, *, dynamo: bool
) -> bytes:
    stream = io.BytesIO()
    free = {"dynamic_shapes": axes} if dynamo else {"dynamic_axes": axes}
    export(module, (), stream, kwargs=dict(named), input_names=[*named], dynamo=dynamo, verbose=False, **free)
    content = stream.getvalue()
    if check is not None:
        check(content)
    return content


def _named(module: Any, example: Any) -> _Feeds:
    """Arguments by the names that `forward` has for them, which the inputs of the exported model have as well."""
    if isinstance(example, dict):
        return dict(example)
    positional = example if isinstance(example, tuple | list) else (example,)
    return dict(zip(inspect.signature(module.forward).parameters, positional, strict=False))


def _with_samples(module: Any, data: Data) -> tuple[bytes, Data]:
    """The file, and the data: what of it can be read only once has lost nothing."""
    source = data.probe
    if isinstance(source, Iterator):
        source = list(islice(source, LOOKED_AT))
        data = replace(data, probe=chain(source, data.probe))
    if _is_a(source, "torch.utils.data", "Dataset"):
        return _exported_with(module, data, _collated(source)), data
    try:
        return _exported_with(module, data, source), data
    except _NotCallable:
        if not isinstance(source, list | tuple):
            raise
        with contextlib.suppress(TypeError, RuntimeError, _NotCallable):
            return _exported_with(module, data, _collated(source)), data
        raise


class _NotCallable(ModelError):
    """The module cannot be called with a sample as it is."""


def _collated(items: Any) -> list[Any]:
    """Single samples, as datasets hold them, as a batch."""
    from torch.utils.data import IterableDataset, default_collate

    by_index = hasattr(items, "__getitem__") and not isinstance(items, IterableDataset)
    each = (items[i] for i in range(len(items))) if by_index else iter(items)
    return [default_collate([*islice(each, LOOKED_AT)])]


def _exported_with(module: Any, data: Data, source: Any) -> bytes:
    inputs = _inputs(module, source)
    images = data.images and replace(data.images, layout=data.images.layout or "NCHW")
    probe = open_probe(
        source,
        inputs,
        limit=LOOKED_AT,
        constants=data.constants,
        images=images,
        audio=data.audio,
        texts=data.text,
        max_bad=data.max_bad,
    )
    feeds = [batch.feeds for batch in probe.first(LOOKED_AT)]
    with _evaluating(module):
        samples = _callable(module, [_tensors(module, feed) for feed in feeds])
        outputs = [_numbers(module(**sample)) for sample in samples]

    def check(content: bytes) -> None:
        with Session(content, few_runs=True) as session:
            for number, (sample, expected) in enumerate(zip(samples, outputs, strict=True), start=1):
                came = session.run({name: tensor.cpu().numpy() for name, tensor in sample.items()})
                _compare([*came.values()], expected, number)

    return exported(module, _pair(samples, probe), _free(feeds, probe), check)


def _inputs(module: Any, source: Any) -> dict[str, TensorType]:
    """What `forward` takes of the data: what it must be given, and what the data has a name for."""
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    arguments = [a for a in inspect.signature(module.forward).parameters.values() if a.kind in kinds]
    known = set(names_in(source))
    names = [a.name for a in arguments if a.default is a.empty or a.name in known]
    names = names or [a.name for a in arguments[:1]]
    if not names:
        raise ModelError(f"The module's forward names no argument, so that data cannot be told apart: {_OURSELVES}.")
    return {name: TensorType(None, None) for name in names}


def _tensors(module: Any, feed: Mapping[str, Any]) -> _Feeds:
    """Arrays as tensors, on the device and in the precision of the module's parameters."""
    import torch

    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    tensors = {name: torch.tensor(np.asarray(array), device=weight.device) for name, array in feed.items()}
    return {n: t.to(weight.dtype) if t.is_floating_point() else t for n, t in tensors.items()}


def _callable(module: Any, samples: list[_Feeds]) -> list[_Feeds]:
    """Samples that the module can be called with: whole numbers as they are, or as pixels that become fractions."""
    import torch

    try:
        module(**samples[0])
    except Exception as error:  # noqa: BLE001  forward may raise anything
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
        floats = [{name: tensor.to(dtype) for name, tensor in sample.items()} for sample in samples]
        try:
            module(**floats[0])
        except Exception:  # noqa: BLE001  what is wrong with the data as it is, is what helps
            shapes = ", ".join(f"{n} {'x'.join(map(str, t.shape))}" for n, t in samples[0].items())
            raise _NotCallable(
                f"The module cannot be called with a sample of the probe ({shapes}): {first_line(error)} Samples lie "
                "along the first axis."
            ) from error
        return floats
    return samples


def _pair(samples: Sequence[_Feeds], probe: Probe) -> _Feeds:
    """Two samples as one feed: exporters take an axis of length 1 for fixed."""
    import torch

    first, second = samples[0], samples[1 % len(samples)]
    if any(first[name].shape != second[name].shape for name in first):
        second = first
    return {n: t if n in probe.fixed else torch.cat([t, second[n]]) for n, t in first.items()}


def _free(feeds: Sequence[Mapping[str, Any]], probe: Probe) -> _Axes:
    """The first axis of what varies with the samples, and each on which these differ."""
    free: dict[str, dict[int, str]] = {}
    for name, first in feeds[0].items():
        axes = [a for a in range(1, first.ndim) if len({feed[name].shape[a] for feed in feeds}) > 1]
        free[name] = {} if name in probe.fixed else {0: "batch", **{a: f"{name}_{a}" for a in axes}}
    return free


def _numbers(output: Any) -> list[Any]:
    """All tensors of what a module returns, in order."""
    if hasattr(output, "detach"):
        tensor = output.detach().cpu()
        return [(tensor.double() if tensor.is_floating_point() else tensor).numpy()]
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return [array for part in parts for array in _numbers(part)]


def _compare(came: Sequence[Any], expected: Sequence[Any], number: int) -> None:
    """Refuse a file that computes something else: a trace holds for the samples that it was taken with."""
    for got, wanted in zip(came, expected, strict=False):
        scale = float(np.nan_to_num(np.abs(wanted.astype(np.float64))).max(initial=0.0))
        if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=0, atol=_TOLERANCE * scale, equal_nan=True):
            raise ModelError(
                f"The exported file computes something else than the module on sample {number} of the probe: its "
                f"forward may take other paths for other samples; {_OURSELVES}."
            )
