"""Every primitive, and many compositions: a plan computes what the reference computes."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_interpreter import run
from plan_support import buffer, check, check_graph

from flambeau.graph import build as g
from flambeau.graph import dtype as d
from flambeau.graph import op
from flambeau.graph.dtype import DTYPES
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, node, tensor_type
from flambeau.kernel.limits import Limits
from flambeau.schedule.plan import build, explain

FLOATS = [d.float16, d.bfloat16, d.float32, d.float64]
INTEGERS = [d.uint8, d.int8, d.int16, d.int32, d.uint32, d.int64]


def scalar_start(number: int, *others: object) -> tuple[object, ...]:
    return (ScalarRef(number), *others)


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize("name", ["NEG", "SQRT", "EXP", "LOG", "SIN", "COS", "TAN", "FLOOR"])
def test_unary(name, dtype):
    check(node(op.PRIMITIVES[name], (buffer(3, 4, dtype=dtype),)))


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize("name", ["ADD", "MUL", "DIV", "MAX", "LT", "EQ", "MOD"])
def test_binary_broadcast(name, dtype):
    check(node(op.PRIMITIVES[name], (buffer(3, 1, dtype=dtype), buffer(2, 1, 4, dtype=dtype))))


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
def test_multiply_and_add(dtype):
    shapes = (3, 1), (4,), (2, 1, 4)
    check(node(op.FMA, tuple(buffer(*each, dtype=dtype) for each in shapes)))


@pytest.mark.parametrize("dtype", [*INTEGERS, d.bool_], ids=repr)
@pytest.mark.parametrize("name", ["ADD", "MUL", "MAX", "LT", "EQ", "AND", "OR", "XOR"])
def test_integer_binary(name, dtype):
    check(node(op.PRIMITIVES[name], (buffer(5, dtype=dtype), buffer(5, dtype=dtype))))


@pytest.mark.parametrize("dtype", INTEGERS, ids=repr)
def test_division_and_shifts(dtype):
    x = buffer(5, dtype=dtype)
    y = g.maximum(buffer(5, dtype=dtype), g.constant(1, dtype))
    check(g.idiv(x, y), g.mod(x, y), node(op.SHL, (x, y)), node(op.SHR, (x, y)))


@pytest.mark.parametrize("name", ["IDIV", "MOD"])
def test_division_by_zero(name):
    x, y = buffer(3, dtype=d.int32), buffer(3, dtype=d.int32)
    graph = Graph((x, y), (node(op.PRIMITIVES[name], (x, y), site=("user.py", 7)),))
    program = build(graph)
    fine = [np.array([5, -5, 7], np.int32), np.array([2, 2, -2], np.int32)]
    np.testing.assert_array_equal(
        run(program, fine)[0], [2, -3, -4] if name == "IDIV" else [1, 1, -1]
    )
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run(program, [fine[0], np.array([2, 0, 1], np.int32)])
    (launch,) = program.launches
    assert [each[2] for each in launch.errors.values()] == [("user.py", 7)]


REAL = [each for each in DTYPES.values() if not each.is_complex]  # kernels know no complex numbers


@pytest.mark.parametrize("target", REAL, ids=repr)
def test_cast(target):
    for source in REAL:
        x = buffer(4, dtype=source)
        if target.kind == "uint" and source.is_floating_point:
            x = g.mul(x, x)
        check(node(op.CAST, (x,), (target,)))


def test_bitcast_and_where():
    x = buffer(4)
    check(g.bitcast(x, d.int32), g.where(buffer(4, dtype=d.bool_), x, g.neg(x)))


@pytest.mark.parametrize("dtype", [d.float32, d.float16, d.int32, d.uint8, d.bool_], ids=repr)
@pytest.mark.parametrize("kind", ["add", "mul", "max"])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_reduce(kind, axes, dtype):
    check(g.reduce(kind, buffer(3, 4, 5, dtype=dtype), axes))


@pytest.mark.parametrize("dtype", [d.float32, d.float16, d.int64, d.bool_], ids=repr)
@pytest.mark.parametrize("kind", ["add", "mul", "max"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scan(kind, axis, dtype):
    check(g.scan(kind, g.maximum(buffer(3, 4, 5, dtype=dtype), buffer(5, dtype=dtype)), axis))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_sort(axis, descending):
    x = buffer(7, 6)
    values, order = g.sort(g.floor(x), axis, descending)
    check(values, order)
    check(order)
    check(g.mul(values, x))


def test_sort_nan_last():
    x = buffer(5)
    arrays = [np.array([3, np.nan, 1, np.inf, 2], np.float32)]
    graph = Graph((x,), g.sort(x, 0))
    check_graph(graph, arrays)


MATMULS = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 2)),
    ((2, 3, 4), (2, 4, 5)),
    ((1, 4), (4, 1)),
    ((3, 1), (1, 5)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul(left, right):
    check(g.matmul(buffer(*left), buffer(*right)))


@pytest.mark.parametrize("dtype", [d.float16, d.bfloat16, d.float64, d.int32, d.int64], ids=repr)
def test_matmul_dtypes(dtype):
    check(g.matmul(buffer(3, 20, dtype=dtype), buffer(20, 4, dtype=dtype)))


def test_matmul_transposed_and_fused():
    x, w, bias, residual = buffer(5, 6), buffer(7, 6), buffer(7), buffer(5, 7)
    z = g.add(g.matmul(g.maximum(x, g.constant(0.0, d.float32)), g.permute(w, (1, 0))), bias)
    program = check(g.add(g.maximum(z, g.constant(0.0, d.float32)), residual))
    assert len(program.launches) == 1


CONVS = [
    # channels, outputs, groups, extents, taps, stride, padding, dilation
    (3, 4, 1, (7,), (3,), (1,), ((0, 0),), (1,)),
    (3, 4, 1, (7, 6), (3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1)),
    (4, 6, 2, (7, 8), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    (4, 4, 4, (6, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (2, 3, 1, (9, 9), (2, 3), (3, 2), ((0, 1), (2, 1)), (2, 1)),
    (2, 2, 1, (9,), (2,), (2,), ((1, 0),), (2,)),
    (2, 3, 1, (5, 5), (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    (1, 2, 1, (4, 5, 4), (2, 2, 2), (1, 2, 1), ((0, 1), (0, 0), (1, 0)), (1, 1, 1)),
]


@pytest.mark.parametrize("case", CONVS, ids=str)
@pytest.mark.parametrize("mode", ["forward", "input", "weight"])
def test_conv(mode, case):
    channels, outputs, groups, extents, taps, stride, padding, dilation = case
    image, weight = buffer(2, channels, *extents), buffer(outputs, channels // groups, *taps)
    result = g.conv("forward", image, weight, stride, padding, dilation, groups)
    gradient = buffer(*result.shape)
    more = (stride, padding, dilation, groups)
    if mode == "input":
        result = g.conv("input", gradient, weight, *more, extents)
    elif mode == "weight":
        result = g.conv("weight", image, gradient, *more, taps)
    check(result)
    check(g.mul(g.exp(result), buffer(*result.shape)))


def test_conv_half_with_prologue():
    image, weight = buffer(1, 2, 5, 5, dtype=d.float16), buffer(3, 2, 3, 3, dtype=d.float16)
    relu = g.maximum(image, g.constant(0.0, d.float16))
    check(g.conv("forward", relu, weight, (1, 1), ((1, 1), (1, 1)), (1, 1), 1))


def test_movement():
    x = buffer(4, 6)
    check(
        g.reshape(x, (2, 2, 3, 2)),
        g.permute(x, (1, 0)),
        g.reshape(g.permute(x, (1, 0)), (4, 6)),
        g.expand(g.reshape(x, (4, 1, 6)), (3, 4, 2, 6)),
        g.slice_(x, (1, 5), (3, 2), (1, -2)),
        g.flip(x, (0,)),
    )


def test_reshape_chain_folds():
    x = buffer(4, 6)
    y = g.reshape(g.permute(g.reshape(x, (4, 2, 3)), (0, 2, 1)), (12, 2))
    check(g.exp(g.reshape(g.permute(g.reshape(y, (4, 3, 2)), (0, 2, 1)), (24,))))


@pytest.mark.parametrize("fill", [0, 1.5, -0.0])
def test_pad(fill):
    x = buffer(2, 3)
    check(
        g.pad(x, (4, 5), (1, 2), fill=fill),
        g.pad(g.exp(x), (5, 8), (0, 1), (2, 3), fill=fill),
        g.pad(x, (5, 9), (4, 8), (-3, -4), fill=fill),
        g.pad(g.pad(x, (3, 4), (1, 0), fill=2), (4, 6), (0, 1), fill=fill),
        g.exp(g.slice_(g.pad(x, (4, 5), (1, 2), fill=fill), (0, 1), (3, 3))),
    )


def test_window():
    x = buffer(2, 6, 7)
    windows = g.window(x, (1, 2), (2, 3), (2, 1), (1, 2))
    check(g.reduce("max", windows, (3, 4)), g.exp(windows))
    padded = g.pad(x, (2, 8, 9), (0, 1, 1), fill=float("-inf"))
    check(g.reduce("max", g.window(padded, (1, 2), (3, 3), (2, 2), (1, 1)), (3, 4)))


def test_cat():
    x, y = buffer(2, 3), buffer(4, 3)
    check(g.cat([x, g.exp(y), x, g.neg(x)], 0), g.cat([x, buffer(2, 5)], 1))
    check(g.exp(g.cat([buffer(0, 3), x], 0)), g.cat([buffer(0, 3), buffer(0, 3)], 0))
    check(g.cat([buffer(2) for _ in range(40)], 0))


def test_iota_and_constants():
    check(
        g.iota(5),
        g.add(g.iota(5, d.float32), g.constant(1.5, d.float32)),
        g.full((2, 3), 7, d.int32),
        g.constant(float("nan"), d.float64),
        g.constant(True, d.bool_),
    )


def test_gather():
    x, index = buffer(4, 5, 3), buffer(2, 3, dtype=d.int64)
    places = g.mod(index, g.constant(5, d.int64))
    check(g.gather(x, places, 1), g.gather(g.exp(x), places, 1))
    check(g.gather(buffer(7), g.iota(3), 0), g.gather(buffer(7), g.constant(2, d.int64), 0))
    check(g.reduce("add", g.gather(x, places, 1), (1, 2)))


def test_gather_out_of_range():
    x, index = buffer(4, 2), buffer(3, dtype=d.int64)
    whole = node(op.GATHER, (x, index), (0,), (), ("user.py", 3))
    repeated = g.mul(g.expand(g.reshape(whole, (3, 1, 2)), (3, 4, 2)), buffer_ones(4, 2))
    for outputs in (
        (whole,),
        (g.reduce("add", whole, (0,)),),
        (g.reduce("add", repeated, (1,)),),
        (g.sort(whole, 1)[0],),
        (g.sort(whole, 0)[0],),
        (g.scan("add", whole, 1),),
        (g.matmul(g.permute(whole, (1, 0)), whole),),
    ):
        program = build(Graph((x, index), outputs))
        given = np.ones((4, 2), np.float32)
        run(program, [given, np.array([0, 3, 1])])
        for bad in (4, -1):
            with pytest.raises(IndexError, match=f"index {bad} is out of bounds for dimension 0 "):
                run(program, [given, np.array([0, bad, 1])])


@pytest.mark.parametrize("mode", ["set", "add", "mul", "max"])
def test_scatter(mode):
    target, index = buffer(3, 5, 2), g.mod(buffer(4, dtype=d.int64), g.constant(5, d.int64))
    check(g.scatter(target, index, buffer(3, 4, 2), 1, mode))
    check(g.scatter(g.full((5,), 0, d.float32), index, g.exp(buffer(4)), 0, mode))
    check(g.scatter(target, g.reshape(index, (2, 2)), buffer(3, 2, 2, 2), 1, mode), target)


def test_scatter_out_of_range():
    target, index = buffer(4), buffer(2, dtype=d.int64)
    program = build(Graph((target, index), (g.scatter(target, index, buffer_ones(2), 0, "add"),)))
    with pytest.raises(IndexError, match="index 4 is out of bounds for dimension 0 with size 4"):
        run(program, [np.zeros(4, np.float32), np.array([0, 4])])


def buffer_ones(*shape: int) -> Node:
    return g.full(shape, 1.0, d.float32)


def test_runtime_scalars_and_starts():
    x, rate = buffer(6, 4), node(op.CONST, (), (d.float32,), (ScalarRef(0),))
    part = node(op.SLICE, (x,), ((2, 4), (1, 1)), (ScalarRef(1), 0))
    back = node(op.PAD, (part,), ((6, 4), (1, 1), "0x0.0p+0"), (ScalarRef(1), 0))
    for start in (0, 3, 4):
        check(g.mul(part, rate), back, scalars=(np.float32(0.5), np.int64(start)))


def test_assign():
    x, y = buffer(4, 6), buffer(2, 3)
    chain = (("SLICE", (2, 3), (1, 2)),)
    check(g.assign(x, y, chain, (1, 0)), g.exp(x))
    flat = (("RESHAPE", (24,)), ("SLICE", (5,), (-3,)))
    check(g.assign(x, buffer(5), flat, (20,)))
    turned = (("PERMUTE", (1, 0)), ("SLICE", (2, 4), (1, 1)))
    check(g.assign(g.exp(x), buffer(4), turned, (3, 0)))
    overlapping = g.assign(x, g.slice_(x, (0, 0), (3, 6)), (("SLICE", (3, 6), (1, 1)),), (1, 0))
    check(overlapping)
    twice = g.assign(g.assign(x, y, chain, (1, 0)), g.neg(y), chain, (2, 1))
    check(twice)


def test_assign_runtime_start():
    x = buffer(5, 3)
    row = node(op.ASSIGN, (x, buffer(1, 3)), ((("SLICE", (1, 3), (1, 1)),),), (ScalarRef(0), 0))
    for start in (0, 4):
        check(row, scalars=(np.int64(start),))


def test_call():
    x = buffer(3, 3)
    results = (tensor_type((3,), d.float32), tensor_type((3, 3), d.float32))
    call = node(op.CALL, (g.exp(x), g.permute(x, (1, 0))), ("split", 2, results))

    def split(number, first, second):
        return first.sum(0) * number, second + 1

    functions = {"split": split}
    check(g.neg(g.pick(call, 0)), g.pick(call, 1), functions=functions)
    check(g.pick(call, 1), functions=functions)


def test_effects():
    x = buffer(3, 4)
    check(g.add(g.materialize(g.exp(x)), g.graft(g.detach(x), g.neg(x))))


def test_outputs_that_are_inputs_or_repeated():
    x = buffer(3, 4)
    y = g.exp(x)
    program = check(x, y, y, g.reshape(y, (12,)), g.reshape(x, (4, 3)), g.permute(y, (1, 0)))
    assert len(set(program.outputs)) == 6


def test_no_outputs_and_unused_inputs():
    x = buffer(3)
    check_graph(Graph((x,), ()))
    check_graph(Graph((buffer(2), x, buffer(2)), (g.exp(x),)))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty(shape):
    x = buffer(*shape)
    last = len(shape) - 1
    check(
        g.exp(x),
        g.reduce("add", x, (0,)),
        g.reduce("mul", g.exp(x), (last,)),
        g.scan("add", x, last),
        *g.sort(x, last),
        g.cat([x, x], 0),
        g.reshape(x, (0, 7)),
        g.matmul(g.reshape(x, (3, 0)), g.reshape(x, (0, 5))),
        g.matmul(g.reshape(x, (0, 4)), buffer(4, 5)),
        g.gather(x, buffer(0, dtype=d.int64), last),
        g.scatter(buffer(3), buffer(0, dtype=d.int64), buffer(0), 0, "add"),
        g.assign(buffer(4), buffer(0), (("SLICE", (0,), (1,)),), (1,)),
    )


def test_zero_dimensional():
    x = buffer()
    check(
        g.exp(x),
        g.expand(x, (2, 3)),
        g.gather(g.reshape(x, (1,)), g.constant(0, d.int64), 0),
        g.scan("add", g.reshape(x, (1,)), 0),
        g.add(x, g.reduce("add", g.reshape(buffer(3, 4), (12,)), (0,))),
        g.scatter(buffer(4), g.constant(2, d.int64), x, 0, "set"),
        g.assign(buffer(4), x, (("SLICE", (1,), (1,)), ("RESHAPE", ())), (2,)),
    )


# compositions ------------------------------------------------------------------------------------


def softmax(x: Node, axis: int) -> Node:
    e = g.exp(g.sub(x, g.reduce("max", x, (axis,))))
    return g.div(e, g.reduce("add", e, (axis,)))


def layer_norm(x: Node, weight: Node, bias: Node) -> tuple[Node, Node, Node]:
    last = len(x.shape) - 1
    count = g.constant(float(x.shape[last]), d.float32)
    mean = g.div(g.reduce("add", x, (last,)), count)
    centred = g.sub(x, mean)
    variance = g.div(g.reduce("add", g.mul(centred, centred), (last,)), count)
    scale = g.div(g.constant(1.0, d.float32), g.sqrt(g.add(variance, g.constant(1e-5, d.float32))))
    return g.add(g.mul(g.mul(centred, scale), weight), bias), mean, scale


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_is_one_kernel(axis):
    program = check(softmax(buffer(4, 5, 6), axis))
    assert len(program.launches) == 1


def test_softmax_backward_is_one_kernel():
    x, gradient = buffer(4, 6), buffer(4, 6)
    y = softmax(x, 1)
    inner = g.reduce("add", g.mul(gradient, y), (1,))
    program = check(g.mul(y, g.sub(gradient, inner)))
    assert len(program.launches) == 1


def test_layer_norm_is_one_kernel():
    program = check(*layer_norm(buffer(2, 3, 8), buffer(8), buffer(8)))
    assert len(program.launches) == 1


def test_two_results_of_one_frame_and_a_column_sum():
    x, gradient = buffer(5, 8), buffer(5, 8)
    y, mean, scale = layer_norm(x, buffer(8), buffer(8))
    normal = g.mul(g.sub(x, mean), scale)
    check(y, g.reduce("add", g.mul(gradient, normal), (0,)), g.reduce("add", gradient, (0,)))


def test_diamond_of_contractions():
    x, w = buffer(4, 4), buffer(4, 4)
    a = g.matmul(x, w)
    b = g.matmul(g.exp(a), w)
    c = g.add(a, b)
    check(g.add(softmax(c, 1), g.mul(a, g.reduce("add", b, (0,)))), b)


def test_full_sum_scales_everything():
    x = buffer(300, 70)
    norm = g.sqrt(g.reduce("add", g.mul(x, x), (0, 1)))
    check(g.div(x, norm))


def test_long_chain_is_cut():
    x = buffer(7)
    for _ in range(1500):
        x = g.add(g.mul(x, g.constant(0.5, d.float32)), g.constant(1.0, d.float32))
    program = check(x, limits=Limits(values=100))
    assert 20 < len(program.launches) < 60


def test_shifted_sums_do_not_explode():
    x = buffer(40)
    for _ in range(12):
        n = x.shape[0] - 1
        x = g.mul(g.add(g.slice_(x, (0,), (n,)), g.slice_(x, (1,), (n,))), buffer(1))
    check(x)


def test_few_buffers():
    parts = [buffer(3, 4) for _ in range(30)]
    total = parts[0]
    for each in parts[1:]:
        total = g.add(total, g.exp(each))
    check(total, softmax(total, 1), limits=Limits(buffers=8))
    check(total, softmax(total, 1))


@pytest.mark.parametrize("buffers", [4, 5, 7, 24])
def test_more_outputs_than_a_kernel_has_buffers(buffers):
    """What joined a group and was asked for only later made it too large."""
    row = g.reduce("add", g.mul(x := buffer(4, 3), buffer(4, 3)), (1,))
    outputs = [row]
    for _ in range(8):
        outputs.append(g.sin(outputs[-1]))
    check(*outputs, g.add(outputs[3], x), limits=Limits(buffers=buffers))


@pytest.mark.parametrize("buffers", [4, 7])
def test_parts_of_many_arrays_in_few_buffers(buffers):
    parts = [g.add(buffer(2, 3), g.mul(buffer(2, 3), buffer(2, 3))) for _ in range(5)]
    check(g.cat(parts, 1), limits=Limits(buffers=buffers))


def test_too_few_buffers():
    x = buffer(2)
    with pytest.raises(ValueError, match="expected Limits of 4 or more buffers, got 3"):
        build(Graph((x,), (g.sin(x),)), Limits(buffers=3))


def test_explain():
    x = buffer(4, 6)
    text = explain(Graph((x,), (softmax(x, 1),)))
    assert "fold max" in text
    assert "REDUCE" in text
