"""biject_to and transform_to: from a constraint to a transform of unconstrained numbers onto it.

biject_to gives bijections; transform_to what is quick and stable, one to one or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.distributions import constraints, transforms


class ConstraintRegistry:
    """A table of constraint -> transform. Call it with a constraint; `register` adds entries."""

    def __init__(self) -> None:
        self._factories: dict[Any, Callable[[Any], Any]] = {}

    def register(self, constraint: Any, factory: Any = None) -> Callable[[Any], Any]:
        """Register `factory(constraint) -> transform` for a class, or for an object's rule.

        Without a factory it is a decorator. Raises TypeError for what is no constraint.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        key = _key(constraint)
        if key is None:
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, but got "
                f"{constraint}"
            )
        self._factories[key] = factory
        return factory

    def __call__(self, constraint: Any) -> Any:
        """The transform onto the region. Raises NotImplementedError where there is none."""
        factory = self._factories.get(_key(constraint))
        if factory is None:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints: {constraint!r} has no "
                "transform registered"
            )
        return factory(constraint)


def _key(constraint: Any) -> Any:
    """A rule is known by its name, all else by its class."""
    if isinstance(constraint, constraints._Rule):
        return repr(constraint)
    if isinstance(constraint, constraints.Constraint):
        return type(constraint)
    return constraint if isinstance(constraint, type) else None


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _for_both(*regions: Any) -> Callable[[Any], Any]:
    def decorate(factory: Any) -> Any:
        for region in regions:
            biject_to.register(region, factory)
            transform_to.register(region, factory)
        return factory

    return decorate


@_for_both(constraints.real)
def _to_real(constraint: Any) -> Any:
    return transforms.identity_transform


@_for_both(constraints.greater_than, constraints.greater_than_eq)
def _to_above(constraint: Any) -> Any:
    bound = constraint.lower_bound
    if not hasattr(bound, "shape") and bound == 0:
        return transforms.ExpTransform()
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(bound, 1)]
    )


@_for_both(constraints.less_than)
def _to_below(constraint: Any) -> Any:
    move = transforms.AffineTransform(constraint.upper_bound, -1)
    return transforms.ComposeTransform([transforms.ExpTransform(), move])


@_for_both(constraints.interval, constraints.half_open_interval)
def _to_interval(constraint: Any) -> Any:
    low, high = constraint.lower_bound, constraint.upper_bound
    if not hasattr(low, "shape") and not hasattr(high, "shape") and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    move = transforms.AffineTransform(low, high - low)
    return transforms.ComposeTransform([transforms.SigmoidTransform(), move])


@_for_both(constraints.lower_cholesky)
def _to_lower_cholesky(constraint: Any) -> Any:
    return transforms.LowerCholeskyTransform()


@_for_both(constraints.positive_definite, constraints.positive_semidefinite)
def _to_positive_definite(constraint: Any) -> Any:
    return transforms.PositiveDefiniteTransform()


@_for_both(constraints.corr_cholesky)
def _to_corr_cholesky(constraint: Any) -> Any:
    return transforms.CorrCholeskyTransform()


@biject_to.register(constraints.simplex)
def _bijection_to_simplex(constraint: Any) -> Any:
    return transforms.StickBreakingTransform()


@transform_to.register(constraints.simplex)
def _to_simplex(constraint: Any) -> Any:
    return transforms.SoftmaxTransform()


def _register_parts(registry: ConstraintRegistry) -> None:
    """Constraints made of constraints."""

    @registry.register(constraints.independent)
    def _independent(constraint: Any) -> Any:
        base = registry(constraint.base_constraint)
        return transforms.IndependentTransform(base, constraint.reinterpreted_batch_ndims)

    @registry.register(constraints.cat)
    def _cat(constraint: Any) -> Any:
        parts = [registry(each) for each in constraint.cseq]
        return transforms.CatTransform(parts, constraint.dim, constraint.lengths)

    @registry.register(constraints.stack)
    def _stack(constraint: Any) -> Any:
        parts = [registry(each) for each in constraint.cseq]
        return transforms.StackTransform(parts, constraint.dim)


_register_parts(biject_to)
_register_parts(transform_to)
