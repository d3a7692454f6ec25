"""What becomes of the other tensors when a bad value is met in the middle of a plan."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import flambeau as torch


def _bad(device: str = "cpu") -> Any:
    table = torch.arange(5.0, device=device)
    return table[torch.tensor([1, 7], device=device) + 0]  # not known yet


def test_the_error_is_raised_once_and_then_only_by_who_asks(every_device: str) -> None:
    if every_device == "reference":
        with pytest.raises(IndexError, match="index 7"):
            _bad("reference")
        return
    good = torch.arange(3.0, device=every_device) * 2
    bad = _bad(every_device)
    later = bad + 1
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        good.tolist()
    assert good.tolist() == [0, 2, 4]
    other = good + 1
    assert other.tolist() == [1, 3, 5]
    for each in (bad, later, bad.sum()):
        with pytest.raises(IndexError, match="index 7 is out of bounds"):
            each.tolist()


def test_what_was_written_in_place_is_written_once() -> None:
    counter = torch.zeros(3)
    counter.tolist()
    counter.add_(1)
    bad = _bad()
    with pytest.raises(IndexError, match="index 7"):
        bad.tolist()
    counter.add_(1)
    assert counter.tolist() == [2, 2, 2]


def test_a_write_with_a_bad_index_leaves_the_tensor_usable() -> None:
    table = torch.zeros(4)
    table[torch.tensor([1, 9]) + 0] = 5.0  # not known yet
    with pytest.raises(IndexError, match="index 9"):
        table.tolist()
    assert table.tolist() == [0, 5, 0, 0]


def test_the_line_is_that_of_the_program_that_runs_not_of_the_one_that_was_compiled(
    every_device: str,
) -> None:
    with torch.device(every_device):
        table, index = torch.arange(6.0), torch.tensor([0, 8])
        with pytest.raises(IndexError) as one:
            table[index + 0].exp().tolist()  # the index is not known yet
        with pytest.raises(IndexError) as two:
            table[index + 0].exp().tolist()  # the index is not known yet
    if every_device == "reference":  # it computes at once: the line itself raises
        lines = [each.traceback[0].lineno for each in (one, two)]
    else:
        lines = [int(str(each.value).rsplit(":", 1)[1].rstrip(")")) for each in (one, two)]
    assert lines[1] == lines[0] + 2


def test_failed_tensors_are_forgotten_with_the_tensor() -> None:
    from flambeau.schedule import failure

    bad = _bad()
    with pytest.raises(IndexError):
        bad.tolist()
    del bad
    gc.collect()
    assert not failure.any_failed()
