"""Transforms of vectors, matrices and parts of tensors. Their public place is transforms.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.distributions import constraints
from flambeau.distributions.transforms import Transform
from flambeau.distributions.utils import sum_rightmost
from flambeau.ops.activation import softplus
from flambeau.ops.limits import finfo
from flambeau.ops.pad import pad
from flambeau.ops.shape import cat, stack
from flambeau.ops.softmax import softmax
from flambeau.tensor.size import Size


class IndependentTransform(Transform):
    """`base_transform` with some batch dimensions counted as event dimensions."""

    def __init__(
        self, base_transform: Any, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return IndependentTransform(
            self.base_transform, self.reinterpreted_batch_ndims, cache_size=cache_size
        )

    @property
    def domain(self) -> Any:
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # computed
        return bool(self.base_transform.bijective)

    @property
    def sign(self) -> Any:
        return self.base_transform.sign

    def _call(self, x: Any) -> Any:
        if x.ndim < self.domain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        if y.ndim < self.codomain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        term = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_rightmost(term, self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)


class ReshapeTransform(Transform):
    """The last dimensions, of shape `in_shape`, in the shape `out_shape`."""

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError("in_shape, out_shape have different numbers of elements")

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:
        return constraints.independent(constraints.real, len(self.out_shape))

    def with_cache(self, cache_size: int = 1) -> Any:
        same = self._cache_size == cache_size
        return self if same else ReshapeTransform(self.in_shape, self.out_shape, cache_size)

    def _call(self, x: Any) -> Any:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Any) -> Any:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x.new_zeros(x.shape[: x.ndim - len(self.in_shape)])

    def forward_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.out_shape, self.in_shape)


def _replaced(shape: Any, old: Any, new: Any) -> Any:
    """`shape` with `new` for `old` at its end."""
    if len(shape) < len(old):
        raise ValueError("Too few dimensions on input")
    kept = len(shape) - len(old)
    if tuple(shape[kept:]) != tuple(old):
        raise ValueError(f"Shape mismatch: expected {shape[kept:]} but got {old}")
    return Size((*shape[:kept], *new))


class SoftmaxTransform(Transform):
    """y = softmax x; not one to one: the inverse is log y."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftmaxTransform)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        return softmax(x, -1)

    def _inverse(self, y: Any) -> Any:
        return y.log()


class StickBreakingTransform(Transform):
    """n numbers to n + 1 probabilities: each sigmoid takes its part of what is left of a stick."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StickBreakingTransform)

    __hash__ = object.__hash__

    def _offset(self, like: Any, count: int) -> Any:
        """log of how many parts are left, so that zeros give equal probabilities."""
        left = count - like.new_ones(count).cumsum(-1) + 1
        return left.log()

    def _call(self, x: Any) -> Any:
        limits = finfo(x.dtype)
        part = (x - self._offset(x, x.shape[-1])).sigmoid()
        part = part.clamp(min=limits.tiny, max=1.0 - limits.eps)
        left = (1 - part).cumprod(-1)
        return pad(part, [0, 1], value=1) * pad(left, [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        crop = y[..., :-1]
        left = (1 - crop.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return crop.log() - left.log() + self._offset(y, crop.shape[-1])

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        moved = x - self._offset(x, x.shape[-1])
        return (-moved - softplus(-moved) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        return _replaced(shape, shape[-1:], (shape[-1] + 1,))

    def inverse_shape(self, shape: Any) -> Any:
        return _replaced(shape, shape[-1:], (shape[-1] - 1,))


class LowerCholeskyTransform(Transform):
    """Square matrices to lower triangular ones with a positive diagonal: its exponential."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyTransform)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Square matrices to positive definite ones, through LowerCholeskyTransform."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositiveDefiniteTransform)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Any) -> Any:
        from flambeau.ops.linalg.solve import cholesky

        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the Cholesky factor of a correlation matrix.

    Signed stick breaking of each row's square (D. Lewandowski, D. Kurowicka and H. Joe, 2009).
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Any) -> Any:
        eps = finfo(x.dtype).eps
        r = _lower_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps))
        left = (1 - r * r).sqrt().cumprod(-1)
        r = r + _identity_like(r)
        return r * pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        from flambeau.distributions.utils import tril_matrix_to_vec

        left = 1 - (y * y).cumsum(-1)
        shifted = pad(left[..., :-1], [1, 0], value=1)
        values = tril_matrix_to_vec(y, -1)
        ratio = values / tril_matrix_to_vec(shifted, -1).sqrt()
        return (ratio.log1p() - ratio.neg().log1p()) / 2

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        from flambeau.distributions.utils import tril_matrix_to_vec

        left = 1 - (y * y).cumsum(-1)
        sticks = 0.5 * tril_matrix_to_vec(left, -2).log().sum(-1)
        tanh = -2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)
        return sticks + tanh

    def forward_shape(self, shape: Any) -> Any:
        count = shape[-1]
        extent = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if extent * (extent - 1) // 2 != count:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return _replaced(shape, shape[-1:], (extent, extent))

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 2 or shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        extent = shape[-1]
        return _replaced(shape, shape[-2:], (extent * (extent - 1) // 2,))


def _identity_like(matrix: Any) -> Any:
    from flambeau.ops.ranges import eye

    return eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def _lower_matrix(vector: Any) -> Any:
    """Numbers below the diagonal of a square matrix, row by row."""
    extent = round((0.25 + 2 * vector.shape[-1]) ** 0.5 + 0.5)
    rows, start = [], 0
    for row in range(extent):
        rows.append(pad(vector[..., start : start + row], [0, extent - row]))
        start += row
    return stack(rows, -2)


class _PartsTransform(Transform):
    """Transforms of slices along `dim`."""

    transforms: list[Any]
    dim: int

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # computed
        return all(each.bijective for each in self.transforms)


class CatTransform(_PartsTransform):
    """Applies each of `tseq` to a slice of its length along `dim`."""

    def __init__(
        self, tseq: Sequence[Any], dim: int = 0, lengths: Any = None, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.transforms = [each.with_cache(cache_size) for each in tseq]
        self.dim = dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    @property
    def length(self) -> int:
        """The extent of the dimension."""
        return sum(self.lengths)

    @property
    def event_dim(self) -> int:
        return max(each.event_dim for each in self.transforms)

    @property
    def domain(self) -> Any:
        return constraints.cat([each.domain for each in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        return constraints.cat([each.codomain for each in self.transforms], self.dim, self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _split(self, value: Any) -> Any:
        if value.shape[self.dim] != self.length:
            raise ValueError(
                f"CatTransform expects {self.length} elements along dimension {self.dim}, but got "
                f"shape {tuple(value.shape)}"
            )
        return zip(self.transforms, value.split(self.lengths, self.dim), strict=True)

    def _call(self, x: Any) -> Any:
        return cat([each(part) for each, part in self._split(x)], self.dim)

    def _inverse(self, y: Any) -> Any:
        return cat([each.inv(part) for each, part in self._split(y)], self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        terms = []
        for (each, before), (_, after) in zip(self._split(x), self._split(y), strict=True):
            term = each.log_abs_det_jacobian(before, after)
            terms.append(sum_rightmost(term, self.event_dim - each.event_dim))
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        if dim < 0:
            return cat(terms, dim)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class StackTransform(_PartsTransform):
    """Applies each of `tseq` to one index of `dim`."""

    def __init__(self, tseq: Sequence[Any], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.transforms = [each.with_cache(cache_size) for each in tseq]
        self.dim = dim

    @property
    def domain(self) -> Any:
        return constraints.stack([each.domain for each in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        return constraints.stack([each.codomain for each in self.transforms], self.dim)

    def with_cache(self, cache_size: int = 1) -> Any:
        same = self._cache_size == cache_size
        return self if same else StackTransform(self.transforms, self.dim, cache_size)

    def _split(self, value: Any) -> Any:
        if value.shape[self.dim] != len(self.transforms):
            raise ValueError(
                f"StackTransform expects {len(self.transforms)} elements along dimension "
                f"{self.dim}, but got shape {tuple(value.shape)}"
            )
        return zip(self.transforms, value.unbind(self.dim), strict=True)

    def _call(self, x: Any) -> Any:
        return stack([each(part) for each, part in self._split(x)], self.dim)

    def _inverse(self, y: Any) -> Any:
        return stack([each.inv(part) for each, part in self._split(y)], self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        pairs = zip(self._split(x), self._split(y), strict=True)
        terms = [each.log_abs_det_jacobian(before, after) for (each, before), (_, after) in pairs]
        return stack(terms, self.dim)
