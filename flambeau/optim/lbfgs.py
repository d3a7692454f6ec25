"""L-BFGS: D. Liu and J. Nocedal, On the Limited Memory BFGS Method, 1989."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.autograd.mode import enable_grad, no_grad
from flambeau.ops.shape import cat
from flambeau.optim.line_search import Point, strong_wolfe
from flambeau.optim.optimizer import Optimizer
from flambeau.tensor.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient.

    step(closure) takes up to max_iter steps; the closure clears gradients, computes the loss,
    calls backward and returns the loss. One group of parameters only.

    lr                   step length; the first step is also divided by the gradient's size
    max_eval             evaluations of the closure a step (1.25 · max_iter)
    tolerance_grad       the greatest element of the gradient at which it ends
    tolerance_change     the change of values or parameters at which it ends
    line_search_fn       None, or "strong_wolfe"
    Raises ValueError for several groups or a negative lr, RuntimeError for another line search.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported, but got {line_search_fn!r}")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # parameters as one vector

    def _gradient(self) -> Any:
        parts = [
            each.new_zeros(each.numel()) if each.grad is None else each.grad.reshape(-1)
            for each in self._params
        ]
        return cat(parts)

    def _values(self) -> list[Tensor]:
        return [each.detach().clone() for each in self._params]

    def _move(self, start: list[Tensor], step: float, direction: Any) -> None:
        place = 0
        for each, origin in zip(self._params, start, strict=True):
            count = each.numel()
            part = direction[place : place + count].reshape(each.shape)
            each.copy_(origin + step * part)
            place += count

    # one call

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # it needs one
        """Up to max_iter steps; returns the first loss."""
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> float:
            with enable_grad():
                return float(closure())

        with enable_grad():
            first = closure()
        loss, gradient, evaluations = float(first), self._gradient(), 1
        state["func_evals"] += 1
        if float(gradient.abs().max()) <= group["tolerance_grad"]:
            return first
        done = 0
        while done < group["max_iter"]:
            done += 1
            state["n_iter"] += 1
            direction = self._direction(state, gradient, group["history_size"])
            length = group["lr"]
            if state["n_iter"] == 1:
                length *= min(1.0, 1.0 / float(gradient.abs().sum()))
            slope = float(gradient.dot(direction))
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            if slope > -group["tolerance_change"]:
                break
            before = loss
            if group["line_search_fn"] is None:
                self._move(self._values(), length, direction)
                used = 0
                if done != group["max_iter"]:
                    loss, used = evaluate(), 1
                    gradient = self._gradient()
            else:
                point, used = self._search(evaluate, direction, loss, gradient, slope, length)
                loss, gradient, length = point.value, point.gradient, point.at
            state["d"], state["t"] = direction, length
            evaluations += used
            state["func_evals"] += used
            if self._ends(group, evaluations, gradient, direction * length, abs(loss - before)):
                break
        return first

    @staticmethod
    def _ends(group: Any, evaluations: int, gradient: Any, moved: Any, change: float) -> bool:
        return (
            evaluations >= group["max_eval"]
            or float(gradient.abs().max()) <= group["tolerance_grad"]
            or float(moved.abs().max()) <= group["tolerance_change"]
            or change < group["tolerance_change"]
        )

    def _search(
        self,
        evaluate: Callable[[], float],
        direction: Any,
        loss: float,
        gradient: Any,
        slope: float,
        length: float,
    ) -> tuple[Point, int]:
        start = self._values()

        def at(step: float) -> Point:
            self._move(start, step, direction)
            value = evaluate()
            found = self._gradient()
            return Point(step, value, found, float(found.dot(direction)))

        size = float(direction.abs().max())
        origin = Point(0.0, loss, gradient, slope)
        point, used = strong_wolfe(
            at, origin, length, size, self.param_groups[0]["tolerance_change"]
        )
        self._move(start, point.at, direction)
        return point, used

    @staticmethod
    def _direction(state: dict[str, Any], gradient: Any, most: int) -> Any:
        """-H · gradient by the two loops over the kept changes."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        change = gradient - state["prev_flat_grad"]
        moved = state["d"] * state["t"]
        curvature = float(change.dot(moved))
        if curvature > 1e-10:
            for name, value in (("old_dirs", change), ("old_stps", moved), ("ro", 1 / curvature)):
                kept = state[name]
                kept.append(value)
                del kept[:-most]
            state["H_diag"] = curvature / float(change.dot(change))
        direction = -gradient
        shares = []
        kept = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        for change, moved, inverse in reversed(kept):
            share = float(moved.dot(direction)) * inverse
            direction = direction - share * change
            shares.append(share)
        direction = direction * state["H_diag"]
        for (change, moved, inverse), share in zip(kept, reversed(shares), strict=True):
            direction = direction + moved * (share - float(change.dot(direction)) * inverse)
        return direction
