"""autocast: a context, or decorator, in which products run in a lower precision."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Self

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.autocast import STATE

DEFAULTS = {"cpu": dtypes.bfloat16, "reference": dtypes.bfloat16, "webgpu": dtypes.float16}
"""The dtype of each type of device where none is given."""

_ABSENT = ("cuda", "mps", "xpu")
_defaults = dict(DEFAULTS)


def is_autocast_available(device_type: str) -> bool:
    """Whether there is a device of this type."""
    return device_type in DEFAULTS


class autocast:  # noqa: N801  # PyTorch's name
    """Within: matrix products and convolutions in `dtype`, losses and the like in float32.

    device_type is "cpu", "webgpu" or "reference"; dtype bfloat16 or float16. For "cuda", which is
    not there, it warns and changes nothing, as in PyTorch. Raises RuntimeError for other types and
    dtypes. Which operations: ops/autocast.py.
    """

    def __init__(
        self,
        device_type: str = "cuda",
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(
                f"Expected `device_type` of type `str`, got: `{type(device_type).__name__}`"
            )
        if device_type not in DEFAULTS and device_type not in _ABSENT:
            raise RuntimeError(
                f"autocast: there is no device type '{device_type}'; "
                f"there are {', '.join(DEFAULTS)}"
            )
        if device_type in _ABSENT and enabled:
            warnings.warn(
                f"User provided device_type of '{device_type}', but {device_type.upper()} is not "
                "available. Disabling",
                stacklevel=2,
            )
            enabled = False
        self.device = device_type
        self.fast_dtype = dtype or _defaults.get(device_type, dtypes.float16)
        if enabled and self.fast_dtype not in (dtypes.bfloat16, dtypes.float16):
            warnings.warn(
                f"In {device_type} autocast, but the target dtype {self.fast_dtype} is not "
                "supported (torch.bfloat16 and torch.float16 are). Disabling autocast.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[DType | None] = []

    def __enter__(self) -> Self:
        self._before.append(STATE.dtypes.get(self.device))
        _set(self.device, self.fast_dtype if self._enabled else None)
        return self

    def __exit__(self, *exception: object) -> None:
        _set(self.device, self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return within


def _set(device_type: str, dtype: DType | None) -> None:
    """Another dictionary each time: an empty one says that autocast is off everywhere."""
    STATE.dtypes = {key: each for key, each in STATE.dtypes.items() if key != device_type}
    if dtype is not None:
        STATE.dtypes[device_type] = dtype


# what torch itself has ---------------------------------------------------------------------------


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for this type of device."""
    return device_type in STATE.dtypes


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on for the cpu."""
    return "cpu" in STATE.dtypes


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off outside of a context."""
    _set(device_type, get_autocast_dtype(device_type) if enabled else None)


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype in use, or the one that autocast takes where none is given."""
    return STATE.dtypes.get(device_type) or _defaults.get(device_type, dtypes.float16)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """The dtype that autocast takes where none is given."""
    _defaults[device_type] = dtype


def get_autocast_gpu_dtype() -> DType:
    """get_autocast_dtype("cuda")."""
    return get_autocast_dtype("cuda")


def get_autocast_cpu_dtype() -> DType:
    """get_autocast_dtype("cpu")."""
    return get_autocast_dtype("cpu")


def clear_autocast_cache() -> None:
    """Nothing to do: casts of the same tensor are computed once in a plan."""


def is_autocast_cache_enabled() -> bool:
    """True: casts of the same tensor are computed once in a plan."""
    return True


# autograd.Function under autocast ----------------------------------------------------------------


def custom_fwd(
    fwd: Callable[..., Any] | None = None,
    *,
    device_type: str = "cpu",
    cast_inputs: DType | None = None,
) -> Any:
    """Decorates Function.forward: with `cast_inputs` tensors are cast, autocast is off inside."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    function = fwd

    @functools.wraps(function)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._autocast = dict(STATE.dtypes)
        if cast_inputs is None or not STATE.dtypes:
            return function(ctx, *args, **kwargs)
        args = tuple(_to(each, cast_inputs) for each in args)
        with _exactly({}):
            return function(ctx, *args, **{k: _to(each, cast_inputs) for k, each in kwargs.items()})

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cpu") -> Any:
    """Decorates Function.backward: it runs under the autocast that forward ran under."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    function = bwd

    @functools.wraps(function)
    def backward(ctx: Any, *args: Any) -> Any:
        with _exactly(getattr(ctx, "_autocast", {})):
            return function(ctx, *args)

    return backward


class _exactly:  # noqa: N801  # reads as a word at its uses
    def __init__(self, state: dict[str, DType]) -> None:
        self.state = state

    def __enter__(self) -> None:
        self.before, STATE.dtypes = STATE.dtypes, self.state

    def __exit__(self, *exception: object) -> None:
        STATE.dtypes = self.before


def _to(value: Any, dtype: DType) -> Any:
    from flambeau.tensor.tensor import Tensor

    if isinstance(value, Tensor) and value.dtype.is_floating_point:
        return value if value.dtype is dtypes.float64 else value.to(dtype)
    return value
