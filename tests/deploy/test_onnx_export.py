"""torch.onnx.export itself: names, arguments, files, dynamic axes, and what it refuses."""

from __future__ import annotations

import builtins
import io
import sys
from typing import Any

import numpy as np
import pytest
from onnx_tools import arrays, by_reference, close, exported, kinds, onnx

import flambeau as torch
import flambeau.onnx.operators
from flambeau import nn
from flambeau.deploy.onnx.extents import Dim, Sum, apply, explain, merge

X = torch.arange(6.0).reshape(2, 3)


def linear() -> Any:
    torch.manual_seed(0)
    return nn.Linear(3, 4)


def inputs(proto: Any) -> list[str]:
    return [each.name for each in proto.graph.input]


def shape(value: Any) -> list[Any]:
    return [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]


# names ------------------------------------------------------------------------------------------


def test_names_are_given_or_those_of_forward() -> None:
    class Two(nn.Module):
        def forward(self, left: Any, pair: Any, scale: float = 1.0, *, extra: Any = None) -> Any:
            return {"sum": left + pair[0], "rest": [pair[1] * scale, extra]}

    args = (X, (X + 1, X + 2), 3.0, {"extra": X})
    proto = exported(Two(), args)
    assert inputs(proto) == ["left", "pair_0", "pair_1", "extra"]
    assert [each.name for each in proto.graph.output] == ["output_0", "output_1", "output_2"]
    proto = exported(Two(), args, input_names=["a"], output_names=["x", "y"])
    assert inputs(proto) == ["a", "pair_0", "pair_1", "extra"]
    assert [each.name for each in proto.graph.output] == ["x", "y", "output_2"]
    close(by_reference(proto, [X, X + 1, X + 2, X]), arrays([2 * X + 1, 3 * (X + 2), X]))


def test_parameters_have_their_names_of_the_state_dict() -> None:
    model = nn.Sequential(linear(), nn.BatchNorm1d(4))
    proto = exported(model, X)
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        np.testing.assert_array_equal(stored[name], model.state_dict()[name].numpy())
    assert "1.num_batches_tracked" not in stored


def test_an_input_that_is_named_like_a_parameter() -> None:
    proto = exported(linear(), X, input_names=["weight"])
    close(by_reference(proto, [X]), arrays(linear()(X)))


@pytest.mark.parametrize("names", [{"input_names": ["a", "a"]}, {"output_names": ["x", "x"]}])
def test_names_must_differ(names: Any) -> None:
    with pytest.raises(ValueError, match="two inputs or outputs are named"):
        exported(lambda x, y: (x, y), (X, X), **names)


def test_too_many_names() -> None:
    with pytest.raises(ValueError, match="2 input_names for 1 tensors"):
        exported(linear(), X, input_names=["a", "b"])
    with pytest.raises(ValueError, match="2 output_names for 1 outputs"):
        exported(linear(), X, output_names=["a", "b"])


def test_outputs_that_are_inputs_parameters_or_one_another() -> None:
    model = linear()
    proto = exported(lambda x: (x, model(x) * 0 + 1, x, torch.ones(2)), X)
    close(by_reference(proto, [X]), arrays((X, torch.ones(2, 4), X, torch.ones(2))))


# parameters outside -----------------------------------------------------------------------------


def test_export_params_false_makes_them_inputs() -> None:
    proto = exported(linear(), X, export_params=False)
    assert inputs(proto) == ["input", "weight", "bias"]
    assert not proto.graph.initializer
    model = linear()
    close(by_reference(proto, [X, model.weight, model.bias]), arrays(model(X)))


def test_initializers_may_be_inputs_too() -> None:
    proto = exported(linear(), X, keep_initializers_as_inputs=True)
    assert sorted(inputs(proto)) == ["bias", "input", "weight"]
    assert len(proto.graph.initializer) == 2


def test_constants_fold_or_not() -> None:
    def model(x: Any) -> Any:
        return x + torch.arange(3.0).exp()

    assert kinds(exported(model, X)) == ["Add"]
    assert "Exp" in kinds(exported(model, X, do_constant_folding=False))


# files ------------------------------------------------------------------------------------------


def test_files(tmp_path: Any) -> None:
    path = tmp_path / "model.onnx"
    program = torch.onnx.export(linear(), X, path)
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    assert onnx.load(path) == program.model_proto
    program.save(str(tmp_path / "again.onnx"))
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    file = io.BytesIO()
    torch.onnx.export(linear(), (X,), file)
    assert file.getvalue() == path.read_bytes()
    assert "input -> output" in repr(program)
    close(arrays(program(X)), arrays(linear()(X)))


def test_weights_in_a_file_of_their_own(tmp_path: Any) -> None:
    model = nn.Linear(64, 64)
    torch.onnx.export(model, torch.ones(1, 64), tmp_path / "model.onnx", external_data=True)
    assert {each.name for each in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    proto = onnx.load(tmp_path / "model.onnx")
    close(by_reference(proto, [torch.ones(1, 64)]), arrays(model(torch.ones(1, 64))))
    with pytest.raises(ValueError, match="written to a path"):
        torch.onnx.export(model, torch.ones(1, 64), io.BytesIO(), external_data=True)


def test_a_failed_export_leaves_no_file(tmp_path: Any) -> None:
    with pytest.raises(torch.onnx.OnnxExporterError):
        torch.onnx.export(lambda x: torch.linalg.inv(x), torch.eye(2), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_verbose_prints_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    torch.onnx.export(linear(), X, verbose=True)
    assert "Gemm" in capsys.readouterr().out


def test_verify() -> None:
    torch.onnx.export(linear(), X, verify=True)


# modes ------------------------------------------------------------------------------------------


class Mode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        self.seen = torch.onnx.is_in_onnx_export(), self.training
        return self.dropout(x) + 1


def test_modes() -> None:
    model = Mode()
    assert kinds(exported(model, X)) == ["Add"]
    assert model.seen == (True, False)
    assert model.training and model.dropout.training
    assert not torch.onnx.is_in_onnx_export()
    proto = exported(model.eval(), X, training=torch.onnx.TrainingMode.TRAINING)
    assert kinds(proto) == ["Dropout", "Add"]
    assert not model.training
    assert kinds(exported(model, X, training=torch.onnx.TrainingMode.PRESERVE)) == ["Add"]


def test_an_error_in_the_model_is_its_own_and_changes_nothing() -> None:
    class Bad(nn.Module):
        def forward(self, x: Any) -> Any:
            raise KeyError("mine")

    model = Bad()
    with pytest.raises(KeyError, match="mine"):
        exported(model, X)
    assert model.training
    assert not torch.onnx.is_in_onnx_export()
    assert (X + 1).sum().item() == 21


# dynamic axes -----------------------------------------------------------------------------------


def test_axes_have_their_names() -> None:
    proto = exported(
        linear(),
        X,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    )
    assert shape(proto.graph.input[0]) == ["batch", 3]
    assert shape(proto.graph.output[0]) == ["batch", 4]
    proto = exported(linear(), X, input_names=["x"], dynamic_axes={"x": [0]})
    assert shape(proto.graph.input[0]) == ["x_dynamic_axes_1", 3]


def test_dynamic_shapes() -> None:
    def model(x: Any, rest: Any) -> Any:
        return x @ rest["w"]

    args = (X, {"w": torch.ones(3, 5)})
    for given in (
        {"x": {0: "n"}, "rest": {"w": {1: "m"}}},
        ({0: "n"}, {"w": (None, "m")}),
        {"x": ("n", None), "rest": {"w": {-1: "m"}}},
    ):
        proto = exported(model, args, kwargs={}, dynamic_shapes=given)
        assert shape(proto.graph.input[0]) == ["n", 3]
        assert shape(proto.graph.input[1]) == [3, "m"]
        assert shape(proto.graph.output[0]) == ["n", "m"]
    with pytest.raises(ValueError, match="names 'z'"):
        exported(model, args, kwargs={}, dynamic_shapes={"z": {0: "n"}})


SIZES = [
    lambda x: x / torch.tensor([x.shape[0], 2.0, 1.0]),
    lambda x: torch.onnx.operators.shape_as_tensor(x) * 2,
    lambda x: x.reshape(-1) * 2,
    lambda x: x.sum() / x.shape[0],
    lambda x: x.flatten()[: x.shape[0] * 2 - 1],
    lambda x: torch.cat([x, x.new_zeros(x.shape[0], 2)], 1),
    lambda x: torch.arange(x.numel()).reshape(x.shape) + x,
    lambda x: x[-1] + x[: x.shape[0] // 2].sum(),
    lambda x: x.flip(0)[1:],
    lambda x: x[: x.shape[0] // 2 + 1],
    lambda x: x.chunk(2, 0)[1],
    lambda x: x[x.shape[0] // 2 :].chunk(2, 0)[0],
    lambda x: x[x.shape[0] :].reshape(-1, 1, 3),
    lambda x: x.expand(4, *x.shape) * torch.ones(x.shape[0], 1),
    lambda x: x.mean(0) + x.var(),
    lambda x: x.sort(0).values[:2],
    lambda x: torch.nn.functional.pad(x, (1, 1, 2, 0)).unfold(0, 2, 1),
    lambda x: x.repeat(2, 3) + x.sum(),
    lambda x: x.tril() @ x.mT,
    lambda x: x.cumsum(0).softmax(0),
    lambda x: torch.eye(x.shape[0]) @ x,
    lambda x: x.index_fill(0, torch.tensor([1]), 5.0),
    lambda x: torch.einsum("ab,cb->ac", x, x).diagonal(),
]


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_sizes_become_expressions(number: int) -> None:
    model = SIZES[number]
    example = torch.arange(12.0).reshape(4, 3).sin()
    proto = exported(model, example, input_names=["x"], dynamic_axes={"x": {0: "n"}})
    for rows in (4, 6, 10):
        values = torch.arange(3.0 * rows).reshape(rows, 3).cos()
        close(by_reference(proto, [values]), arrays(model(values)))


def test_axes_that_must_not_change_say_so() -> None:
    with pytest.raises(torch.onnx.OnnxExporterError, match="axis 'n' cannot be dynamic"):
        exported(linear(), X, dynamic_shapes={"input": {1: "n"}})


def test_a_model_that_does_other_things_for_other_sizes() -> None:
    def model(x: Any) -> Any:
        for row in x:
            x = x + row
        return x

    with pytest.raises(torch.onnx.OnnxExporterError, match=r"other things.*|takes more inputs"):
        exported(model, X, dynamic_shapes={"x": {0: "n"}})


def test_one_name_is_one_size() -> None:
    with pytest.raises(ValueError, match="'n' is 2 in one input and 3 in another"):
        exported(lambda x, y: x, (X, X.T), dynamic_shapes={"x": {0: "n"}, "y": {0: "n"}})
    with pytest.raises(ValueError, match="dynamic axis 2 of an input with 2"):
        exported(lambda x: x, X, dynamic_shapes={"x": {2: "n"}})
    with pytest.raises(ValueError, match="must be"):
        exported(lambda x: x, X, dynamic_axes={"x": 0})


def test_extents() -> None:
    assert merge([2, 2]) == 2
    assert merge([(1, 2), (1, 3)]) == (1, Dim((2, 3)))
    n, m = Dim((2, 3, 5)), Dim((7, 11, 13))
    assert apply(lambda x, y: x + y, n, 1) == Dim((3, 4, 6))
    assert apply(lambda x: x - x, n) == 0
    affine = explain(Dim((5, 7, 11)), [m, n])
    assert affine == (n, 2, 1, 1)
    assert explain(Dim((28, 66, 130)), [n, m]) == ((n, m), 2)
    assert explain(Dim((10, 15, 19)), [n, m]) == Sum(n, m, 1)
    assert explain(Dim((1, 100, 3)), [n, m]) is None
    assert explain(Dim((2, 3, 4, 5)), [Dim((7, 9, 12, 15))]) == (Dim((7, 9, 12, 15)), 0, 3)


# what models are made of -----------------------------------------------------------------------


def test_functions_with_a_gradient_of_their_own() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    proto = exported(lambda x: Double.apply(x) + 1, X)
    assert kinds(proto) == ["Mul", "Add"]


def test_a_compiled_part_of_a_model() -> None:
    model = nn.Sequential(torch.compile(linear()), nn.ReLU())
    model(X)
    proto = exported(model, X)
    close(by_reference(proto, [X]), arrays(model(X)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_dtypes(dtype: Any) -> None:
    model = nn.Sequential(linear(), nn.GELU(), nn.LayerNorm(4), nn.Softmax(-1)).to(dtype)
    proto = exported(model, X.to(dtype))
    if dtype is torch.float16:  # in half precision, as the model: no casts
        assert "Cast" not in kinds(proto)
    found, expected = by_reference(proto, [X.to(dtype)]), arrays(model(X.to(dtype)))
    close(found, expected, {torch.float64: 1e-6, torch.float16: 4e-3}.get(dtype, 3e-2))


# what is refused --------------------------------------------------------------------------------


def test_options_of_another_exporter() -> None:
    with pytest.raises(NotImplementedError, match="custom_opsets"):
        exported(linear(), X, custom_opsets={"mine": 1})
    with pytest.raises(ValueError, match="only ONNX's own"):
        exported(linear(), X, operator_export_type=torch.onnx.OperatorExportTypes.ONNX_ATEN)
    with pytest.raises(TypeError, match="TrainingMode"):
        exported(linear(), X, training=False)
    for ignored in ({"dynamo": False}, {"optimize": False}, {"fallback": True}):
        assert kinds(exported(linear(), X, **ignored)) == ["Gemm"]


def test_opsets() -> None:
    assert exported(linear(), X).opset_import[0].version == 18
    with pytest.warns(UserWarning, match="opset_version=11 is too old"):
        assert exported(linear(), X, opset_version=11).opset_import[0].version == 13
    with pytest.raises(ValueError, match="unsupported opset_version 99"):
        exported(linear(), X, opset_version=99)


def test_models_without_tensors() -> None:
    with pytest.raises(torch.onnx.OnnxExporterError, match="returns no tensor"):
        exported(lambda x: 1, X)
    with pytest.raises(torch.onnx.OnnxExporterError, match="no complex inputs"):
        exported(lambda x: x, X.to(torch.complex64))


def test_a_compiled_model_is_exported_as_it_is() -> None:
    assert kinds(exported(torch.compile(linear()), X)) == ["Gemm"]


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnx":
            raise ImportError("no onnx")
        return original(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "onnx")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"flambeau\[onnx\]"):
        torch.onnx.export(linear(), X)
