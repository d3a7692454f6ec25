"""The reference device: a numpy interpreter of the primitives, run operation by operation.

It is the oracle of the tests and the debug mode: an error's traceback is at the line of its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy

from flambeau.device import host
from flambeau.device.base import Buffer, Device, Executable
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, TensorType, walk
from flambeau.graph.op import Primitive
from flambeau.kernel.program import Program


class ReferenceBuffer(Buffer):
    """A numpy array."""

    __slots__ = ("array",)

    def __init__(self, of: TensorType, array: numpy.ndarray[Any, Any]) -> None:
        super().__init__(of)
        self.array = array

    def become(self, of: TensorType) -> None:
        self.type = of
        self.array = self.array.view(of.dtype.numpy).reshape(of.shape)


def _as_stored(array: numpy.ndarray[Any, Any], of: TensorType) -> numpy.ndarray[Any, Any]:
    """Complex numbers as pairs of real ones, where the graph has these."""
    if array.dtype.kind != "c":
        return array
    return numpy.ascontiguousarray(array).view(of.dtype.numpy).reshape(of.shape)


class Interpreter(Executable):
    """Runs a Graph Node by Node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = walk(graph.outputs)

    def run(self, inputs: Sequence[Any], scalars: Sequence[Any]) -> list[Any]:
        values: dict[Node, Any] = {
            node: _as_stored(buffer.array, node.type)
            for node, buffer in zip(self.graph.inputs, inputs, strict=True)
        }
        with numpy.errstate(all="ignore"):
            for node in self.order:
                if node not in values:
                    values[node] = self._compute(node, values, scalars)
        return [
            ReferenceBuffer(node.type, numpy.array(values[node], node.dtype.numpy, order="C"))
            for node in self.graph.outputs
        ]

    @staticmethod
    def _compute(node: Node, values: dict[Node, Any], scalars: Sequence[Any]) -> Any:
        arrays = [values[each] for each in node.inputs]
        if node.op is op.CALL:
            function, *attrs, _results = node.attrs
            return host.HOST_FUNCTIONS[function](tuple(attrs), *arrays)
        actual = tuple(
            [scalars[each.index] if isinstance(each, ScalarRef) else each for each in node.scalars]
        )
        try:
            return cast(Primitive, node.op).reference(node.attrs, actual, *arrays)
        except (IndexError, RuntimeError) as error:
            where = f" (at {node.location[0]}:{node.location[1]})" if node.location else ""
            raise type(error)(f"{error}{where}") from None

    def describe(self) -> str:
        return "\n".join(f"numpy  {node.signature!r}" for node in self.order)


class ReferenceDevice(Device):
    """numpy on the host, eager."""

    name = "reference"

    def interpret(self, graph: Graph) -> Executable:
        return Interpreter(graph)

    def from_numpy(
        self, array: numpy.ndarray[Any, Any], of: TensorType, copy: bool
    ) -> ReferenceBuffer:
        return ReferenceBuffer(of, array.copy() if copy else array)

    def to_numpy(self, buffer: ReferenceBuffer) -> numpy.ndarray[Any, Any]:
        return buffer.array

    def compile(self, program: Program) -> Executable:
        raise NotImplementedError("the reference device interprets graphs, not programs")

    def information(self) -> dict[str, str]:
        return {"numpy": numpy.__version__}
