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
        "eig",
        "geqrf",
        "inverse",
        "lstsq",
        "lu",
        "lu_solve",
        "lu_unpack",
        "matrix_rank",
        "orgqr",
        "ormqr",
        "pca_lowrank",
        "pinverse",
        "qr",
        "slogdet",
        "solve",
        "svd",
        "svd_lowrank",
        "symeig",
        "triangular_solve",
        "vander",
    ),
    _ALIASES,
)
FUNCTIONS |= {"logdet": _SOLVE, "matrix_exp": _PRODUCTS, "matrix_power": _PRODUCTS}
METHODS |= {
    name: module
    for name, module in FUNCTIONS.items()
    if name not in ("lu_unpack", "matrix_rank", "pca_lowrank", "svd_lowrank", "vander")
}


_COUNTING = "flambeau.ops.arrays.counting"
_LAYOUT = "flambeau.ops.arrays.layout"
_NAMES = "flambeau.ops.arrays.names"
_STATISTICS = "flambeau.ops.arrays.statistics"

_SHARED: dict[str, tuple[str, ...]] = {
    _NAMES: (
        "is_same_size",
        "narrow_copy",
        "unsafe_chunk",
        "unsafe_split",
        "unsafe_split_with_sizes",
    ),
    _COUNTING: ("bincount", "histc", "histogram", "mode"),
    _LAYOUT: (
        "as_strided",
        "as_strided_scatter",
        "diagflat",
        "diagonal_scatter",
        "dsplit",
        "frexp",
        "gcd",
        "gcd_",
        "hsplit",
        "index_reduce",
        "lcm",
        "lcm_",
        "ldexp",
        "ldexp_",
        "nextafter",
        "nonzero_static",
        "put",
        "resize_as_",
        "select_scatter",
        "slice_scatter",
        "trace",
        "vsplit",
    ),
    _STATISTICS: ("corrcoef", "cov", "nanmedian", "nanquantile", "quantile", "renorm"),
}
"""Names that torch and Tensor share, by module."""

_FUNCTIONS_ONLY: dict[str, tuple[str, ...]] = {
    _COUNTING: ("combinations", "histogramdd", "isin", "unravel_index"),
    _LAYOUT: ("empty_strided",),
    _NAMES: (
        "_assert",
        "alias_copy",
        "as_strided_copy",
        "constant_pad_nd",
        "detach_copy",
        "diagonal_copy",
        "empty_permuted",
        "expand_copy",
        "fill",
        "permute_copy",
        "range",
        "select_copy",
        "split_copy",
        "split_with_sizes_copy",
        "squeeze_copy",
        "t_copy",
        "transpose_copy",
        "typename",
        "unbind_copy",
        "unfold_copy",
        "unsqueeze_copy",
        "view_copy",
    ),
    _STATISTICS: ("cumulative_trapezoid", "gradient"),
}
_FUNCTIONS_ONLY["flambeau.ops.arrays.native_norm"] = (
    "native_batch_norm",
    "native_group_norm",
    "native_layer_norm",
)
_METHODS_ONLY: dict[str, tuple[str, ...]] = {
    _LAYOUT: (
        "apply_",
        "index_reduce_",
        "map_",
        "new_empty_strided",
        "nextafter_",
        "put_",
        "resize_",
        "sum_to_size",
    ),
    _STATISTICS: ("renorm_",),
}
_ATTACH = "flambeau.ops.sparse.attach"
_FUNCTIONS_ONLY[_ATTACH] = (
    "dsmm",
    "hspmm",
    "smm",
    "sparse_coo_tensor",
    "sparse_csr_tensor",
    "spmm",
)
_METHODS_ONLY[_ATTACH] = (
    "_indices",
    "_nnz",
    "_values",
    "coalesce",
    "col_indices",
    "crow_indices",
    "dense_dim",
    "indices",
    "is_coalesced",
    "smm",
    "sparse_dim",
    "sparse_mask",
    "to_dense",
    "to_sparse",
    "to_sparse_coo",
    "to_sparse_csr",
    "values",
)
_PARTS = "flambeau.ops.complex_numbers.parts"
_SHARED[_PARTS] = (
    "angle",
    "conj",
    "conj_physical",
    "imag",
    "is_conj",
    "is_neg",
    "real",
    "resolve_conj",
    "resolve_neg",
)
_FUNCTIONS_ONLY[_PARTS] = ("complex", "polar", "view_as_complex", "view_as_real")
_METHODS_ONLY[_PARTS] = ("cdouble", "cfloat", "conj_physical_")
_SIGNAL = "flambeau.ops.fourier.signal"
_SHARED[_SIGNAL] = ("istft", "stft")
_FUNCTIONS_ONLY[_SIGNAL] = (
    "bartlett_window",
    "blackman_window",
    "hamming_window",
    "hann_window",
    "kaiser_window",
)
_MEMORY = "flambeau.ops.arrays.memory"
_SHARED[_MEMORY] = ("dequantize",)
_FUNCTIONS_ONLY[_MEMORY] = ("from_file",)
_METHODS_ONLY[_MEMORY] = ("record_stream", "set_")
# fmt: off
FOREACH = tuple(sorted({
    *("clone", "copy_", "max", "mm", "norm", "powsum", "zero_"),
    *(f"{name}{end}" for name in (
        "abs", "acos", "add", "addcdiv", "addcmul", "asin", "atan", "ceil", "clamp_max",
        "clamp_min", "cos", "cosh", "div", "erf", "erfc", "exp", "expm1", "floor", "frac", "lerp",
        "lgamma", "log", "log10", "log1p", "log2", "maximum", "minimum", "mul", "neg", "pow",
        "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "sub", "tan",
        "tanh", "trunc",
    ) for end in ("", "_")),
}))
# fmt: on
"""The operations that torch._foreach_name does on each tensor of a list."""
_FUNCTIONS_ONLY["flambeau.ops.arrays.foreach"] = tuple(f"_foreach_{name}" for name in FOREACH)
for _table, _names in (
    (_SHARED, (FUNCTIONS, METHODS)),
    (_FUNCTIONS_ONLY, (FUNCTIONS,)),
    (_METHODS_ONLY, (METHODS,)),
):
    for _module, _of in _table.items():
        for _target in _names:
            _target |= dict.fromkeys(_of, _module)


_GAMMA = "flambeau.ops.special.gamma"
_INCOMPLETE = "flambeau.ops.special.incomplete"
_SAMPLES = "flambeau.ops.special.samples"
_SPECIAL = {
    "digamma": _GAMMA,
    "i0": "flambeau.ops.special.bessel",
    "igamma": _INCOMPLETE,
    "igammac": _INCOMPLETE,
    "lgamma": _GAMMA,
    "mvlgamma": _GAMMA,
    "polygamma": _GAMMA,
}
FUNCTIONS |= _SPECIAL
FUNCTIONS |= dict.fromkeys(
    ("affine_grid_generator", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d"),
    "flambeau.ops.layers.grid",
)
FUNCTIONS["_grouped_mm"] = "flambeau.ops.layers.grouped"
FUNCTIONS |= dict.fromkeys(("_sample_dirichlet", "_standard_gamma", "binomial"), _SAMPLES)
METHODS |= _SPECIAL
METHODS |= {f"{name}_": module for name, module in _SPECIAL.items()}


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
