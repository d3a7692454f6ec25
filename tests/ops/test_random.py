"""Random tensors: PyTorch's numbers for the same seeds (recorded with PyTorch 2.13 on a CPU)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import flambeau as torch
from flambeau.ops.dropout import dropout, dropout2d
from flambeau.ops.philox import philox_uniform
from flambeau.schedule.flush import STATISTICS

RECORDED = [
    ("rand", lambda: torch.rand(4), [0.4962566, 0.7682218, 0.08847743, 0.1320305]),
    (
        "rand_float64",
        lambda: torch.rand(3, dtype=torch.float64),
        [0.970053, 0.7078199, 0.4593829],
    ),
    (
        "rand_bfloat16",
        lambda: torch.rand(3, dtype=torch.bfloat16).float(),
        [0.4960938, 0.7695312, 0.08837891],
    ),
    (
        "randn_few",
        lambda: torch.randn(5),
        [1.540996, -0.2934289, -2.178789, 0.5684313, -1.084522],
    ),
    (
        "randn_blocks",
        lambda: torch.randn(17),
        [-1.12584, -1.695931, 0.5666506, 0.7935084, 0.5988395, -1.555095, -0.3413604, 1.853006,
         0.4680964, -0.5854976, -0.1733968, 0.1834779, 1.389366, 1.586334, 0.9462984, -0.8436767,
         0.9318266],
    ),
    (
        "randn_keeps_the_second_of_a_pair",
        lambda: np.concatenate([torch.randn(3).numpy(), torch.randn(3).numpy()]),
        [1.540996, -0.2934289, -2.178789, 0.5684313, -1.084522, -1.398595],
    ),
    ("randint", lambda: torch.randint(0, 100, (6,)), [44, 39, 33, 60, 63, 79]),
    ("randint_of_64_bits", lambda: torch.randint(0, 2**28, (2,)) // 100, [1303291, 1364328]),
    ("randperm", lambda: torch.randperm(9), [8, 0, 2, 3, 7, 1, 4, 5, 6]),
    ("random_", lambda: torch.empty(4, dtype=torch.int64).random_(10), [4, 9, 3, 0]),
    ("bernoulli", lambda: torch.bernoulli(torch.full((8,), 0.5)), [1, 0, 1, 1, 1, 0, 1, 0]),
    ("bernoulli_", lambda: torch.empty(8).bernoulli_(0.3), [0, 0, 0, 0, 0, 0, 1, 0]),
    (
        "uniform_",
        lambda: torch.empty(4).uniform_(-1, 1),
        [-0.00748682, 0.5364436, -0.8230451, -0.735939],
    ),
    (
        "normal_",
        lambda: torch.empty(4).normal_(1, 2),
        [4.081992, 0.4131422, -3.357579, 2.136863],
    ),
    (
        "normal",
        lambda: torch.normal(torch.tensor([1.0, 10.0]), torch.tensor([1.0, 0.1])),
        [2.540996, 9.970657],
    ),
    ("exponential_", lambda: torch.empty(3).exponential_(), [3.508326, 1.230385, 0.6150441]),
    (
        "multinomial",
        lambda: torch.multinomial(torch.tensor([1.0, 2, 3, 4]), 3),
        [2, 1, 3],
    ),
    (
        "multinomial_with_replacement",
        lambda: torch.multinomial(torch.tensor([1.0, 2, 3, 4]), 8, replacement=True),
        [3, 3, 2, 3, 3, 3, 1, 2],
    ),
]  # fmt: skip


@pytest.mark.parametrize("entry", RECORDED, ids=lambda each: each[0])
def test_pytorchs_numbers(entry) -> None:
    torch.manual_seed(0)
    np.testing.assert_allclose(np.asarray(entry[1]()), entry[2], rtol=2e-6, atol=1e-6)


def test_generators() -> None:
    generator = torch.Generator().manual_seed(5)
    assert torch.rand(2, generator=generator).tolist() == [
        0.8302518725395203,
        0.12611091136932373,
    ]
    assert torch.Generator().initial_seed() == 67280421310721
    assert torch.manual_seed(-1).initial_seed() == 2**64 - 1
    assert torch.manual_seed(3) is torch.default_generator
    before = torch.rand(1).item()
    torch.rand(2, generator=generator)
    torch.manual_seed(3)
    assert torch.rand(1).item() == before
    assert isinstance(generator.seed(), int)
    with pytest.raises(RuntimeError, match="Overflow"):
        torch.manual_seed(2**70)


def test_state_has_pytorchs_layout() -> None:
    torch.manual_seed(7)
    torch.rand(3)
    torch.randn(3)
    state = torch.get_rng_state()
    assert tuple(state.shape) == (5056,) and state.dtype is torch.uint8
    assert state[:28].tolist() == [
        7, 0, 0, 0, 0, 0, 0, 0, 102, 2, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 249, 163, 137,
        120,
    ]  # fmt: skip
    assert state[5024:5032].tolist() == [194, 111, 54, 80, 157, 131, 219, 63]
    assert state.long().sum().item() == 318852


def test_state_round_trip() -> None:
    torch.manual_seed(1)
    torch.randn(3)  # leaves one of a pair
    dropout(torch.ones(3))  # moves the device's counter
    state = torch.get_rng_state()
    first = torch.randn(4).tolist(), torch.randperm(5).tolist(), dropout(torch.ones(50)).tolist()
    torch.set_rng_state(state)
    assert (
        torch.randn(4).tolist(),
        torch.randperm(5).tolist(),
        dropout(torch.ones(50)).tolist(),
    ) == first
    generator = torch.Generator().manual_seed(4)
    torch.rand(2, generator=generator)
    copy = pickle.loads(pickle.dumps(generator))
    assert torch.rand(3, generator=copy).tolist() == torch.rand(3, generator=generator).tolist()
    with pytest.raises(TypeError, match="ByteTensor"):
        torch.set_rng_state(torch.zeros(5056))
    with pytest.raises(RuntimeError, match="wrong size"):
        torch.set_rng_state(torch.zeros(3, dtype=torch.uint8))


def test_likes_and_arguments() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64)
    assert torch.rand_like(x).dtype is torch.float64
    assert torch.randn_like(x, dtype=torch.float32).dtype is torch.float32
    assert torch.randint_like(x, 3, 5).tolist()[0][0] in (3.0, 4.0)
    assert torch.rand(2, 3, requires_grad=True).requires_grad
    assert tuple(torch.rand((2, 3)).shape) == tuple(torch.rand(size=(2, 3)).shape) == (2, 3)
    assert tuple(torch.randint(5, (2, 2)).shape) == (2, 2)
    assert tuple(torch.randint(low=1, high=5, size=(2,)).shape) == (2,)
    assert tuple(torch.normal(0.0, 1.0, size=(2, 2)).shape) == (2, 2)
    assert torch.rand(3, out=torch.zeros(3)).sum().item() > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.randint(5, 2, (3,)), RuntimeError, "to be less than"),
        (lambda: torch.bernoulli(torch.tensor([2.0])), RuntimeError, "p_in >= 0"),
        (lambda: torch.empty(2).bernoulli_(2), RuntimeError, r"to be in \[0, 1\]"),
        (lambda: torch.empty(2).uniform_(1, 0), RuntimeError, "range"),
        (lambda: torch.empty(2).normal_(0, -1), RuntimeError, "std >= 0.0"),
        (lambda: torch.multinomial(torch.tensor([1.0, -1.0]), 1), RuntimeError, "element < 0"),
        (lambda: torch.multinomial(torch.zeros(2), 1), RuntimeError, "sum of probabilities"),
        (lambda: torch.multinomial(torch.ones(2), 3), RuntimeError, "without replacement"),
        (lambda: torch.randperm(-1), RuntimeError, "negative dimension"),
        (lambda: torch.rand(3, dtype=torch.int64), NotImplementedError, "not implemented"),
        (lambda: torch.rand(2, foo=1), TypeError, "unexpected keyword"),
    ],
)
def test_errors(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_philox_known_answer(device: str) -> None:
    """The first word for counter 0 and key 0, from the authors' published test vectors."""
    first = philox_uniform((1,), 0, 0, device).cpu()
    assert first.item() == (0x6627E8D5 >> 8) * 2.0**-24


def test_philox_is_uniform_and_keyed(device: str) -> None:
    numbers = philox_uniform((200, 100), 1, 1, device).cpu().numpy()
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(numbers.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.03
    again = philox_uniform((200, 100), 1, 1, device).cpu().numpy()
    np.testing.assert_array_equal(numbers, again)
    for other in ((2, 1), (1, 2), (1 + (1 << 32), 1)):
        assert (philox_uniform((200, 100), *other, device).cpu().numpy() != numbers).mean() > 0.99


def test_dropout(device: str) -> None:
    torch.manual_seed(0)
    x = torch.ones(100, 100, requires_grad=True)
    y = dropout(x, 0.25)
    kept = y.detach().cpu().numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y.detach().cpu().numpy()[kept], 1 / 0.75, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), y.detach().cpu().numpy())
    torch.manual_seed(0)
    np.testing.assert_array_equal(dropout(torch.ones(100, 100), 0.25).cpu().numpy() != 0, kept)
    assert dropout(x, 0.25, training=False) is x
    assert dropout(x, 0.0) is x
    assert dropout(torch.ones(5), 1.0).tolist() == [0.0] * 5
    maps = dropout2d(torch.ones(20, 10, 3, 3)).cpu().numpy().reshape(200, 9)
    assert (maps.min(1) == maps.max(1)).all() and 0.3 < (maps[:, 0] == 0).mean() < 0.7
    z = torch.ones(50)
    assert dropout(z, 0.5, inplace=True) is z
    assert set(z.tolist()) == {0.0, 2.0}
    with pytest.raises(ValueError, match="between 0 and 1"):
        dropout(z, 1.5)


def test_dropout_makes_one_plan() -> None:
    x = torch.tensor([[1.0] * 5] * 7)
    dropout(x, 0.5).tolist()
    built = STATISTICS.plans_built
    for seed in range(3):
        torch.manual_seed(seed)
        dropout(x, 0.1 * (seed + 1)).tolist()
    assert STATISTICS.plans_built == built


def test_dropout_by_pytorchs_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.dropout, "_stream", torch.get_dropout_stream())
    torch.set_dropout_stream("pytorch")
    torch.manual_seed(0)
    found = dropout(torch.ones(6), 0.5)
    torch.manual_seed(0)
    expected = torch.empty(6).bernoulli_(0.5) * 2
    assert found.tolist() == expected.tolist()
    with pytest.raises(ValueError, match="philox, pytorch"):
        torch.set_dropout_stream("cuda")


def test_a_draw_is_no_function_of_its_parameters() -> None:
    mean = torch.zeros(3, requires_grad=True)
    torch.normal(mean, 1.0).sum().backward()
    assert mean.grad.tolist() == [0.0, 0.0, 0.0]


def test_pytorchs_stream_goes_through_a_transposed_view_as_it_lies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.ops.dropout, "_stream", "pytorch")
    torch.manual_seed(0)
    whole = dropout(torch.ones(3, 4), 0.5)
    torch.manual_seed(0)
    assert torch.equal(dropout(torch.ones(3, 4).T, 0.5).T, whole)
