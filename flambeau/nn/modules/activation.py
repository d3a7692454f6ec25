"""Activation functions as modules."""

from __future__ import annotations

from typing import Any

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn import init as initialise
from flambeau.nn.modules.make import empty_parameter
from flambeau.nn.modules.module import Module
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _Plain(Module):
    """An activation without arguments; `run` is the function."""

    run: Any = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return type(self).run(input)


class _InPlace(Module):
    """An activation whose one argument is `inplace`."""

    run: Any = None

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return type(self).run(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(_Plain):
    """1 / (1 + exp(-x))."""

    run = staticmethod(F.sigmoid)


class Tanh(_Plain):
    """tanh(x)."""

    run = staticmethod(F.tanh)


class LogSigmoid(_Plain):
    """log(sigmoid(x))."""

    run = staticmethod(F.logsigmoid)


class Softsign(_Plain):
    """x / (1 + |x|)."""

    run = staticmethod(F.softsign)


class Tanhshrink(_Plain):
    """x - tanh(x)."""

    run = staticmethod(F.tanhshrink)


class ReLU(_InPlace):
    """max(x, 0)."""

    run = staticmethod(F.relu)


class SELU(_InPlace):
    """Scaled ELU with the constants of self-normalising networks (arXiv:1706.02515)."""

    run = staticmethod(F.selu)


class SiLU(_InPlace):
    """x · sigmoid(x)."""

    run = staticmethod(F.silu)


class Mish(_InPlace):
    """x · tanh(softplus(x)) (arXiv:1908.08681)."""

    run = staticmethod(F.mish)


class _Silent(_InPlace):
    def extra_repr(self) -> str:
        return ""


class Hardsigmoid(_Silent):
    """relu6(x + 3) / 6."""

    run = staticmethod(F.hardsigmoid)


class Hardswish(_Silent):
    """x · relu6(x + 3) / 6 (arXiv:1905.02244)."""

    run = staticmethod(F.hardswish)


class Hardtanh(Module):
    """x, at least `min_val` and at most `max_val`."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if max_val <= min_val:
            raise AssertionError(
                f"max_val must be larger than min_val, got max_val={max_val}, min_val={min_val}"
            )
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + _suffix(self.inplace)


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def _suffix(inplace: bool) -> str:
    return ", inplace=True" if inplace else ""


class _Alpha(Module):
    run: Any = None

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return type(self).run(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + _suffix(self.inplace)


class ELU(_Alpha):
    """x where positive, else alpha · (exp(x) - 1)."""

    run = staticmethod(F.elu)


class CELU(_Alpha):
    """max(0, x) + min(0, alpha · (exp(x / alpha) - 1))."""

    run = staticmethod(F.celu)


class LeakyReLU(Module):
    """x where positive, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + _suffix(self.inplace)


class RReLU(Module):
    """leaky_relu with a slope drawn from [lower, upper] for each element in training."""

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + _suffix(self.inplace)


class Threshold(Module):
    """x where greater than `threshold`, else `value`."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + _suffix(self.inplace)


class GELU(Module):
    """x · Φ(x); approximate="tanh" is the usual approximation."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta, and x above `threshold`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _Shrink(Module):
    run: Any = None

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return type(self).run(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """x where |x| > lambd, else 0."""

    run = staticmethod(F.hardshrink)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd."""

    run = staticmethod(F.softshrink)


class GLU(Module):
    """The first half along `dim` times the sigmoid of the second."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x where positive, else a learned slope (one, or one for each channel) times x."""

    weight: Parameter

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = empty_parameter((num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all slopes to `init`."""
        initialise.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _OverDim(Module):
    run: Any = None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return type(self).run(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_OverDim):
    """exp(x) over its sum along `dim`."""

    run = staticmethod(F.softmax)


class LogSoftmax(_OverDim):
    """log(softmax(x)) along `dim`."""

    run = staticmethod(F.log_softmax)


class Softmin(_OverDim):
    """softmax(-x) along `dim`."""

    run = staticmethod(F.softmin)


class Softmax2d(Module):
    """softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)
