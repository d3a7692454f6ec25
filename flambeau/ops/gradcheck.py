"""gradcheck and gradgradcheck: gradients against differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from flambeau.autograd import published
from flambeau.ops.data import tensor
from flambeau.ops.random import randn
from flambeau.tensor.differentiate import grad
from flambeau.tensor.tensor import Tensor

Array = numpy.ndarray[Any, Any]


@published
class GradcheckError(RuntimeError):
    """A gradient that does not agree with the differences."""


def _tensors(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, (tuple, list)) else (values,)


def _floats(values: Any) -> list[Tensor]:
    return [
        each
        for each in _tensors(values)
        if isinstance(each, Tensor) and each.dtype.is_floating_point
    ]


def _numerical(
    function: Callable[..., Any], inputs: Sequence[Any], place: int, eps: float
) -> list[Array]:
    """For each output a table (elements of the input × elements of the output) of differences."""
    source = inputs[place]
    start = source.detach()._to_numpy().astype(numpy.float64)
    columns: list[list[Array]] = []
    for element in range(start.size):
        sides = []
        for step in (eps, -eps):
            moved = start.copy()
            moved.ravel()[element] += step
            given = list(inputs)
            given[place] = tensor(moved, dtype=source.dtype, device=source.device).requires_grad_()
            found = _floats(function(*given))
            sides.append([each.detach()._to_numpy().astype(numpy.float64) for each in found])
        ahead, behind = sides
        columns.append([((a - b) / (2 * eps)).ravel() for a, b in zip(ahead, behind, strict=True)])
    outputs = len(columns[0]) if columns else 0
    return [numpy.stack([column[number] for column in columns]) for number in range(outputs)]


def _analytical(output: Tensor, source: Tensor) -> Array:
    """The same table by one backward pass for each element of the output."""
    table = numpy.zeros((source.numel(), output.numel()))
    if not output.requires_grad:
        return table
    for element in range(output.numel()):
        seed = numpy.zeros(tuple(output.shape))
        seed.ravel()[element] = 1.0
        given = tensor(seed, dtype=output.dtype, device=output.device)
        (found,) = grad([output], [source], [given], retain_graph=True, allow_unused=True)
        if found is not None:
            table[:, element] = found.detach()._to_numpy().astype(numpy.float64).ravel()
    return table


def _compare(
    numerical: Array, analytical: Array, where: str, atol: float, rtol: float
) -> str | None:
    """What to say where the tables differ, or None."""
    close = numpy.isclose(analytical, numerical, rtol, atol, equal_nan=True)
    if close.all():
        return None
    worst = numpy.where(close, 0, numpy.nan_to_num(abs(analytical - numerical), nan=numpy.inf))
    row, column = numpy.unravel_index(int(worst.argmax()), worst.shape)
    return (
        f"Jacobian mismatch for {where}: element {row} of the input, element {column} of the "
        f"output: numerical {numerical[row, column]:.9g}, analytical "
        f"{analytical[row, column]:.9g}\nnumerical:\n{numerical}\nanalytical:\n{analytical}"
    )


@published
def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of `func` agree with central differences of width `eps`.

    Inputs that require grad should be float64. Raises GradcheckError (a RuntimeError) saying
    where they differ, or returns False where raise_exception is False. Forward-mode and batched
    gradients are not available: asking for them raises NotImplementedError.
    """
    if check_forward_ad or check_batched_grad or check_batched_forward_grad:
        raise NotImplementedError("gradcheck checks backward gradients only")
    try:
        _check(func, _tensors(inputs), eps, atol, rtol, nondet_tol, check_grad_dtypes)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(
    func: Callable[..., Any],
    inputs: tuple[Any, ...],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    check_dtypes: bool,
) -> None:
    places = [
        place
        for place, each in enumerate(inputs)
        if isinstance(each, Tensor) and each.requires_grad
    ]
    if not places:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, "
            "but none of the them have requires_grad=True."
        )
    outputs = _floats(func(*inputs))
    for place in places:
        numerical = _numerical(func, inputs, place, eps)
        for number, output in enumerate(outputs):
            where = f"output {number} with respect to input {place}"
            if check_dtypes:
                _check_dtype(output, inputs[place], where)
            analytical = _analytical(output, inputs[place])
            if numerical:
                problem = _compare(numerical[number], analytical, where, atol, rtol)
                if problem:
                    raise GradcheckError(problem)
            again = _analytical(output, inputs[place])
            if numpy.abs(again - analytical).max(initial=0.0) > nondet_tol:
                raise GradcheckError(f"Backward is not reentrant for {where}: two runs differ")


def _check_dtype(output: Tensor, source: Tensor, where: str) -> None:
    seed = tensor(numpy.ones(tuple(output.shape)), dtype=output.dtype, device=output.device)
    (found,) = grad([output], [source], [seed], retain_graph=True, allow_unused=True)
    if found is not None and found.dtype is not source.dtype:
        raise GradcheckError(f"the gradient of {where} is {found.dtype}, expected {source.dtype}")


@published
def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradients of `func` with respect to its inputs and output gradients.

    grad_outputs default to random numbers.
    """
    given = _tensors(inputs)
    sources = [each for each in given if isinstance(each, Tensor) and each.requires_grad]
    if grad_outputs is None:
        outputs = [each for each in _floats(func(*given)) if each.requires_grad]
        seeds = [
            randn(tuple(each.shape), dtype=each.dtype, device=each.device, requires_grad=True)
            for each in outputs
        ]
    else:
        seeds = list(_tensors(grad_outputs))
    count = len(seeds)

    def first_gradients(*args: Any) -> tuple[Tensor, ...]:
        values, weights = args[:-count], args[-count:]
        wanted = [each for each in values if isinstance(each, Tensor) and each.requires_grad]
        outputs = [each for each in _floats(func(*values)) if each.requires_grad]
        found = grad(outputs, wanted, list(weights), create_graph=True, allow_unused=True)
        return tuple([each for each in found if each is not None])

    if not sources:
        raise ValueError("gradgradcheck expects at least one input tensor to require gradient")
    return gradcheck(
        first_gradients,
        (*given, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_grad_dtypes=check_grad_dtypes,
        check_forward_ad=check_fwd_over_rev,
    )
