"""Damage to nodes that means something: other operators, inputs, attributes, functions and branches."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.mutants.damaged_messages import NUMBERS

Files = dict[str, bytes]
Damage = Callable[[Random, onnx.ModelProto, Files], None]


def rewire(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A node reads another value: of another shape or type, one that comes later, none, or one that nobody makes."""
    if node := some_node(random, model):
        value = random.choice([*value_names(model), "", "nowhere"])
        if node.input and random.random() < 0.7:
            node.input[random.randrange(len(node.input))] = value
        else:
            node.input.append(value)


def arity(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A node has inputs or outputs in another order, too many or too few of them."""
    if node := some_node(random, model):
        names = random.choice([node.input, node.output])
        match random.choice(("reverse", "drop", "more", "twice", "taken")):
            case "reverse":
                names[:] = list(reversed(names))
            case "drop" if names:
                del names[random.randrange(len(names))]
            case "more":
                names.append(f"more{random.randrange(3)}")
            case "twice" if names:
                names.append(names[0])
            case "taken" if names:
                names[0] = random.choice(value_names(model))


def operator(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A node is of another operator, or of another domain."""
    if node := some_node(random, model):
        schema = random.choice(onnx.defs.get_all_schemas())
        node.op_type = schema.name
        node.domain = random.choice([schema.domain, "", "ai.onnx", "com.microsoft", "nobody"])


def attribute(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A list of numbers has another length, a number another size, an attribute another type."""
    node = some_node(random, model, lambda node: bool(node.attribute))
    if node is None:
        return
    entry = random.choice(node.attribute)
    match random.choice(("type", "number", "lengthen", "shorten", "shuffle", "twice", "alone")):
        case "type":
            value = random.choice([1, 1.5, "text", [1, 2], [0.5], ["a"], np.zeros((2, 0), np.float32), []])
            changed = (
                helper.make_attribute(entry.name, numpy_helper.from_array(value))
                if isinstance(value, np.ndarray)
                else helper.make_attribute(entry.name, value, attr_type=None if value != [] else entry.type or 7)
            )
            entry.CopyFrom(changed)
        case "number":
            entry.i = random.choice(NUMBERS)
            if entry.ints:
                entry.ints[random.randrange(len(entry.ints))] = random.choice(NUMBERS)
        case "lengthen":
            entry.ints.append(random.choice([0, 1, 2, -1, 1 << 40]))
        case "shorten" if entry.ints:
            entry.ints.pop()
        case "shuffle":
            random.shuffle(ints := list(entry.ints))
            entry.ints[:] = ints
        case "twice":
            node.attribute.add().CopyFrom(entry)
        case "alone":
            del node.attribute[:]
            node.attribute.add().CopyFrom(entry)


def order(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """Nodes in another order, twice, or missing."""
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    match random.choice(("shuffle", "reverse", "twice", "missing", "none")):
        case "shuffle":
            random.shuffle(nodes)
        case "reverse":
            nodes.reverse()
        case "twice" if nodes:
            nodes.append(random.choice(nodes))
        case "missing" if nodes:
            nodes.remove(random.choice(nodes))
        case "none":
            nodes = []
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def function(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A node becomes a call of a function whose signature or body is odd: two that call each other, for example."""
    node = some_node(random, model)
    if node is None:
        return
    body = [onnx.NodeProto.FromString(node.SerializeToString())]
    taken, given, kind = list(node.input), list(node.output), random.choice(("fits", "itself", "two", "less", "empty"))
    node.domain, node.op_type = "local", "F"
    del node.attribute[:]
    if kind == "itself":
        body[0].domain, body[0].op_type = "local", "F"
    elif kind == "two":
        body[0].domain, body[0].op_type = "local", "G"
        back = helper.make_node("F", taken, given, domain="local")
        model.functions.append(helper.make_function("local", "G", taken, given, [back], _opsets(model)))
    elif kind == "less":
        taken, given = taken[:-1], [*given, "more"]
    elif kind == "empty":
        body = []
    for _ in range(random.choice([1, 1, 2])):
        model.functions.append(helper.make_function("local", "F", taken, given, body, _opsets(model)))
    model.opset_import.append(helper.make_opsetid("local", 1))


def subgraph(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A node moves into the branches of an If, or into a Loop or Scan, which may not fit around it."""
    node = some_node(random, model)
    if node is None:
        return
    outputs = [helper.make_empty_tensor_value_info(f"{name}_inner") for name in node.output]
    inner = onnx.NodeProto.FromString(node.SerializeToString())
    inner.output[:] = [value.name for value in outputs]
    depth = random.choice([1, 1, 1, 2, 15])
    taken = [] if random.random() < 0.6 else [helper.make_empty_tensor_value_info(f"in{i}") for i in range(3)]
    graph = helper.make_graph([inner], "inner", taken, outputs)
    for level in range(depth - 1):
        around = helper.make_node("If", ["yes"], [f"{name}{level}" for name in node.output])
        around.attribute.extend([helper.make_attribute(key, graph) for key in ("then_branch", "else_branch")])
        graph = helper.make_graph(
            [around], "around", [], [helper.make_empty_tensor_value_info(o) for o in around.output]
        )
        if graph.ByteSize() > 1 << 16:
            break
    model.graph.initializer.append(numpy_helper.from_array(np.array(random.random() < 0.8), "yes"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(random.choice([0, 1, 3])), "times"))
    del node.attribute[:]
    match random.choice(("If", "If", "Loop", "Scan", "half")):
        case "If":
            node.input[:] = ["yes"]
            node.attribute.extend([helper.make_attribute(key, graph) for key in ("then_branch", "else_branch")])
            node.op_type = "If"
        case "half":
            node.input[:] = ["yes"]
            node.attribute.append(helper.make_attribute("then_branch", graph))
            node.op_type = "If"
        case "Loop":
            node.input[:] = ["times", "yes"]
            graph.output.insert(0, helper.make_tensor_value_info("yes", onnx.TensorProto.BOOL, []))
            node.attribute.append(helper.make_attribute("body", graph))
            node.op_type = "Loop"
        case "Scan":
            node.attribute.append(helper.make_attribute("body", graph))
            node.attribute.append(helper.make_attribute("num_scan_inputs", random.choice([0, 1, 2, -1, 99])))
            node.op_type = "Scan"
    node.domain = ""


def long(random: Random, model: onnx.ModelProto, files: Files) -> None:
    """A chain of many nodes behind an output."""
    if not model.graph.output:
        return
    at = model.graph.output[0].name
    for number in range(random.choice([30, 400])):
        model.graph.node.append(helper.make_node(random.choice(["Relu", "Identity", "Neg"]), [at], [f"long{number}"]))
        at = f"long{number}"
    model.graph.output[0].name = at


def some_node(
    random: Random, model: onnx.ModelProto, wanted: Callable[[onnx.NodeProto], bool] = lambda node: True
) -> onnx.NodeProto | None:
    nodes = [node for node in model.graph.node if wanted(node)]
    return random.choice(nodes) if nodes else None


def value_names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    named: list[Any] = [*graph.input, *graph.initializer, *graph.output]
    return [*(entry.name for entry in named), *(name for node in graph.node for name in node.output)]


def _opsets(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid(entry.domain, entry.version) for entry in model.opset_import]
