"""A domain as people state it: a word, a range, a file, or bounds by input."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import InputError
from analyzer.facts.domain import Box, Domain
from analyzer.facts.domain_words import ANY, no_such_domain, pair_in
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.wording import suggestion
from analyzer.graph.view import TensorType
from analyzer.json_files import read_json
from analyzer.probes.input_names import quoted
from analyzer.probes.interval import interval_of, stated_as, typed
from analyzer.probes.numpy_files import read_npz
from analyzer.probes.skipped import Skipped
from analyzer.probes.tables import read_csv
from analyzer.probes.vnnlib import read_vnnlib
from analyzer.regular_files import check_regular

#: What we write of the inputs that a model was pruned for: a domain as a document holds it.
OWN_METADATA = "deadunits.domain"
METADATA = ("onnxsim.precondition.range.", "onnxsim.range.")
_PIXELS = 255
LARGEST_DOCUMENT = 1 << 26  # bytes
MOST_NUMBERS = 4096  # that a domain has in metadata
_EXAMPLE = 'write bounds by input, such as {"x": [0, 1]}'
_SIDES = {"low": ("low", "min", "minimum"), "high": ("high", "max", "maximum")}
Bounds = dict[str, Box]


@dataclass(frozen=True)
class Reader:
    """What a domain is stated for.

    `inputs` have concrete shapes, those of one feed; `fixed` are inputs that are fed unchanged, which a domain need not
    speak of. `images`: how images become inputs (None: as usual). `vocabulary` are, by input, the rows of the tables
    that it looks up; `metadata` is what the model's file says of itself. `observed` gives the range of the probe.
    """

    inputs: Mapping[str, TensorType]
    fixed: Mapping[str, Array] = field(default_factory=dict)
    images: ImageOptions | None = None
    vocabulary: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    observed: Callable[[], Mapping[str, Box]] | None = None

    def domain(self, stated: Any) -> Domain:
        """The domain: a word of `WORDS`, `LOW:HIGH`, a path, a pair of bounds, or these by input (a list: either).

        Raises:
            InputError: it is not understood, does not fit the model, or leaves an input out.
        """
        if isinstance(stated, Domain):
            return stated
        if isinstance(stated, str | Path):
            try:
                return self._named(str(stated))
            except OSError as error:
                raise InputError(f"The domain {stated} cannot be read: {error.strerror or error}.") from error
        what = "bounds by input" if isinstance(stated, Mapping) else "boxes" if isinstance(stated, list) else "a range"
        return Domain(self._boxes(stated, Path()), what)

    def _named(self, text: str) -> Domain:
        if text == "probe-range":
            if self.observed is None:
                raise InputError("The domain probe-range is the range of a probe: give a probe, or another domain.")
            return Domain((self._whole(dict(self.observed())),), "the range of the probe", conditional=True)
        if text == "pixels":
            return Domain((self._filled(self._pixels),), self._pixels_in_words())
        if text == "tokens":
            return Domain((self._filled(self._tokens),), "every row of the model's tables")
        if text == ANY:
            return Domain((self._filled(self._anything),), "every input")
        if text == "model":
            return Domain(self._from_metadata(), "what the model's file says")
        if (pair := pair_in(text)) is not None:
            return Domain(self._boxes(pair, Path()), f"from {pair[0]:g} to {pair[1]:g}")
        path = check_regular(Path(text))
        suffixes = "".join(path.suffixes[-2:]).lower()
        if suffixes.endswith((".vnnlib", ".vnnlib.gz")):
            exact = read_vnnlib(path, {n: t for n, t in self.inputs.items() if n not in self.fixed})
            boxes = ({n: typed(b, self._type(n), n) for n, b in box.items()} for box in exact)
            return Domain(tuple(map(self._whole, boxes)), path.name)
        if path.suffix.lower() in (".json", ".yaml", ".yml"):
            return Domain(self._boxes(_document(path), path.parent), path.name)
        if path.suffix.lower() in (".csv", ".tsv", ".npz"):
            return Domain((self._table(path),), path.name)
        if path.exists():
            raise InputError(f"The domain {path.name} is none of .vnnlib, .json, .yaml, .csv, .tsv, .npz.")
        raise no_such_domain(text)

    # -- words -------------------------------------------------------------------------------------------------------

    def _filled(self, bounds: Callable[[str, TensorType], Box | None]) -> Bounds:
        """The bounds that a word has for each input.

        Raises:
            InputError: it has none for an input that is not fixed.
        """
        found = {name: bounds(name, declared) for name, declared in self.inputs.items() if name not in self.fixed}
        return self._whole({name: box for name, box in found.items() if box is not None})

    def _pixels(self, name: str, declared: TensorType) -> Box | None:
        if len(declared.shape or ()) < 2:
            return None
        images = self.images or ImageOptions()
        scale = images.scale if images.scale is not None else 1 / _PIXELS if self._floats(name) else 1
        stated: dict[str, Any] = {"low": 0, "high": _PIXELS, "scale": scale}
        stated |= {key: list(value) for key, value in (("mean", images.mean), ("std", images.std)) if value}
        return interval_of(stated, declared, name)

    def _pixels_in_words(self) -> str:
        return "pixels from 0 to 255, prepared as the probe's images are" if self.images else "pixels from 0 to 255"

    def _tokens(self, name: str, declared: TensorType) -> Box | None:
        rows = self.vocabulary.get(name)
        return None if rows is None else interval_of({"tokens": rows}, declared, name)

    def _anything(self, name: str, declared: TensorType) -> Box | None:
        """Every number of the input's type; rows of tables, which others than those cannot be looked up in."""
        dtype = declared.dtype if declared.dtype is not None else np.dtype(np.float32)
        if (rows := self._tokens(name, declared)) is not None or dtype.kind == "b":
            return rows or interval_of((0, 1), declared, name)
        if dtype.kind not in "fiu" and dtype.name != "bfloat16":
            return None
        limits: Any = np.iinfo(dtype.name) if dtype.kind in "iu" else ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
        shape = tuple(int(d or 0) for d in declared.shape or ())
        return Box(np.full(shape, limits.min, dtype), np.full(shape, limits.max, dtype))

    def _from_metadata(self) -> tuple[Bounds, ...]:
        if own := self.metadata.get(OWN_METADATA):
            stated = _json(own, "the domain that it was pruned for")
            return tuple(map(dict, self._named(ANY).boxes)) if stated == ANY else self._boxes(stated, Path())
        found: Bounds = {}
        for name, declared in self.inputs.items():
            text = next((self.metadata[key + name] for key in METADATA if key + name in self.metadata), None)
            if text is not None:
                found[name] = interval_of(_renamed(_json(text, f"the range of '{name}'")), declared, name)
        if not found:
            raise InputError(f"The model's file says no range of its inputs ({METADATA[0]}NAME): state a domain.")
        return (self._whole(found),)

    # -- bounds by input ---------------------------------------------------------------------------------------------

    def _boxes(self, stated: Any, folder: Path) -> tuple[Bounds, ...]:
        if isinstance(stated, list) and stated and all(isinstance(part, Mapping) for part in stated):
            return tuple(self._box(part, folder) for part in stated)
        return (self._box(stated, folder),)

    def _box(self, stated: Any, folder: Path) -> Bounds:
        if not isinstance(stated, Mapping) or not stated.keys() & self.inputs.keys():
            if isinstance(stated, Mapping) and not {*stated} & {*_SIDES, "pixels", "tokens", "center", "value"}:
                raise InputError(f"The domain speaks of {quoted(stated)}, and the model's inputs are "
                                 f"{quoted(self.inputs)}.")  # fmt: skip
            return self._filled(lambda name, declared: interval_of(stated, declared, name, folder))
        for name in stated:
            if name not in self.inputs:
                raise InputError(f"The domain speaks of '{name}', which is no input{suggestion(name, self.inputs)}")
        return self._whole({n: interval_of(part, self._type(n), n, folder) for n, part in stated.items()})

    def _table(self, path: Path) -> Bounds:
        if path.suffix.lower() != ".npz":
            sides = _sides(read_csv(path, Skipped()), path.name)
            (name,) = self._only(path.name)
            return self._whole({name: interval_of(sides, self._type(name), name)})
        arrays = read_npz(path)
        found: Bounds = {}
        for name in self.inputs:
            own = {key.removeprefix(f"{name}."): a for key, a in arrays.items() if key.startswith(f"{name}.")}
            if own:
                found[name] = interval_of(_sides(own, path.name), self._type(name), name)
        if not found:
            (name,) = self._only(path.name)
            found = {name: interval_of(_sides(arrays, path.name), self._type(name), name)}
        return self._whole(found)

    def _only(self, where: str) -> tuple[str]:
        names = [name for name in self.inputs if name not in self.fixed]
        if len(names) != 1:
            raise InputError(f"{where} is a table for one input, and the model has {quoted(names)}: give .npz with "
                             f"arrays '{names[0] if names else 'x'}.low', '….high' for each.")  # fmt: skip
        return (names[0],)

    def _whole(self, found: Bounds) -> Bounds:
        """With the inputs that are fed unchanged, in the model's order.

        Raises:
            InputError: an input is missing.
        """
        held = {name: Box(array, array) for name, array in self.fixed.items() if name not in found}
        missing = [name for name in self.inputs if name not in found and name not in held]
        if missing:
            raise InputError(f"The domain says nothing of {quoted(missing)}: state bounds for every input.")
        return {name: (found | held)[name] for name in self.inputs}

    def _type(self, name: str) -> TensorType:
        return self.inputs[name]

    def _floats(self, name: str) -> bool:
        dtype = self.inputs[name].dtype
        return dtype is None or dtype.kind not in "iub"


def in_metadata(domain: Domain) -> str:
    """The domain as JSON that `--domain model` reads again; empty where that would be very long."""
    if not domain.bounded:
        return json.dumps(ANY)
    boxes = [{name: stated_as(bounds) for name, bounds in box.items()} for box in domain.boxes]
    numbers = sum(np.size(end) for box in boxes for sides in box.values() for end in sides.values())
    return json.dumps(boxes if len(boxes) > 1 else boxes[0]) if numbers <= MOST_NUMBERS else ""


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"What the model's file says of {what} is no JSON.") from error


def _document(path: Path) -> Any:
    if path.suffix.lower() == ".json":
        return read_json(path, "domain", _EXAMPLE, most=LARGEST_DOCUMENT)
    if path.stat().st_size > LARGEST_DOCUMENT:
        raise InputError(f"{path} is larger than any domain: {_EXAMPLE}.")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        import yaml
    except ImportError as error:
        raise InputError("A domain in YAML needs PyYAML (pip install pyyaml); JSON needs nothing.") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"The domain {path.name} is no YAML: {str(error).partition(chr(10))[0]}.") from error


def _renamed(stated: Any) -> Any:
    """With our names for minimum and maximum."""
    if not isinstance(stated, Mapping):
        return stated
    names = {other: own for own, others in _SIDES.items() for other in others}
    return {names.get(key, key): value for key, value in stated.items()}


def _sides(columns: Mapping[str, Array], where: str) -> dict[str, Array]:
    """The columns of minima and maxima, by whatever they are called."""
    found = {}
    for side, names in _SIDES.items():
        known = [name for name in columns if name.strip().lower() in names]
        if len(known) != 1:
            raise InputError(f"{where} needs one column 'low' and one 'high', an entry per feature; it has "
                             f"{quoted(columns)}.")  # fmt: skip
        found[side] = np.asarray(columns[known[0]])
    return found
