"""The von Mises distribution: angles around a direction."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.autograd.mode import no_grad
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Scalar
from flambeau.ops.logic import where
from flambeau.ops.random import rand
from flambeau.ops.special.bessel import i0e, i1e
from flambeau.ops.trigonometry import acos, cos


class VonMises(Scalar):
    """Angles in radians with density ∝ exp(concentration · cos(x - loc))."""

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.real
    loc: Any
    concentration: Any

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, concentration=concentration)

    def log_prob(self, value: Any) -> Any:
        angle = self._checked(value) - self.loc
        k = self.concentration
        # log I₀(k) = log(I₀(k) e⁻ᵏ) + k, and k (cos x - 1) does not cancel
        return k * (cos(angle) - 1) - math.log(2 * math.pi) - i0e(k).log()

    def sample(self, sample_shape: Any = ()) -> Any:
        """By rejection (D. Best and N. Fisher, 1979), in float64."""
        with no_grad():
            shape = self._extended_shape(sample_shape)
            loc, k = self.loc.double(), self.concentration.double()
            tau = 1 + (1 + 4 * k.square()).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            usual = (1 + rho.square()) / (2 * rho)
            r = where(k < 1e-5, 1 / k + k, usual)
            angles = self._angles(k.expand(shape), r.expand(shape))
            moved = (angles + math.pi + loc) % (2 * math.pi) - math.pi
            return moved.to(self.loc.dtype)

    def _angles(self, k: Any, r: Any) -> Any:
        angle = k * 0
        done = angle != angle
        while not bool(done.all()):
            u1, u2, u3 = rand((3, *k.shape), dtype=k.dtype, device=k.device).unbind()
            z = cos(math.pi * u1)
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
            angle = where(accept, (u3 - 0.5).sign() * acos(f), angle)
            done = done | accept
        return angle

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        """1 - I₁(k) / I₀(k): of directions."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)
