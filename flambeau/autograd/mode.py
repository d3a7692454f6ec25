"""Whether operations are recorded for differentiation: per thread, as in PyTorch."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class _State(threading.local):
    enabled = True
    inference = False
    anomaly = False
    first_nan: Any = None  # (operation, line) that first made one while anomalies are detected
    saving: tuple[Any, ...] = ()  # (pack, unpack) hooks of what Functions save
    hooks_refused: str | None = None  # why there must be none
    tracing = 0  # depth of composites' expansions that are running


STATE = _State()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded for differentiation in this thread."""
    return STATE.enabled


def is_inference_mode_enabled() -> bool:
    return STATE.inference


def is_anomaly_enabled() -> bool:
    return STATE.anomaly


class _Switch:
    """A context manager that is a decorator, too. `field` of STATE is `value` inside."""

    field = "enabled"

    def __init__(self, value: bool) -> None:
        self.value = value
        self.previous: list[bool] = []

    def __enter__(self) -> Self:
        self.previous.append(getattr(STATE, self.field))
        setattr(STATE, self.field, self.value)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        setattr(STATE, self.field, self.previous.pop())

    def __call__(self, function: Function) -> Function:
        switch = self

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with switch:
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]  # wraps keeps the signature


class no_grad(_Switch):  # noqa: N801  # PyTorch's name
    """Inside, results do not require gradients. Also a decorator, with or without ()."""

    def __new__(cls, function: Any = None) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls()(function)

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Switch):  # noqa: N801  # PyTorch's name
    """Inside, operations are recorded, also within no_grad. Also a decorator."""

    def __new__(cls, function: Any = None) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls()(function)

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_Switch):  # noqa: N801  # PyTorch's name
    """As no_grad; `is_inference_mode_enabled()` is true inside."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)
        self.mode = mode
        self.outer: list[bool] = []

    def __enter__(self) -> Self:
        self.outer.append(STATE.inference)
        STATE.inference = self.mode
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        STATE.inference = self.outer.pop()
        super().__exit__(*error)


class set_grad_enabled(_Switch):  # noqa: N801  # PyTorch's name
    """Takes effect at once, and until the end of the block where it is used as one."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self.before = STATE.enabled
        STATE.enabled = mode

    def __enter__(self) -> Self:
        self.previous.append(self.before)
        STATE.enabled = self.value
        return self


class set_detect_anomaly(_Switch):  # noqa: N801  # PyTorch's name
    """While on, every operation is computed at once and a NaN is traced to the line that made it.

    Slow: for finding errors. Takes effect at once, or for a block.
    """

    field = "anomaly"

    def __init__(self, mode: bool = True, check_nan: bool = True) -> None:
        super().__init__(mode and check_nan)
        self.before = STATE.anomaly
        STATE.anomaly = self.value
        STATE.first_nan = None

    def __enter__(self) -> Self:
        self.previous.append(self.before)
        STATE.anomaly = self.value
        return self


class detect_anomaly(set_detect_anomaly):  # noqa: N801  # PyTorch's name
    """set_detect_anomaly(True) for a block."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


class set_multithreading_enabled:  # noqa: N801  # PyTorch's name
    """Accepted: backward records operations in the calling thread. Also a context manager."""

    def __init__(self, mode: bool) -> None:
        self._before, _Multithreading.enabled = _Multithreading.enabled, mode

    def __enter__(self) -> None:
        """Nothing more: it holds from the call on."""

    def __exit__(self, *error: object) -> None:
        _Multithreading.enabled = self._before


class _Multithreading:
    enabled = True


def is_multithreading_enabled() -> bool:
    """What set_multithreading_enabled was given last."""
    return _Multithreading.enabled
