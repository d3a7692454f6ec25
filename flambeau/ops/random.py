"""Random tensors: PyTorch's algorithms over the generator's words, element by element the same.

Numbers are drawn on the host when the call is made, so that the stream is in order however the
work is scheduled. Shapes, dtypes and errors as PyTorch's; sources: its documented behaviour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from flambeau.autograd.mode import is_grad_enabled, no_grad
from flambeau.device import base as devices
from flambeau.graph import build as b
from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.ops import rejection
from flambeau.ops.axes import DTYPE_TITLES, integers
from flambeau.ops.creation import filled, finished, refuse, size_and
from flambeau.ops.generator import Generator, default_generator
from flambeau.ops.publish import publish
from flambeau.schedule import watch
from flambeau.tensor.attach import method
from flambeau.tensor.device import get_default_dtype, resolve
from flambeau.tensor.record import is_tracing, record
from flambeau.tensor.tensor import Tensor

Array = numpy.ndarray[Any, Any]
_DIGITS = {dtypes.float64: 53}  # all others: 24, rounded to the dtype
MANTISSA = {dtypes.float16: 11, dtypes.bfloat16: 8, dtypes.float32: 24, dtypes.float64: 53}
_BLOCK = 16


def engine_of(generator: Generator | None) -> Generator:
    if is_tracing():
        raise RuntimeError("a composite's body cannot draw numbers: draw them before and pass them")
    return default_generator if generator is None else generator


def placed_draw(
    draw: Callable[[], Array], shape: Sequence[int], dtype: DType, device: Any
) -> Tensor:
    """A tensor of numbers that `draw` takes of a generator; a call that is replayed draws again.

    On a device without values nothing is drawn.
    """
    where = resolve(device)
    if not devices.get(where).computes:
        return filled(shape, 0, dtype, where)
    watcher = watch.activate(None)
    try:
        values = draw()
    finally:
        watch.activate(watcher)
    made = placed_array(values, shape, dtype, where)
    if watcher is not None:
        watcher.drawn(made._storage.node, lambda: draw().reshape(tuple(shape)).astype(dtype.numpy))
    return made


def placed_array(values: Array, shape: Sequence[int], dtype: DType, device: Any) -> Tensor:
    array = values.reshape(tuple(shape)).astype(dtype.numpy)
    return Tensor._from_numpy(array, resolve(device), copy=False)


def float_dtype(name: str, dtype: DType | None) -> DType:
    dtype = dtype or get_default_dtype()
    if not dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{DTYPE_TITLES[dtype.name]}'")
    return dtype


# the streams ------------------------------------------------------------------------------------


def uniform_values(count: int, dtype: DType, generator: Generator | None) -> Array:
    """Uniform in [0, 1) with as many bits as the dtype's mantissa."""
    return engine_of(generator).uniform(count, _DIGITS.get(dtype, 24))


def normal_values(
    count: int, dtype: DType, mean: float, std: float, generator: Generator | None
) -> Array:
    """Fewer than 16: one by one, in float64. Else blocks of 16 of the dtype's uniform numbers."""
    engine = engine_of(generator)
    if count < _BLOCK:
        return engine.normals(count) * std + mean
    own = numpy.float64 if dtype is dtypes.float64 else numpy.float32
    digits = _DIGITS.get(dtype, 24)
    whole = count - count % _BLOCK
    uniform = engine.uniform(whole if dtype.itemsize == 2 else count, digits).astype(own)
    values = numpy.empty(count, own)
    values[:whole] = _blocks(uniform[:whole], mean, std)
    if whole != count:
        values[-_BLOCK:] = _blocks(engine.uniform(_BLOCK, digits).astype(own), mean, std)
    return values


def _blocks(uniform: Array, mean: float, std: float) -> Array:
    """Of 16 numbers the first 8 give radii, the last 8 angles; cosines first, then sines."""
    pairs = uniform.reshape(-1, 2, _BLOCK // 2)
    own = uniform.dtype.type
    radius = numpy.sqrt(own(-2) * numpy.log(own(1) - pairs[:, 0]))
    angle = own(2 * math.pi) * pairs[:, 1]
    both = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], 1)
    return (both * own(std) + own(mean)).reshape(-1)


def integer_values(low: int, high: int, count: int, generator: Generator | None) -> Array:
    """Whole numbers in [low, high): 32-bit words where the range is small enough, else 64-bit."""
    engine = engine_of(generator)
    span = high - low
    if span >= 1 << 28:
        words = engine.long_words(count) % numpy.uint64(span)
    else:
        words = engine.words(count) % numpy.uint64(span)
    return words.astype(numpy.int64) + low


# making -----------------------------------------------------------------------------------------


def _drawing(name: str, draw: Callable[..., Array], doc: str) -> Callable[..., Tensor]:
    """torch.rand and torch.randn."""

    def make(
        *size: Any,
        generator: Generator | None = None,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        names: Any = None,
        **keywords: Any,
    ) -> Tensor:
        shape = _checked(size_and(size, keywords))
        refuse(name, keywords)
        dtype = (dtype if out is None else out.dtype) or get_default_dtype()
        of = float_dtype(name, dtype.real)
        count = math.prod(shape)

        def values() -> Array:
            if not dtype.is_complex:
                return draw(count, of, generator)
            scale = of.numpy.type(1 if name == "rand" else math.sqrt(0.5))
            return (draw(2 * count, of, generator).astype(of.numpy) * scale).view(dtype.numpy)

        made = placed_draw(values, shape, dtype, device)
        return finished(made, requires_grad, out, name)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    publish(make, name)
    return make


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    if min(shape, default=0) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    return shape


def _standard_normal(count: int, dtype: DType, generator: Generator | None) -> Array:
    return normal_values(count, dtype, 0.0, 1.0, generator)


rand = _drawing("rand", uniform_values, "Numbers that are uniform in [0, 1).")
randn = _drawing("randn", _standard_normal, "Numbers of the standard normal distribution.")


def _like(name: str, make: Callable[..., Tensor], doc: str) -> Callable[..., Tensor]:
    def create(
        input: Tensor,
        *,
        generator: Generator | None = None,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        return make(
            tuple(input._type.shape),
            generator=generator,
            dtype=dtype or input.dtype,
            device=input._storage.node.device if device is None else device,
            requires_grad=requires_grad,
        )

    create.__name__ = create.__qualname__ = name
    create.__doc__ = doc
    publish(create, name)
    return create


rand_like = _like("rand_like", rand, "As rand, in input's shape, dtype and device.")
randn_like = _like("randn_like", randn, "As randn, in input's shape, dtype and device.")


def randint(
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """randint(high, size) or randint(low, high, size): whole numbers in [low, high)."""
    given = list(args)
    if given and isinstance(given[-1], (tuple, list)):
        size = given.pop()
    if len(given) == 2:
        low, high = given
    elif len(given) == 1 and high is None:
        high = given[0]
    elif len(given) == 1:
        low = given[0]
    if high is None or size is None:
        raise TypeError("randint() expects (high, size) or (low, high, size)")
    low = int(low or 0)
    high = int(high)
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    shape = _checked(integers(size))

    def draw() -> Array:
        return integer_values(low, high, math.prod(shape), generator)

    made = placed_draw(draw, shape, dtype or dtypes.int64, device)
    return finished(made, requires_grad, out, "randint")


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """randint_like(input, high) or randint_like(input, low, high)."""
    low, high = (0, low) if high is None else (low, high)
    where = input._storage.node.device if device is None else device
    return randint(
        low, high, tuple(input._type.shape), generator=generator, dtype=dtype or input.dtype,
        device=where, requires_grad=requires_grad,
    )  # fmt: skip


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """0 … n - 1 in random order (Fisher and Yates)."""
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    count = max(n - 1, 0)
    words = engine_of(generator).words(count)
    steps = (words % (n - numpy.arange(count, dtype=numpy.uint64))).tolist()
    order = list(range(n))
    for place, step in enumerate(steps):
        other = place + step
        order[place], order[other] = order[other], order[place]
    made = placed_array(numpy.array(order, numpy.int64), (n,), dtype or dtypes.int64, device)
    return finished(made, requires_grad, out, "randperm")


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers; mean and std are numbers (with size) or tensors (one for each element)."""
    tensors = [each for each in (mean, std) if isinstance(each, Tensor)]
    if isinstance(std, Tensor):
        if bool((std.detach() < 0).any()):
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if not tensors:
        if size is None:
            raise TypeError("normal() expects size where mean and std are numbers")
        of = float_dtype("normal", dtype)
        shape = _checked(integers(size))
        made = placed_draw(
            lambda: normal_values(math.prod(shape), of, mean, std, generator), shape, of, device
        )
        return finished(made, requires_grad, out, "normal")
    from flambeau.graph.shapes import broadcast

    shape = broadcast(*[each._type.shape for each in tensors])
    first = tensors[0]
    unit = randn(shape, generator=generator, dtype=first.dtype, device=first.device)
    with no_grad():
        drawn = unit * std + mean
    return finished(_constant_of(drawn, tensors), requires_grad, out, "normal")


def _constant_of(drawn: Any, parameters: Sequence[Tensor]) -> Tensor:
    """Numbers that were drawn by `parameters`: part of the graph, with gradients of 0."""
    for each in parameters:
        if each.requires_grad and is_grad_enabled():
            kept = record(op.EXPAND, (b.constant(True, dtypes.bool_),), (drawn._type.shape,))
            drawn = record(op.WHERE, (kept, drawn, each))
    return drawn


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Any = None
) -> Tensor:
    """1 with the probability that `input` says for each element (or p for all), else 0."""
    if p is not None:
        result = input.detach().clone()
        return finished(result.bernoulli_(p, generator=generator), False, out, "bernoulli")
    probabilities = input.detach()._to_numpy()
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    of = float_dtype("bernoulli", input.dtype)
    uniform = uniform_values(input.numel(), of, generator).reshape(input._type.shape)
    values = uniform.astype(of.numpy) < probabilities
    made = placed_array(values, input._type.shape, of, input._storage.node.device)
    return finished(_constant_of(made, [input]), False, out, "bernoulli")


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with the probabilities (up to a factor) in each row of `input`."""
    float_dtype("multinomial", input.dtype)
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    weights = numpy.atleast_2d(input.detach()._to_numpy())
    if not replacement and num_samples > weights.shape[1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if not (numpy.isfinite(weights).all() and (weights >= 0).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (weights.sum(-1) > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement and num_samples > 1:
        chosen = _with_replacement(weights, num_samples, generator)
    else:
        chosen = _without_replacement(weights, num_samples, input.dtype, generator)
    shape = (num_samples,) if input.ndim == 1 else chosen.shape
    made = placed_array(chosen, shape, dtypes.int64, input._storage.node.device)
    return finished(made, False, out, "multinomial")


def _without_replacement(
    weights: Array, count: int, dtype: DType, generator: Generator | None
) -> Array:
    """The greatest of weight / exponential number (P. Efraimidis and P. Spirakis, 2006)."""
    waits = (
        exponential_values(weights.size, 1.0, generator).astype(dtype.numpy).reshape(weights.shape)
    )
    ranks = (weights / waits).astype(dtype.numpy)
    return numpy.argsort(-ranks.astype(numpy.float64), axis=-1, kind="stable")[:, :count]


def _with_replacement(weights: Array, count: int, generator: Generator | None) -> Array:
    """Uniform numbers looked up in the running sum of the weights."""
    running = numpy.cumsum(weights, -1, dtype=numpy.float64)
    running /= running[:, -1:]
    uniform = engine_of(generator).uniform(len(weights) * count, 53).reshape(len(weights), count)
    rows = [
        numpy.searchsorted(row, sample, side="right")
        for row, sample in zip(running, uniform, strict=True)
    ]
    return numpy.minimum(numpy.stack(rows), weights.shape[1] - 1)


def exponential_values(count: int, lambd: float, generator: Generator | None) -> Array:
    uniform = engine_of(generator).uniform(count, 53)
    return -numpy.log1p(-uniform) / lambd


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of the Poisson distribution with the rates in `input`."""
    rates = input.detach()._to_numpy()
    if not (rates >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    values = rejection.drawn(rejection.poisson, engine_of(generator), 4, rates)
    return placed_array(values, input._type.shape, input.dtype, input._storage.node.device)


method("multinomial")(multinomial)
method("bernoulli")(bernoulli)
for _function in (
    randint,
    randint_like,
    randperm,
    normal,
    bernoulli,
    multinomial,
    poisson,
):
    publish(_function, _function.__name__)
