"""Distribution, the base of all, and bases that make most of them a table of formulas."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from flambeau.autograd.mode import no_grad
from flambeau.distributions import constraints
from flambeau.distributions.utils import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    numbers_only,
    probs_to_logits,
)
from flambeau.tensor.differentiate import grad
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor


class Distribution:
    """A probability distribution over events of `event_shape`, one for each place of `batch_shape`.

    Subclasses give `arg_constraints`, `support` and formulas. Parameters are attributes named as
    in `arg_constraints`; that is how expand() finds them. Unless validate_args is False, parameters
    and values outside their constraints raise ValueError.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: ClassVar[Any] = {}
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether arguments are checked where validate_args is not given."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args expects True or False, but got {value}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Any = (),
        event_shape: Any = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self._constraints().items():
            if constraints.is_dependent(constraint) or not _is_computed(self, name):
                continue
            value = getattr(self, name)
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def _constraints(self) -> Any:
        try:
            return self.arg_constraints
        except NotImplementedError:
            warnings.warn(f"{type(self)} does not define `arg_constraints`", stacklevel=4)
            return {}

    @property
    def batch_shape(self) -> Any:
        """The shape of the parameters, but for what belongs to one event."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """The shape of one event."""
        return self._event_shape

    @property
    def support(self) -> Any:
        """The constraint that values satisfy."""
        raise NotImplementedError(f"{type(self).__name__} has no support")

    @property
    def mean(self) -> Any:
        """The mean of each distribution of the batch."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Any:
        """The most probable value."""
        raise NotImplementedError(f"{type(self).__name__} does not implement mode")

    @property
    def variance(self) -> Any:
        """The variance of each distribution of the batch."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Any:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Values of shape sample_shape + batch_shape + event_shape, without gradients."""
        with no_grad():
            return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: Any = ()) -> Any:
        """As sample, with gradients to the parameters, where `has_rsample`."""
        raise NotImplementedError(
            f"{type(self).__name__} has no rsample(): its values have no gradients. Use sample() "
            "and log_prob()"
        )

    def sample_n(self, n: int) -> Any:
        """sample((n,)), under its old name."""
        warnings.warn(
            "sample_n(n) will be deprecated. Use .sample((n,)) instead", FutureWarning, stacklevel=2
        )
        return self.sample((n,))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or of the probability, at each event of `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob()")

    def cdf(self, value: Any) -> Any:
        """The probability of a number ≤ value."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf()")

    def icdf(self, value: Any) -> Any:
        """The inverse of cdf."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf()")

    def entropy(self) -> Any:
        """The entropy of each distribution of the batch, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy()")

    def perplexity(self) -> Any:
        """exp of the entropy."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values along a new first dimension, where `has_enumerate_support`."""
        raise NotImplementedError(f"{type(self).__name__} has no finite list of values")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with its parameters expanded to `batch_shape`."""
        batch_shape = Size(batch_shape)
        made = self._get_checked_instance(Distribution, _instance)
        for name, value in self.__dict__.items():
            if name in self._expanded_names():
                made.__dict__[name] = _expanded(value, len(self._batch_shape), batch_shape)
            elif name not in ("_batch_shape", "_validate_args"):
                made.__dict__.setdefault(name, value)
        made._batch_shape = batch_shape
        made._validate_args = self._validate_args
        return made

    def _expanded_names(self) -> Any:
        """Names of attributes that have the batch's dimensions first."""
        return self.arg_constraints

    def _get_checked_instance(self, cls: Any, _instance: Any = None) -> Any:
        return type(self).__new__(type(self)) if _instance is None else _instance

    def _extended_shape(self, sample_shape: Any = ()) -> Any:
        """sample_shape + batch_shape + event_shape"""
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """Raises ValueError unless `value` fits the shapes and the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        event = len(self._event_shape)
        if event and value.shape[value.ndim - event :] != self._event_shape:
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{value.shape} vs {self._event_shape}."
            )
        _check_broadcast(tuple(value.shape), tuple(self._extended_shape()))
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation.", stacklevel=3
            )
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def _checked(self, value: Any) -> Any:
        """`value`, checked where arguments are."""
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                text = f"{value}" if value.numel() == 1 else f"{value.size()}"
                shown.append(f"{name}: {text}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _is_computed(distribution: Any, name: str) -> bool:
    """Whether a parameter was given rather than derived when first read."""
    lazy = isinstance(getattr(type(distribution), name, None), lazy_property)
    return name in distribution.__dict__ or not lazy


def _expanded(value: Any, batch: int, batch_shape: Any) -> Any:
    if isinstance(value, Distribution):
        return value.expand(batch_shape)
    return value.expand(tuple(batch_shape) + tuple(value.shape[batch:]))


def _check_broadcast(actual: tuple[int, ...], expected: tuple[int, ...]) -> None:
    for here, there in zip(reversed(actual), reversed(expected), strict=False):
        if here != 1 and there != 1 and here != there:
            raise ValueError(
                f"Value is not broadcastable with batch_shape+event_shape: {actual} vs {expected}."
            )


class ExponentialFamily(Distribution):
    """log p(x) = ⟨natural parameters, statistics of x⟩ - log normaliser + carrier measure of x."""

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no natural parameters")

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no log normaliser")

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no mean carrier measure")

    def entropy(self) -> Any:
        """By F. Nielsen and R. Nock, Entropies of exponential families (2010)."""
        result = -self._mean_carrier_measure
        natural = [each.detach().requires_grad_() for each in self._natural_params]
        normalizer = self._log_normalizer(*natural)
        gradients = grad(normalizer.sum(), natural, create_graph=True)
        result = result + normalizer
        for parameter, gradient in zip(natural, gradients, strict=True):
            part = parameter * gradient
            result = result - part.reshape((*self._batch_shape, -1)).sum(-1)
        return result


class Scalar(Distribution):
    """One number per event; the parameters are broadcast against each other."""

    def __init__(self, validate_args: bool | None = None, **parameters: Any) -> None:
        tensors = broadcast_all(*parameters.values())
        for name, each in zip(parameters, tensors, strict=True):
            setattr(self, name, each)
        shape = () if numbers_only(*parameters.values()) else tensors[0].shape
        super().__init__(shape, (), validate_args)

    def _noise(self, like: Any, sample_shape: Any) -> Any:
        """An uninitialised tensor for as many numbers as are drawn."""
        return like.new_empty(self._extended_shape(sample_shape))


class ScalarFamily(Scalar, ExponentialFamily):
    """A Scalar of the exponential family."""


def check_one_of(first: Any, second: Any, names: str) -> None:
    """Raises ValueError unless exactly one is given."""
    if (first is None) == (second is None):
        raise ValueError(f"Either {names} must be specified, but not both.")


class Odds(Distribution):
    """Has `probs` and `logits`, of which one is given and the other follows."""

    _is_binary = True

    @lazy_property
    def logits(self) -> Any:
        """Log odds, or log probabilities where there are more than two outcomes."""
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Any:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def _param(self) -> Any:
        return self.__dict__.get("probs", self.__dict__.get("logits"))

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _set_odds(self, probs: Any, logits: Any, *others: Any) -> tuple[Any, bool]:
        """Sets probs or logits; the broadcast others, and whether all were numbers."""
        check_one_of(probs, logits, "`probs` or `logits`")
        name, given = ("probs", probs) if logits is None else ("logits", logits)
        *rest, value = broadcast_all(*others, given)
        setattr(self, name, value)
        return rest, numbers_only(given, *others)


__all__ = ["Distribution", "ExponentialFamily"]
