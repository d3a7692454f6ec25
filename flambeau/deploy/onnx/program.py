"""What torch.onnx.export returns: the model, and how to save and to run it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flambeau.deploy.onnx.library import library
from flambeau.serialization.files import replace
from flambeau.tensor.tensor import Tensor
from flambeau.utils import _pytree as pytree

_LIMIT = (1 << 31) - (1 << 20)
"""A protobuf message holds less than 2 GiB; larger models keep their weights beside them."""


class ONNXProgram:
    """An exported model. PyTorch's torch.onnx.ONNXProgram.

    model_proto   the onnx.ModelProto
    """

    def __init__(self, model_proto: Any) -> None:
        self.model_proto = model_proto

    def save(
        self,
        destination: str | os.PathLike[str] | Any,
        *,
        include_initializers: bool = True,
        keep_initializers_as_inputs: bool = False,
        external_data: bool | None = None,
    ) -> None:
        """Write the model to a path, all at once, or to a file object.

        A model of 2 GiB and more, or external_data=True, keeps its weights in a file beside it,
        `<path>.data`. Raises ValueError where such a model is to be written to a file object.
        """
        if not include_initializers or keep_initializers_as_inputs:
            raise NotImplementedError(
                "ONNXProgram.save: give export_params=False or keep_initializers_as_inputs=True to "
                "torch.onnx.export instead"
            )
        large = self.model_proto.ByteSize() > _LIMIT
        if hasattr(destination, "write"):
            if large or external_data:
                raise ValueError(
                    "torch.onnx.export: a model whose weights are kept in a file of their own must "
                    "be written to a path"
                )
            destination.write(self.model_proto.SerializeToString())
        else:
            _write(self.model_proto, Path(destination), large or bool(external_data))

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """Run the model with onnx.reference, which is slow; the outputs as a tuple."""
        from onnx.reference import ReferenceEvaluator

        leaves = [each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        graph = self.model_proto.graph
        stored = {each.name for each in graph.initializer}
        names = [each.name for each in graph.input if each.name not in stored]
        feeds = dict(zip(names, [each.detach()._to_numpy() for each in leaves], strict=True))
        found: Any = ReferenceEvaluator(self.model_proto).run(None, feeds)
        return tuple([Tensor._from_numpy(each) for each in found])

    def __repr__(self) -> str:
        graph = self.model_proto.graph
        opset = self.model_proto.opset_import[0].version
        inputs = ", ".join(each.name for each in graph.input)
        outputs = ", ".join(each.name for each in graph.output)
        return f"ONNXProgram(opset {opset}, {len(graph.node)} nodes: {inputs} -> {outputs})"


def _write(model: Any, path: Path, apart: bool) -> None:
    """Under a temporary name first, so that no reader sees half a file."""
    onnx = library()
    if apart:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        onnx.save_model(copy, str(path), save_as_external_data=True, location=f"{path.name}.data")
        return
    replace(path, lambda file: file.write(model.SerializeToString()))
