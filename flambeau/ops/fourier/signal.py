"""Short-time Fourier transforms and windows."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.graph.dtype import DType
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.complex_numbers.parts import view_as_real
from flambeau.ops.creation import ones, zeros
from flambeau.ops.fourier.transforms import fft, ifft, irfft, rfft
from flambeau.ops.pad import pad
from flambeau.ops.publish import public, publish
from flambeau.ops.ranges import arange
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.tensor import Tensor

# windows ----------------------------------------------------------------------------------------


def _window(
    name: str,
    length: int,
    periodic: bool,
    values: Any,
    dtype: DType | None,
    device: Any,
    grad: bool,
) -> Tensor:
    """A window over 0 … length - 1; a periodic one is that of length + 1 without its end."""
    dtype = dtype or get_default_dtype()
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"{name} expects floating point dtypes, got: {DTYPE_TITLES[dtype.name]}Type"
        )
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got {length}")
    count = length + 1 if periodic else length
    if length == 1:
        made = numpy.ones(1)
    else:
        made = values(numpy.arange(count, dtype=numpy.float64), count - 1)[:length]
    from flambeau.ops.data import tensor

    return tensor(made, dtype=dtype, device=device, requires_grad=grad)


def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """sin²(πk/N)"""
    return _window(
        "hann_window",
        window_length,
        periodic,
        lambda k, n: 0.5 - 0.5 * numpy.cos(2 * math.pi * k / n),
        dtype,
        device,
        requires_grad,
    )


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - beta · cos(2πk/N)"""
    return _window(
        "hamming_window",
        window_length,
        periodic,
        lambda k, n: alpha - beta * numpy.cos(2 * math.pi * k / n),
        dtype,
        device,
        requires_grad,
    )


def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """0.42 - 0.5 · cos(2πk/N) + 0.08 · cos(4πk/N)"""

    def values(k: Any, n: int) -> Any:
        angle = 2 * math.pi * k / n
        return 0.42 - 0.5 * numpy.cos(angle) + 0.08 * numpy.cos(2 * angle)

    return _window("blackman_window", window_length, periodic, values, dtype, device, requires_grad)


def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """1 - |2k/N - 1|"""
    return _window(
        "bartlett_window",
        window_length,
        periodic,
        lambda k, n: 1 - numpy.abs(2 * k / n - 1),
        dtype,
        device,
        requires_grad,
    )


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """I₀(β √(1 - (2k/N - 1)²)) / I₀(β)"""
    return _window(
        "kaiser_window",
        window_length,
        periodic,
        lambda k, n: (
            numpy.i0(beta * numpy.sqrt(numpy.maximum(1 - (2 * k / n - 1) ** 2, 0))) / numpy.i0(beta)
        ),
        dtype,
        device,
        requires_grad,
    )


for _function in (hann_window, hamming_window, blackman_window, bartlett_window, kaiser_window):
    publish(_function, _function.__name__)


# short-time transforms --------------------------------------------------------------------------


def _full_window(window: Tensor | None, win_length: int, n_fft: int, like: Tensor) -> Any:
    """The window, with zeros on both sides up to n_fft."""
    if window is None:
        window = ones(win_length, dtype=like.dtype.real, device=like.device)
    if window.ndim != 1 or window._type.shape[0] != win_length:
        raise RuntimeError(
            f"expected a 1D window tensor of size equal to win_length={win_length}, but got window "
            f"with size {list(window.shape)}"
        )
    left = (n_fft - win_length) // 2
    return pad(window, [left, n_fft - win_length - left]) if win_length != n_fft else window


@public(out=False)
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Any:
    """Transforms of windows that move along the last dimension: (…, frequencies, windows).

    hop_length   how far they move, by default n_fft // 4
    center       each is centred on its place, the input padded at both ends
    normalized   divided by √n_fft
    onesided     half of the frequencies; by default where input and window are real
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    is_complex = input._type.dtype.is_complex or (
        window is not None and window._type.dtype.is_complex
    )
    if return_complex is None and not is_complex:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further "
            "require that return_complex=True in a future PyTorch release."
        )
    if input.ndim not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, got {input.ndim}D")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"stft: expected 0 < win_length <= n_fft={n_fft}, got {length}")
    if hop <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop}")
    rows = input if input.ndim == 2 else input.unsqueeze(0)
    if center:
        half = n_fft // 2
        rows = pad(rows.unsqueeze(1), [half, half], mode=pad_mode).squeeze(1)
    if rows._type.shape[-1] < n_fft:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {rows.shape[-1]}, but got n_fft={n_fft}")
    frames = rows.unfold(-1, n_fft, hop) * _full_window(window, length, n_fft, input)
    half_only = not is_complex if onesided is None else onesided
    norm = "ortho" if normalized else "backward"
    found = (rfft if half_only else fft)(frames, norm=norm).transpose(1, 2)
    found = found if input.ndim == 2 else found.squeeze(0)
    return found if return_complex or is_complex else view_as_real(found)


def _overlapped(frames: Any, hop: int, total: int) -> Any:
    """Frames (…, windows, n_fft) added up at their places."""
    batch, count, size = frames._type.shape
    at = arange(count, device=frames.device).unsqueeze(1) * hop
    places = (at + arange(size, device=frames.device)).reshape(-1)
    target = zeros(batch, total, dtype=frames.dtype, device=frames.device)
    return target.index_add(1, places, frames.reshape(batch, -1))


@public(out=False)
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Any:
    """The signal of stft's result: overlapping windows added up, divided by the window's squares.

    Raises RuntimeError where the windows leave places out. Griffin and Lim, 1984.
    """
    if not input._type.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    rows = input if input.ndim == 3 else input.unsqueeze(0)
    half_only = rows._type.shape[1] != n_fft if onesided is None else onesided
    norm = "ortho" if normalized else "backward"
    frames = rows.transpose(1, 2)
    if return_complex:
        made = ifft(frames, norm=norm)
    elif half_only:
        made = irfft(frames, n=n_fft, norm=norm)
    else:
        made = ifft(frames, norm=norm).real
    full = _full_window(window, size, n_fft, input)
    count = frames._type.shape[1]
    total = n_fft + hop * (count - 1)
    signal = _overlapped(made * full, hop, total)
    squares = (full * full).expand(1, count, n_fft)
    envelope = _overlapped(squares, hop, total)
    start = n_fft // 2 if center else 0
    stop = total - start if center else total
    stop = min(start + length, total) if length is not None else stop
    signal, envelope = signal[:, start:stop], envelope[:, start:stop]
    if bool((envelope.detach().abs() < 1e-11).any()):
        raise RuntimeError("window overlap add min: 1")
    found = signal / envelope
    if length is not None and found._type.shape[1] < length:
        found = pad(found, [0, length - found._type.shape[1]])
    return found if input.ndim == 3 else found.squeeze(0)
