"""torch.cuda.amp.grad_scaler."""

from flambeau.amp.grad_scaler import OptState
from flambeau.cuda.amp import GradScaler

__all__ = ["GradScaler", "OptState"]
