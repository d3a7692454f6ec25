"""torch._standard_gamma, torch.binomial, torch._sample_dirichlet: samples, some with gradients."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.ops import rejection
from flambeau.ops.generator import Generator
from flambeau.ops.host import differentiable
from flambeau.ops.limits import finfo
from flambeau.ops.publish import public
from flambeau.ops.random import engine_of, float_dtype, placed_array
from flambeau.ops.special.incomplete import dirichlet_slope, gamma_slope
from flambeau.tensor.tensor import Tensor


def _placed(like: Tensor, values: Any) -> Tensor:
    return placed_array(values, like._type.shape, like.dtype, like._storage.node.device)


def _gamma_numbers(concentration: Tensor, generator: Generator | None) -> Any:
    array = concentration.detach()._to_numpy()
    return rejection.drawn(rejection.gamma, engine_of(generator), 3, array)


def _gamma_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    concentration, sample = arguments
    return gradients[0] * gamma_slope(concentration, sample), None


@differentiable(_gamma_gradient)
def _gamma_sample(concentration: Any, sample: Any) -> Any:
    return sample.clone()


@public(method=False, out=False)
def _standard_gamma(input: Tensor, generator: Generator | None = None) -> Any:
    """Gamma distributed numbers with the shapes in `input` and scale 1.

    Differentiable once in `input`: implicit reparametrisation (Figurnov and others, 2018).
    """
    float_dtype("_standard_gamma", input.dtype)
    values = numpy.maximum(_gamma_numbers(input, generator), finfo(input.dtype).tiny)
    return _gamma_sample(input, _placed(input, values))


def _dirichlet_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """Each number moves as a beta number; the others share what is left in their proportions."""
    concentration, sample = arguments
    (gradient,) = gradients
    slope = dirichlet_slope(sample, concentration, concentration.sum(-1, True))
    return slope * (gradient - (sample * gradient).sum(-1, True)), None


@differentiable(_dirichlet_gradient)
def _dirichlet_sample(concentration: Any, sample: Any) -> Any:
    return sample.clone()


@public(method=False, out=False)
def _sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Any:
    """Probabilities drawn of the Dirichlet distribution with the concentrations in `input`.

    Differentiable once in `input` (M. Jankowiak and F. Obermeyer, Pathwise derivatives, 2018).
    """
    float_dtype("_sample_dirichlet", input.dtype)
    numbers = _gamma_numbers(input, generator)
    values = numbers / numbers.sum(-1, keepdims=True)
    values = numpy.maximum(values, finfo(input.dtype).tiny)
    return _dirichlet_sample(input, _placed(input, values))


@public(method=False, out=False)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Any:
    """How many of `count` trials succeed, each with the probability in `prob`."""
    float_dtype("binomial", count.dtype)
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"Found dtype {prob.dtype} but expected {count.dtype}: count and prob must agree"
        )
    arrays = [each.detach()._to_numpy() for each in (count, prob)]
    arrays = [each.astype(numpy.float64) for each in numpy.broadcast_arrays(*arrays)]
    values = rejection.drawn(rejection.binomial, engine_of(generator), 2, *arrays)
    return placed_array(values, values.shape, count.dtype, count._storage.node.device)
