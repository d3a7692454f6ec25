"""The meta device: tensors that have a shape and a dtype, and no values. PyTorch's "meta".

Operations on them check their arguments and give such tensors; nothing is computed or stored. A
model that is made here costs no memory: `Module.to_empty`, or `load_state_dict(assign=True)`, then
gives it values.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy

from flambeau.device.base import Buffer, Device
from flambeau.graph.node import TensorType
from flambeau.kernel.program import Program

NO_DATA = (
    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
    "torch.nn.Module.to() when moving module from meta to a different device."
)


class MetaDevice(Device):
    """Nothing runs here."""

    name = "meta"
    computes = False

    def from_numpy(self, array: numpy.ndarray[Any, Any], of: TensorType, copy: bool) -> Buffer:
        return Buffer(of)

    def to_numpy(self, buffer: Any) -> NoReturn:
        raise NotImplementedError(NO_DATA)

    def compile(self, program: Program) -> NoReturn:
        raise NotImplementedError("nothing is computed on the meta device")
