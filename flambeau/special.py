"""torch.special: special functions under scipy's names. They are in ops/special and ops/math."""

from __future__ import annotations

from flambeau.ops.activation import sigmoid as expit
from flambeau.ops.math import erf, erfc, erfinv, exp2, expm1, log1p, logit, xlogy
from flambeau.ops.rounding import round  # noqa: A004  # PyTorch's name
from flambeau.ops.softmax import log_softmax, softmax
from flambeau.ops.special import orthogonal
from flambeau.ops.special.bessel import i0, i0e, i1, i1e
from flambeau.ops.special.cylinder import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    spherical_bessel_j0,
)
from flambeau.ops.special.gamma import digamma, lgamma, mvlgamma, polygamma, zeta
from flambeau.ops.special.incomplete import igamma as gammainc
from flambeau.ops.special.incomplete import igammac as gammaincc
from flambeau.ops.special.normal import entr, erfcx, log_ndtr, ndtr, ndtri, xlog1py
from flambeau.ops.spread import logsumexp
from flambeau.ops.trigonometry import sinc

gammaln = lgamma
modified_bessel_i0 = i0
modified_bessel_i1 = i1
multigammaln = mvlgamma
psi = digamma

__all__ = [
    "airy_ai",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "sinc",
    "softmax",
    "spherical_bessel_j0",
    "xlog1py",
    "xlogy",
    "zeta",
]

for _name in orthogonal.__dict__["NAMES"]:
    globals()[_name] = getattr(orthogonal, _name)
    __all__ += [_name]
