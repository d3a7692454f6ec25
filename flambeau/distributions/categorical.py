"""Choices among a number of outcomes: Categorical, OneHotCategorical, Multinomial."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.autograd.mode import no_grad
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution, Odds, check_one_of
from flambeau.ops.creation import full
from flambeau.ops.limits import finfo
from flambeau.ops.logic import where
from flambeau.ops.random import multinomial
from flambeau.ops.ranges import arange, eye
from flambeau.ops.special.gamma import lgamma
from flambeau.ops.spread import logsumexp
from flambeau.ops.view import broadcast_tensors

OUTCOMES = {"probs": constraints.simplex, "logits": constraints.real_vector}


class Categorical(Odds):
    """One of the outcomes 0 … n - 1, n the last dimension of `probs` or `logits`.

    probs are divided by their sum, logits have their logsumexp subtracted.
    """

    arg_constraints: ClassVar[Any] = OUTCOMES
    has_enumerate_support = True
    _is_binary = False

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        check_one_of(probs, logits, "`probs` or `logits`")
        given: Any = logits if probs is None else probs
        if given.ndim < 1:
            name = "logits" if probs is None else "probs"
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, True)
        else:
            self.logits = logits - logsumexp(logits, -1, True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], (), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return full(self._extended_shape(), float("nan"), dtype=self.probs.dtype,
                    device=self.probs.device)  # fmt: skip

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Any:
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Any:
        count = 1
        for each in sample_shape:
            count *= each
        rows = self.probs.detach().reshape(-1, self._num_events)
        with no_grad():
            drawn = multinomial(rows, count, True).T
            return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value).long().unsqueeze(-1)
        value, log_pmf = broadcast_tensors(value, self.logits)
        return log_pmf.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Any:
        logits = self.logits.clamp(min=finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        from flambeau.distributions.discrete import enumerated

        values = arange(self._num_events, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)


class _OverCategorical(Distribution):
    """What rests on a Categorical with the same probabilities."""

    arg_constraints: ClassVar[Any] = OUTCOMES
    _categorical: Categorical

    def _expanded_names(self) -> Any:
        return ("_categorical",)

    @property
    def probs(self) -> Any:
        """Probabilities of the outcomes."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def _param(self) -> Any:
        return self._categorical._param

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape


class OneHotCategorical(_OverCategorical):
    """As Categorical, with a vector for each value that is 1 at the outcome and 0 elsewhere."""

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return self._one_hot(self.probs.argmax(-1))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def _one_hot(self, places: Any) -> Any:
        events = arange(self._event_shape[0], device=places.device)
        return (places.unsqueeze(-1) == events).to(self.probs.dtype)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        return self._categorical.log_prob(self._checked(value).max(-1)[1])

    def entropy(self) -> Any:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        n = self._event_shape[0]
        values = eye(n, dtype=self._param.dtype, device=self._param.device)
        values = values.reshape((n, *[1] * len(self._batch_shape), n))
        return values.expand((n, *self._batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """Samples that pass their gradient to the probabilities (Y. Bengio and others, 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = self.sample(sample_shape)
        probs = self._categorical.probs
        return drawn + (probs - probs.detach())


class Multinomial(_OverCategorical):
    """How often each outcome comes in `total_count` draws."""

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            drawn = self._categorical.sample((self.total_count, *sample_shape))
            drawn = drawn.movedim(0, -1)
            counts = self.probs.new_zeros(self._extended_shape(sample_shape))
            return counts.scatter_add(-1, drawn, counts.new_ones(()).expand(drawn.shape))

    def log_prob(self, value: Any) -> Any:
        logits, value = broadcast_tensors(self.logits, self._checked(value))
        factors = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1)
        impossible = (value == 0) & (logits == -float("inf"))
        return factors + (where(impossible, 0.0, logits) * value).sum(-1)

    def entropy(self) -> Any:
        """log n! and so on, with the mean of log xᵢ! over each outcome's binomial distribution."""
        from flambeau.distributions.discrete import Binomial

        n = self._categorical.logits.new_full((), float(self.total_count))
        own = n * self._categorical.entropy() - lgamma(n + 1)
        binomial = Binomial(self.total_count, probs=self.probs, validate_args=False)
        values = binomial.enumerate_support(False)[1:]
        weights = binomial.log_prob(values).exp()
        return own + (weights * lgamma(values + 1)).sum((0, -1))
