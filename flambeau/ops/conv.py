"""Convolutions (cross-correlations) of one to three dimensions, and their transposes."""

from __future__ import annotations

from typing import Any

from flambeau.graph import build as b
from flambeau.graph.node import Node, Shape
from flambeau.ops.axes import integers, spoken, title
from flambeau.ops.composite import composite
from flambeau.ops.publish import public
from flambeau.ops.view import permute, reshape, unsqueeze
from flambeau.tensor.tensor import Tensor

Pairs = tuple[tuple[int, int], ...]


def spread(value: Any, rank: int, name: str) -> Shape:
    """A number for all spatial dimensions, or one for each."""
    found = integers(value, name)
    if len(found) == 1:
        return found * rank
    if len(found) != rank:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {rank} values to match "
            f"the convolution dimensions, but got {name}={list(found)}"
        )
    return found


def _paddings(padding: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    """(before, after) for each dimension; "same" puts the odd one behind."""
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * len(kernel)
        if padding != "same":
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        if any(each != 1 for each in stride):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple([(total // 2, total - total // 2) for total in totals])
    found = spread(padding, len(kernel), "padding")
    if min(found) < 0:
        raise RuntimeError("negative padding is not supported")
    return tuple([(each, each) for each in found])


def _check(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Shape, dilation: Shape, groups: int
) -> None:
    """What both kinds of convolution ask of their arguments."""
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError("dilation should be greater than zero")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if weight._type.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{list(weight._type.shape)}] instead"
        )
    if input._type.dtype is not weight._type.dtype:
        raise RuntimeError(f"expected scalar type {title(input)} but found {title(weight)}")
    if input._type.dtype.kind in ("bool", "complex"):
        raise RuntimeError(f"convolution is not implemented for {input._type.dtype!r}")
    if bias is not None and bias._type.dtype is not input._type.dtype:
        raise RuntimeError(
            f"Input type ({spoken(input)}) and bias type ({spoken(bias)}) should be the same"
        )


def _check_bias(bias: Tensor | None, weight: Tensor, channels: int) -> None:
    if bias is not None and bias._type.shape != (channels,):
        raise RuntimeError(
            f"Given weight of size {list(weight._type.shape)}, expected bias to be 1-dimensional "
            f"with {channels} elements, but got bias of size {list(bias._type.shape)} instead"
        )


def _check_fit(
    input: Tensor, weight: Tensor, paddings: Pairs, dilation: Shape, groups: int
) -> None:
    shape, taps = input._type.shape, weight._type.shape
    if shape[1] != taps[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(taps)}, expected input{list(shape)} to "
            f"have {taps[1] * groups} channels, but got {shape[1]} channels instead"
        )
    padded = [n + low + high for n, (low, high) in zip(shape[2:], paddings, strict=True)]
    spans = [d * (k - 1) + 1 for k, d in zip(taps[2:], dilation, strict=True)]
    if any(span > extent for span, extent in zip(spans, padded, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel "
            f"size: ({' x '.join(map(str, spans))}). Kernel size can't be greater than actual "
            "input size"
        )


def with_bias(result: Node, bias: Tensor | None) -> Tensor:
    """A number for each channel added."""
    if bias is not None:
        channels = bias._read()
        line = (channels.shape[0], *(1,) * (len(result.shape) - 2))
        result = b.add(result, b.reshape(channels, line))
    return Tensor._traced(result)


@composite(saves="0?1,1?0")
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Shape,
    paddings: Pairs,
    dilation: Shape,
    groups: int,
) -> Tensor:
    """Cross-correlation plus bias."""
    made = b.conv("forward", input._read(), weight._read(), stride, paddings, dilation, groups)
    return with_bias(made, bias)


@composite(saves="0?1,1?0")
def transposed_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Shape,
    paddings: Pairs,
    dilation: Shape,
    groups: int,
    spatial: Shape,
    zeros: Shape,
) -> Tensor:
    """The gradient of a convolution with respect to its input, plus bias.

    Of the extents `spatial` the last `zeros` get nothing.
    """
    x, w = input._read(), weight._read()
    reached = tuple([n - behind for n, behind in zip(spatial, zeros, strict=True)])
    made = b.conv("input", x, w, stride, paddings, dilation, groups, reached)
    if any(zeros):
        made = b.pad(made, (*made.shape[:2], *spatial), (0,) * len(made.shape))
    return with_bias(made, bias)


def _check_rank(input: Tensor, weight: Tensor, rank: int, name: str) -> None:
    if weight.ndim != rank + 2:
        raise RuntimeError(
            f"expected weight of {name} to have {rank + 2} dimensions, but got weight of size: "
            f"{list(weight._type.shape)}"
        )
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but got "
            f"input of size: {list(input._type.shape)}"
        )


def _unbatched(result: Tensor) -> Tensor:
    return reshape(result, result._type.shape[1:])


def _convolve(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    _check_rank(input, weight, rank, f"conv{rank}d")
    strides, dilations = spread(stride, rank, "stride"), spread(dilation, rank, "dilation")
    _check(input, weight, bias, strides, dilations, groups)
    paddings = _paddings(padding, weight._type.shape[2:], strides, dilations)
    _check_bias(bias, weight, weight._type.shape[0])
    batch = input if input.ndim == rank + 2 else unsqueeze(input, 0)
    _check_fit(batch, weight, paddings, dilations, groups)
    run = convolution
    if not input._type.dtype.is_floating_point:
        from flambeau.ops.layers import whole_conv

        run = whole_conv.whole_convolution
    result = run(batch, weight, bias, strides, paddings, dilations, groups)
    return result if batch is input else _unbatched(result)


@public(method=False, out=False)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: input (n, c, l) or (c, l), weight (out, c / groups, k) → (n, out, l').

    padding is numbers, "same" or "valid". Raises RuntimeError where shapes or dtypes do not fit.
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


@public(method=False, out=False)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """conv1d with two spatial dimensions."""
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


@public(method=False, out=False)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """conv1d with three spatial dimensions."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def _check_output_padding(extra: Shape, stride: Shape, dilation: Shape) -> None:
    names = ("depth", "height", "width")[-len(extra) :]
    for each, s, d in zip(extra, stride, dilation, strict=True):
        if each < 0:
            raise RuntimeError("negative output_padding is not supported")
        if each >= max(s, d):
            facts = [("output_padding", extra), ("stride", stride), ("dilation", dilation)]
            listed = " ".join(
                f"{name}_{side}: {value}"
                for name, values in facts
                for side, value in zip(names, values, strict=True)
            )
            raise RuntimeError(
                f"output padding must be smaller than either stride or dilation, but got {listed}"
            )


def _transpose(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    _check_rank(input, weight, rank, f"conv_transpose{rank}d")
    strides, dilations = spread(stride, rank, "stride"), spread(dilation, rank, "dilation")
    _check(input, weight, bias, strides, dilations, groups)
    edges = spread(padding, rank, "padding")
    extra = spread(output_padding, rank, "output_padding")
    _check_output_padding(extra, strides, dilations)
    taps = weight._type.shape
    batch = input if input.ndim == rank + 2 else unsqueeze(input, 0)
    shape = batch._type.shape
    if shape[1] != taps[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(taps)}, expected input{list(shape)} to have "
            f"{taps[0]} channels, but got {shape[1]} channels instead"
        )
    _check_bias(bias, weight, taps[1] * groups)
    spatial = tuple(
        [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(
                shape[2:], strides, edges, dilations, taps[2:], extra, strict=True
            )
        ]
    )
    if min(spatial) < 1:
        raise RuntimeError(
            f"Given input size per channel: {list(shape[2:])}. Calculated output size per channel: "
            f"{list(spatial)}. Output size is too small"
        )
    if not input._type.dtype.is_floating_point:
        from flambeau.ops.layers.whole_conv import whole_transposed_convolution

        result = whole_transposed_convolution(
            batch, weight, bias, strides, edges, dilations, groups, spatial
        )
        return result if batch is input else _unbatched(result)
    # what output_padding adds was cut off by the padding, and is zero behind that
    pairs = tuple([(p, max(p - e, 0)) for p, e in zip(edges, extra, strict=True)])
    zeros = tuple([max(e - p, 0) for p, e in zip(edges, extra, strict=True)])
    result = transposed_convolution(
        batch, weight, bias, strides, pairs, dilations, groups, spatial, zeros
    )
    return result if batch is input else _unbatched(result)


@public(method=False, out=False)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv1d's gradient as an operation: weight is (in, out / groups, k)."""
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False, out=False)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv_transpose1d with two spatial dimensions."""
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False, out=False)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv_transpose1d with three spatial dimensions."""
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False, out=False)
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """conv1d of (t, n, c) with a weight (k, c, out) → (t', n, out)."""
    for name, each in (("input", input), ("weight", weight)):
        if each.ndim != 3:
            raise RuntimeError(f"conv_tbc: {name} must have 3 dims: (time, batch, channels)")
    found: Any = conv1d(permute(input, (1, 2, 0)), permute(weight, (2, 1, 0)), bias, 1, int(pad))
    return permute(found, (2, 0, 1))
