"""Calls with models that are odd in ways for which damage to one field is not enough: in front of a network stands
something that is valid protobuf, and hardly ever valid ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from tests.mutants.attempts import Attempt
from tests.mutants.damaged_arrays import one_input
from tests.mutants.damaged_models import CALLS, DATA
from tests.mutants.damaged_nodes import Files

HUGE = (0, -1, 1 << 20, 1 << 40, (1 << 62) + 1, -(1 << 62))
Nodes = Sequence[onnx.NodeProto]
Oddity = Callable[[Random, onnx.ModelProto, Files], Nodes]  # nodes that make `odd` of `x`


def odd_graph(random: Random) -> Attempt:
    """A call with a model in front of which something odd stands."""
    model, files = onnx.ModelProto.FromString(one_input()), Files()
    nodes = random.choice(ODDITIES)(random, model, files)
    for node in model.graph.node:
        node.input[:] = ["odd" if name == "x" else name for name in node.input]
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    command, *flags = random.choice(CALLS)
    quiet = () if command == "check" else ("--quiet",)
    arguments = (command, "model.onnx", "--run-limit", "3", *random.choice(DATA), *flags, *quiet)
    return Attempt({**files, "model.onnx": model.SerializeToString()}, arguments)


def element_type(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """A stored tensor of any element type, with data of about the right size, that becomes numbers."""
    shape = random.choice([[4], [1, 4], [3, 3], [5], [0]])
    tensor = TensorProto(name="stored", data_type=random.choice(range(1, 28)), dims=shape)
    if random.random() < 0.8:
        tensor.raw_data = bytes(random.choices(range(256), k=random.choice([0, 1, 2, 3, 4, 5, 8, 16, 32])))
    else:
        tensor.int32_data.extend([7] * random.choice([1, 2, 4, 9]))
    model.graph.initializer.extend([tensor, numpy_helper.from_array(np.array(0.5, np.float32), "scale")])
    back = helper.make_node("DequantizeLinear", ["stored", "scale"], ["numbers"])
    if random.random() < 0.5:
        back = helper.make_node("Cast", ["stored"], ["numbers"], to=1)
    return [
        back,
        helper.make_node("Add", ["x", "numbers"], ["odd"]),
    ]


def sparse_constant(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """A sparse tensor as the value of a Constant."""
    values = random.choice(
        [
            numpy_helper.from_array(np.array([1, 2], np.float32), "v"),
            TensorProto(
                name="v", data_type=random.choice(range(1, 28)), dims=[2], raw_data=b"\x11" * random.choice([1, 2, 4])
            ),
            TensorProto(name="v", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"]),
        ]
    )
    places = random.choice([[0, 3], [3, 0], [-5, 99], [[0, 0], [0, 3]], [[0, 0, 0], [0, 0, 1]], []])
    indices = numpy_helper.from_array(np.array(places, np.int64), "i")
    sparse = helper.make_sparse_tensor(values, indices, random.choice([[4], [1, 4], [1 << 30, 4], [-4]]))
    return [helper.make_node("Constant", [], ["k"], sparse_value=sparse), helper.make_node("Add", ["x", "k"], ["odd"])]


def endless(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """A loop that never ends, or for long, and may collect or grow what it carries."""
    rounds = random.choice([1 << 62, 1 << 40, 1000, 0, -3])
    body = random.choice(
        ["b = Relu (a)", "b = Identity (a)", "b = Concat <axis = 0> (a, a)", "z = Sub (a, a) b = Add (a, z)"]
    )
    more = random.choice(["more = Identity (c)", "one = ReduceMax <keepdims = 0> (a) more = Cast <to = 9> (one)"])
    text = f"""g (float[n, 4] x) => (float[m, 4] odd) {{
        rounds = Constant <value_int = {rounds}> ()
        yes = Constant <value = bool {{1}}> ()
        odd = Loop (rounds, yes, x) <body = b (int64 i, bool c, float[p, 4] a) => (bool more, float[q, 4] b) {{
            {more} {body} }}>
    }}"""
    return list(parser.parse_graph(text).node)


def many_axes(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """A value on the way, or a stored one, with more axes than most libraries know."""
    axes = random.choice([9, 33, 64, 65, 300])
    shapes = {"many": np.array([-1, *[1] * (axes - 2), 4]), "few": np.array([-1, 4])}
    model.graph.initializer.extend(numpy_helper.from_array(shape, name) for name, shape in shapes.items())
    if random.random() < 0.3:
        stored = numpy_helper.from_array(np.ones(4, np.float32), "stored")
        stored.dims[:] = [*[1] * (axes - 1), 4]
        model.graph.initializer.append(stored)
    perm = list(range(axes - 1, -1, -1)) if random.random() < 0.5 else list(range(axes))
    step = random.choice(
        [
            helper.make_node("Relu", ["m"], ["s"]),
            helper.make_node("Transpose", ["m"], ["s"], perm=perm),
            helper.make_node("Softmax", ["m"], ["s"], axis=axes - 1),
        ]
    )
    around = helper.make_node("Reshape", ["x", "many"], ["m"]), helper.make_node("Reshape", ["s", "few"], ["odd"])
    return [around[0], step, around[1]]


def cycle(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """Values that need themselves: in the graph, in a branch, in a function."""
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    kind = random.choice(("graph", "branch", "capture", "function", "itself"))
    if kind == "graph":
        return [*nodes, helper.make_node("Neg", ["b"], ["odd"])]
    if kind == "itself":
        return [helper.make_node("Add", ["x", "odd"], ["odd"])]
    if kind == "function":
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
        model.opset_import.append(opsets[1])
        model.functions.append(helper.make_function("local", "F", ["x"], ["b"], nodes, opsets))
        return [helper.make_node("F", ["x"], ["odd"], domain="local")]
    inner = nodes if kind == "branch" else [helper.make_node("Relu", ["odd"], ["b"])]
    graph = helper.make_graph(inner, "g", [], [helper.make_empty_tensor_value_info("b")])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return [helper.make_node("If", ["yes"], ["odd"], then_branch=graph, else_branch=graph)]


def odd_function(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """Functions in the place of operators, of overloads, of attributes that nobody gives, or calling themselves."""
    domain, name = random.choice([("", "Relu"), ("local", "F"), ("\n", "\u202e"), ("ai.onnx", "F")])
    inner = helper.make_node("LeakyRelu", ["a"], ["b"])
    inner.attribute.add(name="alpha", ref_attr_name=random.choice(["alpha", "beta", ""]), type=random.choice([1, 2, 3]))
    body = [inner]
    if random.random() < 0.3:
        call = helper.make_graph(
            [helper.make_node(name, ["a"], ["c"], domain=domain)], "g", [], [helper.make_empty_tensor_value_info("c")]
        )
        yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
        body = [yes, helper.make_node("If", ["yes"], ["b"], then_branch=call, else_branch=call)]
    taken = random.choice([["a"], ["a", "a"], []])
    opsets = random.choice([[helper.make_opsetid("", version)] for version in (7, 18, 99)] + [[]])
    for overload in random.choice([[""], ["one", "two"], ["one", "one"]]):
        made = helper.make_function(domain, name, taken, ["b"], body, opsets, attributes=random.choice([[], ["alpha"]]))
        made.overload = overload
        model.functions.append(made)
    model.opset_import.add(domain=domain, version=1)
    node = helper.make_node(name, ["x"], ["odd"], domain=domain)
    node.overload = random.choice(["", "one", "three"])
    return [node]


def data_inside(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """External data of what is no initializer of the model: of a Constant, in a branch, in a function."""
    tensor = TensorProto(name="e", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    where = random.choice(["w.bin", "gone.bin", "../w.bin", "*/_ORT_MEM_ADDR_/*", "model.onnx", "w.bin\n"])
    tensor.external_data.add(key="location", value=where)
    tensor.external_data.add(key="offset", value=random.choice(["0", "4", "-4", "9" * 30, "0" * 5000, " 0"]))
    files["w.bin"] = np.ones(8, np.float32).tobytes()
    constant = helper.make_node("Constant", [], ["k"], value=tensor)
    nodes = [constant, helper.make_node("Add", ["x", "k"], ["b"])]
    kind = random.choice(("graph", "branch", "function"))
    if kind == "graph":
        return [*nodes, helper.make_node("Relu", ["b"], ["odd"])]
    if kind == "function":
        model.opset_import.add(domain="local", version=1)
        model.functions.append(helper.make_function("local", "F", ["x"], ["b"], nodes, [helper.make_opsetid("", 18)]))
        return [helper.make_node("F", ["x"], ["odd"], domain="local")]
    graph = helper.make_graph(nodes, "g", [], [helper.make_empty_tensor_value_info("b")])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return [helper.make_node("If", ["yes"], ["odd"], then_branch=graph, else_branch=graph)]


def out_of_proportion(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """A small file that asks for any size."""
    lengths = numpy_helper.from_array(np.array([random.choice(HUGE), *random.choice([[], [4]])]), "lengths")
    model.graph.initializer.append(lengths)
    grown: Nodes = random.choice(
        [
            [helper.make_node("Expand", ["x", "lengths"], ["grown"])],
            [helper.make_node("Tile", ["x", "lengths"], ["grown"])],
            [helper.make_node("ConstantOfShape", ["lengths"], ["grown"])],
            [helper.make_node("TopK", ["x", "lengths"], ["grown", "places"])],
            [helper.make_node("RandomNormal", [], ["grown"], shape=[abs(random.choice(HUGE)), 4])],
            [helper.make_node("Slice", ["x", "lengths", "lengths"], ["grown"])],
        ]
    )
    many = helper.make_node("ReduceMax", ["grown"], ["most"], keepdims=0)
    return [*grown, many, helper.make_node("Add", ["x", "most"], ["odd"])]


def text(random: Random, model: onnx.ModelProto, files: Files) -> Nodes:
    """Much text, and equations that are none."""
    model.metadata_props.add(key="k" * random.choice([1, 1 << 20]), value="\u202e\n" * random.choice([1, 1 << 20]))
    model.graph.doc_string = "\x1b[2J" * random.choice([1, 1 << 20])
    equations = ("ij->ij", "ij", "...", "", "->", "ij,jk->ik", "ii->i", "i" * 1000, "ij->ij" * 1000, "\n", "é->é")
    node = helper.make_node("Einsum", ["x"], ["odd"], name="\n" * 9, equation=random.choice(equations))
    node.metadata_props.add(
        key="pkg.torch.onnx.name_scopes", value=random.choice(["[" * 10_000, "['a', ''", "{}", "[1]"])
    )
    return [node]


ODDITIES: tuple[Oddity, ...] = (
    element_type,
    element_type,
    sparse_constant,
    endless,
    many_axes,
    cycle,
    odd_function,
    data_inside,
    out_of_proportion,
    text,
)
