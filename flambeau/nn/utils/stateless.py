"""torch.nn.utils.stateless: the older place of torch.func.functional_call."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

__all__ = ["functional_call"]


def functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """torch.func.functional_call, and a warning that it has moved."""
    warnings.warn(
        "This API is deprecated as of PyTorch 2.0 and will be removed in a future version of "
        "PyTorch. Please use torch.func.functional_call instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    function = importlib.import_module("flambeau.func").functional_call
    return function(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
