"""autocast and GradScaler."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.nn import functional as F

X = torch.arange(32, dtype=torch.float32).reshape(4, 8) / 32
LABELS = torch.tensor([0, 1, 2, 3])

# What PyTorch 2.13 gives for bfloat16 on its cpu; tests/parity/test_autocast.py asks it.
DTYPES = {
    "linear": (lambda h: F.linear(X, X), torch.bfloat16),
    "matmul": (lambda h: X @ X.T, torch.bfloat16),
    "einsum": (lambda h: torch.einsum("ij,kj", X, X), torch.bfloat16),
    "conv1d": (lambda h: F.conv1d(X[None], X[None, :, :2]), torch.bfloat16),
    "attention": (lambda h: F.scaled_dot_product_attention(X, X, X), torch.bfloat16),
    "softmax": (lambda h: F.softmax(h, -1), torch.bfloat16),
    "layer_norm": (lambda h: F.layer_norm(h, (4,)), torch.bfloat16),
    "exp": (lambda h: h.exp(), torch.bfloat16),
    "sum": (lambda h: h.sum(), torch.bfloat16),
    "prod": (lambda h: h.prod(), torch.float32),
    "promoted": (lambda h: h + X[:, :4], torch.float32),
    "cat": (lambda h: torch.cat([h, X[:, :4]]), torch.float32),
    "mse_loss": (lambda h: F.mse_loss(h, h), torch.float32),
    "cross_entropy": (lambda h: F.cross_entropy(h, LABELS), torch.float32),
    "outer": (lambda h: torch.outer(X[0], X[0]), torch.float32),
    "mv": (lambda h: torch.mv(X, X[0]), torch.float32),
}


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(name: str) -> None:
    function, expected = DTYPES[name]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = F.linear(X, X)
        assert function(hidden).dtype == expected


def test_gradients_have_the_dtype_of_their_parameters() -> None:
    layer = torch.nn.Linear(8, 3)
    with torch.autocast("cpu"):
        loss = F.cross_entropy(layer(X), LABELS % 3)
    loss.backward()
    assert loss.dtype == layer.weight.grad.dtype == torch.float32
    exact = torch.nn.Linear(8, 3)
    exact.load_state_dict(layer.state_dict())
    F.cross_entropy(exact(X), LABELS % 3).backward()
    torch.testing.assert_close(layer.weight.grad, exact.weight.grad, rtol=2e-2, atol=2e-3)


def test_contexts_nest_and_end() -> None:
    with torch.autocast("cpu"):
        with torch.autocast("cpu", enabled=False):
            assert (X @ X.T).dtype == torch.float32
        assert (X @ X.T).dtype == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert (X @ X.T).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_float64_and_integers_stay() -> None:
    with torch.autocast("cpu"):
        assert (X.double() @ X.T.double()).dtype == torch.float64
        assert (X.long() @ X.T.long()).dtype == torch.int64


def test_decorator_and_composites_that_were_first_expanded_within() -> None:
    lstm = torch.nn.LSTM(8, 4)

    @torch.autocast("cpu")
    def inside() -> torch.Tensor:
        return lstm(X[None])[0]

    inside()
    plain = lstm(X[None])[0]
    assert plain.dtype == torch.float32
    fresh = torch.nn.LSTM(8, 4)
    fresh.load_state_dict(lstm.state_dict())
    assert torch.equal(fresh(X[None])[0], plain)


def test_cuda_is_not_there() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available. Disabling"):
        context = torch.autocast("cuda")
    with context:
        assert (X @ X.T).dtype == torch.float32
    with pytest.warns(UserWarning, match="Disabling"):
        scaler = torch.cuda.amp.GradScaler()
    assert not scaler.is_enabled() and scaler.state_dict() == {} and scaler.get_scale() == 1.0
    with pytest.raises(RuntimeError, match="no device type 'tpu'"):
        torch.autocast("tpu")


def steps(scaler: torch.amp.GradScaler, factors: list[float]) -> list[float]:
    """The weight after each step with the gradient factor * 1."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    seen = []
    for factor in factors:
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append(weight.item())
    return seen


def test_scaler_leaves_out_bad_steps_and_follows() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    assert steps(scaler, [1.0, float("inf"), 1.0, 1.0]) == [-1.0, -1.0, -2.0, -3.0]
    assert scaler.get_scale() == 8.0  # halved once, doubled once
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()


def test_scaler_unscales_once() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler.scale((3 * weight).sum()).backward()
    assert weight.grad.tolist() == [12.0, 12.0]
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)
    assert weight.tolist() == [-2.0, -2.0]


def test_custom_forward_casts_and_backward_has_its_autocast() -> None:
    seen = {}

    class Double(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx, x):
            seen["forward"] = (x.dtype, torch.is_autocast_enabled("cpu"))
            return 2 * x

        @staticmethod
        @torch.amp.custom_bwd(device_type="cpu")
        def backward(ctx, gradient):
            seen["backward"] = torch.is_autocast_enabled("cpu")
            return 2 * gradient

    x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu"):
        y = Double.apply(x)
    y.sum().backward()
    assert seen == {"forward": (torch.float32, False), "backward": True}
