"""Generators of random numbers: PyTorch's engine (MT19937), so that seeds give PyTorch's numbers.

The engine runs on the host. Dropout, which needs many numbers every step, uses Philox on the device
instead (ops/philox.py), keyed by the generator's seed and a counter that it keeps.
"""

from __future__ import annotations

import secrets
import struct
from typing import Any

import numpy

from flambeau.graph.dtype import uint8
from flambeau.ops.publish import publish
from flambeau.schedule import watch
from flambeau.tensor.tensor import Tensor

DEFAULT_SEED = 67280421310721
_WORDS = 624
_STATE_BYTES = 5056
Array = numpy.ndarray[Any, Any]


class Generator:
    """A stream of random numbers of its own. `device` is taken for PyTorch's sake."""

    def __init__(self, device: Any = "cpu") -> None:
        from flambeau.tensor.device import device as device_class

        self._device = device if isinstance(device, device_class) else device_class(device)
        self._engine = numpy.random.MT19937()
        self.manual_seed(DEFAULT_SEED)

    @property
    def device(self) -> Any:
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`. Returns the generator."""
        watch.refuse("a generator is seeded")
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise RuntimeError(f"Overflow when unpacking long long: seed {seed} has over 64 bits")
        self._seed = seed % (1 << 64)
        self._engine._legacy_seeding(self._seed % (1 << 32))
        self._normal: float | None = None  # the second of a pair of normal numbers
        self.offset = 0  # of the device's counter-based numbers
        return self

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    def seed(self) -> int:
        """Start again from a seed that the system draws; returns it."""
        self.manual_seed(secrets.randbits(53))
        return self._seed

    # numbers -----------------------------------------------------------------------------------

    def words(self, count: int) -> Array:
        """`count` 32-bit words, as uint64."""
        watch.refuse("random numbers are drawn that a replay would not draw again")
        return self._engine.random_raw(count) if count else numpy.zeros(0, numpy.uint64)

    def long_words(self, count: int) -> Array:
        """`count` 64-bit words, each of two: the first is the high one."""
        pairs = self.words(2 * count).reshape(count, 2)
        return (pairs[:, 0] << numpy.uint64(32)) | pairs[:, 1]

    def uniform(self, count: int, digits: int = 24) -> Array:
        """Uniform in [0, 1) with `digits` bits, as float64: 53 take two words, fewer take one."""
        raw = self.long_words(count) if digits > 32 else self.words(count)
        return (raw & numpy.uint64((1 << digits) - 1)).astype(numpy.float64) / (1 << digits)

    def normals(self, count: int) -> Array:
        """Normal numbers one by one, in pairs (G. Box and M. Muller, 1958); the second is kept."""
        found = numpy.empty(count)
        start = 0
        if count and self._normal is not None:
            found[0], self._normal, start = self._normal, None, 1
        pairs = (count - start + 1) // 2
        uniform = self.uniform(2 * pairs, 53).reshape(pairs, 2)
        radius = numpy.sqrt(-2.0 * numpy.log1p(-uniform[:, 1]))
        angle = 2.0 * numpy.pi * uniform[:, 0]
        both = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], 1).ravel()
        found[start:] = both[: count - start]
        if (count - start) % 2:
            self._normal = float(both[-1])
        return found

    def next_offset(self) -> int:
        """The place in the device's stream of one operation's numbers."""
        self.offset += 1
        return self.offset

    # state -------------------------------------------------------------------------------------

    def get_state(self) -> Tensor:
        """The state as 5056 bytes, laid out as PyTorch's."""
        state: Any = self._engine.state["state"]
        position = int(state["pos"])
        data = struct.pack("<Qiiq", self._seed, _WORDS + 1 - position, 1, position)
        data += state["key"].astype("<u8").tobytes()
        normal = 0.0 if self._normal is None else self._normal
        data += struct.pack("<dddi4x", 0.0, normal, 0.0, self._normal is not None)
        data += struct.pack("<II", self.offset % (1 << 32), 0)  # where PyTorch has an unused float
        return Tensor._from_numpy(numpy.frombuffer(data, numpy.uint8), "cpu")

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a state of get_state. Raises TypeError or RuntimeError for anything else."""
        watch.refuse("a generator's state is set")
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        data = new_state._to_numpy().tobytes()
        if len(data) != _STATE_BYTES:
            raise RuntimeError(f"RNG state is wrong size: {len(data)}, expected {_STATE_BYTES}")
        self._seed, left, _seeded, position = struct.unpack_from("<Qiiq", data)
        key = numpy.frombuffer(data, "<u8", _WORDS, 24).astype(numpy.uint32)
        if left == 1 and position == 0:
            position = _WORDS  # just seeded: the next number makes a new block
        state: Any = {"key": key, "pos": position}
        self._engine.state = {"bit_generator": "MT19937", "state": state}
        at = 24 + 8 * _WORDS
        _, normal, _, valid = struct.unpack_from("<dddi", data, at)
        self._normal = normal if valid else None
        (self.offset,) = struct.unpack_from("<I", data, at + 32)
        return self

    def clone_state(self) -> Generator:
        """Another generator that goes on from the same state."""
        return Generator(self._device).set_state(self.get_state())

    def __getstate__(self) -> Any:
        return (self._device, self.get_state()._to_numpy().copy())

    def __setstate__(self, state: Any) -> None:
        self._device = state[0]
        self._engine = numpy.random.MT19937()
        self.set_state(Tensor._from_numpy(state[1], "cpu"))


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator began with."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Make the default generator go on from a state."""
    default_generator.set_state(new_state)


for _public in (manual_seed, seed, initial_seed, get_rng_state, set_rng_state, Generator):
    publish(_public, _public.__name__)
__all__.append("default_generator")  # type: ignore[name-defined]  # noqa: F821  # made by publish
