"""What people hold: Tensor over Storage, views, in-place writes, and how values are read.

No operation is defined here: ops/ attaches them (see tensor/attach.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Self

import numpy

from flambeau.autograd.mode import STATE
from flambeau.device import base as devices
from flambeau.graph import dtype as dtypes
from flambeau.graph import numpy_reference, op
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import DType
from flambeau.graph.history import History, is_leaf
from flambeau.graph.node import Node, Shape, TensorType, node, tensor_type
from flambeau.graph.storage import Storage
from flambeau.schedule import flush, watch
from flambeau.tensor.attached import Attached
from flambeau.tensor.device import default_device_name, device, device_of, resolve
from flambeau.tensor.fields import TensorFields, make, own, whole
from flambeau.tensor.record import check_dtype, derive, serve
from flambeau.tensor.size import Size
from flambeau.tensor.view import View, contiguous_strides

HOST = frozenset({"cpu", "reference"})


class Tensor(Attached, TensorFields):
    """A multi-dimensional array of one dtype on one device, recorded and computed when needed.

    PyTorch's torch.Tensor. Made by functions such as `tensor`, `zeros`, `randn`; the legacy
    constructor Tensor(sizes…) or Tensor(data) gives the default dtype.
    """

    __slots__ = ("__dict__",)
    __array_priority__ = 1000
    _after_grad: list[Callable[[Tensor], None]] | None = None
    """Hooks that are called when .grad has its value; in __dict__, where there are any."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = Tensor._legacy(*args, **kwargs)  # type: ignore[attr-defined]  # attached by ops/
        return made if cls is Tensor else Tensor._make_subclass(cls, made)  # type: ignore[attr-defined]  # override.py

    # making ------------------------------------------------------------------------------------

    @classmethod
    def _make(cls, storage: Storage, of: TensorType) -> Tensor:
        """A tensor of this class that is a whole storage."""
        return make(cls, storage, of)

    @classmethod
    def _own(cls, held: Node) -> Tensor:
        """A tensor with a storage of its own, pending unless the Node is computed."""
        return own(cls, held)

    @classmethod
    def _traced(cls, held: Node) -> Tensor:
        """A tensor inside a composite's expansion."""
        return cls._make(Storage(held), held.type)

    @classmethod
    def _from_numpy(
        cls, array: numpy.ndarray[Any, Any], where: str | None = None, copy: bool = True
    ) -> Tensor:
        """A computed tensor of this array. Raises TypeError where the device lacks the dtype."""
        where = where or default_device_name()
        of = tensor_type(array.shape, dtypes.from_numpy(array.dtype))
        check_dtype(where, of.dtype)
        held = placeholder(of)
        held.device = where
        target = devices.get(where)
        if target.computes:
            array = numpy.asarray(array, order="C")
        held.buffer = target.from_numpy(array, of, copy)
        storage = Storage(held)
        if (watcher := watch.active()) is not None:
            watcher.constant(weakref.ref(storage), held, array, copy)
        return cls._make(storage, of)

    def _view_as(self, view: View) -> Tensor:
        """A tensor that sees this tensor's storage through `view` (of the base's whole)."""
        if (watcher := watch.active()) is not None:
            watcher.read(self)
        result = Tensor._make(self._storage, tensor_type(view.shape, self._type.dtype))
        result._view = view
        result._base = self if self._base is None or self._leaf else self._base
        result._tracks = STATE.enabled and (self._tracks or self._leaf)
        result._counts = self._counts
        result._origin = self._origin
        if self._view is not None and result._tracks and not self._leaf and self.requires_grad:
            result._parent = (self, self._view)
        return result

    def _layout(self) -> View:
        return self._view if self._view is not None else View.whole(self._type.shape)

    # reading -----------------------------------------------------------------------------------

    def _read(self) -> Node:
        """The Node of this tensor's value now, carrying its gradient where it has one."""
        held = whole(self)
        if held is not None:
            return held
        if (watcher := watch.active()) is not None:
            watcher.read(self)
        if self._view is not None:
            return self._read_view()
        held = self._storage.node
        if self._leaf:
            return self._leaf_node(held)
        if not self._tracks:
            return self._value_node()
        if held.requires_grad and is_leaf(held):
            return node(op.DETACH, (held,))
        return held

    def _read_view(self) -> Node:
        assert self._view is not None
        if self._leaf:
            return self._read_leaf_view(self._view)
        view = self._view
        if not self._tracks:
            source = self._value_node()
        elif self._base is not None and self._base._leaf:  # which may be a view itself
            source = self._base._read()
            view = view.after(self._base._layout())
        elif self._follows_parent():
            parent, seen = self._parent  # type: ignore[misc]  # it has one
            source, view = parent._read_view(), view.after(seen)
        else:
            source = self._owner()._read()
        cached = self._read_cache
        if cached is not None and cached[0] is source and cached[1] == STATE.enabled:
            return cached[2]
        made = _through(source, view)
        self._read_cache = (source, STATE.enabled, made)
        return made

    def _follows_parent(self) -> bool:
        """Whether the view of which this is one still is what it was: gradients go through it."""
        if self._parent is None:
            return False
        parent, seen = self._parent
        same = parent._view is seen and parent._storage is self._storage
        return same and parent._tracks and not parent._leaf and self._layout().begins_with(seen)

    def _read_leaf_view(self, view: View) -> Node:
        """The same Node for every read, in and out of no_grad: autograd.grad looks for it."""
        held = self._storage.node
        cached = self._read_cache
        if cached is not None and cached[0] is held:
            return cached[2]
        source = self._owner()._read() if self._tracks else self._value_node()
        made = self._leaf_node(_through(source, view))
        self._read_cache = (held, True, made)
        return made

    def _owner(self) -> Tensor:
        """The tensor that is the whole storage: a base may itself have become a view (t_())."""
        owner = self
        while owner._base is not None:
            owner = owner._base
        return owner

    def _value_node(self) -> Node:
        """The storage's Node, without its gradient.

        Also where it has none yet: a leaf that shares the storage marks the Node when it is read.
        """
        held = self._storage.node
        if held.requires_grad or (STATE.enabled and held.type.dtype.has_gradient):
            return node(op.DETACH, (held,))
        return held

    def _leaf_node(self, held: Node) -> Node:
        """`held` marked as this leaf's value."""
        history: History | None = held.history
        if history is not None and history.leaf is not None and history.leaf() is self:
            return held
        if held.requires_grad:  # another leaf of the same storage has marked it
            cached = self._read_cache
            if cached is not None and cached[0] is held:
                return cached[2]  # the same Node for every read, which autograd.grad looks for
            before, held = held, node(op.DETACH, (held,))
            self._read_cache = (before, True, held)
        held.requires_grad = True
        held.history = History(weakref.ref(self))
        if self._hooks is None:
            self._hooks = []
        held.history.hooks = self._hooks
        return held

    def _to_numpy(self) -> numpy.ndarray[Any, Any]:
        """The values, computed now; shares memory on the host."""
        if STATE.tracing:
            raise RuntimeError(
                "a composite's body must not read values: they are not known when it is expanded"
            )
        if (watcher := watch.active()) is not None:
            watcher.value(self)
        held = self._storage.node
        where = devices.get(held.device)
        if self._view is not None and held.device not in HOST:
            seen = _through(self._value_node(), self._view)
            flush.flush([seen])
            return where.to_numpy(seen.buffer)
        if held.buffer is None:
            flush.flush([held])
        array = where.to_numpy(held.buffer)
        if self._view is None:
            return array
        return numpy_reference.view(self._view.steps, self._view.starts, array)

    def _element(self) -> Any:
        """The value of the only element, computed now, as a Python number."""
        held = self._storage.node
        view = self._view
        if STATE.tracing or held.device not in HOST or held.type.dtype is not self._type.dtype:
            return self._to_numpy().item()
        if (watcher := watch.active()) is not None:
            watcher.value(self)
        if held.buffer is None:
            flush.flush((held,))
        return devices.get(held.device).element(held.buffer, 0 if view is None else view.offset)

    # writing -----------------------------------------------------------------------------------

    def _write(self, value: Node) -> Self:
        """Make `value` (of this tensor's type, recorded for this purpose) this tensor's content."""
        self._check_writable()
        if (watcher := watch.active()) is not None:
            watcher.written(self)
        storage = self._storage
        old = storage.node
        if self._view is None or not self._view.steps:  # a view without steps is the whole
            new = value
        else:
            source = self._owner()._read() if self._tracks else self._value_node()
            new = derive(op.ASSIGN, (source, value), (self._view.steps,), self._view.starts)
            new.site = value.site
        if old.requires_grad and not is_leaf(old) and not (STATE.enabled and self._tracks):
            new = node(op.GRAFT, (new, old))  # another value; the gradient goes where it went
            new.requires_grad = True
            new.history = History()
        new.device = old.device
        storage.node = new
        storage.version += self._counts
        if new.buffer is None and not STATE.tracing:
            flush.announce(weakref.ref(storage))
        if new.device == "reference":
            flush.flush()
        return self

    def _check_writable(self) -> None:
        """Raises RuntimeError where PyTorch forbids an in-place operation."""
        if self._view is not None and self._view.repeats:
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation."
            )
        if STATE.enabled and self._tracks:
            if self._leaf:
                raise RuntimeError(
                    "a leaf Variable that requires grad is being used in an in-place operation. "
                    "Change it inside no_grad()."
                )
            if self._base is not None and self._base._leaf:
                raise RuntimeError(
                    "a view of a leaf Variable that requires grad is being used in an in-place "
                    "operation. Change it inside no_grad()."
                )
            if self._origin is not None and self.requires_grad:
                raise RuntimeError(
                    f"{self._origin} is a view and is being modified inplace. This view is the "
                    "output of a function that returns multiple views. Such functions do not allow "
                    "the output views to be modified inplace. You should replace the inplace "
                    "operation by an out-of-place one."
                )

    # facts -------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._type.shape)

    @property
    def dtype(self) -> DType:
        return self._type.dtype

    @property
    def device(self) -> device:
        return device_of(self._storage.node.device or default_device_name())

    @property
    def ndim(self) -> int:
        return len(self._type.shape)

    def numel(self) -> int:
        """The number of elements."""
        return self._type.size

    def stride(self, dim: int | None = None) -> Any:
        """How many elements to the next along each dimension."""
        strides = (
            self._view.strides if self._view is not None else contiguous_strides(self._type.shape)
        )
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Where in the storage the first element lies."""
        return self._view.offset if self._view is not None else 0

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        if self._view is None or self._type.size == 0:
            return True
        wanted = contiguous_strides(self._type.shape)
        return all(
            extent == 1 or stride == want
            for extent, stride, want in zip(
                self._type.shape, self._view.strides, wanted, strict=True
            )
        )

    @property
    def _version(self) -> int:
        return self._storage.version

    def data_ptr(self) -> int:
        """The address of the first element on the host; computes the tensor. On meta 0."""
        if not devices.get(self._storage.node.device).computes:
            return 0
        return self._to_numpy().__array_interface__["data"][0]

    # gradients ---------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        if self._leaf:
            return True
        if not self._tracks:
            return False
        if self._base is not None:
            return self._base.requires_grad
        held = self._storage.node
        return held.requires_grad and not is_leaf(held)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Record what is done with this tensor from here on. Floats only (RuntimeError)."""
        if not requires_grad:
            if self.requires_grad and not self._leaf:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to "
                    "use a computed variable in a subgraph that doesn't require differentiation "
                    "use var_no_grad = var.detach()."
                )
            self._leaf = False
            self._read_cache = None
        elif not self.requires_grad:
            if not self._type.dtype.has_gradient:
                raise RuntimeError(
                    "only Tensors of floating point and complex dtype can require gradients"
                )
            self._leaf = True
            self._read_cache = None
        return self

    @property
    def is_leaf(self) -> bool:
        return self._leaf or not self.requires_grad

    @property
    def grad(self) -> Tensor | None:
        if (watcher := watch.active()) is not None:
            watcher.gradient(self, False)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got {type(value).__name__}"
                )
            if value._type is not self._type:
                raise RuntimeError(
                    f"assigned grad has data of type {value._type}, expected {self._type}"
                )
        if (watcher := watch.active()) is not None:
            watcher.gradient(self, True)
        self._grad = value

    def _accumulate_grad(self, gradient: Node) -> None:
        """Autograd's delivery to a leaf."""
        if (watcher := watch.active()) is not None:
            watcher.gradient(self, False)
        if self._grad is None:
            self._grad = Tensor._own(gradient)
        elif gradient.requires_grad or self._grad.requires_grad:
            self._grad = Tensor._own(derive(op.ADD, (self._grad._read(), gradient)))
        else:
            with_both = node(op.ADD, (self._grad._read(), gradient))
            self._grad._write(with_both)
        if self._after_grad is not None:
            for hook in tuple(self._after_grad):
                hook(self)

    def detach(self) -> Tensor:
        """The same storage and version, without gradient."""
        if (watcher := watch.active()) is not None:
            watcher.read(self)
        result = Tensor._make(self._storage, self._type)
        if STATE.tracing:
            result._storage = Storage(node(op.DETACH, (self._read(),)))
            return result
        result._tracks = False
        result._counts = self._counts
        if self._base is not None:
            result._base = self._base.detach()
            result._view = self._view
        return result

    @property
    def data(self) -> Tensor:
        """As detach(), but writing through it does not count as a new version.

        Assigning gives this tensor another value without autograd noticing.
        """
        result = self.detach()
        result._counts = False
        return result

    @data.setter
    def data(self, value: Tensor) -> None:
        watch.refuse("a tensor's .data is replaced")
        if value._type is not self._type:
            self._type = value._type
        self._view, self._base, self._read_cache = value._view, value._base, None
        if self._base is not None:
            self._base = self._base.detach()
        self._storage = value._storage

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment. In a module, this may be a weight that "
                "torch.nn.utils.weight_norm or prune computes: copy it before, or use "
                "torch.nn.utils.parametrizations"
            )
        if id(self) in memo:
            return memo[id(self)]
        held = node(op.MATERIALIZE, (self.detach()._read(),))
        held.device = self._storage.node.device
        result = type(self)._own(held)
        memo[id(self)] = result
        result._leaf = self._leaf
        result.__dict__.update({k: copy_value(v, memo) for k, v in self._attributes().items()})
        if self._grad is not None:
            result._grad = self._grad.__deepcopy__(memo)
        return result

    def _attributes(self) -> dict[str, Any]:
        """What programs keep in a tensor and copies take along: not its hooks."""
        return {name: each for name, each in self.__dict__.items() if name != "_after_grad"}

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Values, device and requires_grad; views become tensors of their own."""
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) can be pickled; "
                "detach() the tensor first"
            )
        array = numpy.array(self._to_numpy())
        kind = () if type(self) is Tensor else (type(self),)
        return _unpickled, (array, self.device.type, self._leaf, self._attributes(), *kind)

    def __hash__(self) -> int:
        return id(self)


serve(Tensor)


def _unpickled(
    array: numpy.ndarray[Any, Any],
    where: str,
    requires_grad: bool,
    state: dict[str, Any],
    kind: type[Tensor] = Tensor,
) -> Tensor:
    """A tensor of what __reduce_ex__ gave."""
    made = Tensor._from_numpy(array, resolve(where), copy=False)
    if kind is not Tensor:
        made = kind._make(made._storage, made._type)
    made._leaf = requires_grad
    made.__dict__.update(state)
    return made


def copy_value(value: Any, memo: dict[int, Any]) -> Any:
    """deepcopy, imported where it is used."""
    import copy

    return copy.deepcopy(value, memo)


def _through(source: Node, view: View) -> Node:
    """`source` through the view's steps, recording gradients where on."""
    used = 0
    for name, *attrs in view.steps:
        starts: Shape = ()
        if name == "SLICE":
            starts = view.starts[used : used + len(attrs[0])]
            used += len(starts)
        source = derive(op.PRIMITIVES[name], (source,), tuple(attrs), starts)
    return source
