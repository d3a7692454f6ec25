"""TensorBoard's event files, written by the library tensorboardX.

Install it with `pip install flambeau[tensorboard]`. PyTorch's torch.utils.tensorboard.
"""

from __future__ import annotations

from flambeau.utils.tensorboard import summary
from flambeau.utils.tensorboard.writer import SummaryWriter

__all__ = ["SummaryWriter", "summary"]
