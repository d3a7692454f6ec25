"""Matrix products: matmul and its relatives, linear, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import bool_
from flambeau.graph.node import Node, Shape
from flambeau.graph.shapes import broadcast
from flambeau.ops.autocast import autocasting
from flambeau.ops.axes import spoken, title
from flambeau.ops.composite import composite
from flambeau.ops.promote import number_node, result_dtype
from flambeau.ops.publish import public
from flambeau.ops.view import permute, reshape
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _same_dtype(left: Tensor, right: Tensor) -> None:
    if left._type.dtype is not right._type.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {spoken(left)} != {spoken(right)}"
        )
    if left._type.dtype.kind == "bool":
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Bool'")


def _not_multipliable(left: Sequence[int], right: Sequence[int]) -> RuntimeError:
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_by(left)} and {_by(right)})")


# products of nodes ------------------------------------------------------------------------------


def rows(x: Node) -> Node:
    """All leading axes folded into one."""
    count = math.prod(x.shape[:-1])
    return b.reshape(x, (count, x.shape[-1]))


def product(x: Node, y: Node) -> Node:
    """matmul of nodes of at least two axes; a matrix on the right takes all rows at once."""
    if len(y.shape) == 2 and len(x.shape) > 2:
        return b.reshape(b.matmul(rows(x), y), (*x.shape[:-1], y.shape[-1]))
    return b.matmul(x, y)


@composite(saves="inputs")
def _matmul(input: Tensor, other: Tensor) -> Tensor:
    x, y = input._read(), other._read()
    left, right = len(x.shape), len(y.shape)
    if left == 1:
        x = b.reshape(x, (1, *x.shape))
    if right == 1:
        y = b.reshape(y, (*y.shape, 1))
    result = product(x, y)
    shape = result.shape
    if right == 1:
        shape = shape[:-1]
    if left == 1:
        shape = (*shape[:-2], shape[-1]) if right != 1 else shape[:-1]
    return Tensor._traced(b.reshape(result, shape))


# the family -------------------------------------------------------------------------------------


@public()
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; leading dimensions are batches and broadcast; vectors are taken as fits.

    Raises RuntimeError where shapes or dtypes do not fit.
    """
    left, right = input._type.shape, other._type.shape
    if len(left) == 2 == len(right):
        return mm(input, other)
    if not left or not right:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are "
            f"{len(left)}D and {len(right)}D"
        )
    if len(left) == 1 == len(right):
        return dot(input, other)
    if len(right) == 1:
        flat = (math.prod(left[:-1]), left[-1])
        if left[-1] != right[0]:
            raise RuntimeError(
                f"size mismatch, got input ({flat[0]}), mat ({_by(flat)}), vec ({right[0]})"
            )
    elif left[-1] != right[-2]:
        if len(right) == 2:
            raise _not_multipliable((math.prod(left[:-1]), left[-1]), right)
        shape = broadcast(left[:-2], right[:-2])
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{math.prod(shape)}, {left[-1]}] but got: [{math.prod(shape)}, {right[-2]}]."
        )
    _same_dtype(input, other)
    return _matmul(input, other)


@method("__matmul__")
def _matmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


@method("__rmatmul__")
def _reflected(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


@public()
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices; one, or both, may be sparse."""
    if input.is_sparse or mat2.is_sparse:
        return _sparse_product(input, mat2)
    left, right = input._type.shape, mat2._type.shape
    if len(left) != 2 or len(right) != 2:
        raise RuntimeError(f"{'self' if len(left) != 2 else 'mat2'} must be a matrix")
    if left[1] != right[0]:
        raise _not_multipliable(left, right)
    _same_dtype(input, mat2)
    return record(op.MATMUL, (input, mat2))


def _sparse_product(left: Tensor, right: Tensor) -> Any:
    from flambeau.ops.sparse.products import matrix_product

    return matrix_product(left, right)


def _check_batches(input: Tensor, mat2: Tensor) -> None:
    for number, each in enumerate((input, mat2), 1):
        if each.ndim != 3:
            raise RuntimeError(f"batch{number} must be a 3D tensor")
    left, right = input._type.shape, mat2._type.shape
    if left[0] != right[0] or left[2] != right[1]:
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{left[0]}, {left[2]}] but got: [{right[0]}, {right[1]}]."
        )
    if input._type.dtype is not mat2._type.dtype:
        raise RuntimeError(f"expected scalar type {title(input)} but found {title(mat2)}")


@public()
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices."""
    _check_batches(input, mat2)
    return record(op.MATMUL, (input, mat2))


@public()
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {vec.ndim}")
    if input._type.shape[1] != vec._type.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({input._type.shape[0]}), mat ({_by(input._type.shape)}), "
            f"vec ({vec._type.shape[0]})"
        )
    _same_dtype(input, vec)
    return _matmul(input, vec)


@composite(saves="inputs")
def _dot(input: Tensor, other: Tensor) -> Tensor:
    return Tensor._traced(b.reshape(b.reduce("add", b.mul(input._read(), other._read()), (0,)), ()))


@public()
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements."""
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    left, right = input._type.size, tensor._type.size
    if left != right:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{left}] and src [{right}] to have the "
            f"same number of elements, but got {left} and {right} elements respectively"
        )
    if input._type.dtype is not tensor._type.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {title(input)} and "
            f"{title(tensor)}"
        )
    return _dot(input, tensor)


@public()
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """dot, with the conjugates of the first vector's elements."""
    return dot(input.conj() if input._type.dtype.is_complex else input, other)


@composite(saves="inputs")
def _outer(input: Tensor, vec2: Tensor) -> Tensor:
    x = input._read()
    return Tensor._traced(b.mul(b.reshape(x, (*x.shape, 1)), vec2._read()))


@public("ger")
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements."""
    for name, each in (("self", input), ("vec2", vec2)):
        if each.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {each.ndim}-D")
    dtype = result_dtype((input, vec2))
    return _outer(*[_cast(each, dtype) for each in (input, vec2)])


def _cast(tensor: Tensor, dtype: Any) -> Tensor:
    return tensor if tensor._type.dtype is dtype else record(op.CAST, (tensor,), (dtype,))


# with an addend ---------------------------------------------------------------------------------


@composite(saves="1,2", scalars=("beta", "alpha"))
def _add_product(
    input: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, scaled: tuple[bool, bool]
) -> Tensor:
    result = _matmul(left, right)._read()
    if scaled[1]:
        result = b.mul(result, b.cast(alpha._read(), result.dtype))
    if scaled[0]:
        addend = b.mul(input._read(), b.cast(beta._read(), result.dtype))
    else:
        addend = input._read()
    return Tensor._traced(b.add(addend, result))


def _with_addend(
    input: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, shape: Shape
) -> Tensor:
    given = input._type.shape
    for back, extent in enumerate(reversed(given), 1):
        if back > len(shape) or extent not in (1, shape[-back]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[-back] if back <= len(shape) else 1}) "
                f"must match the existing size ({extent}) at non-singleton dimension "
                f"{len(shape) - back}.  Target sizes: {list(shape)}.  Tensor sizes: {list(given)}"
            )
    _same_dtype(left, right)
    _same_dtype(input, right)
    scaled = (beta != 1, alpha != 1)
    if beta == 0:  # what it is not added to may be NaN
        return _scaled(left, right, alpha)
    return _add_product(input, left, right, beta, alpha, scaled)


def _scaled(left: Tensor, right: Tensor, alpha: Any) -> Tensor:
    made = matmul(left, right)
    return record(op.MUL, (made, number_node(alpha, made._type.dtype)))


@public(inplace=True)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta · input + alpha · mat1 @ mat2."""
    if mat1.is_sparse or mat2.is_sparse:
        return input * beta + _sparse_product(mat1, mat2) * alpha
    for name, each in (("mat1", mat1), ("mat2", mat2)):
        if each.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {each.ndim}-D tensor")
    left, right = mat1._type.shape, mat2._type.shape
    if left[1] != right[0]:
        raise _not_multipliable(left, right)
    return _with_addend(input, mat1, mat2, beta, alpha, (left[0], right[1]))


@public(inplace=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta · input + alpha · mat @ vec."""
    if mat.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}"
        )
    if mat._type.shape[1] != vec._type.size:
        raise RuntimeError(
            f"size mismatch, got input ({input._type.size}), mat ({_by(mat._type.shape)}), vec "
            f"({vec._type.size})"
        )
    return _with_addend(input, mat, vec, beta, alpha, mat._type.shape[:1])


@public(inplace=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · input + alpha · batch1 @ batch2."""
    _check_batches(batch1, batch2)
    shape = (*batch1._type.shape[:2], batch2._type.shape[2])
    return _with_addend(input, batch1, batch2, beta, alpha, shape)


@public(inplace=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · input + alpha · the sum of batch1 @ batch2 over the batch."""
    _check_batches(batch1, batch2)
    count, n, k = batch1._type.shape
    left = reshape(permute(batch1, (1, 0, 2)), (n, count * k))
    right = reshape(batch2, (count * k, batch2._type.shape[2]))
    return addmm(input, left, right, beta=beta, alpha=alpha)


@public(inplace=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta · input + alpha · outer(vec1, vec2)."""
    if input._type.dtype is not bool_:
        column, row = reshape(vec1, (-1, 1)), reshape(vec2, (1, -1))
        return addmm(input, column, row, beta=beta, alpha=alpha)
    outer = record(op.AND, (reshape(vec1, (-1, 1)), reshape(vec2, (1, -1))))
    kept = [
        record(op.AND, (each, b.constant(bool(factor), bool_)))
        for each, factor in ((input, beta), (outer, alpha))
    ]
    return record(op.OR, kept)


# layers' products -------------------------------------------------------------------------------


@composite(saves="0?1,1?0")
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    x, w = input._read(), weight._read()
    result = b.matmul(rows(x), b.permute(w, (1, 0)))
    if bias is not None:
        result = b.add(result, bias._read())
    return Tensor._traced(b.reshape(result, (*x.shape[:-1], w.shape[0])))


@autocasting
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias over the last dimension.

    input (…, in), weight (out, in) or (in,), bias (out) → (…, out). Raises RuntimeError where
    shapes or dtypes do not fit.
    """
    if weight.ndim == 1:
        result = matmul(input, weight)
        return result if bias is None else record(op.ADD, (result, bias))
    shape = input._type.shape
    if weight.ndim != 2 or not shape or shape[-1] != weight._type.shape[1]:
        raise _not_multipliable((math.prod(shape[:-1]), *shape[-1:]), weight._type.shape[::-1])
    _same_dtype(input, weight)
    if bias is not None:
        _same_dtype(input, bias)
        if bias._type.shape not in ((weight._type.shape[0],), (1,), ()):
            rows_ = math.prod(shape[:-1])
            raise RuntimeError(
                f"The expanded size of the tensor ({weight._type.shape[0]}) must match the "
                f"existing size ({bias._type.shape[-1]}) at non-singleton dimension 1.  Target "
                f"sizes: [{rows_}, {weight._type.shape[0]}].  Tensor sizes: "
                f"{list(bias._type.shape)}"
            )
    return _linear(input, weight, bias)
