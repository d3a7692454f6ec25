"""Fourier transforms and windows: each call takes a library and tensors, and gives tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GENERATOR = np.random.default_rng(17)
ARRAYS: dict[str, np.ndarray] = {
    "x": GENERATOR.standard_normal((3, 4, 6)),
    "odd": GENERATOR.standard_normal((2, 5)),
    "z": GENERATOR.standard_normal((3, 4, 6)) + 1j * GENERATOR.standard_normal((3, 4, 6)),
    "sound": GENERATOR.standard_normal((2, 40)),
    "window": np.abs(GENERATOR.standard_normal(8)) + 0.5,
}
Call = Callable[..., Any]

SMOOTH: dict[str, tuple[Call, str]] = {
    "fft": (lambda t, z: t.fft.fft(z), "z"),
    "fft of real": (lambda t, x: t.fft.fft(x, dim=1), "x"),
    "fft n": (lambda t, z: t.fft.fft(z, n=9, norm="ortho"), "z"),
    "fft cut": (lambda t, z: t.fft.fft(z, n=2, dim=0, norm="forward"), "z"),
    "ifft": (lambda t, z: t.fft.ifft(z), "z"),
    "ifft forward": (lambda t, z: t.fft.ifft(z, norm="forward"), "z"),
    "fft2": (lambda t, z: t.fft.fft2(z), "z"),
    "ifft2": (lambda t, z: t.fft.ifft2(z, s=(3, 8)), "z"),
    "fftn": (lambda t, z: t.fft.fftn(z), "z"),
    "ifftn": (lambda t, z: t.fft.ifftn(z, dim=(0, 2), norm="ortho"), "z"),
    "rfft": (lambda t, x: t.fft.rfft(x), "x"),
    "rfft odd": (lambda t, x: t.fft.rfft(x, norm="ortho"), "odd"),
    "rfft n": (lambda t, x: t.fft.rfft(x, n=4, dim=0), "x"),
    "rfft2": (lambda t, x: t.fft.rfft2(x, norm="ortho"), "x"),
    "rfftn": (lambda t, x: t.fft.rfftn(x, dim=(2, 0)), "x"),
    "irfft": (lambda t, z: t.fft.irfft(z), "z"),
    "irfft odd": (lambda t, z: t.fft.irfft(z, n=7), "z"),
    "irfft cut": (lambda t, z: t.fft.irfft(z, n=6, dim=0, norm="ortho"), "z"),
    "irfft2": (lambda t, z: t.fft.irfft2(z, s=(4, 5)), "z"),
    "irfftn": (lambda t, z: t.fft.irfftn(z), "z"),
    "hfft": (lambda t, z: t.fft.hfft(z), "z"),
    "ihfft": (lambda t, x: t.fft.ihfft(x), "x"),
    "fftshift": (lambda t, x: t.fft.fftshift(x), "odd"),
    "ifftshift": (lambda t, x: t.fft.ifftshift(x, dim=1), "odd"),
    "stft": (lambda t, x, w: t.stft(x, 8, 3, window=w, return_complex=True), "sound window"),
    "stft plain": (
        lambda t, x: t.stft(x[0], 8, win_length=6, center=False, return_complex=True),
        "sound",
    ),
    "stft normalized": (
        lambda t, x: t.stft(
            x, 8, normalized=True, onesided=False, pad_mode="constant", return_complex=True
        ),
        "sound",
    ),
    "istft": (
        lambda t, x, w: t.istft(t.stft(x, 8, 2, window=w, return_complex=True), 8, 2, window=w),
        "sound window",
    ),
    "istft length": (
        lambda t, x, w: t.istft(
            t.stft(x[0], 8, 2, window=w, return_complex=True), 8, 2, window=w, length=30
        ),
        "sound window",
    ),
}
OTHERS: dict[str, tuple[Call, str]] = {
    "fft of integers": (lambda t, x: t.fft.fft((x * 9).long()), "x"),
    "fftfreq": (lambda t, x: t.fft.fftfreq(7, 0.5), "x"),
    "rfftfreq": (lambda t, x: t.fft.rfftfreq(8, d=2.0), "x"),
    "hann": (lambda t, x: t.hann_window(9), "x"),
    "hann symmetric": (lambda t, x: t.hann_window(8, periodic=False, dtype=t.float64), "x"),
    "hamming": (lambda t, x: t.hamming_window(9, True, 0.5, 0.4), "x"),
    "blackman": (lambda t, x: t.blackman_window(7), "x"),
    "bartlett": (lambda t, x: t.bartlett_window(7), "x"),
    "kaiser": (lambda t, x: t.kaiser_window(7, True, 8.0), "x"),
    "window of 1": (lambda t, x: t.hann_window(1), "x"),
    "window of 0": (lambda t, x: t.hann_window(0), "x"),
    "fft of float": (lambda t, x: t.fft.fft(x.float()), "x"),
}
ERRORS: dict[str, tuple[Call, str]] = {
    "norm": (lambda t, x: t.fft.fft(x, norm="none"), "x"),
    "rfft of complex": (lambda t, z: t.fft.rfft(z), "z"),
    "n of 0": (lambda t, x: t.fft.fft(x, n=0), "x"),
    "stft without return_complex": (lambda t, x: t.stft(x, 8), "sound"),
    "stft window": (lambda t, x, w: t.stft(x, 9, window=w, return_complex=True), "sound window"),
    "istft of real": (lambda t, x: t.istft(x, 8), "x"),
    "lengths": (lambda t, x: t.fft.fftn(x, s=(1, 2), dim=(0,)), "x"),
}
