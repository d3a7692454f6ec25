"""Continuous relaxations of Bernoulli and OneHotCategorical (C. Maddison and others, 2017)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.distributions import constraints
from flambeau.distributions.categorical import Categorical, _OverCategorical
from flambeau.distributions.discrete import ODDS, ScalarOdds
from flambeau.distributions.transformed import TransformedDistribution
from flambeau.distributions.transforms import ExpTransform, SigmoidTransform
from flambeau.distributions.utils import broadcast_all, clamp_probs
from flambeau.ops.random import rand
from flambeau.ops.spread import logsumexp


class LogitRelaxedBernoulli(ScalarOdds):
    """The logit of a RelaxedBernoulli number."""

    arg_constraints: ClassVar[Any] = ODDS
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        uniform = clamp_probs(rand(shape, dtype=probs.dtype, device=probs.device))
        noise = uniform.log() - (-uniform).log1p()
        return (noise + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Any) -> Any:
        logits, value = broadcast_all(self.logits, self._checked(value))
        difference = logits - value * self.temperature
        temperature, _ = broadcast_all(self.temperature, value)
        return temperature.log() + difference - 2 * difference.exp().log1p()


class ExpRelaxedCategorical(_OverCategorical):
    """The logarithm of RelaxedOneHotCategorical vectors."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        uniform = clamp_probs(rand(shape, dtype=self.logits.dtype, device=self.logits.device))
        gumbels = -((-(uniform.log())).log())
        scores = (self.logits + gumbels) / self.temperature
        return scores - logsumexp(scores, -1, True)

    def log_prob(self, value: Any) -> Any:
        count = self._event_shape[0]
        logits, value = broadcast_all(self.logits, self._checked(value))
        temperature, _ = broadcast_all(self.temperature, self.logits[..., 0])
        scale = math.lgamma(count) + (count - 1) * temperature.log()
        score = logits - value * self.temperature
        return (score - logsumexp(score, -1, True)).sum(-1) + scale


class _Relaxed(TransformedDistribution):
    """A base with a temperature, transformed."""

    has_rsample = True

    @property
    def temperature(self) -> Any:
        """How far from discrete the values are."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Any:
        """Probabilities of the discrete distribution."""
        return self.base_dist.probs

    @property
    def logits(self) -> Any:
        """Its logits."""
        return self.base_dist.logits


class RelaxedBernoulli(_Relaxed):
    """Numbers in (0, 1), nearer to 0 and 1 the lower the temperature."""

    arg_constraints: ClassVar[Any] = ODDS
    support = constraints.unit_interval

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)


class RelaxedOneHotCategorical(_Relaxed):
    """Probability vectors, nearer to one-hot the lower the temperature (Gumbel-softmax)."""

    arg_constraints: ClassVar[Any] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    support = constraints.simplex

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)
