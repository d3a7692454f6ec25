"""Complex calls: each takes a library and tensors made of arrays, and gives tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GENERATOR = np.random.default_rng(13)


def _random(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape) + 1j * GENERATOR.standard_normal(shape)


ARRAYS: dict[str, np.ndarray] = {
    "z": _random(3, 4),
    "w": _random(3, 4),
    "A": _random(2, 3, 3) + 2 * np.eye(3),
    "B": _random(2, 3, 2),
    "row": _random(4),
    "x": GENERATOR.standard_normal((3, 4)),
    "pairs": GENERATOR.standard_normal((3, 4, 2)),
}
Call = Callable[..., Any]

SMOOTH: dict[str, tuple[Call, str]] = {
    "add": (lambda t, z, w: z + w, "z w"),
    "sub": (lambda t, z, x: z - x, "z x"),
    "mul": (lambda t, z, w: z * w, "z w"),
    "mul broadcast": (lambda t, z, r: z * r, "z row"),
    "mul real": (lambda t, z, x: x * z, "z x"),
    "mul number": (lambda t, z: z * (2 - 1j) + 3, "z"),
    "real times i": (lambda t, x: x * 1j, "x"),
    "div": (lambda t, z, w: z / w, "z w"),
    "one over": (lambda t, z: 1 / z, "z"),
    "neg": (lambda t, z: -z, "z"),
    "pow": (lambda t, z: z**3, "z"),
    "pow real": (lambda t, z: z**0.5, "z"),
    "pow complex": (lambda t, z, w: t.pow(z, w), "z w"),
    "abs": (lambda t, z: z.abs(), "z"),
    "angle": (lambda t, z: t.angle(z), "z"),
    "conj": (lambda t, z: t.conj(z) * 2, "z"),
    "real": (lambda t, z: z.real, "z"),
    "imag": (lambda t, z: t.imag(z), "z"),
    "complex": (lambda t, x: t.complex(x, x * 2), "x"),
    "polar": (lambda t, x: t.polar(x.abs() + 1, x), "x"),
    "view_as_real": (lambda t, z: t.view_as_real(z), "z"),
    "view_as_complex": (lambda t, p: t.view_as_complex(p), "pairs"),
    "exp": (lambda t, z: z.exp(), "z"),
    "log": (lambda t, z: t.log(z), "z"),
    "log10": (lambda t, z: t.log10(z), "z"),
    "sqrt": (lambda t, z: t.sqrt(z), "z"),
    "rsqrt": (lambda t, z: t.rsqrt(z), "z"),
    "reciprocal": (lambda t, z: z.reciprocal(), "z"),
    "sin": (lambda t, z: t.sin(z), "z"),
    "cos": (lambda t, z: t.cos(z), "z"),
    "tan": (lambda t, z: t.tan(z), "z"),
    "sinh": (lambda t, z: t.sinh(z), "z"),
    "cosh": (lambda t, z: t.cosh(z), "z"),
    "tanh": (lambda t, z: t.tanh(z), "z"),
    "sigmoid": (lambda t, z: t.sigmoid(z), "z"),
    "asin": (lambda t, z: t.asin(z), "z"),
    "acos": (lambda t, z: t.acos(z), "z"),
    "atan": (lambda t, z: t.atan(z), "z"),
    "asinh": (lambda t, z: t.asinh(z), "z"),
    "square": (lambda t, z: t.square(z), "z"),
    "sum": (lambda t, z: z.sum(0), "z"),
    "mean": (lambda t, z: z.mean(), "z"),
    "prod": (lambda t, z: z.prod(1), "z"),
    "cumsum": (lambda t, z: z.cumsum(1), "z"),
    "matmul": (lambda t, a, b: a @ b, "A B"),
    "bmm": (lambda t, a, b: t.bmm(a, b), "A B"),
    "mm": (lambda t, a: t.mm(a[0], a[1].mH), "A"),
    "einsum": (lambda t, a, b: t.einsum("bij,bjk->ik", a, b), "A B"),
    "dot": (lambda t, z, r: t.dot(z[0], r), "z row"),
    "vdot": (lambda t, z, r: t.vdot(z[0], r), "z row"),
    "outer": (lambda t, r: t.outer(r, r), "row"),
    "index": (lambda t, z: z[1:, [0, 2]], "z"),
    "mask": (lambda t, z, x: z[x > 0], "z x"),
    "transpose": (lambda t, z: z.T.reshape(2, 6).flip(0), "z"),
    "cat": (lambda t, z, w: t.cat([z, w[:1]], 0), "z w"),
    "stack": (lambda t, z, w: t.stack([z, w], 1), "z w"),
    "where": (lambda t, z, w, x: t.where(x > 0, z, w), "z w x"),
    "gather": (lambda t, z: z.gather(1, t.tensor([[0, 3], [1, 1], [2, 0]])), "z"),
    "index_add": (lambda t, z, w: z.index_add(0, t.tensor([0, 0, 2]), w), "z w"),
    "roll": (lambda t, z: t.roll(z, 1, 1), "z"),
    "pad": (lambda t, z: t.nn.functional.pad(z, (1, 2)), "z"),
    "write": (lambda t, z, w: _written(t, z, w), "z w"),
    "to real": (lambda t, z: z.abs() ** 2 + z.real, "z"),
    "promoted": (lambda t, x: x.to(t.complex128) * 2, "x"),
    "sgn": (lambda t, z: t.sgn(z), "z"),
    "norm": (lambda t, z: t.linalg.vector_norm(z), "z"),
    "inv": (lambda t, a: t.linalg.inv(a), "A"),
    "solve": (lambda t, a, b: t.linalg.solve(a, b), "A B"),
    "det": (lambda t, a: t.det(a), "A"),
    "cholesky": (lambda t, a: t.linalg.cholesky(a @ a.mH), "A"),
    "eigvalsh": (lambda t, a: t.linalg.eigvalsh(a + a.mH), "A"),
    "svdvals": (lambda t, a: t.linalg.svdvals(a), "A"),
    "pinv": (lambda t, b: t.linalg.pinv(b), "B"),
    "matrix_exp": (lambda t, a: t.matrix_exp(a), "A"),
}


def _written(t: Any, z: Any, w: Any) -> Any:
    made = t.zeros(4, 5, dtype=z.dtype)
    made[:3, 1:] = z * w
    made[0] *= 2
    return made


OTHERS: dict[str, tuple[Call, str]] = {
    "eq": (lambda t, z, w: z == t.where(z.real > 0, z, w), "z w"),
    "ne": (lambda t, z: z != z[0], "z"),
    "isnan": (lambda t, z: t.isnan(z / (z - z)), "z"),
    "isfinite": (lambda t, z: z.isfinite(), "z"),
    "isclose": (lambda t, z: t.isclose(z, z + 1e-9), "z"),
    "isreal": (lambda t, x: t.isreal(x + 0j), "x"),
    "full": (lambda t, z: t.full((2,), 1 + 2j), "z"),
    "ones": (lambda t, z: t.ones_like(z) + t.zeros(4, dtype=z.dtype), "z"),
    "tensor": (lambda t, z: t.tensor([1 + 2j, 3, 4.5]), "z"),
    "bool": (lambda t, z: z.bool(), "z"),
    "long plus": (lambda t, x: x.long() + 1j, "x"),
    "float plus double": (lambda t, z, x: z.to(t.complex64) + x.float(), "z x"),
    "double scalar": (lambda t, z, x: z.to(t.complex64) + x[0, 0], "z x"),
    "add_": (lambda t, z, w: z.clone().add_(w, alpha=2), "z w"),
    "mul_": (lambda t, z: z.clone().mul_(1j), "z"),
    "angle of real": (lambda t, x: t.angle(x), "x"),
    "arange": (lambda t, x: t.exp(1j * t.arange(4)), "x"),
}
