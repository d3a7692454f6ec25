"""torch.futures: values that are set later."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Future(Generic[_T]):
    """A value that is set once, by this thread or another."""

    def __init__(self, *, devices: Any = None) -> None:
        self._future: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether it has a value or an exception."""
        return self._future.done()

    def wait(self) -> _T:
        """The value, waited for. Raises the exception that was set."""
        return self._future.result()

    def value(self) -> _T:
        """The value. Raises RuntimeError where there is none yet."""
        if not self._future.done():
            raise RuntimeError("Future.value(): the future is not done; wait() waits for it")
        return self._future.result()

    def set_result(self, result: _T) -> None:
        """Set the value. Raises RuntimeError where there is one already."""
        if self._future.done():
            raise RuntimeError("Future.set_result(): the future is done already")
        self._future.set_result(result)

    def set_exception(self, result: BaseException) -> None:
        """Let wait() raise this."""
        self._future.set_exception(result)

    def then(self, callback: Callable[[Future[_T]], Any]) -> Future[Any]:
        """A Future of callback(self), which is called when this is done."""
        following: Future[Any] = Future()

        def call(_: object) -> None:
            try:
                following.set_result(callback(self))
            except Exception as error:  # noqa: BLE001  # wait() raises it
                following.set_exception(error)

        self._future.add_done_callback(call)
        return following

    def add_done_callback(self, callback: Callable[[Future[_T]], None]) -> None:
        """Call callback(self) when this is done."""
        self._future.add_done_callback(lambda _: callback(self))


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """A Future of the list itself, done when all of them are."""
    collected: Future[list[Future[Any]]] = Future()
    left = len(futures)

    def one_done(_: Future[Any]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            collected.set_result(futures)

    for each in futures:
        each.add_done_callback(one_done)
    if not futures:
        collected.set_result(futures)
    return collected


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """The values of all, waited for. Raises the first exception."""
    return [each.wait() for each in futures]
