"""From what was written to a ModelProto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.deploy.onnx.extents import Dim, Extent
from flambeau.deploy.onnx.library import element_type, library
from flambeau.deploy.onnx.writer import Array, Record, Value, Writer
from flambeau.graph.dtype import DType
from flambeau.version import __version__

Named = tuple[str, Value]


def used_records(writer: Writer, outputs: Sequence[Value]) -> list[Record]:
    """The nodes that the outputs need, in order."""
    needed = {each.name for each in outputs}
    kept = []
    for record in reversed(writer.records):
        if needed.intersection(record.outputs):
            kept.append(record)
            needed.update(record.inputs)
    return kept[::-1]


class Labels:
    """Names of extents that are not fixed: those the user gave, else one for each expression."""

    def __init__(self, known: dict[Dim, str]) -> None:
        self.known = known

    def of(self, extent: Extent) -> int | str:
        if isinstance(extent, int):
            return extent
        return self.known.setdefault(extent, f"extent_{len(self.known)}")


def _tensor(name: str, array: Array, dtype: DType) -> Any:
    """Raw bytes are little-endian."""
    onnx = library()
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return onnx.TensorProto(
        name=name, dims=array.shape, data_type=element_type(dtype), raw_data=array.tobytes()
    )


def _info(name: str, value: Value, labels: Labels) -> Any:
    shape = [labels.of(each) for each in value.shape]
    return library().helper.make_tensor_value_info(name, element_type(value.dtype), shape)


def build(
    writer: Writer,
    inputs: Sequence[Named],
    outputs: Sequence[Named],
    parameters: dict[str, tuple[Array, DType]],
    labels: Labels,
    name: str,
    initializers_as_inputs: bool,
) -> Any:
    """The ModelProto. Outputs that are inputs, parameters or one another are copied by Identity."""
    onnx = library()
    records = used_records(writer, [value for _, value in outputs])
    made = {each for record in records for each in record.outputs}
    renamed: dict[str, str] = {}
    nodes = []
    copies = []
    for wanted, value in outputs:
        if value.name in made and value.name not in renamed:
            renamed[value.name] = wanted
        else:
            copies.append((value.name, wanted))
    for number, record in enumerate(records):
        node = onnx.helper.make_node(
            record.kind,
            [renamed.get(each, each) for each in record.inputs],
            [renamed.get(each, each) for each in record.outputs],
            name=f"{record.kind}_{number}",
            **record.attributes,
        )
        nodes.append(node)
    nodes += [
        onnx.helper.make_node("Identity", [renamed.get(source, source)], [wanted])
        for source, wanted in copies
    ]
    read = {each for node in nodes for each in node.input}
    arrays = {**parameters, **writer.arrays}
    stored = {each: pair for each, pair in arrays.items() if each in read}
    taken = [_info(each, value, labels) for each, value in inputs]
    if initializers_as_inputs:
        taken += [
            _info(each, Value(each, dtype, array.shape), labels)
            for each, (array, dtype) in stored.items()
        ]
    graph = onnx.helper.make_graph(
        nodes,
        name,
        taken,
        [_info(each, value, labels) for each, value in outputs],
        [_tensor(each, *pair) for each, pair in stored.items()],
    )
    return _model(graph, writer.opset)


def _model(graph: Any, opset: int) -> Any:
    onnx = library()
    imports = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(
        graph,
        producer_name="flambeau",
        producer_version=__version__,
        opset_imports=imports,
        ir_version=max(onnx.helper.find_min_ir_version_for(imports), 8),
    )
