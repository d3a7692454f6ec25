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


def test_both_refuse_the_same(tmp_path):
    torch.save({"a": numpy.ones(2), "n": numpy.float64(1)}, tmp_path / "a.pt")
    for library in (torch, flambeau):
        with pytest.raises(Exception, match="_reconstruct") as caught:
            library.load(tmp_path / "a.pt")
        assert "UnpicklingError" in str(type(caught.value).__mro__)
    found = flambeau.load(tmp_path / "a.pt", weights_only=False)
    assert found["a"].tolist() == [1, 1] and found["n"] == 1
