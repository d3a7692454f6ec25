"""Types that annotations name. PyTorch's torch.types."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

from flambeau.graph.dtype import DType
from flambeau.tensor.device import device
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor

__all__ = ["Device", "FileLike", "Number", "Storage"]

Number: TypeAlias = int | float | bool
Device: TypeAlias = device | str | int | None
FileLike: TypeAlias = str | os.PathLike[str] | Any
Storage: TypeAlias = Any

_device: TypeAlias = device
_dtype: TypeAlias = DType
_size: TypeAlias = Size | list[int] | tuple[int, ...]
_int: TypeAlias = int
_float: TypeAlias = float
_bool: TypeAlias = bool
_complex: TypeAlias = complex
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
