"""Small programs with views and in-place operations, which run in PyTorch as well.

What PyTorch gives is in view_facts.json; tests/parity checks that it still does, and
`python tests/tensor/view_programs.py` (where PyTorch is installed) writes it anew.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FACTS = Path(__file__).parent / "view_facts.json"

Program = Callable[[Any], Any]
PROGRAMS: list[Program] = []


def program(function: Program) -> Program:
    PROGRAMS.append(function)
    return function


@program
def views_see_writes_both_ways(m: Any) -> Any:
    a = m.arange(6.0).reshape(2, 3)
    v = a[0]
    a.add_(1)
    before = v.tolist()
    v.mul_(2)
    return a.tolist(), before, a._version, v._version


@program
def leaf(m: Any) -> Any:
    m.ones(3, requires_grad=True).add_(1)


@program
def view_of_a_leaf(m: Any) -> Any:
    a = m.ones(3, requires_grad=True)
    a[0] = 1


@program
def leaf_without_grad(m: Any) -> Any:
    a = m.ones(3, requires_grad=True)
    with m.no_grad():
        a.add_(1)
        a[0] = 5
    (a * a).sum().backward()
    return a.grad.tolist(), a.is_leaf


@program
def a_view_of_a_non_leaf_rebases_the_graph(m: Any) -> Any:
    w = m.tensor([1.0, 2, 3], requires_grad=True)
    a = w * 2
    v = a[:2]
    v *= 3
    a.sum().backward()
    return w.grad.tolist()


@program
def saved_output(m: Any) -> Any:
    b = m.ones(3, requires_grad=True).exp()
    b.add_(1)
    b.sum().backward()


@program
def saved_input(m: Any) -> Any:
    b = m.ones(3, requires_grad=True) * 1
    c = b * b
    b.add_(1)
    c.sum().backward()


@program
def nothing_saved(m: Any) -> Any:
    a = m.ones(3, requires_grad=True)
    b = a * 1
    c = b + b
    b.add_(1)
    c.sum().backward()
    return a.grad.tolist()


@program
def a_saved_view(m: Any) -> Any:
    a = m.ones(4, requires_grad=True) * 2
    c = a[:2] * a[:2]
    a[3] = 9
    c.sum().backward()


@program
def detach_shares(m: Any) -> Any:
    a = m.ones(3)
    d = a.detach()
    d[0] = 7
    return a.tolist(), a._version, d._version


@program
def detach_shares_the_version(m: Any) -> Any:
    b = m.ones(3, requires_grad=True) * 2
    c = b * b
    b.detach()[0] = 3
    c.sum().backward()


@program
def data_has_no_version(m: Any) -> Any:
    b = m.ones(3, requires_grad=True) * 2
    c = b * b
    b.data.add_(0)
    c.sum().backward()
    return c.tolist()


@program
def data_assigned(m: Any) -> Any:
    a = m.ones(3, requires_grad=True)
    a.data = m.zeros(3)
    a.data.add_(2)
    return a.tolist(), a.requires_grad


@program
def expanded_write(m: Any) -> Any:
    m.ones(1).expand(3).add_(1)


@program
def expanded_element(m: Any) -> Any:
    a = m.ones(1).expand(3)
    a[0] = 5
    return a.tolist()


@program
def unbound_write(m: Any) -> Any:
    x, _y, _z = (m.ones(3, requires_grad=True) * 2).unbind(0)
    x.add_(1)


@program
def split_write(m: Any) -> Any:
    x, _y = (m.ones(4, requires_grad=True) * 2).split(2)
    x.mul_(3)


@program
def unbound_write_without_grad(m: Any) -> Any:
    a = m.ones(3)
    x, _y, _z = a.unbind()
    x.add_(1)
    a.chunk(2)[1].zero_()
    return a.tolist()


@program
def repeated_places_do_not_accumulate(m: Any) -> Any:
    a = m.zeros(3)
    a[m.tensor([0, 0, 1])] += 1
    a.index_put_((m.tensor([0, 0, 2]),), m.ones(3), accumulate=True)
    return a.tolist()


@program
def augmented_views(m: Any) -> Any:
    a = m.zeros(2, 3)
    a[0] += 1
    a[:, 1] *= 5
    a.t()[0] = 9
    a.T[1, 1] = 7
    return a.tolist()


@program
def a_chain_of_views(m: Any) -> Any:
    a = m.arange(24.0).reshape(2, 3, 4)
    v = a.permute(2, 0, 1)[1:3].transpose(0, 1)[1]
    v.fill_(0)
    return a.tolist(), v.stride(), v.storage_offset()


@program
def reshape_is_a_view(m: Any) -> Any:
    a = m.arange(6.0)
    a.reshape(2, 3)[0, 0] = 5
    a.view(2, 3).view(-1)[::2] = 0
    return a.tolist()


@program
def reshape_is_a_copy(m: Any) -> Any:
    a = m.arange(6.0).reshape(2, 3).t()
    a.reshape(6)[0] = 5
    return a.tolist()


@program
def view_that_strides_forbid(m: Any) -> Any:
    m.ones(2, 3).t().view(6)


@program
def gradient_of_written_parts(m: Any) -> Any:
    w = m.ones(3, requires_grad=True)
    a = m.zeros(2, 3)
    a[0] = w * 2
    a[1] = w * 3
    (a * a).sum().backward()
    return w.grad.tolist(), a.requires_grad, a.is_leaf


@program
def a_view_gets_its_bases_gradient(m: Any) -> Any:
    w = m.ones(3, requires_grad=True)
    a = m.zeros(3)
    v = a[:2]
    a.add_(w)
    return v.requires_grad, v.tolist()


@program
def written_without_grad(m: Any) -> Any:
    a = m.ones(3, requires_grad=True)
    b = a * 2
    with m.no_grad():
        b[0] = 5
        b.mul_(3)
    b.sum().backward()
    return a.grad.tolist(), b.tolist()


@program
def masks(m: Any) -> Any:
    w = m.arange(4.0, requires_grad=True)
    a = w * 1
    a[a > 1] = 0
    a.sum().backward()
    b = m.zeros(2, 3)
    b[m.tensor([True, False])] = m.arange(3.0)
    return w.grad.tolist(), b.tolist()


@program
def strides(m: Any) -> Any:
    a = m.zeros(2, 3, 4)
    views = [
        a[:, 1],
        a[:, ::2],
        a[1, 2],
        a.permute(2, 0, 1),
        a.expand(5, 2, 3, 4),
        a.unsqueeze(1),
        a.transpose(0, 1),
        a.squeeze(),
        a.flatten(1),
        a[None, ..., None],
        a.diagonal(0, 1, 2),
        a.diagonal(1, 1, 2),
        a.unflatten(2, (2, 2)),
        a.select(1, 2),
        a.narrow(2, 1, 2),
        a.movedim(0, 2),
        a.view(3, 8),
        a[:, 0].t(),
    ]
    return [(v.stride(), v.storage_offset(), v.is_contiguous()) for v in views]


@program
def integers_with_grad(m: Any) -> Any:
    m.ones(3, dtype=m.int64).add_(1.5)


@program
def in_place_of_another_shape(m: Any) -> Any:
    m.ones(3).add_(m.ones(2, 3))


@program
def relu_in_place(m: Any) -> Any:
    a = m.tensor([-1.0, 2], requires_grad=True)
    b = a * 1
    b.relu_()
    b.sum().backward()
    return a.grad.tolist()


@program
def zero_of_a_part(m: Any) -> Any:
    a = m.ones(2, 2, requires_grad=True)
    b = a * 3
    b[0].zero_()
    b.sum().backward()
    return a.grad.tolist()


@program
def copied_into(m: Any) -> Any:
    a = m.zeros(2, 3)
    a.copy_(m.arange(3.0))
    a[0].copy_(m.ones(3, dtype=m.int64))
    return a.tolist()


@program
def shapes_in_place(m: Any) -> Any:
    a = m.arange(6.0).reshape(1, 2, 3)
    v = a[0, 0]
    a.squeeze_()
    a.t_()
    a.unsqueeze_(1)
    a.add_(1)
    v[1] = 9
    a[2, 0, 1] = 8
    return list(a.shape), a.tolist(), v.tolist()


@program
def empty_views(m: Any) -> Any:
    a = m.zeros(0, 3)
    views = [a[:, 1], a.t(), a.view(3, 0), m.cat([a, m.ones(2, 3)]), a.unsqueeze(0)]
    return [list(v.shape) for v in views], a.sum().item()


@program
def views_of_0d(m: Any) -> Any:
    a = m.tensor(3.0)
    a.view(1).add_(1)
    b = a[None]
    b += 1
    a[...] = a * 2
    return a.item()


@program
def bases(m: Any) -> Any:
    a = m.zeros(2, 3)
    v = a[0]
    return v._base is a, a._base is None, v.view(3, 1)._base is a


@program
def deep_copies(m: Any) -> Any:
    a = m.arange(4.0)[1:]
    b = copy.deepcopy(a)
    b.add_(1)
    return a.tolist(), b.tolist()


@program
def hooks_on_what_views_read(m: Any) -> Any:
    seen: list[Any] = []
    a = m.ones(3, requires_grad=True) * 2
    a.register_hook(lambda gradient: seen.append(gradient.tolist()))
    a[:2].sum().backward()
    return seen


@program
def results_written_into_out(m: Any) -> Any:
    o = m.zeros(2, 2)
    m.matmul(m.ones(2, 2), m.ones(2, 2), out=o)
    before = o.tolist()
    m.cat([m.ones(1, 2), m.zeros(1, 2)], out=o)
    return before, o.tolist()


@program
def diagonals_filled(m: Any) -> Any:
    a, b, c = m.zeros(4, 3), m.zeros(7, 3), m.zeros(3, 4)
    a.fill_diagonal_(1.0)
    b.fill_diagonal_(2.0, wrap=True)
    c.t().fill_diagonal_(3.0)
    m.diagonal(a, 1).add_(5)
    return a.tolist(), b.tolist(), c.tolist()


@program
def a_view_made_before_a_write(m: Any) -> Any:
    w = m.ones(4, requires_grad=True)
    a = w * 2
    v = a.view(2, 2)
    a[0] = 0
    v[1].mul_(3)
    v.sum().backward()
    return w.grad.tolist(), a.tolist()


def outcome(run: Program, library: Any) -> Any:
    """What the program returns, or the type and the first words of what it raises."""
    try:
        result = run(library)
    except Exception as error:  # noqa: BLE001  # whatever it is, both libraries must raise it
        return {"error": type(error).__name__, "words": str(error)[:40]}
    return json.loads(json.dumps({"result": result}))


def facts() -> dict[str, Any]:
    """PyTorch's outcome of each program."""
    return json.loads(FACTS.read_text())


if __name__ == "__main__":
    import torch

    found = {run.__name__: outcome(run, torch) for run in PROGRAMS}
    FACTS.write_text(json.dumps(found, indent=1) + "\n")
