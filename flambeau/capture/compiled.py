"""compile(): which recording fits a call, and what is done where none does."""

from __future__ import annotations

import functools
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.autograd.mode import STATE
from flambeau.capture import nest
from flambeau.capture.forward import ForwardReplay
from flambeau.capture.guards import MISS, Guarded
from flambeau.capture.observation import Observation
from flambeau.capture.recorder import Recorder, RefusedError
from flambeau.capture.replay import Replay
from flambeau.nn.modules.module import Module
from flambeau.schedule import flush, watch
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

_MOST = 16
"""Recordings that are kept of one function."""
_PATIENCE = 6
"""Calls of one kind in a row that may differ from the four before."""
_MOST_WATCHED = 32
"""Calls of one kind that are watched, unless more are replayed."""
_KINDS = 64
"""Kinds of calls that are told apart."""
_LEAVES = frozenset({Tensor, Parameter, bool, int, float, str, type(None)})
"""Types of arguments that hold no others."""


class _Kind:
    """Calls whose arguments have the same structure and types."""

    def __init__(self) -> None:
        self.plain = False  # cannot be replayed
        self.seen: deque[tuple[Observation, Recorder]] = deque(maxlen=4)
        self.watched = 0
        self.refused = 0  # in a row: an optimizer's first step makes its state
        self.different = 0  # from those before, though nothing that can be seen had changed


class Recordings:
    """What is known of one function."""

    def __init__(self, function: Callable[..., Any], name: str, strict: bool) -> None:
        self.function = function
        self.name = name
        self.strict = strict
        self._replays: dict[Any, list[Guarded]] = {}
        self._kinds: dict[Any, _Kind] = {}
        self._warned = False
        self.replayed = 0  # calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if watch.active() is not None or STATE.tracing or STATE.anomaly:
            return self.function(*args, **kwargs)
        leaves: Any = args
        structure: Any = len(args)
        if kwargs or not _LEAVES.issuperset(map(type, args)):
            leaves = []
            structure = nest.flatten((args, kwargs), leaves)
        replays = self._replays.get(structure, ())
        for number, replay in enumerate(replays):
            result = replay.attempt(leaves)
            if result is not MISS:
                self.replayed += 1
                if number:
                    replays.remove(replay)  # type: ignore[union-attr]  # a list: it has elements
                    replays.insert(0, replay)  # type: ignore[union-attr]  # a list, as above
                return result
        return self._watched(structure, leaves, args, kwargs)

    def _watched(self, structure: Any, leaves: Sequence[Any], args: Any, kwargs: Any) -> Any:
        key = (structure, *map(_kind_of, leaves), STATE.enabled, STATE.inference)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) == _KINDS:
                self._warn(
                    f"it was called with arguments of {_KINDS} kinds; the others run plainly"
                )
                return self.function(*args, **kwargs)
            kind = self._kinds[key] = _Kind()
        if kind.plain:
            return self.function(*args, **kwargs)
        flush.flush()
        recorder = Recorder(self.function, leaves, self.strict)
        result = recorder.run(args, kwargs)
        kind.watched += 1
        seen = recorder.finish(result)
        if seen is None:
            kind.seen.clear()
            kind.refused += 1
            if kind.refused > 1 or recorder.certain:
                self._give_up(kind, recorder.told())
        else:
            kind.refused = 0
            self._learn(kind, seen, recorder, structure, leaves)
        if kind.watched >= _MOST_WATCHED and kind.watched > self.replayed:
            self._give_up(kind, "what it depends on changes too often")
        return result

    def _learn(
        self,
        kind: _Kind,
        seen: Observation,
        recorder: Recorder,
        structure: Any,
        leaves: Sequence[Any],
    ) -> None:
        """Keep a recording where two calls did the same."""
        known = [each for each, of in kind.seen if of.facts.hold() and of.later.hold()]
        differences = [seen.difference(each) for each in known]
        if None in differences:
            made = Replay if seen.forward is None else ForwardReplay
            self._keep(structure, made(seen, recorder.facts, recorder.later, leaves))
            kind.seen.clear()
            kind.different = 0
            return
        kind.seen.append((seen, recorder))
        if differences:
            kind.different += 1
            if kind.different >= _PATIENCE:
                self._give_up(kind, f"{differences[-1]}: another from call to call")

    def _give_up(self, kind: _Kind, reason: str) -> None:
        kind.plain = True
        kind.seen.clear()
        if self.strict:
            raise RefusedError(f"flambeau.compile(fullgraph=True): {self.name}: {reason}")
        self._warn(f"it runs plainly, as without compile: {reason}")

    def _warn(self, told: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"flambeau.compile: {self.name}: {told}", stacklevel=6)

    def _keep(self, structure: Any, replay: Guarded) -> None:
        replays = self._replays.setdefault(structure, [])
        replays.insert(0, replay)
        del replays[_MOST:]


def _kind_of(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        view = leaf._view
        return type(leaf), leaf._type.uid, leaf.requires_grad, view and (view.steps, view.strides)
    if isinstance(leaf, (bool, int, float, str, type(None))):
        return type(leaf), repr(leaf)
    return type(leaf), id(leaf)


class CompiledModule(Module):
    """A Module whose calls are recorded; its parameters and attributes are the original's.

    PyTorch's OptimizedModule: the original is the child `_orig_mod`, and names in state_dict begin
    with it.
    """

    def __init__(self, module: Module, recordings: Recordings) -> None:
        super().__init__()
        self._modules["_orig_mod"] = module
        self.__dict__["recordings"] = recordings
        self.__dict__["forward"] = recordings

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__["_modules"]["_orig_mod"]
        return module if name == "_orig_mod" else getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and name != "training":
            self.__dict__[name] = value
        else:
            setattr(self.__dict__["_modules"]["_orig_mod"], name, value)
            if name == "training":
                self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_modules"]["_orig_mod"], name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __getitem__(self, index: Any) -> Any:
        return self._orig_mod[index]

    def __iter__(self) -> Any:
        return iter(self._orig_mod)

    def __reduce__(self) -> Any:
        return compile, (self._orig_mod,)


_MODES = (
    "default",
    "reduce-overhead",
    "max-autotune",
    "max-autotune-no-cudagraphs",
    "lite",
)


def compile(  # noqa: A001  # PyTorch's name
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """A function, or a Module, whose calls skip Python once they are known.

    PyTorch's torch.compile; also a decorator, with arguments or without. The first calls run
    plainly and are watched; later ones with arguments of the same types, and with all that the
    function could see unchanged, are replayed: their plans run on the present values of their
    tensors. Results, gradients, updates, random numbers and counters are those of the plain call.

    A training step (forward, backward, optimizer) is replayed whole. A Module that is compiled
    alone becomes one operation in the graph that backward() walks. What cannot be replayed (values
    that are read in the middle, effects on Python objects) runs plainly and warns once, naming the
    line; with `fullgraph` it raises RuntimeError.

    `dynamic`, `mode` and `options` are accepted: new shapes are recorded anew. `disable` returns
    `model` itself. Raises NotImplementedError for a `backend` that is a function (there is no
    FX graph to give it), RuntimeError for an unknown mode.
    """
    if callable(backend):
        raise NotImplementedError(
            "backend must be a name: a function would be given an FX graph, and there is none"
        )
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    if mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if model is None:
        return functools.partial(
            compile,
            fullgraph=fullgraph,
            dynamic=dynamic,
            backend=backend,
            mode=mode,
            options=options,
            disable=disable,
        )
    if disable:
        return model
    if not callable(model):
        raise TypeError(f"expected a function or a Module, got {type(model).__name__}")
    name = getattr(model, "__qualname__", type(model).__name__)
    recordings = Recordings(model, name, fullgraph)
    if isinstance(model, Module):
        return CompiledModule(model, recordings)

    @functools.wraps(model)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        return recordings(*args, **kwargs)

    compiled.recordings = recordings  # type: ignore[attr-defined]  # for tests
    return compiled
