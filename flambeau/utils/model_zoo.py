"""The old place of torch.hub's load_state_dict_from_url. PyTorch's torch.utils.model_zoo."""

from __future__ import annotations

from flambeau.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
