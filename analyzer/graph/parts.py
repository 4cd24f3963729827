"""A model as parts that are run one after the other, so that only one part's weights are in memory at a time.

It is taken apart where few values are alive: between the blocks of a deep network that is one, the stream. What stored
tensors alone decide, and what the model is fed, is no such value: each part has what it reads of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import onnx

from analyzer.graph.nested import subgraphs, within
from analyzer.graph.runnable import Runnable, size_of
from analyzer.graph.static import draws

FAR = 8  # nodes: one that comes so much later than what it reads is moved there, if that keeps no more values alive
_KNOWN_DOMAINS = ("", "com.microsoft")

Kind = tuple[int, Sequence[int | str | None]]  # element type and lengths; none of these where the rank is not known


@dataclass(frozen=True)
class Part:
    """Nodes that are run together, with the values that come in from other parts and those that they give out."""

    nodes: tuple[onnx.NodeProto, ...]
    stored: frozenset[str]
    given: tuple[str, ...]  # of the model's inputs
    read: tuple[str, ...]
    made: tuple[str, ...]


class Parts:
    """A model in parts; `sequence` is empty where it cannot be taken apart, or is fed text, which parts cannot be.

    `most` are the bytes of weights that a part may have, as they are computed with, unless a single node has more.
    """

    def __init__(self, whole: Runnable, most: int) -> None:
        self._whole, self._proto = whole, onnx.ModelProto.FromString(whole.content)
        graph = self._proto.graph
        self._sizes = {tensor.name: size_of(tensor) for tensor in graph.initializer}
        self.outputs = tuple(value.name for value in graph.output)
        self._inputs = {value.name: value for value in graph.input}
        self.sequence: tuple[Part, ...] = ()
        texts = any(value.type.tensor_type.elem_type == onnx.TensorProto.STRING for value in graph.input)
        if sum(self._sizes.values()) > most and not graph.sparse_initializer and not texts:
            self.sequence = tuple(self._taken_apart(most))

    @property
    def joints(self) -> tuple[str, ...]:
        """Values that go from one part to another."""
        return tuple(dict.fromkeys(name for part in self.sequence for name in part.read))

    def shell(self) -> Runnable:
        """The whole model with its large weights as inputs, and what goes between parts among its outputs: no numbers.

        Nothing of it can be run; it shows the types of values.
        """
        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        graph, listed = proto.graph, self._inputs.keys()
        outside = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
        inside = [tensor for tensor in graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL]
        declared = [
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, [*tensor.dims])
            for tensor in outside
            if tensor.name not in listed
        ]
        del graph.initializer[:]
        graph.initializer.extend(inside)
        graph.input.extend(declared)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.joints if name not in self.outputs)
        return replace(self._whole, content=proto.SerializeToString(), folder=None, lent={})

    def runnable(self, part: Part, kinds: Mapping[str, Kind]) -> Runnable:
        """A part as a model of its own; `kinds` are the types of what goes between parts."""
        graph = self._proto.graph
        described = {value.name: value for value in (*graph.value_info, *graph.output)}
        inputs = [self._inputs[name] for name in part.given]
        inputs += [
            onnx.helper.make_tensor_value_info(name, kinds[name][0], [*kinds[name][1]] or None) for name in part.read
        ]
        inputs += [self._inputs[name] for name in sorted(part.stored & self._inputs.keys())]
        model = onnx.ModelProto(ir_version=self._proto.ir_version, functions=self._proto.functions)
        model.opset_import.extend(self._proto.opset_import)
        model.graph.name = graph.name
        model.graph.node.extend(part.nodes)
        model.graph.initializer.extend(t for t in graph.initializer if t.name in part.stored)
        model.graph.input.extend(inputs)
        model.graph.output.extend(described.get(name) or onnx.ValueInfoProto(name=name) for name in part.made)
        made = {name for node in part.nodes for name in node.output} - {*part.made}
        model.graph.value_info.extend(value for value in graph.value_info if value.name in made)
        lent = {name: tensor for name, tensor in self._whole.lent.items() if name in part.stored}
        weights = sum(self._sizes[name] for name in part.stored)
        return replace(self._whole, content=model.SerializeToString(), lent=lent, weights=weights)

    def _taken_apart(self, most: int) -> Iterator[Part]:
        nodes, reads = self._ordered()
        static, moving = self._static(nodes, reads)
        stored_by = [self._stored_for(reads[node], static) for node in moving]
        made_at = {name: at for at, node in enumerate(moving) for name in nodes[node].output if name}
        last_use = {name: at for at, node in enumerate(moving) for name in reads[node] if name in made_at}
        changes = [0] * (len(moving) + 1)
        for name, last in last_use.items():
            changes[made_at[name] + 1] += 1
            changes[last + 1] -= 1
        alive, count = [], 0
        for change in changes:
            count += change
            alive.append(count)
        begin = 0
        while begin < len(moving):
            end = self._end(begin, stored_by, alive, most)
            inside = [nodes[node] for node in moving[begin:end]]
            outputs = {name for name in self.outputs if end == len(moving) and made_at.get(name, begin) >= begin}
            wanted = {name for node in moving[begin:end] for name in reads[node]} | outputs
            before = self._behind(wanted, static)
            names = {name for node in before for name in reads[node]} | wanted
            made = [name for node in inside for name in node.output if name]
            yield Part(
                nodes=(*(nodes[node] for node in sorted(before)), *inside),
                stored=frozenset(names & self._sizes.keys()),
                given=tuple(name for name in self._inputs if name in names and name not in self._sizes),
                read=tuple(sorted(name for name in names if made_at.get(name, begin) < begin)),
                made=tuple(name for name in dict.fromkeys((*made, *sorted(outputs)))
                           if name in self.outputs or last_use.get(name, -1) >= end),
            )  # fmt: skip
            begin = end

    def _end(self, begin: int, stored_by: Sequence[Set[str]], alive: Sequence[int], most: int) -> int:
        """Where a part ends that begins there: where few values are alive, at more than half of what it may have."""
        held, size, best, best_size = set[str](), 0, begin, 0
        for at in range(begin, len(stored_by)):
            size += sum(self._sizes[name] for name in stored_by[at] - held)
            held |= stored_by[at]
            if size > most and at > begin:
                return best
            if at == begin or 2 * best_size <= most or alive[at + 1] <= alive[best]:
                best, best_size = at + 1, size
        return len(stored_by)

    def _ordered(self) -> tuple[list[onnx.NodeProto], list[frozenset[str]]]:
        """Nodes in topological order, and what each reads, in its subgraphs too; late ones behind what they read."""
        nodes = [*self._proto.graph.node]
        reads = [frozenset(_reads(node)) for node in nodes]
        made_by = {name: index for index, node in enumerate(nodes) for name in node.output if name}
        before = [{made_by[name] for name in names if name in made_by} - {i} for i, names in enumerate(reads)]
        order = _sorted(before)
        place = {node: at for at, node in enumerate(order)}
        last = {name: node for node in order for name in reads[node]}
        used = {name for name in last if name in made_by}
        keys: dict[int, tuple[int, ...]] = {}
        for node in order:
            keys[node] = (place[node],)
            latest = max(before[node], key=keys.__getitem__, default=node)
            freed = sum(last[name] == node for name in reads[node] & used)
            if place[node] - keys[latest][0] > FAR and freed >= max(1, len(used.intersection(nodes[node].output))):
                keys[node] = (*keys[latest], place[node])
        order.sort(key=keys.__getitem__)
        return [nodes[node] for node in order], [reads[node] for node in order]

    def _static(
        self, nodes: Sequence[onnx.NodeProto], reads: Sequence[frozenset[str]]
    ) -> tuple[dict[str, int], list[int]]:
        """Values that stored tensors alone decide, with the node that makes each, and all other nodes."""
        versions = {opset.domain: opset.version for opset in self._proto.opset_import}
        own = {(function.domain, function.name) for function in self._proto.functions}
        static, moving = dict[str, int](), list[int]()
        overridable = self._inputs.keys() & self._sizes.keys() if self._proto.ir_version > 3 else set[str]()
        for index, node in enumerate(nodes):
            sure = node.domain in _KNOWN_DOMAINS and (node.domain, node.op_type) not in own
            sure = sure and not draws(node.op_type, versions.get(node.domain, 1), node.domain)
            if sure and all(n in static or (n in self._sizes and n not in overridable) for n in reads[index]):
                static.update((name, index) for name in node.output if name)
            else:
                moving.append(index)
        self._reads = reads
        return static, moving

    def _behind(self, names: Iterable[str], static: Mapping[str, int]) -> Set[int]:
        """The nodes of which values come that stored tensors alone decide."""
        pending, found = [static[name] for name in names if name in static], set[int]()
        while pending:
            node = pending.pop()
            if node not in found:
                found.add(node)
                pending += [static[name] for name in self._reads[node] if name in static]
        return found

    def _stored_for(self, names: Iterable[str], static: Mapping[str, int]) -> Set[str]:
        read = {*names}.union(*(self._reads[node] for node in self._behind(names, static)))
        return read & self._sizes.keys()


def _sorted(before: Sequence[Set[int]]) -> list[int]:
    """Nodes behind those they need, as far as possible in their own order."""
    left, readers = [len(needed) for needed in before], [list[int]() for _ in before]
    for node, needed in enumerate(before):
        for other in needed:
            readers[other].append(node)
    ready = [node for node, count in enumerate(left) if not count]
    heapify(ready)
    order = []
    while ready:
        node = heappop(ready)
        order.append(node)
        for reader in readers[node]:
            left[reader] -= 1
            if not left[reader]:
                heappush(ready, reader)
    return order


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in within(*subgraphs(attribute)):
            yield from (name for inner in graph.node for name in inner.input if name)
            if isinstance(graph, onnx.GraphProto):
                yield from (value.name for value in graph.output)
