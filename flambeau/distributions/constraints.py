"""torch.distributions.constraints: regions that parameters and values lie in.

`constraint.check(value)` says for each element, or each event where `event_dim` > 0, whether it is
inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.ops.shape import cat as concatenated
from flambeau.ops.shape import stack as stacked


class Constraint:
    """A region. is_discrete: of whole numbers; event_dim: the dimensions of one element of it."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Any) -> Any:
        """A bool tensor: whether each event is inside."""
        raise NotImplementedError(f"{type(self).__name__} has no check()")

    def __repr__(self) -> str:
        return type(self).__name__[1:] + "()"


class Dependent(Constraint):
    """Depends on other parameters: of the class there is no check, of an object there is."""

    def __init__(self, *, is_discrete: Any = None, event_dim: Any = None) -> None:
        self._discrete, self._dimensions = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # computed
        return self._known(self._discrete, "is_discrete")

    @property
    def event_dim(self) -> int:  # type: ignore[override]  # computed
        return self._known(self._dimensions, "event_dim")

    def _known(self, value: Any, name: str) -> Any:
        if value is None:
            raise NotImplementedError(f".{name} cannot be determined statically")
        return value

    def __call__(self, *, is_discrete: Any = None, event_dim: Any = None) -> Dependent:
        return Dependent(
            is_discrete=self._discrete if is_discrete is None else is_discrete,
            event_dim=self._dimensions if event_dim is None else event_dim,
        )

    def check(self, value: Any) -> Any:
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Any) -> bool:
    """Whether the constraint is only known for an object."""
    return isinstance(constraint, Dependent)


class dependent_property(property, Dependent):  # noqa: N801  # PyTorch's name
    """A property whose value is a constraint; of the class, a dependent constraint."""

    def __init__(self, fn: Any = None, *, is_discrete: Any = None, event_dim: Any = None) -> None:
        property.__init__(self, fn)
        Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn: Any) -> Any:  # type: ignore[override]  # narrower than the base's
        """As a decorator with arguments."""
        return dependent_property(fn, is_discrete=self._discrete, event_dim=self._dimensions)


class _Rule(Constraint):
    """A constraint that is one expression."""

    def __init__(
        self, name: str, rule: Callable[[Any], Any], discrete: bool = False, event_dim: int = 0
    ) -> None:
        self._name, self._rule = name, rule
        self.is_discrete, self.event_dim = discrete, event_dim

    def check(self, value: Any) -> Any:
        return self._rule(value)

    def __repr__(self) -> str:
        return self._name


class _Bounded(Constraint):
    """Between bounds, which are attributes named as in PyTorch."""

    _names: tuple[str, ...]

    def __init__(self, *bounds: Any, **named: Any) -> None:
        for name, each in (*zip(self._names, bounds, strict=False), *named.items()):
            if name not in self._names:
                raise TypeError(f"{type(self).__name__}() takes {self._names}, but got '{name}'")
            setattr(self, name, each)

    def __repr__(self) -> str:
        bounds = [f"{name}={getattr(self, name)}" for name in self._names]
        return f"{type(self).__name__}({', '.join(bounds)})"


class interval(_Bounded):  # noqa: N801  # PyTorch's names, here and below
    """[lower_bound, upper_bound]"""

    _names = ("lower_bound", "upper_bound")
    lower_bound: Any
    upper_bound: Any

    def check(self, value: Any) -> Any:
        return (self.lower_bound <= value) & (value <= self.upper_bound)


class half_open_interval(interval):  # noqa: N801  # PyTorch's name
    """[lower_bound, upper_bound)"""

    def check(self, value: Any) -> Any:
        return (self.lower_bound <= value) & (value < self.upper_bound)


class integer_interval(interval):  # noqa: N801  # PyTorch's name
    """Whole numbers in [lower_bound, upper_bound]."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & super().check(value)


class greater_than(_Bounded):  # noqa: N801  # PyTorch's name
    """(lower_bound, ∞]"""

    _names = ("lower_bound",)
    lower_bound: Any

    def check(self, value: Any) -> Any:
        return self.lower_bound < value


class greater_than_eq(greater_than):  # noqa: N801  # PyTorch's name
    """[lower_bound, ∞]"""

    def check(self, value: Any) -> Any:
        return self.lower_bound <= value


class less_than(_Bounded):  # noqa: N801  # PyTorch's name
    """[-∞, upper_bound)"""

    _names = ("upper_bound",)
    upper_bound: Any

    def check(self, value: Any) -> Any:
        return value < self.upper_bound


class integer_greater_than(greater_than_eq):  # noqa: N801  # PyTorch's name
    """Whole numbers from lower_bound on."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & super().check(value)


class multinomial(Constraint):  # noqa: N801  # PyTorch's name
    """Counts ≥ 0 that sum up to at most upper_bound."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class independent(Constraint):  # noqa: N801  # PyTorch's name
    """`base_constraint` with some of its batch dimensions counted as event dimensions."""

    def __init__(self, base_constraint: Any, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # computed
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:  # type: ignore[override]  # computed
        return int(self.base_constraint.event_dim + self.reinterpreted_batch_ndims)

    def check(self, value: Any) -> Any:
        result = self.base_constraint.check(value)
        if result.ndim < self.reinterpreted_batch_ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        kept = result.ndim - self.reinterpreted_batch_ndims
        return result.reshape((*result.shape[:kept], -1)).all(-1)

    def __repr__(self) -> str:
        return f"independent({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Parts(Constraint):
    """Constraints for the parts of a value along `dim`."""

    def __init__(self, cseq: Sequence[Any], dim: int = 0, lengths: Any = None) -> None:
        self.cseq = list(cseq)
        self.dim = dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # computed
        return any(each.is_discrete for each in self.cseq)


class cat(_Parts):  # noqa: N801  # PyTorch's name
    """Constraints for slices of the given lengths."""

    @property
    def event_dim(self) -> int:  # type: ignore[override]  # computed
        return max(each.event_dim for each in self.cseq)

    def check(self, value: Any) -> Any:
        parts = value.split(self.lengths, self.dim)
        checks = [each.check(part) for each, part in zip(self.cseq, parts, strict=True)]
        return concatenated(checks, self.dim)


class stack(_Parts):  # noqa: N801  # PyTorch's name
    """Constraints for each index."""

    @property
    def event_dim(self) -> int:  # type: ignore[override]  # computed
        most = max(each.event_dim for each in self.cseq)
        return most + 1 if self.dim + most < 0 else most

    def check(self, value: Any) -> Any:
        checks = [each.check(value.select(self.dim, place)) for place, each in enumerate(self.cseq)]
        return stacked(checks, self.dim)


class MixtureSameFamilyConstraint(Constraint):
    """What one component's support says of a mixture's values."""

    def __init__(self, base_constraint: Any) -> None:
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # computed
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:  # type: ignore[override]  # computed
        return int(self.base_constraint.event_dim)

    def check(self, value: Any) -> Any:
        place = -1 - self.event_dim
        inside = self.base_constraint.check(value.unsqueeze(place))
        return inside.all(-1)


def _is_simplex(value: Any) -> Any:
    return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


def _is_one_hot(value: Any) -> Any:
    return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


def _all_of_matrix(value: Any) -> Any:
    return value.flatten(-2).all(-1)


def _is_lower(value: Any) -> Any:
    return _all_of_matrix(value.tril() == value)


def _is_lower_cholesky(value: Any) -> Any:
    return _is_lower(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


def _is_corr_cholesky(value: Any) -> Any:
    from flambeau.ops.limits import finfo

    tolerance = finfo(value.dtype).eps * value.shape[-1] * 10
    unit = ((value * value).sum(-1).sqrt() - 1).abs() < tolerance
    return unit.all(-1) & _is_lower_cholesky(value)


def _is_square(value: Any) -> Any:
    from flambeau.ops.creation import full

    same = value.shape[-2] == value.shape[-1]
    return full(value.shape[:-2], same, device=value.device)


def _is_symmetric(value: Any) -> Any:
    close = (value - value.mT).abs() <= 1e-6 + 1e-5 * value.mT.abs()
    return _is_square(value) & _all_of_matrix(close)


def _is_positive_definite(value: Any) -> Any:
    from flambeau.ops.linalg.solve import cholesky_ex

    return _is_symmetric(value) & (cholesky_ex(value)[1] == 0)


def _is_positive_semidefinite(value: Any) -> Any:
    from flambeau.ops.linalg.decompose import eigvalsh

    return _is_symmetric(value) & (eigvalsh(value) >= -1e-6).all(-1)


dependent = Dependent()
boolean = _Rule("Boolean()", lambda value: (value == 0) | (value == 1), discrete=True)
one_hot = _Rule("OneHot()", _is_one_hot, discrete=True, event_dim=1)
nonnegative_integer = integer_greater_than(0)
positive_integer = integer_greater_than(1)
real = _Rule("Real()", lambda value: value == value)
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = _Rule("Simplex()", _is_simplex, event_dim=1)
lower_triangular = _Rule("LowerTriangular()", _is_lower, event_dim=2)
lower_cholesky = _Rule("LowerCholesky()", _is_lower_cholesky, event_dim=2)
corr_cholesky = _Rule("CorrCholesky()", _is_corr_cholesky, event_dim=2)
square = _Rule("Square()", _is_square, event_dim=2)
symmetric = _Rule("Symmetric()", _is_symmetric, event_dim=2)
positive_semidefinite = _Rule("PositiveSemidefinite()", _is_positive_semidefinite, event_dim=2)
positive_definite = _Rule("PositiveDefinite()", _is_positive_definite, event_dim=2)
