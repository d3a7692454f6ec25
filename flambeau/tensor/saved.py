"""What autograd keeps for backward, as programs see it: torch.autograd.graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from flambeau.autograd.mode import STATE
from flambeau.stand_in import stand_in
from flambeau.tensor.differentiate import GradientFunction as Node
from flambeau.tensor.differentiate import RemovableHandle
from flambeau.tensor.tensor import Tensor

__all__ = [
    "Node",
    "disable_saved_tensors_hooks",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
    "set_warn_on_accumulate_grad_stream_mismatch",
]


class saved_tensors_hooks:  # noqa: N801  # PyTorch's name
    """Within it, what a Function saves is `pack_hook(tensor)`, and `unpack_hook` gives it back.

    Flambeau's own operations keep values as parts of the recorded graph, computed again where that
    is cheaper; they do not call the hooks. See docs/differences.md.
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> Self:
        if STATE.hooks_refused is not None:
            raise RuntimeError(STATE.hooks_refused)
        STATE.saving = (*STATE.saving, (self.pack_hook, self.unpack_hook))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        STATE.saving = STATE.saving[:-1]


@stand_in("what is kept stays where it is")
class save_on_cpu(saved_tensors_hooks):  # noqa: N801  # PyTorch's name
    """Within it, what a Function saves is moved to the cpu until backward."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(
            lambda tensor: (tensor.device, tensor.cpu()), lambda packed: packed[1].to(packed[0])
        )


class disable_saved_tensors_hooks:  # noqa: N801  # PyTorch's name
    """Within it, saved_tensors_hooks raises RuntimeError with this message."""

    def __init__(self, error_message: str) -> None:
        self._message = error_message
        self._before: list[str | None] = []

    def __enter__(self) -> None:
        self._before.append(STATE.hooks_refused)
        STATE.hooks_refused = self._message

    def __exit__(self, *error: object) -> None:
        STATE.hooks_refused = self._before.pop()


def increment_version(tensor: Any) -> None:
    """Tell autograd that a tensor (or several) was written in a way that it did not see."""
    for each in [tensor] if isinstance(tensor, Tensor) else tensor:
        each._storage.version += 1


@stand_in("accepted: there is one order of work")
def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Nothing to do."""


class _Together:
    """The handles of one hook on several tensors."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take the hook away."""
        for each in self._handles:
            each.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all"
) -> Any:
    """Call fn with the tensors' gradients when all have theirs; with mode "any", the first one.

    In mode "all" fn gets a list, with None for those that got no gradient in this backward: such a
    call is made only where every tensor gets one.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    found: dict[int, Tensor] = {}
    count = len(tensors)

    def hook_of(place: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            found[place] = gradient
            if mode == "any" and len(found) == 1:
                fn(gradient)
            elif mode == "all" and len(found) == count:
                fn([found[each] for each in range(count)])
            if len(found) == count:
                found.clear()

        return hook

    return _Together([each.register_hook(hook_of(place)) for place, each in enumerate(tensors)])
