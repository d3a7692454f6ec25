"""Recurrent layers: RNN, LSTM and GRU, and their single steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn import init
from flambeau.nn.modules.make import empty_parameter
from flambeau.nn.modules.module import Module
from flambeau.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence
from flambeau.ops.creation import zeros
from flambeau.ops.recurrent import gru_layer, lstm_layer, plain_layer
from flambeau.ops.shape import cat, stack
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_LISTS = ("_all_weights", "_flat_weights_names", "_flat_weights")
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _check(input_size: Any, hidden_size: Any, num_layers: int, flags: dict[str, Any]) -> None:
    """Raises TypeError and ValueError as PyTorch does."""
    for name, each in flags.items():
        if not isinstance(each, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(each).__name__}")
    for name, each in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(each, int):
            raise TypeError(f"{name} should be of type int, got: {type(each).__name__}")
        if each <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")


def _check_dropout(dropout: Any, num_layers: int) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            "being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            stacklevel=4,
        )


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, checks, layers and directions.

    Input (T, B, input_size), (B, T, input_size) with batch_first, or (T, input_size); output with
    D · hidden_size in the last place, where D is 2 when bidirectional. States are
    (D · num_layers, B, hidden_size). With proj_size (LSTM only) what a step gives out and hands on
    is projected to so many numbers. Parameters start uniform in ±1/√hidden_size.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        _check_dropout(dropout, num_layers)
        flags = {"bias": bias, "batch_first": batch_first}
        _check(input_size, hidden_size, num_layers, flags)
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        for layer in range(num_layers):
            for suffix in self._suffixes():
                self._add_layer(layer, suffix, device, dtype)
        self.reset_parameters()

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _add_layer(self, layer: int, suffix: str, device: Any, dtype: Any) -> None:
        size = self.proj_size or self.hidden_size
        width = size * len(self._suffixes()) if layer else self.input_size
        gates = _GATES[self.mode] * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, width),
            "weight_hh": (gates, size),
        }
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for name, shape in shapes.items():
            setattr(self, f"{name}_l{layer}{suffix}", empty_parameter(shape, device, dtype))

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for each in self.parameters():
            init.uniform_(each, -bound, bound)

    def _names(self) -> list[list[str]]:
        names = ["weight_ih", "weight_hh"] + (["bias_ih", "bias_hh"] if self.bias else [])
        names += ["weight_hr"] if self.proj_size else []
        return [
            [f"{name}_l{layer}{suffix}" for name in names]
            for layer in range(self.num_layers)
            for suffix in self._suffixes()
        ]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._names()]

    def __getstate__(self) -> dict[str, Any]:
        """What is saved of a whole module: PyTorch keeps a list of the parameters, too."""
        names = self._names()
        flat = [name for each in names for name in each]
        lists = (names, flat, [getattr(self, name) for name in flat])
        return self.__dict__ | dict(zip(_LISTS, lists, strict=True))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: each for name, each in state.items() if name not in _LISTS})

    def flatten_parameters(self) -> None:
        """Nothing to do: parameters need not lie together."""

    def extra_repr(self) -> str:
        shown = [str(self.input_size), str(self.hidden_size)]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)

    # forward -----------------------------------------------------------------------------------

    def _check_input(self, input: Tensor) -> None:  # noqa: A002  # PyTorch's name
        kind = self.mode.split("_")[0]
        if not isinstance(input, Tensor):
            raise TypeError(f"{kind}: expected a Tensor, but got {type(input).__name__}")
        if input.ndim not in (2, 3):
            raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        wanted = self.weight_ih_l0.dtype
        if input.dtype != wanted:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({wanted}). Convert "
                f"input: input.to({wanted}), or convert model: model.to({input.dtype})"
            )
        if input._type.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input._type.shape[-1]}"
            )

    def _states(self, given: Sequence[Tensor] | None, input: Tensor, count: int) -> list[Tensor]:  # noqa: A002  # PyTorch's name
        """`count` states (layers, B, H), zeros where none are given; input is (T, B, I)."""
        lead = (self.num_layers * len(self._suffixes()), input._type.shape[1])
        shapes = [(*lead, self.proj_size or self.hidden_size), (*lead, self.hidden_size)][:count]
        if given is None:
            return [zeros(shape, dtype=input.dtype, device=input.device) for shape in shapes]
        for number, (each, shape) in enumerate(zip(given, shapes, strict=True)):
            if each._type.shape != shape:
                which = f"hidden[{number}]" if count > 1 else "hidden"
                raise RuntimeError(f"Expected {which} size {shape}, got {list(each._type.shape)}")
        return list(given)

    def _batched(self, given: Sequence[Tensor] | None, batched: bool) -> Sequence[Tensor] | None:
        """States with a batch axis. Raises RuntimeError where they do not go with the input."""
        if given is None:
            return None
        wanted = 3 if batched else 2
        if any(each.ndim != wanted for each in given):
            shown = ", ".join(f"{each.ndim}-D" for each in given)
            raise RuntimeError(
                f"For {'' if batched else 'un'}batched {wanted}-D input, hx should also be "
                f"{wanted}-D but got ({shown}) tensor{'s' if len(given) > 1 else ''}"
            )
        return given if batched else [each.unsqueeze(1) for each in given]

    def _run(self, input: Any, given: Sequence[Tensor] | None, count: int) -> Any:  # noqa: A002  # PyTorch's name
        """(output, list of `count` last states)."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, given, count)
        self._check_input(input)
        batched = input.ndim == 3
        sequence = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            sequence = sequence.transpose(0, 1)
        states = self._states(self._batched(given, batched), sequence, count)
        output, last = self._layers(sequence, states)
        if not batched:
            return output.squeeze(1), [each.squeeze(1) for each in last]
        return output.transpose(0, 1) if self.batch_first else output, last

    def _run_packed(
        self, packed: PackedSequence, given: Sequence[Tensor] | None, count: int
    ) -> tuple[PackedSequence, list[Tensor]]:
        """Sequences of one length run together; states are in the order that packing was given."""
        padded, lengths = pad_packed_sequence(PackedSequence(packed.data, packed.batch_sizes))
        found = lengths.tolist()
        states = given
        if given is not None and packed.sorted_indices is not None:
            states = [each.index_select(1, packed.sorted_indices) for each in given]
        outputs, ends = [], []
        first = 0
        while first < len(found):
            length = found[first]
            behind = first + found.count(length)
            own = None if states is None else [each[:, first:behind] for each in states]
            part = padded[:length, first:behind]
            part = part.transpose(0, 1) if self.batch_first else part
            output, last = self._run(part, own, count)
            output = output.transpose(0, 1) if self.batch_first else output
            outputs += list(output.unbind(1))
            ends.append(last)
            first = behind
        data = pack_sequence(outputs).data
        final = [cat(list(each), 1) for each in zip(*ends, strict=True)]
        if packed.unsorted_indices is not None:
            final = [each.index_select(1, packed.unsorted_indices) for each in final]
        return PackedSequence(data, *packed[1:]), final

    def _layers(self, sequence: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        found: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            outputs = []
            for suffix in self._suffixes():
                first = [each[len(found)] for each in states]
                output, *last = self._layer(sequence, first, layer, suffix)
                outputs.append(output)
                found.append(last)
            sequence = outputs[0] if len(outputs) == 1 else cat(outputs, 2)
            if self.dropout and layer < self.num_layers - 1:
                sequence = F.dropout(sequence, self.dropout, self.training)
        return sequence, [stack(list(each)) for each in zip(*found, strict=True)]

    def _layer(self, sequence: Tensor, first: list[Tensor], layer: int, suffix: str) -> Any:
        """One direction of one layer: (output, last states …)."""
        place = f"l{layer}{suffix}"
        weight: Any = getattr(self, f"weight_hh_{place}")
        by_input: Any = getattr(self, f"bias_ih_{place}", None)
        by_state: Any = getattr(self, f"bias_hh_{place}", None)
        gru = self.mode == "GRU"
        bias = by_input if gru or by_input is None else by_input + by_state
        projected = F.linear(sequence, getattr(self, f"weight_ih_{place}"), bias)
        reverse = bool(suffix)
        if self.mode == "LSTM":
            projection: Any = getattr(self, f"weight_hr_{place}", None)
            return lstm_layer(projected, first[0], first[1], weight, reverse, projection)
        if gru:
            if by_state is None:
                by_state = zeros(weight.shape[0], dtype=weight.dtype, device=weight.device)
            return gru_layer(projected, first[0], weight, by_state, reverse)
        kind = "tanh" if self.mode == "RNN_TANH" else "relu"
        return plain_layer(projected, first[0], weight, kind, reverse)


class _OneState(RNNBase):
    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:  # noqa: A002  # PyTorch's name
        output, last = self._run(input, None if hx is None else [hx], 1)
        return output, last[0]


class RNN(_OneState):
    """h ← tanh (or relu) (W x + b + W′ h + b′). Elman, 1990. See RNNBase for shapes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(_OneState):
    """Gated recurrent units, Cho et al., 2014, with the reset gate after the product.

    See RNNBase for shapes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory, Hochreiter and Schmidhuber, 1997. See RNNBase for shapes.

    The state is a pair (hidden, cell).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def forward(
        self,
        input: Any,  # noqa: A002  # PyTorch's name
        hx: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        output, last = self._run(input, hx, 2)
        return output, (last[0], last[1])


class RNNCellBase(Module):
    """A single step: input (B, input_size) or (input_size,), state likewise with hidden_size."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = empty_parameter((gates, input_size), device, dtype)
        self.weight_hh = empty_parameter((gates, hidden_size), device, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(
                name, empty_parameter((gates,), device, dtype) if bias else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for each in self.parameters():
            init.uniform_(each, -bound, bound)

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            shown += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            shown += f", nonlinearity={self.nonlinearity}"
        return shown

    def _start(self, input: Tensor, given: Sequence[Tensor] | None, count: int) -> Any:  # noqa: A002  # PyTorch's name
        """The input's product (1, B, G) and `count` states (B, H)."""
        for name, each in [("input", input), *[("hx", each) for each in given or ()]]:
            if each.ndim not in (1, 2):
                raise ValueError(
                    f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {each.ndim}D "
                    "instead"
                )
        rows = input if input.ndim == 2 else input.unsqueeze(0)
        if given is None:
            zero = zeros(
                (rows._type.shape[0], self.hidden_size), dtype=input.dtype, device=input.device
            )
            states = [zero] * count
        else:
            states = [each if input.ndim == 2 else each.unsqueeze(0) for each in given]
        return rows.unsqueeze(0), states

    def _finish(self, input: Tensor, states: Sequence[Tensor]) -> Any:  # noqa: A002  # PyTorch's name
        return list(states) if input.ndim == 2 else [each.squeeze(0) for each in states]

    def _both(self) -> Any:
        return None if self.bias_ih is None else self.bias_ih + self.bias_hh


class RNNCell(RNNCellBase):
    """One step of an RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # noqa: A002  # PyTorch's name
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        rows, states = self._start(input, None if hx is None else [hx], 1)
        projected = F.linear(rows, self.weight_ih, self._both())
        found = plain_layer(projected, states[0], self.weight_hh, self.nonlinearity, False)
        return self._finish(input, found[1:])[0]


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # noqa: A002  # PyTorch's name
        rows, states = self._start(input, None if hx is None else [hx], 1)
        projected = F.linear(rows, self.weight_ih, self.bias_ih)
        weight, bias = self.weight_hh, self.bias_hh
        offset = bias if bias is not None else projected.new_zeros(3 * self.hidden_size)
        found = gru_layer(projected, states[0], weight, offset, False)
        return self._finish(input, found[1:])[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM; the state is a pair (hidden, cell)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self,
        input: Tensor,  # noqa: A002  # PyTorch's name
        hx: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        rows, states = self._start(input, hx, 2)
        projected = F.linear(rows, self.weight_ih, self._both())
        found = lstm_layer(projected, states[0], states[1], self.weight_hh, False)
        hidden, cell = self._finish(input, found[1:])
        return hidden, cell
