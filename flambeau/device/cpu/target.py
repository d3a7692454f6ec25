"""What the processor can do, as far as the code that is written depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One field a fact that changes what is written."""

    fused: bool  # fused multiply-add
    native_half: bool  # conversion from and to float16
    vector_bytes: int  # of the widest registers
    registers: int  # how many of them
    scales: bool = False  # an instruction that multiplies by powers of two


def target_of(features: dict[str, bool], triple: str) -> Target:
    """The facts about a processor with these LLVM features."""
    if triple.startswith(("aarch64", "arm64")):
        return Target(fused=True, native_half=True, vector_bytes=16, registers=32)
    half, fused = bool(features.get("f16c")), bool(features.get("fma"))
    if features.get("avx512f"):
        return Target(True, half, vector_bytes=64, registers=32, scales=True)
    wide = 32 if features.get("avx2") else 16
    return Target(fused=fused, native_half=half, vector_bytes=wide, registers=16)
