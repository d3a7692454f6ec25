"""A pickle machine that can build data and nothing else.

Python's own would import and call whatever a file names. This one knows the opcodes that data
needs; every global goes through a table (see names.py), only what the table gave may be called,
and nothing is imported. Opcodes: Python's pickletools.py, protocols 0 to 5.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flambeau.serialization.files import CorruptError

_MARK = object()


class Machine:
    """Runs one pickle.

    `find(module, name)` gives what a global stands for, or raises CorruptError;
    `load_persistent(identity)` gives what a persistent id stands for. `build(instance, state)`
    sets the state of instances that the caller allows, and raises CorruptError for others.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        find: Callable[[str, str], Any],
        load_persistent: Callable[[Any], Any],
        build: Callable[[Any, Any], Any],
        start: int = 0,
    ) -> None:
        self.data = memoryview(data)
        self.position = start
        self._find = find
        self._load_persistent = load_persistent
        self._build = build
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._callable: dict[int, Any] = {}  # what the table gave, by identity

    def run(self) -> Any:
        """The object. Raises CorruptError for what is broken or refused."""
        try:
            while True:
                code = self._take(1)[0]
                if code == 0x2E:  # STOP
                    return self._pop()
                operation = _OPERATIONS.get(code)
                if operation is None:
                    raise CorruptError(
                        f"its pickle has the opcode {bytes([code])!r}, which data does not need"
                    )
                operation(self)
        except (CorruptError, MemoryError):
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CorruptError(f"its pickle is broken ({type(error).__name__}: {error})") from error
        except (RecursionError, OverflowError, struct.error) as error:
            raise CorruptError(f"its pickle is broken ({type(error).__name__}: {error})") from error

    # the stack and the bytes --------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise CorruptError(f"its pickle is truncated at byte {self.position}")
        taken = bytes(self.data[self.position : end])
        self.position = end
        return taken

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(number)

    def _line(self) -> str:
        start = self.position
        while self._take(1) != b"\n":
            if self.position - start > 1 << 16:
                raise CorruptError(f"its pickle has a line without an end at byte {start}")
        return bytes(self.data[start : self.position - 1]).decode()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise CorruptError(f"its pickle takes more than it made, at byte {self.position}")
        return self._stack.pop()

    def _pop_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise CorruptError(f"its pickle lacks a mark before byte {self.position}")

    def _top(self, *kinds: type) -> Any:
        top = self._pop()
        self._push(top)
        if not isinstance(top, kinds):
            raise CorruptError(f"its pickle fills a {type(top).__name__} as a container")
        return top

    # what opcodes do ----------------------------------------------------------------------------

    def _global(self, module: str, name: str) -> None:
        found = self._find(module, name)
        self._callable[id(found)] = found
        self._push(found)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise CorruptError("its pickle names a global by something that is not text")
        self._global(module, name)

    def _allowed(self, function: Any) -> Any:
        if id(function) not in self._callable or not callable(function):
            raise CorruptError(f"its pickle calls a {type(function).__name__}, which is refused")
        return function

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._allowed(self._pop())
        self._push(function(*arguments))

    def _new(self, function: Any, arguments: Any, keywords: Any = None) -> None:
        made = self._allowed(function)
        if not isinstance(made, type):
            self._push(made(*arguments))  # what stands for a class in the table
        else:
            self._push(made.__new__(made, *arguments, **(keywords or {})))

    def _new_object(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._new(function, arguments)

    def _new_object_with_keywords(self) -> None:
        keywords, arguments, function = self._pop(), self._pop(), self._pop()
        self._new(function, arguments, keywords)

    def _set_state(self) -> None:
        state, instance = self._pop(), self._pop()
        if type(instance) is OrderedDict:
            if not (isinstance(state, dict) and all(isinstance(key, str) for key in state)):
                raise CorruptError("its pickle gives an OrderedDict attributes without names")
            instance.__dict__.update(state)
        else:
            instance = self._build(instance, state)
        self._push(instance)

    def _append(self) -> None:
        item = self._pop()
        self._top(list).append(item)

    def _appends(self) -> None:
        items = self._pop_mark()
        self._top(list).extend(items)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[key] = value

    def _set_items(self) -> None:
        items = self._pop_mark()
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value

    def _dict(self) -> None:
        items = self._pop_mark()
        self._push(dict(zip(items[::2], items[1::2], strict=True)))

    def _add_items(self) -> None:
        items = self._pop_mark()
        self._top(set).update(items)

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    def _text_integer(self) -> None:
        text = self._line()
        self._push({"00": False, "01": True}.get(text) if text in ("00", "01") else int(text))

    def _long(self, size: int) -> None:
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _text(self, form: str) -> None:
        self._push(self._take(self._number(form)).decode("utf-8", "surrogatepass"))

    def _bytes(self, form: str) -> None:
        self._push(self._take(self._number(form)))

    def _old_string(self, form: str) -> None:
        raw = self._take(self._number(form))
        self._push(raw.decode("latin-1"))

    def _memoize(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def _recall(self, number: int) -> None:
        if number not in self._memo:
            raise CorruptError(f"its pickle refers to object {number}, which it did not make")
        self._push(self._memo[number])

    def _drop(self) -> None:
        if not self._stack:
            raise CorruptError("its pickle takes more than it made")
        self._stack.pop()


_OPERATIONS: dict[int, Callable[[Machine], Any]] = {
    ord(code): action
    for code, action in {
        "\x80": lambda m: m._take(1),  # PROTO
        "\x95": lambda m: m._take(8),  # FRAME
        "(": lambda m: m._push(_MARK),
        "0": Machine._drop,
        "1": Machine._pop_mark,
        "2": lambda m: m._push(m._stack[-1]),
        "N": lambda m: m._push(None),
        "\x88": lambda m: m._push(True),
        "\x89": lambda m: m._push(False),
        "I": Machine._text_integer,
        "J": lambda m: m._push(m._number("<i")),
        "K": lambda m: m._push(m._number("<B")),
        "M": lambda m: m._push(m._number("<H")),
        "L": lambda m: m._push(int(m._line().rstrip("L"))),
        "\x8a": lambda m: m._long(m._number("<B")),
        "\x8b": lambda m: m._long(m._number("<i")),
        "F": lambda m: m._push(float(m._line())),
        "G": lambda m: m._push(struct.unpack(">d", m._take(8))[0]),
        "V": lambda m: m._push(m._line().encode().decode("raw-unicode-escape")),
        "T": lambda m: m._old_string("<i"),
        "U": lambda m: m._old_string("<B"),
        "X": lambda m: m._text("<I"),
        "\x8c": lambda m: m._text("<B"),
        "\x8d": lambda m: m._text("<Q"),
        "B": lambda m: m._bytes("<I"),
        "C": lambda m: m._bytes("<B"),
        "\x8e": lambda m: m._bytes("<Q"),
        "\x96": lambda m: m._push(bytearray(m._take(m._number("<Q")))),
        ")": lambda m: m._push(()),
        "t": lambda m: m._push(tuple(m._pop_mark())),
        "\x85": lambda m: m._tuple(1),
        "\x86": lambda m: m._tuple(2),
        "\x87": lambda m: m._tuple(3),
        "]": lambda m: m._push([]),
        "l": lambda m: m._push(m._pop_mark()),
        "a": Machine._append,
        "e": Machine._appends,
        "}": lambda m: m._push({}),
        "d": Machine._dict,
        "s": Machine._set_item,
        "u": Machine._set_items,
        "\x8f": lambda m: m._push(set()),
        "\x90": Machine._add_items,
        "\x91": lambda m: m._push(frozenset(m._pop_mark())),
        "p": lambda m: m._memoize(int(m._line())),
        "q": lambda m: m._memoize(m._number("<B")),
        "r": lambda m: m._memoize(m._number("<I")),
        "\x94": lambda m: m._memoize(len(m._memo)),
        "g": lambda m: m._recall(int(m._line())),
        "h": lambda m: m._recall(m._number("<B")),
        "j": lambda m: m._recall(m._number("<I")),
        "c": lambda m: m._global(m._line(), m._line()),
        "\x93": Machine._stack_global,
        "R": Machine._reduce,
        "\x81": Machine._new_object,
        "\x92": Machine._new_object_with_keywords,
        "b": Machine._set_state,
        "Q": lambda m: m._push(m._load_persistent(m._pop())),
    }.items()
}
