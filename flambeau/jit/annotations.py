"""Types that TorchScript's annotations name. Annotations are not read here."""

from __future__ import annotations

from typing import Dict, Final, List, Optional, Tuple, Union  # noqa: UP035  # their names

from flambeau.jit import export, ignore

BroadcastingList1 = list
BroadcastingList2 = list
BroadcastingList3 = list

__all__ = [
    "BroadcastingList1",
    "BroadcastingList2",
    "BroadcastingList3",
    "Dict",
    "Final",
    "List",
    "Optional",
    "Tuple",
    "Union",
    "export",
    "ignore",
]
