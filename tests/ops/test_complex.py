"""Complex numbers and Fourier transforms: numpy's answers, gradients, devices, printing, errors."""

from __future__ import annotations

import pickle
from typing import Any

import complex_table
import fourier_table
import numpy as np
import pytest
from complex_table import ARRAYS
from support import nothing_new

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck, gradgradcheck

SMOOTH = {f"complex {name}": (*each, ARRAYS) for name, each in complex_table.SMOOTH.items()}
SMOOTH |= {
    f"fourier {name}": (*each, fourier_table.ARRAYS) for name, each in fourier_table.SMOOTH.items()
}


def real_function(name: str) -> tuple[Any, tuple[torch.Tensor, ...]]:
    """The call as a function of real tensors, and these."""
    call, names, arrays = SMOOTH[name]
    given = [arrays[each] for each in names.split()]
    flat = [
        part
        for each in given
        for part in ((each.real, each.imag) if each.dtype.kind == "c" else (each,))
    ]

    def function(*parts: torch.Tensor) -> torch.Tensor:
        rest = iter(parts)
        made = [
            torch.complex(next(rest), next(rest)) if each.dtype.kind == "c" else next(rest)
            for each in given
        ]
        found = call(torch, *made)
        return torch.view_as_real(found) if found.is_complex() else found

    return function, tuple(torch.tensor(each, requires_grad=True) for each in flat)


GRADIENTS = {
    "complex": "mul broadcast,div,pow complex,abs,angle,conj,exp,log,sqrt,prod,matmul,write,solve",
    "fourier": "fft n,rfft odd,irfft odd,irfft cut,hfft,istft",
}
"""Those that are checked here; all are compared with PyTorch's in tests/parity."""


@pytest.mark.parametrize(
    "name",
    [f"{family} {each}" for family, names in GRADIENTS.items() for each in names.split(",")],
)
def test_gradients(name: str) -> None:
    function, inputs = real_function(name)
    assert gradcheck(function, inputs)


@pytest.mark.parametrize("name", SMOOTH)
def test_devices_agree(name: str) -> None:
    call, names, arrays = SMOOTH[name]
    found = []
    for device in ("cpu", "reference"):
        with torch.device(device):
            result = call(torch, *[torch.tensor(arrays[each]) for each in names.split()])
            found.append(result.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["complex div", "complex exp", "complex matmul", "fourier irfft"])
def test_second_gradients(name: str) -> None:
    function, inputs = real_function(name)
    assert gradgradcheck(function, inputs)


def same(found: torch.Tensor, expected: Any) -> None:
    np.testing.assert_allclose(found.detach().cpu().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_against_numpy(device: str) -> None:
    z, w = ARRAYS["z"], ARRAYS["w"]
    with torch.device(device):
        first, second = torch.tensor(z), torch.tensor(w)
        same(first * second / (first + 1j), z * w / (z + 1j))
        same(first.exp() + first.sqrt() - first.log(), np.exp(z) + np.sqrt(z) - np.log(z))
        same(first @ second.T, z @ w.T)
        same(first.abs() + first.angle(), np.abs(z) + np.angle(z))
        same(torch.fft.fft2(first), np.fft.fft2(z))
        same(torch.fft.irfft(torch.fft.rfft(first.real)), z.real)
        same(
            torch.linalg.solve(torch.tensor(ARRAYS["A"]), torch.tensor(ARRAYS["B"])),
            np.linalg.solve(ARRAYS["A"], ARRAYS["B"]),
        )
        made = torch.zeros(3, 4, dtype=torch.complex128)
        made[1] = first[0]
        made[:, 0] += 1j
        expected = np.zeros((3, 4), complex)
        expected[1] = z[0]
        expected[:, 0] += 1j
        same(made, expected)


@pytest.mark.parametrize("name", complex_table.OTHERS)
def test_single_precision(name: str) -> None:
    function, names = complex_table.OTHERS[name]
    wide = [torch.tensor(ARRAYS[each]) for each in names.split()]
    narrow = [each.to(torch.complex64) if each.is_complex() else each.float() for each in wide]
    one, other = (function(torch, *each) for each in (narrow, wide))
    np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)


def test_facts_and_promotion() -> None:
    z = torch.tensor([1 + 2j, 3])
    assert z.dtype is torch.complex64 and z.is_complex() and not z.is_floating_point()
    assert torch.cfloat is torch.complex64 and torch.complex64.is_complex
    assert (z.itemsize, z.nbytes) == (8, 16)
    assert (torch.ones(2, dtype=torch.float64) * z).dtype is torch.complex128
    assert (torch.ones(2, dtype=torch.int64) * 1j).dtype is torch.complex64
    assert z.tolist() == [1 + 2j, 3 + 0j] and z[0].item() == 1 + 2j and complex(z[0]) == 1 + 2j
    assert str(z) == "tensor([1.+2.j, 3.+0.j])"
    assert torch.from_numpy(ARRAYS["z"]).dtype is torch.complex128
    same(pickle.loads(pickle.dumps(z)), [1 + 2j, 3])
    same(z.conj().resolve_conj(), [1 - 2j, 3])
    z.imag = 0.5
    same(z, [1 + 0.5j, 3 + 0.5j])


def test_a_new_number_is_no_new_plan() -> None:
    z = torch.tensor(ARRAYS["z"])
    (z * (1 + 2j)).tolist()
    with nothing_new():
        (z * (3 - 4j)).tolist()


def test_rotary_embedding_and_a_spectral_layer() -> None:
    """What programs do with complex numbers, with gradients."""
    torch.manual_seed(0)
    query = torch.randn(2, 5, 8, requires_grad=True)
    angles = torch.outer(torch.arange(5).float(), 1 / 10 ** torch.arange(4).float())
    turned = torch.view_as_complex(query.reshape(2, 5, 4, 2)) * torch.polar(
        torch.ones_like(angles), angles
    )
    out = torch.view_as_real(turned).flatten(2)
    np.testing.assert_allclose(
        out.norm(dim=-1).detach().numpy(), query.norm(dim=-1).detach().numpy(), rtol=1e-5
    )
    weight = torch.nn.Parameter(torch.randn(8, 8, 3, dtype=torch.cfloat))
    spectrum = torch.fft.rfft(out.transpose(1, 2))
    mixed = torch.einsum("bix,iox->box", spectrum, weight)
    torch.fft.irfft(mixed, n=5).square().sum().backward()
    assert weight.grad is not None and weight.grad.dtype is torch.complex64
    assert query.grad is not None and bool(query.grad.isfinite().all())
    optimizer = torch.optim.SGD([weight], lr=0.1)
    before = weight.detach().clone()
    optimizer.step()
    same(weight, (before - 0.1 * weight.grad).numpy())


def test_a_compiled_call_gives_complex_results() -> None:
    def turn(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex(x) * by

    compiled = torch.compile(turn)
    by = torch.tensor(ARRAYS["z"][0])
    for number in range(4):
        x = torch.tensor(ARRAYS["pairs"][0]) + number
        found = compiled(x, by)
        assert found.dtype is torch.complex128
        same(found, turn(x, by).numpy())


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda z: z < z, NotImplementedError),
        (lambda z: z.max(), NotImplementedError),
        (lambda z: z.sort(), NotImplementedError),
        (lambda z: z.erf(), NotImplementedError),
        (lambda z: z.requires_grad_().sum().backward(), RuntimeError),
        (lambda z: torch.zeros(2).imag, RuntimeError),
        (lambda z: torch.view_as_real(torch.zeros(2)), RuntimeError),
        (lambda z: torch.view_as_complex(torch.zeros(3)), RuntimeError),
        (lambda z: torch.complex(torch.zeros(2), torch.zeros(2).double()), RuntimeError),
        (lambda z: torch.zeros(2).add_(z), RuntimeError),
    ],
)
def test_errors(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call(torch.tensor([1 + 2j, 3]))


@pytest.mark.parametrize("name", fourier_table.ERRORS)
def test_fourier_errors(name: str) -> None:
    function, names = fourier_table.ERRORS[name]
    with pytest.raises(RuntimeError):
        function(torch, *[torch.tensor(fourier_table.ARRAYS[each]) for each in names.split()])


def test_windows() -> None:
    for name in ("hann", "hamming", "blackman", "bartlett"):
        made = getattr(torch, f"{name}_window")(8, periodic=False, dtype=torch.float64)
        same(made, getattr(np, "hanning" if name == "hann" else name)(8))
    same(torch.kaiser_window(8, False, 5.0, dtype=torch.float64), np.kaiser(8, 5.0))
    same(torch.fft.fftfreq(7, 0.5, dtype=torch.float64), np.fft.fftfreq(7, 0.5))
    same(torch.fft.rfftfreq(8, 2.0, dtype=torch.float64), np.fft.rfftfreq(8, 2.0))
