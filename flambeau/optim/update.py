"""One optimizer step as one Node: a formula over lists of parameters, written in place.

The formula is written for one parameter. Applied to lists, it is recorded as one composite whose
results go into the parameters' and states' own storages, so that forward, backward and update make
one plan and no update copies. Learning rates, bias corrections and the like are runtime scalars:
their values are no part of the plan.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flambeau.graph import build
from flambeau.graph.composite import Composite, record
from flambeau.graph.dtype import DType, bfloat16, float16, float32, float64
from flambeau.graph.node import Node
from flambeau.tensor.record import Tracing, site
from flambeau.tensor.tensor import Tensor

Formula = Callable[..., tuple[Any, ...]]
_NARROW = frozenset({float16, bfloat16})


class Update:
    """A formula (parameter, gradient, *states, **scalars, **flags) -> (parameter, *states).

    It is written with tensors and runs once per signature, on placeholders: it must not read
    values. Scalars are 0-d tensors inside. float16 and bfloat16 are computed in float32 and
    rounded once.
    """

    def __init__(self, formula: Formula) -> None:
        self.formula = formula
        doc = inspect.getdoc(formula) or ""
        self.operation = Composite(formula.__name__.strip("_"), self._expand, saves="", doc=doc)

    def __call__(
        self,
        gradients: Sequence[Tensor],
        written: Sequence[Sequence[Tensor]],
        scalars: Mapping[str, Any],
        **flags: bool,
    ) -> list[Node]:
        """Write the formula's results into `written`: the parameters, then each kind of state.

        All tensors of one call have one dtype and device. Scalars are numbers or 0-d tensors;
        their Nodes are returned.
        """
        first = written[0][0]
        nodes = [each._read() for each in gradients]
        for kind in written:
            nodes.extend([each._read() for each in kind])
        dtype = float64 if first._type.dtype is float64 else float32
        numbers = [_scalar(value, dtype, first) for value in scalars.values()]
        nodes += numbers
        attrs = (len(gradients), len(written), tuple(scalars), tuple(flags.items()))
        results = iter(record(self.operation, tuple(nodes), attrs, site()))
        for kind in written:
            for each in kind:
                each._write(next(results))
        return numbers

    def _expand(self, attrs: tuple[Any, ...], *nodes: Node) -> tuple[Node, ...]:
        count, kinds, names, flags = attrs
        split = count * (kinds + 1)
        arrays, numbers = nodes[:split], nodes[split:]
        with Tracing():
            values = [Tensor._traced(_wide(each)) for each in arrays]
            options = dict(zip(names, map(Tensor._traced, numbers), strict=True))
            options.update(flags)
            found: list[list[Node]] = [[] for _ in range(kinds)]
            for number in range(count):
                gradient, parameter, *states = values[number::count]
                results = self.formula(parameter, gradient, *states, **options)
                for kind, result in zip(found, results, strict=True):
                    kind.append(build.cast(result._read(), arrays[count + number].dtype))
        return tuple([each for kind in found for each in kind])


def _scalar(value: Any, dtype: DType, like: Tensor) -> Node:
    if isinstance(value, Tensor):
        moved = value.detach().to(like.device)
        return build.reshape(moved._read(), ())
    return build.scalar(float(value), dtype)


def _wide(node: Node) -> Node:
    return build.cast(node, float32) if node.dtype in _NARROW else node
