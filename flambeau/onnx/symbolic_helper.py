"""What libraries that register symbolic functions of PyTorch's old exporter import. See parse_args.

No such function is ever called here: models are exported without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.stand_in import stand_in

_T = TypeVar("_T", bound=Callable[..., Any])


@stand_in("returns the function")
def parse_args(*arg_descriptors: str) -> Callable[[_T], _T]:
    """Decorates a symbolic function; it is returned as it is."""
    return lambda function: function


@stand_in("accepted")
def register_custom_op_symbolic(
    symbolic_name: str, symbolic_fn: Callable[..., Any], opset_version: int
) -> None:
    """A symbolic function of an operator, for PyTorch's old exporter; it is not kept."""
