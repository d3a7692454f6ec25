"""How tensors are printed: PyTorch's layout."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.ops.publish import publish
from flambeau.tensor.attach import method
from flambeau.tensor.device import get_default_device, get_default_dtype
from flambeau.tensor.override import takes_over
from flambeau.tensor.tensor import Tensor

Array = numpy.ndarray[Any, Any]


class _Options:
    precision = 4
    threshold: float = 1000
    edgeitems = 3
    linewidth = 80
    sci_mode: bool | None = None


OPTIONS = _Options()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Digits, the size from which tensors are shortened, items at the edges, width, notation.

    profile: "default", "short" or "full", before the others are applied. sci_mode None lets the
    numbers decide.
    """
    given = dict(_PROFILES[profile]) if profile is not None else {}
    values = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    given.update({name: value for name, value in values.items() if value is not None})
    for name, value in given.items():
        setattr(OPTIONS, name, value)
    OPTIONS.sci_mode = sci_mode


class _Format:
    """How the numbers of one tensor are written: whole, scientific or fixed, and how wide."""

    def __init__(self, values: Array) -> None:
        self.parts: list[_Format] = []
        self.width: int = 1
        if values.dtype.kind == "c":
            self.parts = [_Format(values.real), _Format(values.imag)]
            self.width = sum(each.width for each in self.parts) + 1
            return
        self.floating = values.dtype.kind == "f"
        self.whole = True
        self.scientific = False
        if not self.floating:
            texts = [str(each) for each in values.ravel().tolist()]
            self.width = max(map(len, texts), default=1)
            return
        shown = values[numpy.isfinite(values) & (values != 0)].astype(numpy.float64)
        if shown.size:
            self._choose(numpy.abs(shown))
            self.width = max(len(self(each)) for each in shown.tolist())

    def _choose(self, shown: Array) -> None:
        least, greatest = float(shown.min()), float(shown.max())
        self.whole = bool((shown == numpy.ceil(shown)).all())
        wide = greatest / least > 1000.0 or greatest > 1.0e8
        self.scientific = wide if self.whole else wide or least < 1.0e-4
        if OPTIONS.sci_mode is not None:
            self.scientific = OPTIONS.sci_mode

    def __call__(self, value: Any) -> str:
        if self.parts:
            real, imag = self.parts[0](value.real), self.parts[1](value.imag)
            sign = "" if imag.lstrip().startswith("-") else "+"
            return f"{real}{sign}{imag.lstrip()}j"
        if not self.floating or not math.isfinite(value):
            text = str(value)
        elif self.scientific:
            text = f"{value:.{OPTIONS.precision}e}"
        elif self.whole:
            text = f"{value:.0f}."
        else:
            text = f"{value:.{OPTIONS.precision}f}"
        return text.rjust(self.width)


def _shortened(values: Array) -> Array:
    """The elements at the edges of every dimension: what a summary shows."""
    for axis, extent in enumerate(values.shape):
        if extent > 2 * OPTIONS.edgeitems:
            edge = OPTIONS.edgeitems
            picks = numpy.r_[0:edge, extent - edge : extent]
            values = values.take(picks, axis)
    return values


def _text(values: Array, indent: int, shorten: bool, form: _Format) -> str:
    if values.ndim == 0:
        return form(values.item())
    if values.ndim == 1:
        return _row(values, indent, shorten, form)
    edge = OPTIONS.edgeitems
    if shorten and len(values) > 2 * edge:
        parts = [_text(each, indent + 1, shorten, form) for each in values[:edge]]
        parts.append("...")
        parts += [_text(each, indent + 1, shorten, form) for each in values[-edge:]]
    else:
        parts = [_text(each, indent + 1, shorten, form) for each in values]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _row(values: Array, indent: int, shorten: bool, form: _Format) -> str:
    edge = OPTIONS.edgeitems
    if shorten and len(values) > 2 * edge:
        texts = [form(each) for each in values[:edge].tolist()]
        texts += [" ..."]
        texts += [form(each) for each in values[-edge:].tolist()]
    else:
        texts = [form(each) for each in values.tolist()]
    a_line = max(1, (OPTIONS.linewidth - indent) // (form.width + 2))
    lines = [", ".join(texts[at : at + a_line]) for at in range(0, len(texts), a_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _values(self: Tensor) -> Array:
    values = self.detach()._to_numpy()
    if self.dtype in (dtypes.bfloat16, dtypes.float16):
        return values.astype(numpy.float32)
    return values


def _suffixes(self: Tensor) -> list[str]:
    found = []
    device = self.device
    if device.type == "meta":
        found += ["device='meta'", f"size={tuple(self.shape)}"]
    elif device != get_default_device() and device.type not in ("cpu", "reference"):
        found.append(f"device='{device}:{device.index or 0}'")
    usual = {get_default_dtype(), dtypes.int64, dtypes.bool_, get_default_dtype().to_complex()}
    if self.numel() == 0 or device.type == "meta":
        usual = {get_default_dtype()}
        if self.ndim != 1 and device.type != "meta":
            found.append(f"size={tuple(self.shape)}")
    if self.dtype not in usual:
        found.append(f"dtype={self.dtype!r}")
    grad_fn = self.grad_fn if self.requires_grad else None
    if grad_fn is not None:
        found.append(f"grad_fn={grad_fn!r}")
    elif self.requires_grad:
        found.append("requires_grad=True")
    return found


def show(self: Tensor, name: str = "tensor") -> str:
    """The tensor as PyTorch prints it: values, then what is not the default."""
    suffixes = _suffixes(self)
    prefix = f"{name}("
    indent = len(prefix)
    if self.device.type == "meta":
        text = "..."
    elif self.numel() == 0:
        text = "[]"
    else:
        values = _values(self)
        shorten = self.numel() > OPTIONS.threshold
        form = _Format(_shortened(values) if shorten else values)
        text = _text(values, indent, shorten, form)
    result = prefix + text
    last = len(result) - result.rfind("\n")
    for suffix in suffixes:
        if last + len(suffix) + 2 > OPTIONS.linewidth:
            result += ",\n" + " " * indent + suffix
            last = indent + len(suffix)
        else:
            result += ", " + suffix
            last += len(suffix) + 2
    return result + ")"


@method("__repr__")
def representation(self: Tensor, *, tensor_contents: Any = None) -> str:
    """As PyTorch prints it; a derived class by its own name."""
    kind = type(self)
    return show(self) if kind is Tensor or not takes_over(kind) else show(self, kind.__name__)


@method("__format__")
def formatted(self: Tensor, specification: str) -> str:
    """A 0-d tensor by the format of its number."""
    if self.ndim == 0 and type(self) is Tensor:
        return format(self.item(), specification)
    if specification:
        raise TypeError(f"unsupported format string passed to {type(self).__name__}.__format__")
    return str(self)


publish(set_printoptions, "set_printoptions")
