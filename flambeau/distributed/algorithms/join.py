"""Uneven inputs of many processes; one process has none to wait for."""

from __future__ import annotations

from typing import Any

from flambeau.stand_in import stand_in

__all__ = ["Join", "JoinHook", "Joinable"]


class JoinHook:
    """What a process does while others still have inputs: nothing here."""

    def main_hook(self) -> None:
        """Called while others compute."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Called when all are done."""


class Joinable:
    """What can take part in a join."""

    def join_hook(self, **options: Any) -> JoinHook:
        """The hook of this one."""
        return JoinHook()


@stand_in("one process has nobody to wait for")
class Join:
    """A context in which processes with fewer inputs wait for the others."""

    def __init__(
        self,
        joinables: list[Any],
        enable: bool = True,
        throw_on_early_termination: bool = False,
        **options: Any,
    ) -> None:
        self.joinables = joinables

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    @staticmethod
    def notify_join_context(joinable: Any) -> None:
        """Says that this process is still computing: nobody asks."""
