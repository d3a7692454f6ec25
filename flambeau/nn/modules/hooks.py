"""A Module's hooks: registering them and the call that runs them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flambeau.autograd.mode import STATE
from flambeau.nn.modules.backward_hook import BackwardHook
from flambeau.schedule import watch
from flambeau.utils.hooks import RemovableHandle

Hook = Callable[..., Any]


class Hooked:
    """The part of Module that deals with hooks around forward and backward."""

    _forward_hooks: OrderedDict[int, Hook]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _forward_pre_hooks: OrderedDict[int, Hook]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _backward_hooks: OrderedDict[int, Hook]
    _backward_pre_hooks: OrderedDict[int, Hook]
    _is_full_backward_hook: bool | None = None
    forward: Callable[..., Any]

    def _init_hooks(self) -> None:
        for name in (
            "_backward_pre_hooks",
            "_backward_hooks",
            "_forward_hooks",
            "_forward_hooks_with_kwargs",
            "_forward_hooks_always_called",
            "_forward_pre_hooks",
            "_forward_pre_hooks_with_kwargs",
        ):
            object.__setattr__(self, name, OrderedDict())

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments.

        With `with_kwargs`: hook(module, args, kwargs) -> None or (args, kwargs).
        """
        handle = RemovableHandle(self._forward_pre_hooks, self._forward_pre_hooks_with_kwargs)
        _insert(self._forward_pre_hooks, handle, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns replaces the output.

        With `with_kwargs`: hook(module, args, kwargs, output). `always_call`: also where forward
        raised (output is None then).
        """
        handle = RemovableHandle(
            self._forward_hooks, self._forward_hooks_with_kwargs, self._forward_hooks_always_called
        )
        _insert(self._forward_hooks, handle, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the gradients of the inputs are computed.

        What it returns replaces grad_output.
        """
        handle = RemovableHandle(self._backward_pre_hooks)
        _insert(self._backward_pre_hooks, handle, hook, prepend)
        return handle

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` once the inputs' gradients are computed.

        What it returns replaces grad_input. RuntimeError where register_backward_hook was called.
        """
        self._note_kind(full=True)
        handle = RemovableHandle(self._backward_hooks)
        _insert(self._backward_hooks, handle, hook, prepend)
        return handle

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """register_full_backward_hook, under its old name.

        Where forward is of several operations, PyTorch passes the gradients of the last one's
        inputs and warns that this will change; these are those of the module's inputs.
        RuntimeError where register_full_backward_hook was called.
        """
        self._note_kind(full=False)
        handle = RemovableHandle(self._backward_hooks)
        _insert(self._backward_hooks, handle, hook, False)
        return handle

    def _note_kind(self, full: bool) -> None:
        """A module's hooks are all of one kind."""
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them."
            )
        self._is_full_backward_hook = full

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (watcher := watch.active()) is not None:
            watcher.module(self)
        if not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or (_EVERYWHERE and _EVERYWHERE[0]._has_hooks())
        ):
            return self.forward(*args, **kwargs)
        if not self._with_global("_forward_hooks_always_called"):
            return self._call_with_hooks(args, kwargs, set())
        done: set[int] = set()
        try:
            return self._call_with_hooks(args, kwargs, done)
        except Exception:  # whatever it is, it is raised again below
            hooks = self._with_global("_forward_hooks")
            for key in self._with_global("_forward_hooks_always_called"):
                if key in hooks and key not in done:
                    self._run_forward_hook(key, hooks[key], args, kwargs, None)
            raise

    _call_impl = __call__

    def _has_hooks(self) -> bool:
        return bool(
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
        )

    def _with_global(self, name: str) -> dict[int, Any]:
        """The hooks for all modules, then this module's."""
        own = getattr(self, name)
        return {**getattr(_EVERYWHERE[0], name), **own} if _EVERYWHERE else dict(own)

    def _call_with_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], done: set[int]
    ) -> Any:
        args, kwargs = self._run_pre_hooks(args, kwargs)
        watch = None
        backward = self._with_global("_backward_hooks")
        before = self._with_global("_backward_pre_hooks")
        if STATE.enabled and (backward or before):
            watch = BackwardHook(self, backward, before)
            args = watch.watch_inputs(args)
        result = self.forward(*args, **kwargs)
        for key, hook in self._with_global("_forward_hooks").items():
            done.add(key)
            replaced = self._run_forward_hook(key, hook, args, kwargs, result)
            if replaced is not None:
                result = replaced
        return watch.watch_outputs(result) if watch is not None else result

    def _run_forward_hook(
        self, key: int, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> Any:
        if key in self._with_global("_forward_hooks_with_kwargs"):
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _run_pre_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for key, hook in self._with_global("_forward_pre_hooks").items():
            if key in self._forward_pre_hooks_with_kwargs:
                replaced = hook(self, args, kwargs)
                if replaced is None:
                    continue
                if not (isinstance(replaced, tuple) and len(replaced) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of "
                        f"(new_args, new_kwargs), but got {replaced}."
                    )
                args, kwargs = replaced
            else:
                replaced = hook(self, args)
                if replaced is not None:
                    args = replaced if isinstance(replaced, tuple) else (replaced,)
        return args, kwargs


def _insert(
    hooks: OrderedDict[int, Hook], handle: RemovableHandle, hook: Hook, prepend: bool
) -> None:
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)


# hooks for all modules --------------------------------------------------------------------------

_EVERYWHERE: list[Hooked] = []
"""What holds the hooks of all modules, once there was one."""


def _everywhere() -> Hooked:
    if not _EVERYWHERE:
        holder = Hooked()
        holder._init_hooks()
        _EVERYWHERE.append(holder)
    return _EVERYWHERE[0]


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Module.register_forward_pre_hook for all modules; these hooks come first."""
    return _everywhere().register_forward_pre_hook(hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Module.register_forward_hook for all modules; these hooks come first."""
    return _everywhere().register_forward_hook(
        hook, with_kwargs=with_kwargs, always_call=always_call
    )


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Module.register_full_backward_pre_hook for all modules; these hooks come first."""
    return _everywhere().register_full_backward_pre_hook(hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Module.register_full_backward_hook for all modules; these hooks come first."""
    return _everywhere().register_full_backward_hook(hook)
