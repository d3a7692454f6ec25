"""Flambeau: PyTorch's API in pure Python, compiled while it runs. `import flambeau as torch`.

The names are laid out as PyTorch lays them out. Operations come from ops/, each module of which
lists its public names; what is not needed at once (compilers, nn, optim, files) is imported at its
first use, so that the import stays quick.
"""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
from typing import Any

from flambeau import autograd, ops
from flambeau.autograd import mode as _mode
from flambeau.graph.dtype import DTYPES as _DTYPES
from flambeau.graph.dtype import NAMED as _NAMED
from flambeau.graph.dtype import DType as dtype  # noqa: N813  # PyTorch's name
from flambeau.ops import later as _later
from flambeau.tensor import differentiate, function  # they publish into autograd
from flambeau.tensor import override as _override
from flambeau.tensor.device import (
    device,
    get_default_device,
    get_default_dtype,
    set_default_device,
    set_default_dtype,
)
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor
from flambeau.version import __version__

_OTHER_NAMES = {
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}
_MODES = (
    "enable_grad",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
)
_MODULES = frozenset(
    {
        "ao",
        "accelerator",
        "amp",
        "backends",
        "compiler",
        "cpu",
        "cuda",
        "distributed",
        "distributions",
        "fft",
        "func",
        "futures",
        "fx",
        "hub",
        "jit",
        "library",
        "linalg",
        "masked",
        "mps",
        "mtia",
        "multiprocessing",
        "nested",
        "nn",
        "onnx",
        "openness",
        "optim",
        "overrides",
        "profiler",
        "quasirandom",
        "random",
        "serialization",
        "signal",
        "sparse",
        "special",
        "storage",
        "testing",
        "types",
        "utils",
        "version",
        "xpu",
    }
)
"""Modules that are imported when they are first asked for."""

_PRIVATE = frozenset({"__config__", "_C", "_custom_ops", "_dynamo", "_utils"})
"""Modules of that kind which are PyTorch's own affair, though libraries reach for them."""

_LATER = {
    "compile": "flambeau.capture.compiled",
    "_assert": "flambeau.runtime",
    "explain": "flambeau.explanation",
    "PyTorchFileReader": "flambeau.serialization.archive",
    "load": "flambeau.serialization",
    "save": "flambeau.serialization",
    "_weight_norm": "flambeau.nn.utils.weight_norm",
    "norm_except_dim": "flambeau.nn.utils.weight_norm",
    "vmap": "flambeau.func",
}
_LATER |= dict.fromkeys(
    (
        "are_deterministic_algorithms_enabled",
        "get_float32_matmul_precision",
        "get_num_threads",
        "set_float32_matmul_precision",
        "set_num_threads",
        "use_deterministic_algorithms",
    ),
    "flambeau.runtime",
)
_LATER |= dict.fromkeys(
    (
        "clear_autocast_cache",
        "get_autocast_cpu_dtype",
        "get_autocast_dtype",
        "get_autocast_gpu_dtype",
        "is_autocast_cache_enabled",
        "is_autocast_cpu_enabled",
        "is_autocast_enabled",
        "set_autocast_dtype",
        "set_autocast_enabled",
    ),
    "flambeau.amp.autocast_mode",
)
_LATER |= dict.fromkeys(("get_dropout_stream", "set_dropout_stream"), "flambeau.ops.dropout")
_LATER |= dict.fromkeys(
    ("_check", "_check_index", "_check_not_implemented", "_check_type", "_check_value"),
    "flambeau.runtime",
)
_LATER |= dict.fromkeys(
    (
        "get_deterministic_debug_mode",
        "get_device_module",
        "is_deterministic_algorithms_warn_only_enabled",
        "set_deterministic_debug_mode",
    ),
    "flambeau.runtime",
)
_LATER |= dict.fromkeys(
    (
        "SymBool",
        "SymFloat",
        "SymInt",
        "sym_float",
        "sym_int",
        "sym_ite",
        "sym_max",
        "sym_min",
        "sym_not",
        "sym_sum",
    ),
    "flambeau.symbols",
)
_LATER |= dict.fromkeys(
    (
        "BFloat16Storage",
        "BoolStorage",
        "ByteStorage",
        "CharStorage",
        "DoubleStorage",
        "FloatStorage",
        "HalfStorage",
        "IntStorage",
        "LongStorage",
        "ShortStorage",
        "Storage",
        "TypedStorage",
        "UntypedStorage",
        "is_storage",
    ),
    "flambeau.storage",
)
_LATER |= dict.fromkeys(("Event", "Stream"), "flambeau.cuda")
_LATER |= {"Future": "flambeau.futures", "GradScaler": "flambeau.amp"}
_LATER |= {"autocast": "flambeau.amp", "OutOfMemoryError": "flambeau.cuda"}
_LATER |= _later.FUNCTIONS
"""Functions that are imported when they are first asked for, and where they are."""

# fmt: off
_IN_PLACE = frozenset({
    "abs_", "acos_", "acosh_", "addmv_", "alpha_dropout_", "arccos_", "arccosh_", "arcsin_",
    "arcsinh_", "arctan_", "arctanh_", "asin_", "asinh_", "atan_", "atanh_", "ceil_",
    "celu_", "clamp_", "clamp_max_", "clamp_min_", "clip_", "cos_", "cosh_", "deg2rad_",
    "detach_", "dropout_", "erf_", "erfc_", "exp2_", "exp_", "expm1_",
    "feature_alpha_dropout_", "feature_dropout_", "fill_", "fix_", "floor_", "frac_",
    "index_put_", "ldexp_", "log10_", "log1p_", "log2_", "log_", "logit_", "nan_to_num_",
    "neg_", "negative_", "rad2deg_", "reciprocal_", "relu_", "resize_as_", "round_",
    "rrelu_", "rsqrt_", "selu_", "sigmoid_", "sin_", "sinc_", "sinh_", "sqrt_", "square_",
    "tan_", "tanh_", "threshold_", "trunc_", "xlogy_", "zero_",
})
# fmt: on
"""In-place operations that PyTorch has as functions, too; the others are methods only."""

inf = math.inf
nan = math.nan
pi = math.pi
e = math.e
newaxis = None


def is_tensor(obj: object) -> Any:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def _collect() -> dict[str, Any]:
    """All names that are computed rather than written above: dtypes, modes and operations."""
    names: dict[str, Any] = _DTYPES | _NAMED
    names |= {name: _DTYPES[of] for name, of in _OTHER_NAMES.items()}
    names |= {name: getattr(_mode, name) for name in _MODES}
    for found in pkgutil.iter_modules(ops.__path__):
        module = importlib.import_module(f"{ops.__name__}.{found.name}")
        public = getattr(module, "__all__", ())
        names |= {name: getattr(module, name) for name in public if _is_function(name)}
    return names


def _is_function(name: str) -> Any:
    return not name.endswith("_") or name in _IN_PLACE


_override.attach()

# Last, so that torch.tensor and torch.device are these, not the layers of the same names.
_OPERATIONS = _collect()
globals().update(_OPERATIONS)

__all__ = sorted(
    {
        *_OPERATIONS,
        *_LATER,
        *_MODULES,
        "Size",
        "Tensor",
        "__version__",
        "autograd",
        "device",
        "dtype",
        "e",
        "get_default_device",
        "get_default_dtype",
        "inf",
        "is_tensor",
        "nan",
        "newaxis",
        "pi",
        "set_default_device",
        "set_default_dtype",
    }
)


_when_imported: list[Any] = []  # called with each module that is imported late: as_torch.py


def __getattr__(name: str) -> Any:
    """What is imported late; for a name that does not exist, an error that says what is near."""
    if name in _MODULES or name in _PRIVATE:
        module = importlib.import_module(f"{__name__}.{name}")
        for each in _when_imported:
            each(module)
        return module
    if name in _LATER:
        value = getattr(importlib.import_module(_LATER[name]), name)
        globals()[name] = value
        return value
    if name.startswith("__"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    near = difflib.get_close_matches(name, __all__, n=3)
    hint = f" Near: {', '.join(near)}." if near else ""
    raise AttributeError(
        f"module '{__name__}' has no attribute '{name}'.{hint} What there is: dir({__name__}); "
        "what differs from PyTorch: docs/differences.md"
    )


def __dir__() -> list[str]:
    return list(__all__)
