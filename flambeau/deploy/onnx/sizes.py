"""Dynamic axes: which axes of the inputs they are, and the sizes at which a model is traced.

Each name is one number that may change. A model with dynamic axes is traced at six sizes of all
of them together; what it writes must be an expression over the sizes that holds in all six.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy

from flambeau.deploy.onnx.errors import OnnxExporterError
from flambeau.deploy.onnx.trace import Arguments, Trace, run
from flambeau.tensor.tensor import Tensor

Axes = dict[int, str]

TRACES = 6
TRIES = 20
_STEPS = (1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 32, -32, 64, -64)


def from_dynamic_axes(given: Any) -> dict[str, Axes]:
    """{"x": {0: "batch"}} or {"x": [0]}. Raises ValueError for what is neither."""
    found: dict[str, Axes] = {}
    for name, axes in given.items():
        if isinstance(axes, dict):
            found[name] = {int(axis): str(label) for axis, label in axes.items()}
        elif isinstance(axes, (list, tuple)):
            found[name] = {int(axis): f"{name}_dynamic_axes_{axis + 1}" for axis in axes}
        else:
            raise ValueError(
                f"torch.onnx.export: dynamic_axes['{name}'] must be {{axis: name}} or a list of "
                f"axes, not {axes!r}"
            )
    return found


def from_dynamic_shapes(given: Any, arguments: Arguments, parameters: Sequence[str]) -> list[Axes]:
    """For each tensor in order, from the form that torch.export takes: by parameter's name or in
    order; {axis: dimension} or one dimension an axis; a dimension is a name, a Dim or None."""
    args, kwargs = arguments.with_tensors(arguments.tensors)
    by_name = dict(zip(parameters, args, strict=False)) | kwargs
    if isinstance(given, dict):
        unknown = [name for name in given if name not in by_name]
        if unknown:
            raise ValueError(
                f"torch.onnx.export: dynamic_shapes names {unknown[0]!r}, but the arguments are "
                f"{', '.join(map(repr, by_name))}"
            )
        pairs = [(value, given.get(name)) for name, value in by_name.items()]
    else:
        values = [*args, *kwargs.values()]
        pairs = list(zip(values, [*given, *[None] * (len(values) - len(given))], strict=True))
    found: list[Axes] = []
    for value, spec in pairs:
        found += _specified(value, spec, len(found))
    return found


def _specified(value: Any, spec: Any, number: int) -> list[Axes]:
    if isinstance(value, Tensor):
        items: Iterable[Any] = ()
        if isinstance(spec, dict):
            items = spec.items()
        elif spec is not None:
            items = enumerate(spec)
        return [
            {int(axis): _label(each, number, axis) for axis, each in items if _is_dynamic(each)}
        ]
    found: list[Axes] = []
    if isinstance(value, dict):
        for key, each in value.items():
            own = None if spec is None else spec.get(key)
            found += _specified(each, own, number + len(found))
    elif isinstance(value, (list, tuple)):
        for place, each in enumerate(value):
            found += _specified(each, None if spec is None else spec[place], number + len(found))
    return found


def _is_dynamic(dimension: Any) -> bool:
    if dimension is None or isinstance(dimension, int):
        return False
    return not str(dimension).endswith("STATIC")


def _label(dimension: Any, number: int, axis: int) -> str:
    if isinstance(dimension, str):
        return dimension
    name = getattr(dimension, "__name__", None)
    return str(name) if name else f"dim_{number}_{axis}"


class Sizes:
    """The names of dynamic axes, where they are, and their sizes in the example."""

    def __init__(self, tensors: Sequence[Tensor], axes: Sequence[Axes]) -> None:
        self.tensors = tensors
        self.axes = [self._positive(*pair) for pair in zip(tensors, axes, strict=True)]
        self.example: dict[str, int] = {}
        for tensor, own in zip(tensors, self.axes, strict=True):
            for axis, name in own.items():
                size = tensor.shape[axis]
                if self.example.setdefault(name, size) != size:
                    raise ValueError(
                        f"torch.onnx.export: the dynamic axis '{name}' is {self.example[name]} in "
                        f"one input and {size} in another; one name means one size"
                    )

    @staticmethod
    def _positive(tensor: Tensor, axes: Axes) -> Axes:
        for axis in axes:
            if not -tensor.ndim <= axis < tensor.ndim:
                raise ValueError(
                    f"torch.onnx.export: dynamic axis {axis} of an input with {tensor.ndim} "
                    "dimensions"
                )
        return {axis % tensor.ndim: name for axis, name in axes.items()}

    def resized(self, sizes: dict[str, int]) -> list[Tensor]:
        """The example's tensors with other extents, their values repeated."""
        return [
            _resized(tensor, {axis: sizes[name] for axis, name in own.items()})
            for tensor, own in zip(self.tensors, self.axes, strict=True)
        ]

    def traces(
        self, model: Any, arguments: Arguments, first: int = 1
    ) -> tuple[list[dict[str, int]], list[Trace]]:
        """Several sizes at which the model runs, from number `first` on, and its traces there."""

        def attempt(sizes: dict[str, int]) -> Trace:
            return run(model, arguments, self.resized(sizes))

        steps = self._steps(attempt)
        sizes: list[dict[str, int]] = []
        traces: list[Trace] = []
        error: Exception | None = None
        for count in range(first, first + TRIES):
            wanted = self._moved(steps, count)
            if min(wanted.values()) < 2 or wanted in sizes:
                continue
            try:
                traces.append(attempt(wanted))
            except Exception as raised:  # noqa: BLE001  # whatever a model raises at other sizes
                error = raised
                continue
            sizes.append(wanted)
            if len(traces) == TRACES:
                return sizes, traces
        why = "" if error is None else f": {type(error).__name__}: {error}"
        raise OnnxExporterError(
            f"torch.onnx.export: the model runs at too few sizes of {sorted(self.example)} to find "
            f"out how it depends on them{why}"
        ) from error

    def _moved(self, steps: dict[str, int], count: int) -> dict[str, int]:
        """Sizes number `count`: ever farther from the example, and each name in its own way."""
        moved = {}
        for place, (name, step) in enumerate(steps.items()):
            far = count * (count + 1) // 2 + place * (1 + count % 3)
            moved[name] = self.example[name] + step * far
        return moved

    def _steps(self, attempt: Callable[[dict[str, int]], Trace]) -> dict[str, int]:
        """By how much each size may grow (or shrink). Raises OnnxExporterError where none does."""
        steps: dict[str, int] = {}
        for name, size in self.example.items():
            error: Exception | None = None
            for step in (*_STEPS, size):
                if size + step < 2:
                    continue
                try:
                    attempt({**self.example, name: size + step})
                except Exception as raised:  # noqa: BLE001  # as above
                    error = error or raised
                    continue
                steps[name] = step
                break
            else:
                raise OnnxExporterError(
                    f"torch.onnx.export: the axis '{name}' cannot be dynamic: at sizes other than "
                    f"{size} the model raises {type(error).__name__}: {error}. Where two axes must "
                    "be equal, give both one name"
                ) from error
        return steps


def _resized(tensor: Tensor, extents: dict[int, int]) -> Tensor:
    array = tensor.detach()._to_numpy()
    for axis, extent in extents.items():
        places = numpy.arange(extent) % max(array.shape[axis], 1)
        array = numpy.take(array, places, axis)
    return Tensor._from_numpy(array, tensor.device.type)
