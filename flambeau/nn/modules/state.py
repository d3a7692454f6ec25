"""A Module's state: state_dict and load_state_dict."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from flambeau.autograd.mode import no_grad
from flambeau.nn.modules.traversal import Traversal
from flambeau.tensor.parameter import Parameter, is_lazy
from flambeau.tensor.tensor import Tensor
from flambeau.utils.hooks import RemovableHandle

_EXTRA = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict found missing and what it did not expect."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateDict(OrderedDict[str, Any]):
    """What state_dict returns: names to tensors, and `_metadata` with the modules' versions."""

    _metadata: OrderedDict[str, dict[str, Any]]


class Stateful(Traversal):
    """The part of Module that saves and loads its state."""

    _version: int = 1
    _state_dict_hooks: OrderedDict[int, Callable[..., Any]]
    _state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]]

    # hooks -------------------------------------------------------------------------------------

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, metadata)` after state_dict; may replace it."""
        return _register(self._state_dict_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, metadata)` after state_dict, for its effects."""

        def checked(*args: Any) -> None:
            if hook(*args) is not None:
                raise RuntimeError("state_dict post-hook must return None")

        return _register(self._state_dict_hooks, checked)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before state_dict."""
        return _register(self._state_dict_pre_hooks, hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """Call `hook` with the arguments of _load_from_state_dict before it."""
        entry: Any = _WithModule(hook) if with_module else hook
        return _register(self._load_state_dict_pre_hooks, entry)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As _register_load_state_dict_pre_hook, with the module as the first argument."""
        return self._register_load_state_dict_pre_hook(hook, True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after this module is loaded."""
        return _register(self._load_state_dict_post_hooks, hook)

    # saving ------------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """What state_dict keeps beside tensors; override it together with set_extra_state."""
        raise RuntimeError(
            f"{type(self).__name__} has no extra state: override get_extra_state and "
            "set_extra_state together"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take what get_extra_state returned."""
        raise RuntimeError(
            f"{type(self).__name__} has no extra state: override get_extra_state and "
            "set_extra_state together"
        )

    def _persistent(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                yield name, buffer

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """This module's own part of state_dict, without the modules below."""
        for name, tensor in self._persistent():
            kept = keep_vars or is_lazy(tensor)
            destination[prefix + name] = tensor if kept else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(
        self,
        *args: Any,
        destination: Any = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> Any:
        """All parameters and persistent buffers by dotted name; they share the tensors' storage.

        `keep_vars`: the parameters themselves instead of detached tensors.
        """
        if args:  # as PyTorch allowed until 1.10
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            destination = given.get("destination", destination)
            prefix = given.get("prefix", prefix)
            keep_vars = given.get("keep_vars", keep_vars)
        if destination is None:
            destination = StateDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            replaced = hook(self, destination, prefix, metadata)
            if replaced is not None:
                destination = replaced
        return destination

    # loading -----------------------------------------------------------------------------------

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own part of `state_dict`, without the modules below."""
        args = (
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        for hook in self._load_state_dict_pre_hooks.values():
            if isinstance(hook, _WithModule):
                hook.hook(self, *args)
            else:
                hook(*args)
        assign = local_metadata.get("assign_to_params_buffers", False)
        own = dict(self._persistent())
        for name, tensor in own.items():
            key = prefix + name
            if key in state_dict:
                error = self._load_tensor(name, tensor, key, state_dict[key], assign)
                if error is not None:
                    error_msgs.append(error)
            elif strict:
                missing_keys.append(key)
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            self._note_unexpected(state_dict, prefix, own, unexpected_keys)

    def _load_tensor(
        self, name: str, tensor: Tensor, key: str, value: Any, assign: bool
    ) -> str | None:
        """Copy (or assign) one value; what went wrong, in PyTorch's words."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(value)}"
            )
        if is_lazy(tensor) and is_lazy(value):
            return None  # neither has values
        if is_lazy(value):
            return f'"{key}" of the checkpoint has no values: its module was never called.'
        if tensor.ndim == 0 and tuple(value.shape) == (1,):
            value = value[0]
        if value.shape != tensor.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from "
                f"checkpoint, the shape in current model is {tensor.shape}."
            )
        if tensor.is_meta and not value.is_meta and not assign:
            warnings.warn(
                f"for {key}: copying from a non-meta parameter in the checkpoint to a meta "
                "parameter in the current model, which is a no-op. (Did you mean to pass "
                "`assign=True` to assign items in the state dictionary to their corresponding key "
                "in the module instead of copying them in place?)",
                stacklevel=2,
            )
        try:
            with no_grad():
                if assign:
                    setattr(self, name, _assignable(tensor, value))
                else:
                    tensor.copy_(value)
        except Exception as error:  # noqa: BLE001  # whatever it was is reported with the rest
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{tensor.shape} and whose dimensions in the checkpoint are {value.shape}, an "
                f"exception occurred : {error.args}."
            )
        return None

    def _load_extra_state(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
    ) -> None:
        key = prefix + _EXTRA
        if type(self).set_extra_state is not Stateful.set_extra_state:
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def _note_unexpected(
        self, state_dict: dict[str, Any], prefix: str, own: dict[str, Any], found: list[str]
    ) -> None:
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + _EXTRA:
                first, dot, _ = key[len(prefix) :].partition(".")
                if first not in (self._modules if dot else own):
                    found.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy the values of `state_dict` into this module and those below, in place.

        Returns (missing_keys, unexpected_keys). `strict`: RuntimeError where there are any.
        `assign`: the module takes over the state's tensors instead of copying their values.
        Raises RuntimeError naming every tensor whose shape does not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None) or {}

        def load(module: Stateful, values: dict[str, Any], prefix: str) -> None:
            local = dict(metadata.get(prefix[:-1], {}))
            if assign:
                local["assign_to_params_buffers"] = True
            module._load_from_state_dict(values, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    path = f"{prefix}{name}."
                    below = {key: v for key, v in values.items() if key.startswith(path)}
                    load(child, below, path)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, _IncompatibleKeys(missing, unexpected)) is not None:
                    raise AssertionError(
                        "a load_state_dict post-hook must not return a value: change the lists of "
                        "incompatible_keys in place instead"
                    )

        load(self, OrderedDict(state_dict), "")
        if strict:
            errors = _key_errors(missing, unexpected) + errors
        if errors:
            listed = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}"
            )
        return _IncompatibleKeys(missing, unexpected)


class _WithModule(NamedTuple):
    """A pre-hook of loading that takes the module first."""

    hook: Callable[..., Any]


def _register(
    hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any]
) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def _assignable(tensor: Tensor, value: Tensor) -> Tensor:
    """`value` as what stands in for `tensor`: a Parameter for a Parameter."""
    if not isinstance(tensor, Parameter):
        return value
    if isinstance(value, Parameter):
        return cast(Tensor, value.requires_grad_(tensor.requires_grad))
    return Parameter(value, tensor.requires_grad)


def _key_errors(missing: list[str], unexpected: list[str]) -> list[str]:
    found = []
    for title, keys in (("Missing", missing), ("Unexpected", unexpected)):
        if keys:
            listed = ", ".join(f'"{key}"' for key in keys)
            found.append(f"{title} key(s) in state_dict: {listed}. ")
    return found
