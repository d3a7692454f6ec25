"""GradScaler: losses times a factor, so that small gradients survive in float16.

The factor halves (backoff_factor) after a step with an infinite or undefined gradient, which is
left out, and doubles (growth_factor) after growth_interval good ones.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Iterable
from typing import Any

from flambeau.amp.autocast_mode import is_autocast_available
from flambeau.ops.comparison import isfinite
from flambeau.ops.creation import full, zeros
from flambeau.optim.optimizer import Optimizer
from flambeau.tensor.tensor import Tensor


class OptState(enum.Enum):
    """What has become of an optimizer's gradients since the last update."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Scales losses and unscales gradients, as PyTorch's.

    device: "cpu", "webgpu" or "reference"; for "cuda", which is not there, it warns and is off.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if enabled and not is_autocast_available(device):
            warnings.warn(
                f"torch.amp.GradScaler is enabled, but {device.upper()} is not available. "
                "Disabling.",
                stacklevel=2,
            )
            self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if backoff_factor >= 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._stages: dict[int, OptState] = {}
        self._found: dict[int, bool] = {}

    def scale(self, outputs: Any) -> Any:
        """`outputs` times the factor: a tensor, or an iterable of tensors."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            factor = full((), self._scale, dtype=outputs.dtype, device=outputs.device)
            return outputs * factor
        if isinstance(outputs, Iterable):
            scaled = [self.scale(each) for each in outputs]
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the factor, and see whether all are finite.

        Raises RuntimeError where that was done already since the last update, or after step().
        """
        if not self._enabled:
            return
        stage = self._stages.get(id(optimizer), OptState.READY)
        if stage == OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if stage == OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        self._stages[id(optimizer)] = OptState.UNSCALED
        self._found[id(optimizer)] = self._unscale(optimizer)

    def _unscale(self, optimizer: Optimizer) -> bool:
        """Whether a gradient is infinite or undefined."""
        gradients = [
            each.grad
            for group in optimizer.param_groups
            for each in group["params"]
            if each.grad is not None
        ]
        bad = zeros(())
        for gradient in gradients:
            gradient.mul_(1.0 / self._scale)
            bad = bad + (~isfinite(gradient)).any().to("cpu").float()
        return bool(bad.item() > 0)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), left out where a gradient is infinite or undefined.

        Raises RuntimeError where it was called since the last update, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        stage = self._stages.get(id(optimizer), OptState.READY)
        if stage == OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage == OptState.READY:
            self.unscale_(optimizer)
        self._stages[id(optimizer)] = OptState.STEPPED
        if self._found[id(optimizer)]:
            return None
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Let the factor grow or shrink, or set it. Call it at the end of a step."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            if not self._found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._follow(any(self._found.values()))
        self._stages.clear()
        self._found.clear()

    def _follow(self, found: bool) -> None:
        if found:
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            self._scale *= self._growth_factor
            self._growth_tracker = 0

    # settings and state ------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The factor; 1.0 where disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the factor is multiplied by after growth_interval good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set it."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the factor is multiplied by after a step with bad gradients."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set it."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps let the factor grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set it."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The factor and its rules; {} where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of another scaler. RuntimeError where it is empty: it was disabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
