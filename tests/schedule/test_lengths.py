"""One plan for many lengths: results are those of exact plans; what is not shown stays exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F
from flambeau.schedule import flush, lengths

SIZES = (5, 6, 7, 8, 9, 12, 16, 17, 23, 24, 25, 31, 40, 3)

PROGRAMS: dict[str, Callable[[], Callable[[int], Any]]] = {}


def program(make: Callable[[], Callable[[int], Any]]) -> Callable[[], Callable[[int], Any]]:
    PROGRAMS[make.__name__] = make
    return make


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plans and structures of this test only, without gradients."""
    monkeypatch.setattr(lengths, "_FAMILIES", {})
    monkeypatch.setattr(flush, "_PLANS", {})
    with torch.no_grad():
        yield


@program
def softmax() -> Callable[[int], Any]:
    return lambda n: torch.softmax(torch.randn(4, n), -1)


@program
def moments() -> Callable[[int], Any]:
    return lambda n: (x := torch.randn(n, 7)) - x.mean(0) + x.std(0) + x.amax(0) + x.prod(0)


@program
def norm() -> Callable[[int], Any]:
    layer = nn.LayerNorm(16)
    return lambda n: layer(torch.randn(n, 16))


@program
def classifier() -> Callable[[int], Any]:
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    return lambda n: model(torch.randn(n, 12)).argmax(1)


@program
def images() -> Callable[[int], Any]:
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 16, 4)).eval()
    return lambda n: model(torch.randn(n, 3, 8, 8))


@program
def words() -> Callable[[int], Any]:
    table, layer = nn.Embedding(11, 8), nn.TransformerEncoderLayer(8, 2, 16).eval()
    return lambda n: layer(table(torch.randint(0, 11, (n, 1))))


@program
def causal_attention() -> Callable[[int], Any]:
    def call(n: int) -> Any:
        x = torch.randn(2, n, 8)
        return F.scaled_dot_product_attention(x, x, x, is_causal=True)

    return call


@program
def cache_of_tensors() -> Callable[[int], Any]:
    layer, cache = nn.Linear(8, 8), [torch.zeros(2, 3, 1, 8)]

    def call(n: int) -> Any:
        x = torch.randn(2, 3, 1, 8)
        cache[0] = torch.cat([cache[0], layer(x)], 2)
        return F.scaled_dot_product_attention(x, cache[0], cache[0])

    return call


@program
def cache_that_is_written() -> Callable[[int], Any]:
    cache = torch.full((64, 4), torch.nan)  # what is not written yet must not be seen
    cache[:2] = 1.0

    def call(n: int) -> Any:
        cache[n] = torch.randn(4)
        seen = cache[2 : n + 1].nan_to_num(0.5)
        return torch.softmax(seen.sum(1), 0) @ seen + cache[:2].sum(0)

    return call


@program
def parts_of_the_end() -> Callable[[int], Any]:
    return lambda n: (x := torch.randn(n, 4))[-1] + x[1:].sum(0) + x[-3:].mean(0)


@program
def parts_laid_together() -> Callable[[int], Any]:
    fixed = torch.randn(5, 2)
    return lambda n: torch.cat([x := torch.randn(n, 2), fixed, x * 2])


@program
def running_sums() -> Callable[[int], Any]:
    return lambda n: torch.randn(3, n).cumsum(1)[:, -1]


@program
def masks() -> Callable[[int], Any]:
    def call(n: int) -> Any:
        x = torch.randn(n, n)
        hidden = torch.tril(torch.ones(n, n)) == 0
        return torch.softmax(x.masked_fill(hidden, -torch.inf), -1) @ x

    return call


@program
def axes_made_one() -> Callable[[int], Any]:
    return lambda n: torch.stack([x := torch.randn(n, 3), x + 1], 1).reshape(n, 6).sum(1)


@program
def whole_numbers() -> Callable[[int], Any]:
    return lambda n: (x := torch.randint(-9, 9, (n,))).max() + x.min() + x.sum() + (x // 3).sum()


def answers(make: Callable[[], Callable[[int], Any]], sizes: Any) -> list[np.ndarray]:
    torch.manual_seed(0)
    call = make()
    return [call(n).numpy().copy() for n in sizes]


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_are_those_of_exact_plans(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lengths, "INSTANCES", 1 << 30)
        exact = answers(PROGRAMS[name], SIZES)
    flush._PLANS.clear()
    lengths._FAMILIES.clear()
    found = answers(PROGRAMS[name], SIZES)
    assert lengths.refusals() == []
    assert lengths.shared()["plans for many lengths"] > 0
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 70), min_size=8, max_size=8, unique=True))
def test_any_order_of_lengths(sizes: list[int]) -> None:
    lengths._FAMILIES.clear()
    flush._PLANS.clear()
    for n in sizes:
        x = torch.arange(n * 3.0).reshape(n, 3)
        expected = np.arange(n * 3.0).reshape(n, 3)
        np.testing.assert_allclose((x / n).sum(0).numpy(), (expected / n).sum(0), rtol=1e-5)
        assert (x @ x.T).sum().item() == pytest.approx((expected @ expected.T).sum(), rel=1e-5)


def test_two_lengths_are_exact_and_the_third_is_for_many() -> None:
    built = []
    for n in (128, 96, 100, 99, 98, 113, 128, 96):
        before = flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded
        torch.softmax(torch.zeros(n), 0).sum().item()
        built.append(flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded - before)
    assert built == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda n: torch.zeros(n).flip(0), "turned round"),
        (lambda n: torch.zeros(n).sort()[0], "SORT"),
        (lambda n: torch.zeros(3, n).reshape(-1) + 1, "mixed with another axis"),
        (lambda n: torch.zeros(n)[torch.tensor([0, 1])], "an index into what grows"),
        (lambda n: torch.zeros(n).index_add(0, torch.tensor([1]), torch.ones(1)), "SCATTER"),
    ],
)
def test_what_is_not_shown_stays_exact(call: Callable[[int], Any], reason: str) -> None:
    for n in range(5, 11):
        assert call(n).numpy().shape[0] > 0
    assert any(reason in each for each in lengths.refusals())
    assert lengths.shared()["plans for many lengths"] == 0


def test_sizes_that_change_apart_stay_exact() -> None:
    for a, b in ((5, 6), (6, 6), (6, 9), (8, 7), (9, 4), (4, 4), (3, 7), (8, 8), (9, 9)):
        assert torch.ones(a, b).sum().item() == a * b
    assert lengths.shared()["plans for many lengths"] == 0


def test_a_window_that_slides_to_the_end_of_its_array() -> None:
    x = torch.arange(40.0)
    for n in (5, 6, 7, 8):
        for start in (0, 3, 40 - n):
            assert x[start : start + n].sum().item() == sum(range(start, start + n))
    assert lengths.shared()["plans for many lengths"] > 0


def test_a_bad_index_is_found_and_named() -> None:
    table = torch.zeros(4, 2)
    for n in (5, 6, 7, 8, 9):
        places = torch.arange(n) % 4
        if n == 9:
            places = places + 3
        picked = table[places]
        if n < 9:
            assert picked.sum().item() == 0.0
    with pytest.raises(IndexError, match=f"(?s){__name__.rpartition('.')[2]}"):
        picked.sum().item()


def test_threads_do_not_matter() -> None:
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(answers(PROGRAMS["causal_attention"], (50, 60, 70, 80, 90)))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*found, strict=True):
        assert one.tobytes() == other.tobytes()


def test_compiled_calls_replay_them() -> None:
    layer = nn.Linear(4, 4)

    def call(x: Any) -> Any:
        return torch.softmax(layer(x), 0).sum(0)

    compiled = torch.compile(call)
    for n in (5, 6, 7, 8, 7, 8, 8, 8):
        x = torch.randn(n, 4)
        np.testing.assert_allclose(compiled(x).numpy(), call(x).numpy(), rtol=1e-5)


def test_what_is_overwritten_in_place_stays_exact() -> None:
    for n in (5, 6, 7, 8):
        x = torch.ones(n)
        x.tolist()
        address = x.data_ptr()
        x.add_(1.0)
        assert x.data_ptr() == address


def test_a_length_that_comes_again_and_again_gets_its_own_plan() -> None:
    x = {n: torch.ones(n) for n in (5, 6, 7, 8)}
    for each in x.values():
        assert (each * 2).tolist() == [2.0] * len(each)
    before = flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded
    for _ in range(2 * lengths.COPIES // lengths.RUN):
        assert (x[8] * 2).tolist() == [2.0] * 8
    assert flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded == before + 1
