"""torch.cuda, where there is no CUDA: GPUs are reached through WebGPU, see torch.accelerator.

Programs ask whether it is there (it is not), set what they would like (accepted) and read memory
counters (0). Streams and events exist, so that code which measures with them runs: work is done in
order, and an event is the time at which it was recorded. What would need a CUDA device, such as its
properties, raises RuntimeError and says what to use.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NoReturn

from flambeau.stand_in import stand_in

_ABSENT = (
    "there is no CUDA in Flambeau: torch.cuda.is_available() is False. GPUs are reached through "
    "WebGPU: use device 'webgpu' and torch.accelerator"
)


@stand_in("False")
def is_available() -> bool:
    """False: Flambeau reaches NVIDIA's GPUs, like all others, through WebGPU."""
    return False


@stand_in("False")
def is_initialized() -> bool:
    """False."""
    return False


@stand_in("False")
def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


@stand_in("0")
def device_count() -> int:
    """0."""
    return 0


@stand_in("0")
def current_device() -> int:
    """0, as the one index that a program can have set."""
    return 0


@stand_in("raises RuntimeError")
def get_device_name(device: Any = None) -> str:
    """Raises RuntimeError: there is no such device."""
    _absent("get_device_name")


@stand_in("raises RuntimeError")
def get_device_properties(device: Any = None) -> Any:
    """Raises RuntimeError: there is no such device."""
    _absent("get_device_properties")


@stand_in("raises RuntimeError")
def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Raises RuntimeError: there is no such device."""
    _absent("get_device_capability")


def _absent(name: str) -> NoReturn:
    raise RuntimeError(f"torch.cuda.{name}: {_ABSENT}")


# settings ----------------------------------------------------------------------------------------


@stand_in("accepted")
def init() -> None:
    """Ignored."""


@stand_in("accepted")
def set_device(device: Any) -> None:
    """Ignored: tensors are made where torch.set_default_device says."""


@stand_in("accepted; torch.manual_seed seeds every device")
def manual_seed(seed: int) -> None:
    """Ignored, as in PyTorch where there is no CUDA."""


@stand_in("accepted; torch.manual_seed seeds every device")
def manual_seed_all(seed: int) -> None:
    """Ignored, as in PyTorch where there is no CUDA."""


@stand_in("accepted")
def synchronize(device: Any = None) -> None:
    """Compute what is pending, so that a clock that is read next counts it."""
    from flambeau.schedule.flush import flush

    flush()


@stand_in("an empty list")
def get_rng_state_all() -> list[Any]:
    """[]: there is no CUDA device that has a state."""
    return []


@stand_in("accepted")
def set_rng_state_all(new_states: Sequence[Any]) -> None:
    """Ignored: there is no CUDA device that has a state."""


_sync_debug_mode = 0


@stand_in("kept")
def set_sync_debug_mode(debug_mode: int | str) -> None:
    """0 or "default", 1 or "warn", 2 or "error": kept for get_sync_debug_mode."""
    global _sync_debug_mode
    modes = {"default": 0, "warn": 1, "error": 2}
    found = modes.get(debug_mode) if isinstance(debug_mode, str) else debug_mode
    if found not in (0, 1, 2):
        raise RuntimeError(
            "invalid value of debug_mode, expected one of `default`, `warn`, `error`"
        )
    _sync_debug_mode = int(found)


@stand_in("what was set")
def get_sync_debug_mode() -> int:
    """What set_sync_debug_mode was given last, as a number."""
    return _sync_debug_mode


@stand_in("raises RuntimeError")
def get_rng_state(device: Any = "cuda") -> Any:
    """Raises RuntimeError: there is no such device."""
    _absent("get_rng_state")


@stand_in("accepted")
def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Ignored: there is no CUDA device that has a state."""


# memory ------------------------------------------------------------------------------------------


@stand_in("accepted")
def empty_cache() -> None:
    """Ignored, as in PyTorch where there is no CUDA."""


@stand_in("accepted")
def ipc_collect() -> None:
    """Ignored."""


@stand_in("0")
def memory_allocated(device: Any = None) -> int:
    """0 bytes."""
    return 0


@stand_in("0")
def max_memory_allocated(device: Any = None) -> int:
    """0 bytes."""
    return 0


@stand_in("0")
def memory_reserved(device: Any = None) -> int:
    """0 bytes."""
    return 0


@stand_in("0")
def max_memory_reserved(device: Any = None) -> int:
    """0 bytes."""
    return 0


memory_cached = memory_reserved
max_memory_cached = max_memory_reserved


@stand_in("an empty dictionary")
def memory_stats(device: Any = None) -> dict[str, Any]:
    """{}."""
    return {}


@stand_in("an empty text")
def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """An empty text: no memory of CUDA is used."""
    return ""


@stand_in("(0, 0)")
def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(0, 0): bytes that are free, and bytes in all."""
    return (0, 0)


@stand_in("accepted")
def reset_peak_memory_stats(device: Any = None) -> None:
    """Ignored."""


@stand_in("accepted")
def reset_max_memory_allocated(device: Any = None) -> None:
    """Ignored."""


@stand_in("accepted")
def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Ignored."""


# streams and events ------------------------------------------------------------------------------


@stand_in("the one order in which all work is done")
class Stream:
    """The order in which work is done: there is one, so nothing has to wait for another."""

    def __init__(self, device: Any = None, priority: int = 0, **others: Any) -> None:
        self.device = device
        self.priority = priority

    def wait_stream(self, stream: Stream) -> None:
        """Nothing to do."""

    def wait_event(self, event: Event) -> None:
        """Nothing to do."""

    def record_event(self, event: Event | None = None) -> Event:
        """The event, recorded now."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def query(self) -> bool:
        """True."""
        return True

    def synchronize(self) -> None:
        """Compute what is pending."""
        synchronize()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


@stand_in("a moment of the host's clock, after what was pending is computed")
class Event:
    """A moment: `record` computes what is pending and reads the clock."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self._time: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Compute what is pending and remember the time."""
        synchronize()
        self._time = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to the other. Raises RuntimeError where not recorded."""
        if self._time is None or end_event._time is None:
            raise RuntimeError("elapsed_time: both events must be recorded first")
        return (end_event._time - self._time) * 1e3

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing to do."""

    def query(self) -> bool:
        """True."""
        return True

    def synchronize(self) -> None:
        """Compute what is pending."""
        synchronize()


_STREAM = Stream()


@stand_in("the one stream")
def current_stream(device: Any = None) -> Stream:
    """The one stream."""
    return _STREAM


default_stream = current_stream


@stand_in("accepted")
def set_stream(stream: Stream) -> None:
    """Ignored."""


@stand_in("a context in which nothing changes")
class StreamContext:
    """Nothing changes within."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


stream = StreamContext


@stand_in("a context in which nothing changes")
class device:  # noqa: N801  # PyTorch's name
    """`with torch.cuda.device(0)`: nothing changes within."""

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> device:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


@stand_in("False")
def is_current_stream_capturing() -> bool:
    """False."""
    return False


class OutOfMemoryError(RuntimeError):
    """A device has no more memory. Programs catch it as torch.cuda.OutOfMemoryError."""


# tensor types ------------------------------------------------------------------------------------


def _tensor_type(name: str) -> Any:
    def make(*arguments: Any, **options: Any) -> Any:
        _absent(name)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = "Raises RuntimeError: there is no such device."
    return stand_in("raises RuntimeError")(make)


class CUDAGraph:
    """Recorded launches of CUDA, which annotations name. RuntimeError where one is made."""

    def __init__(self, keep_graph: bool = False) -> None:
        raise RuntimeError(f"torch.cuda.CUDAGraph: {_ABSENT}. torch.compile replays whole steps")


class graph:  # noqa: N801  # PyTorch's name
    """Within this context CUDA's launches would be recorded. RuntimeError where one is made."""

    def __init__(self, cuda_graph: Any, **options: Any) -> None:
        raise RuntimeError(f"torch.cuda.graph: {_ABSENT}. torch.compile replays whole steps")


FloatTensor = _tensor_type("FloatTensor")
DoubleTensor = _tensor_type("DoubleTensor")
HalfTensor = _tensor_type("HalfTensor")
BFloat16Tensor = _tensor_type("BFloat16Tensor")
LongTensor = _tensor_type("LongTensor")
IntTensor = _tensor_type("IntTensor")
ByteTensor = _tensor_type("ByteTensor")
BoolTensor = _tensor_type("BoolTensor")


def __getattr__(name: str) -> Any:
    if name in ("amp", "nvtx", "profiler"):
        import importlib

        return importlib.import_module(f"flambeau.cuda.{name}")
    raise AttributeError(f"torch.cuda has no '{name}' here: {_ABSENT}")
