"""Independent: batch dimensions counted as event dimensions. MixtureSameFamily: weighted sums."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.autograd.mode import no_grad
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import sum_rightmost
from flambeau.ops.softmax import log_softmax
from flambeau.ops.spread import logsumexp


class Independent(Distribution):
    """A distribution whose last `reinterpreted_batch_ndims` batch dimensions are of the event."""

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self,
        base_distribution: Any,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch = base_distribution.batch_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {len(batch)}"
            )
        shape = batch + base_distribution.event_shape
        event = reinterpreted_batch_ndims + len(base_distribution.event_shape)
        cut = len(shape) - event
        self.base_dist: Any = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__(shape[:cut], shape[cut:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        moved = tuple(self._event_shape[: self.reinterpreted_batch_ndims])
        base = self.base_dist.expand((*batch_shape, *moved))
        made = self._get_checked_instance(Independent, _instance)
        Independent.__init__(made, base, self.reinterpreted_batch_ndims, False)
        made._validate_args = self._validate_args
        return made

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]  # computed
        return bool(self.base_dist.has_rsample)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # computed
        return not self.reinterpreted_batch_ndims and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        inner = self.base_dist.support
        more = self.reinterpreted_batch_ndims
        return constraints.independent(inner, more) if more else inner

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Any:
        if self.reinterpreted_batch_ndims > 0:
            raise NotImplementedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamily(Distribution):
    """One of the last batch dimension's components, chosen by a Categorical, for each value."""

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self,
        mixture_distribution: Any,
        component_distribution: Any,
        validate_args: bool | None = None,
    ) -> None:
        from flambeau.distributions.categorical import Categorical

        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of "
                "torch.distributions.Distribution"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution: Any = component_distribution
        batch = component_distribution.batch_shape
        self._num_component = batch[-1] if batch else 0
        if self._num_component != mixture_distribution._num_events:
            raise ValueError(
                f"`mixture_distribution component` ({mixture_distribution._num_events}) does not "
                f"equal `component_distribution.batch_shape[-1]` ({self._num_component})"
            )
        for here, there in zip(
            reversed(mixture_distribution.batch_shape), reversed(batch[:-1]), strict=False
        ):
            if here != 1 and there != 1 and here != there:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mixture_distribution.batch_shape}) is "
                    f"not compatible with `component_distribution.batch_shape`({batch[:-1]})"
                )
        event = component_distribution.event_shape
        self._event_ndims = len(event)
        super().__init__(batch[:-1], event, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = self._get_checked_instance(MixtureSameFamily, _instance)
        components = self._component_distribution.expand((*batch_shape, self._num_component))
        mixture = self._mixture_distribution.expand(batch_shape)
        MixtureSameFamily.__init__(made, mixture, components, False)
        made._validate_args = self._validate_args
        return made

    @property
    def mixture_distribution(self) -> Any:
        """The Categorical over components."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """The components."""
        return self._component_distribution

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def _weights(self) -> Any:
        probs = self._mixture_distribution.probs
        return probs.reshape(tuple(probs.shape) + (1,) * self._event_ndims)

    @property
    def _place(self) -> int:
        return -1 - self._event_ndims

    @property
    def mean(self) -> Any:
        return (self._weights() * self._component_distribution.mean).sum(self._place)

    @property
    def variance(self) -> Any:
        """The mean of the variances and the variance of the means."""
        weights, of = self._weights(), self._component_distribution
        within = (weights * of.variance).sum(self._place)
        spread = (of.mean - self.mean.unsqueeze(self._place)).square()
        return within + (weights * spread).sum(self._place)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value).unsqueeze(self._place)
        log_prob = self._component_distribution.log_prob(value)
        return logsumexp(log_prob + log_softmax(self._mixture_distribution.logits, -1), -1)

    def cdf(self, value: Any) -> Any:
        probability = self._component_distribution.cdf(value.unsqueeze(self._place))
        return (probability * self._mixture_distribution.probs).sum(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            event = tuple(self._event_shape)
            place = chosen.reshape(tuple(chosen.shape) + (1,) * (1 + len(event)))
            place = place.expand((*chosen.shape, 1, *event))
            return values.gather(self._place, place).squeeze(self._place)

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self._mixture_distribution},\n  "
            f"{self._component_distribution})"
        )
