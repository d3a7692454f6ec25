"""PyTorch's operations, one family a file. What each publishes is in its `__all__`.

As torch.ops it also holds the operators that programs define: torch.ops.namespace.name.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

_FAMILIES = frozenset(each.name for each in pkgutil.iter_modules(__path__))

if not TYPE_CHECKING:  # else every misspelled import from here would pass

    def __getattr__(name: str) -> Any:
        """A family, else a namespace of operators, or `load_library`."""
        if name in _FAMILIES:
            return importlib.import_module(f"{__name__}.{name}")
        if name.startswith("__"):
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        custom = importlib.import_module(f"{__name__}.custom")
        return custom.load_library if name == "load_library" else custom.namespace(name)
