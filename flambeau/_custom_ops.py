"""The old place of torch.library's functions."""

from __future__ import annotations

from flambeau.library import custom_op, impl, impl_abstract

__all__ = ["custom_op", "impl", "impl_abstract"]
