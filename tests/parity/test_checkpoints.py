"""Checkpoints go both ways between PyTorch and this package."""

from __future__ import annotations

from collections import OrderedDict

import numpy
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


TYPES = ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint32"]


def _value(torch):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 1, 5, 5)).sum().backward()
    optimizer.step()
    whole = torch.arange(15.0).reshape(3, 5)
    return {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "views": [whole[:, 2:4], whole.t(), whole[::2], whole, whole[0].expand(2, 5), whole[1, 1]],
        "types": [torch.ones(2, dtype=getattr(torch, name)) for name in TYPES],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "ordered": OrderedDict(a=1, b=(None, 2.5, "text", b"bytes", {1, 2})),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "size": torch.ones(2, 3).shape,
        "empty": torch.zeros(0, 3),
    }


def _plain(value):
    """Lists, numbers and texts that say everything about a value."""
    if hasattr(value, "stride") and hasattr(value, "storage_offset"):
        values = value.detach().tolist()
        layout = (tuple(value.shape), tuple(value.stride()), value.storage_offset())
        return [str(value.dtype), layout, value.requires_grad, type(value).__name__, values]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value)


@pytest.mark.parametrize("old", [False, True])
def test_theirs_is_read(tmp_path, old):
    value = _value(torch)
    if old:
        value["types"] = [each for each in value["types"] if each.dtype is not torch.uint32]
    torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    found = flambeau.load(tmp_path / "a.pt")
    assert _plain(found) == _plain(value)
    assert found["module"]._metadata == value["module"]._metadata
    found["views"][3].fill_(7)
    assert all((each == 7).all() for each in found["views"])


def test_ours_is_read(tmp_path):
    value = _value(flambeau)
    flambeau.save(value, tmp_path / "a.pt")
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert _plain(found) == _plain(value)
    assert type(found["module"]) is OrderedDict
    found["views"][3].fill_(7)
    assert all((each == 7).all() for each in found["views"])
    mapped = torch.load(tmp_path / "a.pt", mmap=True)
    assert mapped["views"][0].tolist() == value["views"][0].tolist()


def test_whole_modules_both_ways(tmp_path):
    x = numpy.ones((1, 3), "float32")
    for write, read in ((torch, flambeau), (flambeau, torch)):
        model = write.nn.Sequential(write.nn.Linear(3, 2), write.nn.Tanh())
        write.save(model, tmp_path / "a.pt")
        found = read.load(tmp_path / "a.pt", weights_only=False)
        wanted = model(write.from_numpy(x)).tolist()[0]
        assert found(read.from_numpy(x)).tolist()[0] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_whole_recurrent_layers_both_ways(tmp_path, kind):
    x = numpy.linspace(-1, 1, 24, dtype="float32").reshape(3, 2, 4)
    for write, read in ((torch, flambeau), (flambeau, torch)):
        layer = getattr(write.nn, kind)(4, 5, num_layers=2, bidirectional=True)
        write.save(layer, tmp_path / "a.pt")
        found = read.load(tmp_path / "a.pt", weights_only=False)
        wanted = layer(write.from_numpy(x))[0].detach().numpy()
        numpy.testing.assert_allclose(
            found(read.from_numpy(x))[0].detach().numpy(), wanted, atol=1e-6
        )
        found.double()
        assert {each.dtype for each in found.parameters()} == {read.float64}
        assert not found.__dict__.keys() & {"_flat_weights"} or read is torch


def test_both_refuse_the_same(tmp_path):
    torch.save({"a": numpy.ones(2), "n": numpy.float64(1)}, tmp_path / "a.pt")
    for library in (torch, flambeau):
        with pytest.raises(Exception, match="_reconstruct") as caught:
            library.load(tmp_path / "a.pt")
        assert "UnpicklingError" in str(type(caught.value).__mro__)
    found = flambeau.load(tmp_path / "a.pt", weights_only=False)
    assert found["a"].tolist() == [1, 1] and found["n"] == 1


def _conv_net(nn):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, groups=2),
        nn.GroupNorm(4, 16),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def _lstm(nn):
    return nn.LSTM(12, 20, num_layers=2, batch_first=True, bidirectional=True)


def _encoder(nn):
    layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(32), enable_nested_tensor=False)


@pytest.mark.parametrize(
    ("make", "shape"), [(_conv_net, (4, 3, 17, 17)), (_lstm, (4, 9, 12)), (_encoder, (4, 11, 32))]
)
def test_a_state_dict_of_theirs_gives_their_outputs(tmp_path, make, shape):
    torch.manual_seed(0)
    theirs = make(torch.nn)
    x = torch.randn(shape)
    for _ in range(3):  # running statistics, too
        theirs(x * 2 + 1)
    theirs.eval()
    torch.save(theirs.state_dict(), tmp_path / "a.pt")
    ours = make(flambeau.nn).eval()
    found = ours.load_state_dict(flambeau.load(tmp_path / "a.pt", weights_only=True))
    assert not found.missing_keys and not found.unexpected_keys
    outputs = []
    for library, model in ((torch, theirs), (flambeau, ours)):
        with library.no_grad():
            got = model(library.from_numpy(x.numpy()))
        parts = [got[0], *got[1]] if isinstance(got, tuple) else [got]
        outputs.append([each.numpy() for each in parts])
    for wanted, got in zip(*outputs, strict=True):
        numpy.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
