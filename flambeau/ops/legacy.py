"""What old programs still name: torch.FloatTensor and its like, memory formats and layouts."""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.data import legacy
from flambeau.tensor.device import set_default_dtype
from flambeau.tensor.tensor import Tensor


class _TensorType(type):
    """A class whose calls make tensors of one dtype, and whose instances are such tensors."""

    dtype: DType

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        return legacy(args, cls.dtype, device)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


def _tensor_type(dtype: DType) -> Any:
    name = f"{DTYPE_TITLES[dtype.name]}Tensor"
    doc = f"name(sizes…) or name(data): a tensor of {dtype.name}."
    return _TensorType(name, (), {"dtype": dtype, "__doc__": doc, "__module__": __name__})


BoolTensor = _tensor_type(dtypes.bool_)
ByteTensor = _tensor_type(dtypes.uint8)
CharTensor = _tensor_type(dtypes.int8)
ShortTensor = _tensor_type(dtypes.int16)
IntTensor = _tensor_type(dtypes.int32)
LongTensor = _tensor_type(dtypes.int64)
HalfTensor = _tensor_type(dtypes.float16)
BFloat16Tensor = _tensor_type(dtypes.bfloat16)
FloatTensor = _tensor_type(dtypes.float32)
DoubleTensor = _tensor_type(dtypes.float64)


def set_default_tensor_type(t: Any) -> None:
    """Make the dtype of a class such as torch.DoubleTensor (or its name) the default dtype."""
    if isinstance(t, str):
        t = globals().get(t.rpartition(".")[2])
    if not isinstance(t, _TensorType):
        raise TypeError("invalid type object: expected a class such as torch.FloatTensor")
    set_default_dtype(t.dtype)


class memory_format:  # noqa: N801  # PyTorch's name
    """How elements lie in memory. Taken as an argument; here all lie in row-major order."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"


class layout:  # noqa: N801  # PyTorch's name
    """Dense (strided), sparse (sparse_coo, sparse_csr) or nested by rows (jagged)."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
jagged = layout("jagged")
Tensor.layout = property(lambda self: strided)  # type: ignore[attr-defined]  # a fact of all tensors

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "jagged",
    "layout",
    "memory_format",
    "preserve_format",
    "set_default_tensor_type",
    "sparse_coo",
    "sparse_csr",
    "strided",
]
