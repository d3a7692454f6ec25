"""One walk: what is used how often, and what nobody else holds."""

from __future__ import annotations

import flambeau as torch
from flambeau.graph.node import Node
from flambeau.schedule.walk import Walk, donatable


def _leaf(of: torch.Tensor) -> Node:
    return of._storage.node


def test_uses_are_counted_for_every_input() -> None:
    a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
    total = (a + b) * a + a
    walk = Walk("cpu", [total._read()])
    found = {walk.leaves.index(each): walk.uses[walk.position[each]] for each in walk.leaves}
    assert found == {walk.leaves.index(_leaf(a)): 3, walk.leaves.index(_leaf(b)): 1}
    assert [walk.uses[walk.position[each]] for each in walk.order] == [1, 1, 0]
    assert donatable(walk) == ()


def test_what_only_the_walk_uses_may_be_overwritten() -> None:
    kept, gone = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])
    total = (gone + kept) * gone
    number = int(_leaf(kept) is total._read().inputs[0].inputs[0])
    del gone
    assert donatable(Walk("cpu", [total._read()])) == (number,)


def test_nothing_is_overwritten_while_its_buffer_is_held() -> None:
    gone = torch.tensor([1.0, 2.0, 3.0])
    buffer = _leaf(gone).buffer
    total = gone + 1
    del gone
    root = total._read()
    assert donatable(Walk("cpu", [root])) == ()
    assert buffer is not None
    del buffer
    assert donatable(Walk("cpu", [root])) == (0,)


def test_a_known_root_is_a_leaf_of_no_use() -> None:
    done = _leaf(torch.tensor([1.0, 2.0, 3.0]))
    walk = Walk("cpu", [done, done])
    assert (walk.leaves, walk.order, walk.uses) == ([done], [], [0])
    assert donatable(walk) == ()


def test_what_backward_may_reach_is_not_overwritten() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = torch.tensor([1.0, 2.0, 3.0])
    product = weight * x
    del x
    assert donatable(Walk("cpu", [product._read()])) == ()
    with torch.no_grad():
        x = torch.tensor([1.0, 2.0, 3.0])
        product = weight.detach() * x
        del x
    assert donatable(Walk("cpu", [product._read()])) == (1,)
