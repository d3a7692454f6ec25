"""Channels into pixels and back, and channels in another order."""

from __future__ import annotations

from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor


def _lead(input: Tensor, name: str) -> tuple[int, ...]:
    if input.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with "
            f"{input.ndim} dimension(s)"
        )
    return input._type.shape[:-3]


@public(method=False, out=False)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, c·r², h, w) to (…, c, h·r, w·r). Shi et al., 2016.

    Raises RuntimeError where r² does not divide the number of channels.
    """
    lead, r = _lead(input, "pixel_shuffle"), upscale_factor
    channels, height, width = input._type.shape[-3:]
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    kept = channels // (r * r)
    n = len(lead)
    apart = input.reshape(*lead, kept, r, r, height, width)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return apart.permute(order).reshape(*lead, kept, height * r, width * r)


@public(method=False, out=False)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, c, h·r, w·r) to (…, c·r², h, w): what pixel_shuffle takes back.

    Raises RuntimeError where r does not divide the height and the width.
    """
    lead, r = _lead(input, "pixel_unshuffle"), downscale_factor
    channels, height, width = input._type.shape[-3:]
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    if height % r or width % r:
        raise RuntimeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
            f"got {height} x {width} and {r}"
        )
    n = len(lead)
    apart = input.reshape(*lead, channels, height // r, r, width // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return apart.permute(order).reshape(*lead, channels * r * r, height // r, width // r)


@public(method=False, out=False)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(n, g·k, …): channels read group by group, in turns. Zhang et al., ShuffleNet, 2018.

    Raises RuntimeError where `groups` does not divide the number of channels.
    """
    if input.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input._type.shape)}"
        )
    batch, channels, *rest = input._type.shape
    if groups <= 0 or channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and "
            f"{groups} groups."
        )
    apart = input.reshape(batch, groups, channels // groups, *rest)
    return apart.transpose(1, 2).reshape(batch, channels, *rest)
