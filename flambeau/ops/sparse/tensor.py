"""Sparse tensors: int64 coordinates (dimensions, elements) and the values there: plain tensors.

What is computed with a sparse tensor is computed with its values, so gradients reach them. An
operation that is not here says so instead of making the tensor dense behind one's back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy

from flambeau.graph.dtype import DType, int64
from flambeau.graph.node import Node, tensor_type
from flambeau.ops.axes import integers
from flambeau.ops.creation import zeros
from flambeau.ops.data import as_tensor
from flambeau.ops.legacy import sparse_coo, sparse_csr
from flambeau.ops.places import put_places
from flambeau.tensor import override
from flambeau.tensor.tensor import Tensor
from flambeau.tensor.view import View


class SparseTensor(Tensor):
    """Coordinates and values; `layout` is torch.sparse_coo or torch.sparse_csr."""

    __slots__ = ("_coalesced", "_content", "_kind", "_places")
    __torch_function__ = staticmethod(override.disabled)

    _places: Tensor
    _content: Tensor
    _coalesced: bool
    _kind: Any
    is_sparse = True

    @classmethod
    def make(
        cls,
        places: Tensor,
        values: Tensor,
        shape: Sequence[int],
        coalesced: bool = False,
        kind: Any = sparse_coo,
    ) -> SparseTensor:
        """A sparse tensor of these coordinates (dimensions, elements) and values (elements, …)."""
        made = cls._make(values._storage, tensor_type(tuple(shape), values._type.dtype))
        assert isinstance(made, SparseTensor)
        made._places = places
        made._content = values
        made._coalesced = coalesced
        made._kind = kind
        return made

    def like(self, values: Tensor) -> SparseTensor:
        """Other values at the same coordinates."""
        return self.make(self._places, values, self._type.shape, self._coalesced, self._kind)

    # what dense operations ask for --------------------------------------------------------------

    def _refuse(self) -> NotImplementedError:
        return NotImplementedError(
            "this operation is not available for sparse tensors: convert with to_dense(), or use "
            "torch.sparse, @, +, * with a number, sum, t(), coalesce()"
        )

    def _read(self) -> Node:
        raise self._refuse()

    def _layout(self) -> View:
        raise self._refuse()

    def _view_as(self, view: View) -> Tensor:
        raise self._refuse()

    def _element(self) -> Any:
        return self._to_numpy().item()

    def _to_numpy(self) -> numpy.ndarray[Any, Any]:
        raise TypeError(
            "can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() to convert to a "
            "dense tensor first."
        )

    # facts --------------------------------------------------------------------------------------

    @property
    def layout(self) -> Any:
        return self._kind

    @property
    def requires_grad(self) -> bool:
        return self._content.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._content.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        self._content.requires_grad_(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        return self._content.is_leaf

    @property
    def grad(self) -> Tensor | None:
        found = self._content.grad
        return None if found is None else self.like(found)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        self._content.grad = value._content if isinstance(value, SparseTensor) else value

    @property
    def is_sparse_csr(self) -> bool:
        return self._kind is sparse_csr

    def sparse_dim(self) -> int:
        """How many dimensions have coordinates."""
        return self._places._type.shape[0]

    def dense_dim(self) -> int:
        """How many dimensions each value has."""
        return self._content.ndim - 1

    def is_coalesced(self) -> bool:
        """Whether coordinates are sorted and differ."""
        return self._coalesced

    def _coalesced_(self, coalesced: bool) -> Self:
        self._coalesced = coalesced
        return self

    def _nnz(self) -> int:
        """How many values there are."""
        return self._content._type.shape[0]

    def _indices(self) -> Tensor:
        return self._places

    def _values(self) -> Tensor:
        return self._content

    def indices(self) -> Tensor:
        """The coordinates. RuntimeError where the tensor is not coalesced."""
        self._check_coalesced("indices")
        return self._places

    def values(self) -> Tensor:
        """The values. RuntimeError where the tensor is not coalesced."""
        self._check_coalesced("values")
        return self._content

    def _check_coalesced(self, name: str) -> None:
        if not self._coalesced:
            raise RuntimeError(
                f"Cannot get {name} on an uncoalesced tensor, please call .coalesce() first"
            )

    def crow_indices(self) -> Tensor:
        """Where each row of a CSR matrix begins among its values."""
        self._check_csr("crow_indices")
        counts = numpy.bincount(self._places[0]._to_numpy(), minlength=self._type.shape[0])
        starts = numpy.concatenate([[0], numpy.cumsum(counts)])
        return Tensor._from_numpy(starts.astype(numpy.int64), self.device.type)

    def col_indices(self) -> Tensor:
        """The columns of a CSR matrix's values."""
        self._check_csr("col_indices")
        return self._places[1]

    def _check_csr(self, name: str) -> None:
        if self._kind is not sparse_csr:
            raise RuntimeError(f"{name} expected sparse row compressed tensor layout")

    # other forms --------------------------------------------------------------------------------

    def coalesce(self) -> SparseTensor:
        """Sorted, with the values of equal coordinates added up. The coordinates are read."""
        if self._coalesced:
            return self
        places = self._places._to_numpy()
        sizes = self._type.shape[: len(places)]
        flat = numpy.ravel_multi_index(tuple(places), sizes) if len(places) else places.sum(0)
        kept, target = numpy.unique(flat, return_inverse=True)
        where = self.device.type
        order = Tensor._from_numpy(target.astype(numpy.int64), where)
        values = zeros(
            (len(kept), *self._content._type.shape[1:]), dtype=self.dtype, device=self.device
        ).index_add(0, order, self._content)
        rows = numpy.stack(numpy.unravel_index(kept, sizes)) if len(places) else places[:, :1]
        found = Tensor._from_numpy(rows.astype(numpy.int64), where)
        return self.make(found, values, self._type.shape, True, self._kind)

    def to_dense(self, dtype: DType | None = None, *, masked_grad: bool | None = None) -> Tensor:
        """All elements, zeros where nothing is stored."""
        target = zeros(self._type.shape, dtype=self.dtype, device=self.device)
        at = list(enumerate(self._places.unbind(0)))
        found = (
            put_places(target, at, self._content, "add") if at else target + self._content.sum(0)
        )
        return found if dtype is None else found.to(dtype)

    def to_sparse(self, *args: Any, layout: Any = None) -> SparseTensor:
        """Itself, or in another layout."""
        if layout is None or layout is self._kind:
            return self
        whole = self.coalesce()
        return self.make(whole._places, whole._content, self._type.shape, True, layout)

    def to_sparse_coo(self) -> SparseTensor:
        """In the layout torch.sparse_coo."""
        return self.to_sparse(layout=sparse_coo)

    def to_sparse_csr(self, dense_dim: int | None = None) -> SparseTensor:
        """In the layout torch.sparse_csr: a matrix's rows in order."""
        if self.ndim != 2:
            raise RuntimeError(f"to_sparse_csr expects a matrix, got {self.ndim}-D tensor")
        return self.to_sparse(layout=sparse_csr)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """To another dtype or device."""
        values = self._content.to(*args, **kwargs)
        places = self._places.to(values.device)
        return self.make(places, values, self._type.shape, self._coalesced, self._kind)

    def cpu(self) -> SparseTensor:
        return self.to("cpu")

    def type(self, dtype: Any = None, *args: Any) -> Any:
        if dtype is None:
            return f"torch.sparse.{self._content.type().removeprefix('torch.')}"
        return self.like(self._content.type(dtype))

    def detach(self) -> SparseTensor:
        return self.like(self._content.detach())

    def clone(self, *, memory_format: Any = None) -> SparseTensor:
        return self.make(
            self._places.clone(),
            self._content.clone(),
            self._type.shape,
            self._coalesced,
            self._kind,
        )

    def contiguous(self, memory_format: Any = None) -> Self:
        return self

    def transpose(self, dim0: int, dim1: int) -> SparseTensor:
        """Two dimensions exchanged; both must have coordinates."""
        order = list(range(self.sparse_dim()))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        shape = list(self._type.shape)
        shape[dim0], shape[dim1] = shape[dim1], shape[dim0]
        places = self._places[order]
        return self.make(places, self._content, shape, False, sparse_coo)

    def t(self) -> SparseTensor:
        """A matrix transposed."""
        return self.transpose(0, 1) if self.ndim == 2 else self

    @property
    def T(self) -> SparseTensor:  # noqa: N802  # PyTorch's name
        return self.t()

    @property
    def mT(self) -> SparseTensor:  # noqa: N802  # PyTorch's name
        return self.t()

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self._type.shape[dim]

    def backward(self, *args: Any, **kwargs: Any) -> None:
        raise self._refuse()

    def __len__(self) -> int:
        return self._type.shape[0]

    # arithmetic ---------------------------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        from flambeau.ops.sparse.products import matrix_product

        return matrix_product(self, other) if isinstance(other, Tensor) else NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        from flambeau.ops.sparse.products import matrix_product

        return matrix_product(other, self) if isinstance(other, Tensor) else NotImplemented

    matmul = mm = mv = spmm = __matmul__

    def __add__(self, other: Any) -> Any:
        from flambeau.ops.sparse.products import add

        return add(self, other)

    __radd__ = __add__

    def add(self, other: Any, *, alpha: Any = 1) -> Any:
        return self + (other if alpha == 1 else other * alpha)

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __neg__(self) -> SparseTensor:
        return self.like(-self._content)

    def __mul__(self, other: Any) -> Any:
        from flambeau.ops.sparse.products import multiply

        return multiply(self, other)

    __rmul__ = mul = __mul__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, Tensor) and other.ndim:
            raise self._refuse()
        return self.like(self._content / other)

    div = __truediv__

    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Any:
        from flambeau.ops.sparse.products import sum as sum_over

        return sum_over(self, dim, dtype)

    # as an object -------------------------------------------------------------------------------

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return (
            f"tensor(indices={self._places!r},\n       values={self._content!r},\n"
            f"       size={tuple(self._type.shape)}, nnz={self._nnz()}, layout={self._kind!r})"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseTensor:
        places, values = copy.deepcopy((self._places, self._content), memo)
        return self.make(places, values, self._type.shape, self._coalesced, self._kind)

    def __reduce_ex__(self, protocol: Any) -> Any:
        parts = (self._places, self._content, tuple(self._type.shape), self._coalesced, self._kind)
        return SparseTensor.make, parts

    def __hash__(self) -> int:
        return id(self)


def _valuewise(name: str) -> Callable[..., Any]:
    """A function with f(0) = 0: of the values (added up before) alone."""

    def call(self: SparseTensor, *args: Any, **kwargs: Any) -> SparseTensor:
        whole = self.coalesce()
        return whole.like(getattr(whole._content, name)(*args, **kwargs))

    call.__name__ = name
    call.__doc__ = f"{name} of the values."
    return call


for _name in (
    "abs",
    "sqrt",
    "square",
    "pow",
    "sin",
    "tanh",
    "relu",
    "neg",
    "sign",
    "float",
    "double",
    "half",
    "long",
    "int",
):
    setattr(SparseTensor, _name, _valuewise(_name))


# making -----------------------------------------------------------------------------------------


def sparse_coo_tensor(
    indices: Any,
    values: Any = None,
    size: Any = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> SparseTensor:
    """A sparse tensor of coordinates (dimensions, elements) and values (elements, …).

    Values of equal coordinates count together. Without `size` the least that holds all; with
    `size` alone, sparse_coo_tensor(size), an empty one. Raises RuntimeError for a coordinate that
    is out of range: they are read.
    """
    if values is None:
        shape = integers(indices)
        return _nothing(shape, dtype, device, requires_grad)
    places = as_tensor(indices, device=device).to(int64)
    content = as_tensor(values, dtype=dtype, device=device)
    places = places.reshape(1, -1) if places.ndim == 1 else places
    if content.ndim == 0:
        content = content.expand(places._type.shape[1])
    if places._type.shape[1] != content._type.shape[0]:
        raise RuntimeError(
            "indices and values must have same nnz, but got nnz from indices: "
            f"{places.shape[1]}, nnz from values: {content.shape[0]}"
        )
    read = places._to_numpy()
    if read.size and read.min() < 0:
        raise RuntimeError(f"found negative index {read.min()}")
    if size is None:
        shape = tuple([int(each) + 1 for each in read.max(1, initial=-1)])
        shape = (*shape, *content._type.shape[1:])
    else:
        shape = integers(size)
        _check_places(read, shape, content)
    made = SparseTensor.make(places, content, shape, bool(is_coalesced))
    return made.detach().requires_grad_() if requires_grad else made


def _nothing(
    shape: tuple[int, ...], dtype: DType | None, device: Any, requires_grad: bool
) -> SparseTensor:
    places = zeros((len(shape), 0), dtype=int64, device=device)
    made = SparseTensor.make(places, zeros(0, dtype=dtype, device=device), shape, True)
    return made.requires_grad_(requires_grad)


def _check_places(read: Any, shape: tuple[int, ...], values: Tensor) -> None:
    if len(read) + values.ndim - 1 != len(shape):
        raise RuntimeError(
            f"number of dimensions must be sparse_dim ({len(read)}) + dense_dim "
            f"({values.ndim - 1}), but got {len(shape)}"
        )
    for axis, row in enumerate(read):
        if row.size and row.max() >= shape[axis]:
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {axis}, size is {shape[axis]} but "
                f"found index {row.max()}"
            )


def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> SparseTensor:
    """A sparse matrix by rows: where each row begins, and the columns of the values."""
    starts = as_tensor(crow_indices)._to_numpy()
    columns = as_tensor(col_indices)._to_numpy()
    rows = numpy.repeat(numpy.arange(len(starts) - 1), numpy.diff(starts))
    shape = size
    if shape is None:
        shape = (len(starts) - 1, int(columns.max(initial=-1)) + 1)
    made = sparse_coo_tensor(
        numpy.stack([rows, columns]),
        values,
        shape,
        dtype=dtype,
        device=device,
        requires_grad=requires_grad,
        is_coalesced=True,
    )
    made._kind = sparse_csr
    return made


def to_sparse(self: Tensor, sparse_dim: int | None = None, *, layout: Any = None) -> SparseTensor:
    """The elements that are not 0 with their coordinates; their places are read."""
    count = self.ndim if sparse_dim is None else sparse_dim
    array = self.detach()._to_numpy()
    used = (array != 0).reshape(*array.shape[:count], -1).any(-1)
    places = numpy.stack(numpy.nonzero(used)) if count else numpy.zeros((0, 1))
    found = Tensor._from_numpy(places.astype(numpy.int64), self.device.type)
    values = self[tuple(found.unbind(0))] if count else self.unsqueeze(0)
    kind = sparse_coo if layout is None else layout
    return SparseTensor.make(found, values, self._type.shape, True, kind)
