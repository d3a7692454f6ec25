"""Operations whose family is imported when one of them is first asked for.

Linear algebra, transforms and sparse arrays are large and rare: the import of Flambeau does not pay
for them. Here is where their names are; the family then publishes them as every other does.
"""

from __future__ import annotations

import importlib
from typing import Any

from flambeau.tensor.tensor import Tensor

_ALIASES = "flambeau.ops.linalg.aliases"
_SOLVE = "flambeau.ops.linalg.solve"
_PRODUCTS = "flambeau.ops.linalg.products"

FUNCTIONS: dict[str, str] = {}
"""torch.name -> the module that publishes it."""

METHODS: dict[str, str] = {}
"""Tensor.name -> the module that publishes it."""

FUNCTIONS |= dict.fromkeys(
    (
        "cholesky",
        "cholesky_inverse",
        "cholesky_solve",
        "cross",
        "det",
        "inverse",
        "lu",
        "lu_solve",
        "lu_unpack",
        "orgqr",
        "pca_lowrank",
        "pinverse",
        "qr",
        "slogdet",
        "svd",
        "svd_lowrank",
        "triangular_solve",
        "vander",
    ),
    _ALIASES,
)
FUNCTIONS |= {"logdet": _SOLVE, "matrix_exp": _PRODUCTS, "matrix_power": _PRODUCTS}
METHODS |= {
    name: module
    for name, module in FUNCTIONS.items()
    if name not in ("lu_unpack", "pca_lowrank", "svd_lowrank", "vander")
}


class _Later:
    """A method that replaces itself by the one that its family attaches to Tensor."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self.module = module

    def __get__(self, held: Any, owner: type) -> Any:
        importlib.import_module(self.module)
        return getattr(owner if held is None else held, self.name)


for _name, _module in METHODS.items():
    setattr(Tensor, _name, _Later(_name, _module))
