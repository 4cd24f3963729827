"""Read an ONNX file and bring it into one form: functions inlined, Constants lifted, nodes in order, names unique,
lengths that the file fixes stored as numbers, lists of tensors spelled out, channels in blocks put in order.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx_ir.passes.common import LiftConstantsToInitializersPass, TopologicalSortPass

from analyzer.errors import ModelError, first_line, root_of
from analyzer.facts.addresses import as_path, is_address, without_secrets
from analyzer.graph.external_files import DataFile, place_data
from analyzer.graph.fixed_lengths import store_fixed_lengths
from analyzer.graph.handed_over import HANDED_OVER, LARGEST_PROTO, as_bytes
from analyzer.graph.inlining import inlined
from analyzer.graph.map_outputs import UNDESCRIBED, set_aside
from analyzer.graph.nested import all_graphs
from analyzer.graph.other_formats import other_format
from analyzer.graph.serialize import serialize
from analyzer.graph.sparse import make_dense
from analyzer.graph.stored import Content, ModelFile, StoredTensor, UnusualFile, skeleton
from analyzer.graph.subgraphs import unite_subgraphs
from analyzer.graph.unnamed_outputs import UNNAMED, name_first_outputs
from analyzer.graph.validate import (
    check_external,
    check_names,
    check_nodes,
    check_tensors,
    check_text,
    check_types,
)
from analyzer.graph.view import LIFTED, MEASURED, READ_BACK, SPELLED_OUT, Fold, Graph, view_of
from analyzer.regular_files import check_regular

# What onnx-ir logs about a damaged graph would otherwise stand beside the error that says the same.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())

OLDEST_OPSET = 7


@dataclass(eq=False)
class LoadedModel:
    """A model in normal form, with where it came from.

    `model` is the onnx-ir model that passes edit and sessions are made from; `beside` are the files of its external
    data by the names that its tensors have for them. The large weights of a file stay there and are mapped into
    memory; its bytes are read again when they are asked for.
    """

    model: ir.Model
    path: Path | None
    beside: Mapping[str, DataFile]
    _fold: Fold
    _digest: str  # sha256 of the file's bytes
    _length: int
    _bytes: bytes | None = None  # None: to be read from `path`
    _file: ModelFile | None = None  # that weights are views of
    _edited: bool = False  # a copy that was made to be edited
    _fixed: bool = True  # lengths that the file fixes are stored, lists that it decides are spelled out
    assumed: Mapping[str, bool] = field(default_factory=dict)  # conditions, where branches were taken for good
    closed: LoadedModel | None = None  # the model before that
    shut: frozenset[str] = frozenset()  # loops that not all samples enter, by their first output
    steps: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # values carried out of loops, and which these are

    def __reduce__(self) -> tuple[Callable[..., LoadedModel], tuple[object, ...], dict[str, object]]:
        """For another process: a file travels as its path and is mapped again there, what came from memory as bytes."""
        path = None if self.path is None else self.path.absolute()
        said: dict[str, object] = {name: getattr(self, name) for name in ("assumed", "closed", "shut", "steps")}
        if self._edited:
            return _edited, (serialize(self), path, self._fold, self._digest_beside().digest(), self._fixed), said
        if path is None:
            return _from_bytes, (self.raw, None, self._fold, self._fixed), said
        return _received, (path, self.sha256, self._fold, self._fixed), said

    @property
    def raw(self) -> bytes:
        """The bytes of the file as it was loaded.

        Raises:
            ModelError: the file is gone or has changed since.
        """
        if self._bytes is not None:
            return self._bytes
        raw = _read(self.path or Path())
        if hashlib.sha256(raw).hexdigest() != self._digest:
            raise self._changed()
        return raw

    @property
    def content(self) -> Content:
        """The same, mapped into memory where it lies in a file.

        Raises:
            ModelError: the file is gone or has changed since.
        """
        if self._file is None:
            return self.raw
        self.release()
        return self._file.mapping

    @cached_property
    def graph(self) -> Graph:
        """The read-only view that analysis works on."""
        return view_of(self.model, self._fold)

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, then of each external data file in order of name."""
        return self._digest_beside(self.raw).hexdigest() if self.beside else self._digest

    def _digest_beside(self, start: bytes = b"") -> hashlib._Hash:
        digest = hashlib.sha256(start)
        for _, file in sorted(self.beside.items()):
            with file.path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest

    @property
    def producer(self) -> str:
        """Exporter and its version, as the file states them."""
        said = (
            word for part in (self.model.producer_name, self.model.producer_version) for word in (part or "").split()
        )
        return " ".join(word for word in said if word != "None")  # tf2onnx writes what it does not know as None

    @property
    def size(self) -> int:
        """Bytes of the file and of its external data."""
        return self._length + sum(file.stamp[0] for file in self.beside.values())

    @property
    def read_back(self) -> bool:
        """Whether channels that lie in blocks in the file were put in order."""
        return READ_BACK in self.model.meta

    def unfixed(self) -> LoadedModel:
        """The model of the file again, with its lists, in which lengths are measured wherever the file measures them.

        Raises:
            ModelError: the file is gone or has changed since it was loaded.
        """
        if not {MEASURED, SPELLED_OUT} & self.model.meta.keys():
            return self
        if self.path is None or self._bytes is not None:
            return _from_bytes(self.raw, self.path, self._fold, fixed=False)
        return _received(self.path, self.sha256, self._fold, fixed=False)

    def refreshed(self) -> LoadedModel:
        """The same model with a view of its present state (after edits)."""
        return replace(self)

    def copy(self, part: ir.GraphView | None = None) -> LoadedModel:
        """A second, independent model to edit, which shares the weights; `part`: of this part of the graph alone.

        Raises:
            ModelError: the graph is not valid: something reads a value that nothing computes.
        """
        try:
            model = self.model.clone() if part is None else ir.Model(part.clone(), ir_version=self.model.ir_version)
        except Exception as error:  # onnx-ir raises many kinds on a damaged graph
            raise ModelError(f"{self.path or 'The model'} is not a valid ONNX graph: {_sentence(error)}") from error
        model.meta.update(self.model.meta)
        return replace(self, model=model, _edited=True)

    def release(self) -> None:
        """Give back the memory of weights that were read from the file; they are read again when they are needed.

        Raises:
            ModelError: the file is gone or has changed since it was loaded.
        """
        if self._file is not None:
            if not self._file.unchanged:
                raise self._changed()
            self._file.release()

    def _changed(self) -> ModelError:
        return ModelError(f"{self.path} has changed since it was loaded: start again.")


def read_model(source: object, fold: Fold) -> LoadedModel:
    """Load a path, an address, the bytes of a file, a ModelProto, an onnx-ir model, or an ONNXProgram.

    `fold` computes what its stored tensors alone decide.

    Lengths that the file seems to fix are stored; a run has to confirm them (`LoadedModel.unfixed` has none).

    Raises:
        ModelError: the file is missing, is not ONNX, is truncated, is too old, or its external data is unusable.
    """
    if (content := as_bytes(source)) is not None:
        try:
            return _from_bytes(content, None, fold)
        except ModelError as error:
            if not is_address(source):
                raise
            raise ModelError(f"{without_secrets(str(source))}: {error}") from error
    if not isinstance(source, str | Path):
        raise ModelError(f"The model is of type {type(source).__name__}: give a path, or {HANDED_OVER}.")
    path = as_path(source)
    try:
        return _from_path(path, fold)
    except OSError as error:
        raise _unreadable(path, error) from error


def _from_path(path: Path, fold: Fold, *, fixed: bool = True) -> LoadedModel:
    if not check_regular(path).exists():
        if re.match(r"[a-z][a-z0-9+]+:/", str(path)):
            raise ModelError(f"{path} is an address, and no path: give it as text.")
        raise ModelError(f"No model file at {path}: check the path.")
    if path.is_dir():
        inside = sorted((entry.name for entry in path.glob("*.onnx")), key=lambda name: (name != "model.onnx", name))
        named = f", such as {path / inside[0]}" if inside else " (it holds none)"
        raise ModelError(f"{path} is a folder: name the .onnx file inside it{named}.")
    size = path.stat().st_size
    if size == 0:
        raise ModelError(f"{path} is empty: export the model again.")
    if size > LARGEST_PROTO:
        raise ModelError(
            f"{path} has {size} bytes, more than an ONNX file can hold (2 GiB): save it with external data."
        )
    try:
        return _from_file(ModelFile(path), path, fold, fixed=fixed)
    except UnusualFile:
        return _from_bytes(_read(path), path, fold, fixed, keep=False)


def _received(path: Path, sha256: str, fold: Fold, fixed: bool) -> LoadedModel:
    try:
        loaded = _from_path(path, fold, fixed=fixed)
    except OSError as error:
        raise _unreadable(path, error) from error
    if loaded.sha256 != sha256:
        raise loaded._changed()
    return loaded


def _edited(raw: bytes, path: Path | None, fold: Fold, beside: bytes, fixed: bool) -> LoadedModel:
    loaded = replace(_from_bytes(raw, path, fold, fixed), _edited=True)
    if loaded._digest_beside().digest() != beside:
        raise loaded._changed()
    return loaded


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path} cannot be read: {error.strerror or error}.")


def _from_file(file: ModelFile, path: Path, fold: Fold, *, fixed: bool) -> LoadedModel:
    """The model of a file whose large tensors stay there."""
    content, places = skeleton(file.mapping)
    model, beside = _model_of(content, path, places.keys())
    for name, place in places.items():
        value = model.graph.initializers.get(name)
        if value is None or value.const_value is None:
            raise UnusualFile
        value.const_value = StoredTensor(file, place, value.const_value)
    if fixed:
        store_fixed_lengths(model, fold)
    file.release()
    return LoadedModel(model, path, beside, fold, file.sha256, len(file.mapping), None, file, _fixed=fixed)


def _from_bytes(raw: bytes, path: Path | None, fold: Fold, fixed: bool = True, *, keep: bool = True) -> LoadedModel:
    model, beside = _model_of(raw, path)
    if fixed:
        store_fixed_lengths(model, fold)
    content = raw if keep else None
    return LoadedModel(model, path, beside, fold, hashlib.sha256(raw).hexdigest(), len(raw), content, _fixed=fixed)


def _model_of(
    raw: bytes, path: Path | None, elsewhere: Collection[str] = frozenset()
) -> tuple[ir.Model, dict[str, DataFile]]:
    """Parse, check and bring into normal form; returns the files of its external data, too.

    Tensors named in `elsewhere` have their bytes in another place.
    """
    where = str(path) if path is not None else "The model"
    proto = _parse(raw, where)
    check_text(proto, where)
    make_dense(proto, where)
    beside = check_external(proto, where, path)
    check_tensors(proto, where, elsewhere)
    check_nodes(proto, where)
    check_types(proto.graph, where)
    try:
        proto = inlined(proto, where)
        check_names(proto.graph, where)
        undescribed, unnamed = set_aside(proto), name_first_outputs(proto)
        model = ir.from_proto(proto)
        TopologicalSortPass()(model)
        stored = set(model.graph.initializers)
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        if beside:
            place_data(model.graph, beside)
        unite_subgraphs(model)
        model.meta[LIFTED] = frozenset(model.graph.initializers) - stored
        model.meta[UNDESCRIBED], model.meta[UNNAMED] = undescribed, unnamed
    except ModelError:
        raise
    except Exception as error:  # onnx-ir raises many kinds on a damaged graph
        raise ModelError(f"{where} is not a valid ONNX graph: {_sentence(error)}") from error
    if not model.graph.name:
        model.graph.name = "graph"
    return model, beside


def _parse(raw: bytes, where: str) -> onnx.ModelProto:
    try:
        proto = onnx.ModelProto.FromString(raw)
    except (DecodeError, ValueError) as error:
        if _TOO_DEEP in str(error):
            raise ModelError(f"{where} cannot be read: {_sentence(error)}") from error
        truncated = f"{where} is not an ONNX file, or it is truncated: export the model again."
        raise ModelError(other_format(Path(where)) or truncated) from error
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise ModelError(other_format(Path(where)) or f"{where} holds no ONNX graph: export the model again.")
    if not proto.graph.output:
        raise ModelError(f"{where} has no outputs, so it computes nothing: export the model again.")
    _name_standard_domain_alike(proto)
    versions = {opset.domain: opset.version for opset in proto.opset_import}
    if versions.get("", OLDEST_OPSET) < OLDEST_OPSET:
        raise ModelError(
            f"{where} uses opset {versions['']}, older than {OLDEST_OPSET}: convert it with "
            "onnx.version_converter, or export it again."
        )
    if "" not in versions and any(not node.domain for g in all_graphs(proto) for node in g.node):
        raise ModelError(f"{where} does not say which opset its operators are of: export the model again.")
    return proto


def _name_standard_domain_alike(proto: onnx.ModelProto) -> None:
    """Give the domain that has two names, `ai.onnx` and none, the shorter one, in functions and subgraphs too."""
    named: list[onnx.NodeProto | onnx.OperatorSetIdProto | onnx.FunctionProto] = [*proto.opset_import, *proto.functions]
    named += (opset for function in proto.functions for opset in function.opset_import)
    named += (node for graph in all_graphs(proto) for node in graph.node)
    for holder in named:
        if holder.domain == "ai.onnx":
            holder.domain = ""


_TOO_DEEP = "MaxDepth"  # in what protobuf says of messages in messages in messages


def _sentence(error: BaseException) -> str:
    if _TOO_DEEP in str(error):
        return "its subgraphs are nested deeper than protobuf follows."
    return first_line(root_of(error))
