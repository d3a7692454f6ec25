"""What the tests of the ONNX export share: export, check, and run with programs of others."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils import _pytree as pytree

onnx = pytest.importorskip("onnx", reason="onnx is in the extra 'onnx'")


def exported(model: Any, args: Any, **options: Any) -> Any:
    """The ModelProto as written, after onnx's checker and shape inference."""
    file = io.BytesIO()
    torch.onnx.export(model, args, file, **options)
    proto = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(proto, full_check=True)
    return proto


def arrays(values: Any) -> list[Any]:
    """The tensors of a nest as numpy arrays."""
    leaves = pytree.tree_leaves(values)
    return [each.detach()._to_numpy() for each in leaves if isinstance(each, torch.Tensor)]


def by_reference(proto: Any, values: Any) -> list[Any]:
    """The outputs by onnx's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    names = [each.name for each in proto.graph.input]
    feeds = dict(zip(names, arrays(values), strict=True))
    return list(ReferenceEvaluator(proto).run(None, feeds))


def by_runtime(proto: Any, values: Any) -> list[Any]:
    """The outputs by onnxruntime."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is in the extra 'dev'")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_inputs()]
    return list(session.run(None, dict(zip(names, arrays(values), strict=True))))


def close(found: Sequence[Any], expected: Sequence[Any], tolerance: float = 1e-5) -> None:
    """Shapes, dtypes and values."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        pair = [each.astype(np.float64) for each in (one, other)]
        np.testing.assert_allclose(*pair, rtol=tolerance, atol=tolerance)


def kinds(proto: Any) -> list[str]:
    """The operators in order."""
    return [each.op_type for each in proto.graph.node]
