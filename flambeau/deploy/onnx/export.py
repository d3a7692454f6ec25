"""torch.onnx.export: run a model, write what it recorded as an ONNX file."""

from __future__ import annotations

import contextlib
import enum
import inspect
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.deploy.onnx import table
from flambeau.deploy.onnx.errors import OnnxExporterError, OtherGraphError
from flambeau.deploy.onnx.extents import Dim, Extents, merge
from flambeau.deploy.onnx.library import ELEMENT_TYPES, library
from flambeau.deploy.onnx.model import Labels, build
from flambeau.deploy.onnx.program import ONNXProgram
from flambeau.deploy.onnx.sizes import (
    TRIES,
    Axes,
    Sizes,
    from_dynamic_axes,
    from_dynamic_shapes,
)
from flambeau.deploy.onnx.steps import Walker
from flambeau.deploy.onnx.trace import Arguments, Trace, run, states, warn_of_values
from flambeau.deploy.onnx.writer import Value, Writer, identifier
from flambeau.device import base as devices
from flambeau.nn.modules.module import Module
from flambeau.schedule import flush
from flambeau.tensor.tensor import Tensor

FIRST_OPSET, DEFAULT_OPSET, LAST_OPSET = 13, 18, 26


class TrainingMode(enum.Enum):
    """In which mode a model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.Enum):
    """Which operators a file may have: here ONNX's own, always."""

    ONNX = 0
    ONNX_ATEN = 2
    ONNX_ATEN_FALLBACK = 3
    ONNX_FALLTHROUGH = 4


_exporting = 0


def is_in_onnx_export() -> bool:
    """Whether a model is being run by torch.onnx.export now."""
    return _exporting > 0


@contextmanager
def select_model_mode_for_export(model: Any, mode: TrainingMode) -> Iterator[None]:
    """The model in the mode of the export within, each of its modules as it was afterwards."""
    if not isinstance(mode, TrainingMode):
        raise TypeError(f"'mode' should be a torch.onnx.TrainingMode enum, but got '{type(mode)}'.")
    modules = list(model.modules()) if isinstance(model, Module) else []
    before = [each.training for each in modules]
    if mode is not TrainingMode.PRESERVE and modules:
        model.train(mode is TrainingMode.TRAINING)
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


@contextmanager
def _under_export() -> Iterator[None]:
    global _exporting
    _exporting += 1
    try:
        yield
    finally:
        _exporting -= 1


def export(
    model: Any,
    args: Any = (),
    f: Any = None,
    *,
    kwargs: dict[str, Any] | None = None,
    verbose: bool | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool = True,
    external_data: bool = False,
    dynamic_shapes: dict[str, Any] | Sequence[Any] | None = None,
    custom_translation_table: dict[Any, Any] | None = None,
    report: bool = False,
    optimize: bool = True,
    verify: bool = False,
    profile: bool = False,
    dump_exported_program: bool = False,
    artifacts_dir: Any = ".",
    export_params: bool = True,
    keep_initializers_as_inputs: bool = False,
    dynamic_axes: Mapping[str, Any] | None = None,
    training: TrainingMode = TrainingMode.EVAL,
    operator_export_type: OperatorExportTypes = OperatorExportTypes.ONNX,
    do_constant_folding: bool = True,
    custom_opsets: Mapping[str, int] | None = None,
    export_modules_as_functions: bool | Collection[Any] = False,
    autograd_inlining: bool = True,
    fallback: bool = False,
) -> ONNXProgram:
    """Write a model as an ONNX file, and return the ONNXProgram.

    The model is called with `args` (a tensor or a tuple, whose last dictionary has keyword
    arguments) and `kwargs`; tensors among them become the inputs, all else is fixed. What Python
    does on the way (branches, loops) is fixed as it went. `f` is a path, a file object, or None.

    input_names, output_names   in order; else those of forward's parameters, and "output"
    dynamic_axes, dynamic_shapes   axes whose size may change; see docs/onnx.md
    opset_version        13 to 26, 18 where it is None; a lower one is raised to 13, with a warning
    export_params        False: parameters and buffers are inputs, too
    do_constant_folding  compute what depends on no input now
    external_data        keep the weights in a file of their own, `<f>.data`
    verify               compare the file's results for `args` with the model's, by onnx.reference
    training             the mode in which the model is called; it is put back afterwards

    `dynamo`, `optimize`, `fallback` and `autograd_inlining` choose among PyTorch's exporters and
    change nothing. Raises OnnxExporterError for what ONNX does not have, naming the operation and
    the line that called it; ImportError without the extra `onnx`.
    """
    _refuse_options(
        custom_translation_table=custom_translation_table,
        custom_opsets=custom_opsets,
        export_modules_as_functions=export_modules_as_functions,
        report=report,
        profile=profile,
        dump_exported_program=dump_exported_program,
    )
    if operator_export_type not in (None, OperatorExportTypes.ONNX):
        raise ValueError(
            f"torch.onnx.export: only ONNX's own operators, not {operator_export_type}"
        )
    library()
    model = getattr(model, "_orig_mod", model)
    arguments = _arguments(args, kwargs)
    names = _input_names(model, arguments, input_names)
    axes = _axes(model, arguments, names, dynamic_axes, dynamic_shapes)
    wanted = Wanted(
        opset=_opset(opset_version),
        inputs=names,
        outputs=list(output_names or ()),
        output_axes=from_dynamic_axes(dynamic_axes or {}),
        fold=do_constant_folding,
        parameters_inside=export_params,
        initializers_as_inputs=keep_initializers_as_inputs,
    )
    mode = TrainingMode.EVAL if training is None else training
    with _under_export(), select_model_mode_for_export(model, mode):
        proto = _proto(model, arguments, axes, wanted)
        program = ONNXProgram(proto)
        if verify:
            _verify(program, model, arguments)
    if verbose:
        sys.stdout.write(library().printer.to_text(proto) + "\n")
    if f is not None:
        program.save(f, external_data=external_data)
    return program


# arguments --------------------------------------------------------------------------------------


def _refuse_options(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(
                f"torch.onnx.export: {name} belongs to PyTorch's exporter and is not there: leave "
                "it out"
            )


def _opset(version: int | None) -> int:
    if version is None:
        return DEFAULT_OPSET
    if version < FIRST_OPSET:
        warnings.warn(
            f"torch.onnx.export: opset_version={version} is too old for this exporter: the file "
            f"has opset {FIRST_OPSET}",
            stacklevel=3,
        )
        return FIRST_OPSET
    if version > LAST_OPSET:
        raise ValueError(
            f"torch.onnx.export: unsupported opset_version {version}: this exporter knows "
            f"{FIRST_OPSET} to {LAST_OPSET}"
        )
    return int(version)


def _arguments(args: Any, kwargs: dict[str, Any] | None) -> Arguments:
    if isinstance(args, Tensor) or not isinstance(args, (tuple, list)):
        args = (args,)
    args, keywords = tuple(args), dict(kwargs or {})
    if args and isinstance(args[-1], dict) and kwargs is None:
        args, keywords = args[:-1], args[-1]
    found = Arguments(args, keywords)
    if not all(each._type.dtype.name in _WRITABLE for each in found.tensors):
        raise OnnxExporterError("torch.onnx.export: ONNX's operators take no complex inputs")
    return found


_WRITABLE = frozenset(ELEMENT_TYPES)


def _parameters(model: Any) -> list[str]:
    """The names of the positional parameters of what is called."""
    function = model.forward if isinstance(model, Module) else model
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in found if each.kind in kinds]


def _input_names(model: Any, arguments: Arguments, given: Sequence[str] | None) -> list[str]:
    """Given ones first; then the parameter's name, numbered where it has several tensors."""
    from flambeau.utils import _pytree as pytree

    args, kwargs = arguments.with_tensors(arguments.tensors)
    known = _parameters(model)
    known += [f"input_{number}" for number in range(len(known), len(args))]
    found: list[str] = []
    for name, value in [*zip(known, args, strict=False), *kwargs.items()]:
        tensors = [each for each in pytree.tree_leaves(value) if isinstance(each, Tensor)]
        one = isinstance(value, Tensor)
        found += [name if one else f"{name}_{number}" for number in range(len(tensors))]
    given = [] if isinstance(given, str) else list(given or ())
    if len(given) > len(found):
        raise ValueError(
            f"torch.onnx.export: {len(given)} input_names for {len(found)} tensors among the "
            "arguments"
        )
    return [*given, *found[len(given) :]]


def _axes(
    model: Any,
    arguments: Arguments,
    names: Sequence[str],
    dynamic_axes: Mapping[str, Any] | None,
    dynamic_shapes: Any,
) -> list[Axes]:
    if dynamic_shapes is not None:
        return from_dynamic_shapes(dynamic_shapes, arguments, _parameters(model))
    found = from_dynamic_axes(dynamic_axes or {})
    return [found.get(name, {}) for name in names]


# writing ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the file is to be."""

    opset: int
    inputs: list[str]
    outputs: list[str]
    output_axes: dict[str, Axes]
    fold: bool
    parameters_inside: bool
    initializers_as_inputs: bool


def _proto(model: Any, arguments: Arguments, axes: Sequence[Axes], wanted: Wanted) -> Any:
    """The model at the example's sizes or, with dynamic axes, from several others.

    Where one of these happens to be special (an axis that need not be resized), others are tried.
    """
    flush.flush()
    example = run(model, arguments, arguments.tensors)
    warn_of_values(example)
    if not any(axes):
        return _written(model, [{}], [example], wanted)
    sizes = Sizes(arguments.tensors, axes)
    try:
        return _written(model, *sizes.traces(model, arguments), wanted)
    except OtherGraphError as error:
        with contextlib.suppress(OnnxExporterError):
            return _written(model, *sizes.traces(model, arguments, TRIES), wanted)
        raise error from None


def _labels(sizes: Sequence[dict[str, int]]) -> dict[Dim, str]:
    found: dict[Dim, str] = {}
    for name in sizes[0]:
        extent = merge([each[name] for each in sizes])
        if isinstance(extent, Dim):
            found.setdefault(extent, name)
    return found


def _written(
    model: Any, sizes: Sequence[dict[str, int]], traces: Sequence[Trace], wanted: Wanted
) -> Any:
    """The ModelProto of traces at several sizes."""
    writer = Writer(wanted.opset)
    walker = Walker(writer, traces, table, wanted.fold)
    inputs = []
    joints = zip(*[each.inputs for each in traces], strict=True)
    for name, joint in zip(wanted.inputs, joints, strict=True):
        value = Value(writer.name(name, exact=True), joint[0].dtype, _shape(joint))
        writer.learn(value)
        walker.leaves[joint] = value
        inputs.append((name, value))
    count = len(traces[0].outputs)
    if not count:
        raise OnnxExporterError("torch.onnx.export: the model returns no tensor")
    results = _output_names(count, wanted.outputs)
    for name in results:
        writer.name(name, exact=True)
    arrays = _parameter_leaves(writer, walker, model, len(traces))
    roots = list(zip(*[each.outputs for each in traces], strict=True))
    outputs = list(zip(results, walker.run(roots), strict=True))
    labels = Labels(_labels(sizes))
    _label_outputs(outputs, wanted.output_axes, labels)
    if not wanted.parameters_inside:
        inputs += [(each.name, each) for each in walker.leaves.values() if each.name in arrays]
        arrays = {}
    title = identifier(type(model).__name__ if isinstance(model, Module) else "graph")
    return build(writer, inputs, outputs, arrays, labels, title, wanted.initializers_as_inputs)


def _shape(joint: Sequence[Any]) -> Extents:
    found: Extents = merge([each.shape for each in joint])
    return found


def _output_names(count: int, given: Sequence[str]) -> list[str]:
    if len(given) > count:
        raise ValueError(f"torch.onnx.export: {len(given)} output_names for {count} outputs")
    known = ["output"] if count == 1 else [f"output_{number}" for number in range(count)]
    return [*given, *known[len(given) :]]


def _parameter_leaves(
    writer: Writer, walker: Walker, model: Any, traces: int
) -> dict[str, tuple[Any, Any]]:
    """Parameters and buffers under their names; one that has several names has the first."""
    arrays: dict[str, tuple[Any, Any]] = {}
    for name, tensor in states(model).items():
        node = tensor._storage.node
        joint = (node,) * traces
        if joint in walker.leaves or node.buffer is None or node.dtype.is_complex:
            continue
        array = devices.get(node.device).to_numpy(node.buffer)
        label = writer.name(name if name not in writer.names else f"{name}_")
        walker.leaves[joint] = Value(label, node.dtype, node.shape)
        arrays[label] = (numpy.asarray(array), node.dtype)
    return arrays


def _label_outputs(
    outputs: Sequence[tuple[str, Value]], given: Mapping[str, Axes], labels: Labels
) -> None:
    """Names that the user gave to axes of outputs, where these are not named after an input's."""
    for name, value in outputs:
        for axis, label in given.get(name, {}).items():
            extent = value.shape[axis]
            if isinstance(extent, Dim):
                labels.known.setdefault(extent, label)


def _verify(program: ONNXProgram, model: Any, arguments: Arguments) -> None:
    """Raises OnnxExporterError where the file gives other results than the model."""
    from flambeau.utils import _pytree as pytree

    args, kwargs = arguments.with_tensors(arguments.tensors)
    leaves = pytree.tree_leaves(model(*args, **kwargs))
    expected = [each.detach() for each in leaves if isinstance(each, Tensor)]
    for number, (one, other) in enumerate(zip(program(*args, **kwargs), expected, strict=True)):
        left, right = [each._to_numpy().astype(numpy.float64) for each in (one, other)]
        if not numpy.allclose(left, right, rtol=1e-3, atol=1e-4, equal_nan=True):
            worst = float(numpy.nanmax(numpy.abs(left - right)))
            raise OnnxExporterError(
                f"torch.onnx.export: output {number} of the file differs from the model's by up to "
                f"{worst:.3g}"
            )
