"""PyTorch's zip checkpoints: what is kept in a round trip, and hostile files, refused by name."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict

import numpy
import pytest

import flambeau as torch
from flambeau import serialization
from flambeau.graph.dtype import DTYPES


def _round_trip(value, **kwargs):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, **kwargs)


@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_every_dtype(name, shape):
    tensor = (torch.arange(6)[: numpy.prod(shape, dtype=int)] % 2).reshape(shape).to(DTYPES[name])
    found = _round_trip(tensor)
    assert found.dtype is tensor.dtype and found.shape == tensor.shape
    assert found._to_numpy().tobytes() == tensor._to_numpy().tobytes()


def test_structure():
    value = {
        "numbers": [1, -(2**70), 2.5, None, True, 300, 70000, 1j],
        3: OrderedDict(a=(1,), b=[]),
        "set": {1, 2},
        "counter": Counter("aab"),
        "bytes": b"\x00\xff",
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "size": torch.ones(2, 3).shape,
        (1, "x"): "ü",
    }
    found = _round_trip(value)
    assert found == value
    assert type(found[3]) is OrderedDict and type(found["size"]) is torch.Size


VIEWS = {
    "columns": lambda x: x[:, 2:4],
    "rows": lambda x: x[1:],
    "every other row": lambda x: x[::2],
    "every other column": lambda x: x[:, ::2],
    "transposed": lambda x: x.t(),
    "part of the transposed": lambda x: x.t()[1:3, ::2],
    "column": lambda x: x[:, 1],
    "element": lambda x: x[1, 2],
    "flat": lambda x: x.flatten(),
    "expanded": lambda x: x[:, 1:2].expand(3, 4),
    "empty": lambda x: x[3:],
    "cube": lambda x: x.view(5, 3, 1).permute(2, 0, 1),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("first", [True, False])
def test_views_keep_sharing_and_bring_their_whole_storage(name, first):
    whole = torch.arange(15.0).reshape(3, 5)
    view = VIEWS[name](whole)
    pair = [whole, view] if first else [view, whole]
    loaded = _round_trip(pair)
    found, base = (loaded[1], loaded[0]) if first else loaded
    assert found.tolist() == view.tolist() and found.shape == view.shape
    assert found.stride() == view.stride() and found.storage_offset() == view.storage_offset()
    base.fill_(7)
    assert (found == 7).all()
    file = io.BytesIO()
    torch.save(view, file)
    assert len(zipfile.ZipFile(file).read("archive/data/0")) == 60


def test_parameters_and_their_attributes():
    weight = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    weight.tag = "mine"
    tied = torch.nn.Parameter(torch.zeros(2))
    found, one, two = _round_trip([weight, tied, tied])
    assert isinstance(found, torch.nn.Parameter) and found.tag == "mine" and one is two
    assert not found.requires_grad and one.requires_grad and one.is_leaf


def test_state_dicts_of_modules_and_optimizers():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    state = _round_trip({"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    other.load_state_dict(state["module"])
    assert state["module"]._metadata["1"] == {"version": 2}
    torch.testing.assert_close(other.state_dict(), module.state_dict())
    second = torch.optim.AdamW(other.parameters())
    second.load_state_dict(state["optimizer"])
    assert second.state_dict()["state"][0]["exp_avg"].tolist() == (
        optimizer.state_dict()["state"][0]["exp_avg"].tolist()
    )


def test_map_location_and_the_other_arguments(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "a.pt", pickle_protocol=4)
    for where in ("cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage):
        found = torch.load(tmp_path / "a.pt", map_location=where, mmap=True, weights_only=True)
        assert found[0].tolist() == [1, 1]
    moved = torch.load(tmp_path / "a.pt", map_location="reference")
    assert moved[0].device.type == "reference"
    seen = []
    torch.load(tmp_path / "a.pt", map_location=lambda storage, place: seen.append(place))
    assert seen == ["cpu"]
    with pytest.raises(RuntimeError, match="pickle_module=json"):
        torch.load(tmp_path / "a.pt", pickle_module=__import__("json"))
    with pytest.raises(AttributeError, match="BytesIO"):
        torch.load(argparse.Namespace(read=lambda: b""))


def test_a_failing_write_leaves_the_old_file(tmp_path):
    torch.save([1], tmp_path / "a.pt")
    with pytest.raises((pickle.PicklingError, AttributeError)):
        torch.save([lambda: 1], tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt") == [1]
    assert [each.name for each in tmp_path.iterdir()] == ["a.pt"]


# what is refused ---------------------------------------------------------------------------------


class Config:
    """A user's class."""

    def __init__(self, value):
        self.value = value


def test_classes_are_refused_by_name_until_they_are_allowed():
    with pytest.raises(pickle.UnpicklingError, match=r"Weights only.*test_checkpoints\.Config"):
        _round_trip(Config(3))
    with pytest.raises(RuntimeError, match=r"test_checkpoints\.Config, refused: no file can run"):
        _round_trip(Config(3), weights_only=False)
    with serialization.safe_globals([Config]):
        assert _round_trip(Config(3)).value == 3
        assert serialization.get_safe_globals() == [Config]
    assert serialization.get_safe_globals() == []
    serialization.add_safe_globals([(Config, f"{__name__}.Config")])
    assert _round_trip([Config(4)])[0].value == 4
    serialization.clear_safe_globals()
    with pytest.raises(pickle.UnpicklingError):
        _round_trip(Config(3))


def test_numpy_and_modules_come_with_weights_only_false():
    value = {
        "array": numpy.arange(3.0),
        "number": numpy.float32(2),
        "args": argparse.Namespace(a=1),
    }
    with pytest.raises(pickle.UnpicklingError, match=r"numpy\._?core\.multiarray\._reconstruct"):
        _round_trip(value)
    found = _round_trip(value, weights_only=False)
    assert found["array"].tolist() == [0, 1, 2] and found["number"] == 2 and found["args"].a == 1
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    with pytest.raises(pickle.UnpicklingError, match=r"torch\.nn\.modules\.container\.Sequential"):
        _round_trip(model)
    again = _round_trip(model, weights_only=False)
    assert again(torch.ones(1, 2)).tolist() == model(torch.ones(1, 2)).tolist()


def _archive(data, storages=None, compression=zipfile.ZIP_STORED, **more):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", content)
        for name, content in more.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


class _Runs:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("touch /tmp/never",), r"(posix|nt)\.system"),
        (eval, ("1",), r"builtins\.eval"),
        (getattr, (1, "real"), r"builtins\.getattr"),
        (__import__, ("os",), r"builtins\.__import__"),
        (numpy.load, ("x",), "numpy.*load"),
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_functions_are_refused_by_name(function, args, name, weights_only, protocol):
    data = pickle.dumps({"a": _Runs(function, *args)}, protocol)
    with pytest.raises(pickle.UnpicklingError, match=name):
        torch.load(io.BytesIO(_archive(data)), weights_only=weights_only)


FLOAT = b"ctorch\nFloatStorage\n"


def _tensor_pickle(offset, size, stride, count=4, key=b"0"):
    """What torch.save writes for one tensor, with these numbers."""
    identity = b"(X\x07\x00\x00\x00storage" + FLOAT + b"X" + struct.pack("<I", len(key)) + key
    identity += b"X\x03\x00\x00\x00cpu" + pickle.dumps(count, 2)[2:-1] + b"tQ"
    layout = b"".join(pickle.dumps(each, 2)[2:-1] for each in (offset, size, stride))
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + identity
        + layout
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )


GOOD = {"0": numpy.arange(4, dtype="<f4").tobytes()}


def test_a_file_made_by_hand_loads():
    found = torch.load(io.BytesIO(_archive(_tensor_pickle(1, (3,), (1,)), GOOD)))
    assert found.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "storages", "message"),
    [
        (_tensor_pickle(0, (5,), (1,)), GOOD, "reaches element 4 of storage '0', which has 4"),
        (_tensor_pickle(3, (2,), (1,)), GOOD, "reaches element 4"),
        (_tensor_pickle(0, (2, 2), (3, 1)), GOOD, "reaches element 4"),
        (_tensor_pickle(9, (0,), (1,)), GOOD, "offset 9"),
        (_tensor_pickle(-1, (2,), (1,)), GOOD, "offset -1"),
        (_tensor_pickle(0, (2,), (-1,)), GOOD, "stride"),
        (_tensor_pickle(0, (2, 2), (1,)), GOOD, "stride"),
        (_tensor_pickle(0, (2.5,), (1,)), GOOD, "size"),
        (_tensor_pickle(0, (8,), (1,), count=8), GOOD, "should have 32 bytes, but has 16"),
        (_tensor_pickle(0, (1 << 60,), (1,), count=1 << 60), GOOD, "should have .* but has 16"),
        (_tensor_pickle(0, (2,), (1,), count=2), GOOD, "should have 8 bytes, but has 16"),
        (_tensor_pickle(0, (2,), (1,), key=b"7"), GOOD, "no entry 'archive/data/7'"),
        (_tensor_pickle(0, (2,), (1,), key=b"../../x"), GOOD, "no entry"),
        (b"\x80\x02X\xff\xff\xff\x7fa.", {}, "truncated"),
        (b"\x80\x02}", {}, "truncated"),
        (b"\x80\x02h\x05.", {}, "object 5"),
        (b"\x80\x02.", {}, "more than it made"),
        (b"\x80\x02]K\x01K\x02s.", {}, "as a container"),
        (b"\x80\x02}]K\x01s.", {}, "unhashable"),
        (b"\x80\x02\x82\x01.", {}, "opcode"),
        (b"\x80\x02K\x01)R.", {}, "calls a int"),
        (b"\x80\x02" + FLOAT + b")R.", {}, "calls a StorageType"),
        (b"\x80\x02}K\x01b.", {}, "sets the state of a dict"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", {}, "sets the state of a method"),
        (b"\x80\x02ctorch.nn\nParameter\n}b.", {}, "sets the state of a type"),
        (b"\x80\x02cbuiltins\nbytearray\nI1000000000000\n\x85R.", {}, "encodes text"),
        (b"\x80\x02(" * 5 + b"." * 2, {}, "opcode|more than it made"),
    ],
)
def test_hostile_objects(data, storages, message):
    with pytest.raises(RuntimeError, match=f"cannot load the file object: .*{message}"):
        torch.load(io.BytesIO(_archive(data, storages)))


def test_one_storage_is_of_one_type_and_size():
    one = _tensor_pickle(0, (2,), (1,))[2:-1]
    two = _tensor_pickle(0, (2,), (1,), count=3)[2:-1]
    with pytest.raises(RuntimeError, match="storage '0' has 4 elements"):
        torch.load(io.BytesIO(_archive(b"\x80\x02" + one + two + b"\x86.", GOOD)))


def test_hostile_archives():
    data = pickle.dumps([1], 2)
    bomb = _archive(data, {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    for content, message in [
        (bomb, r"compressed .* become"),
        (_archive(data, {"../../x": b"a"}), "leads out of the archive"),
        (_archive(data, archive__constants__x=b"", archive__constants_pkl=b""), None),
        (_archive(data, archive__byteorder=b"big"), "byte order"),
        (_archive(data).replace(b"archive/data.pkl", b"archive/date.pkl"), "no data.pkl"),
    ]:
        if message is None:
            assert torch.load(io.BytesIO(content)) == [1]
            continue
        with pytest.raises(RuntimeError, match=message):
            torch.load(io.BytesIO(content))


def test_entries_must_not_overlap():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1], 2))
        archive.writestr("archive/data/0", bytes(64))
        archive.writestr("archive/data/1", bytes(64))
        last = archive.infolist()[-1]
        last.header_offset = archive.infolist()[-2].header_offset
    with pytest.raises(RuntimeError, match="overlap"):
        torch.load(io.BytesIO(file.getvalue()))


def test_every_truncation_and_any_changed_byte(tmp_path):
    torch.save({"x": torch.arange(5), "y": [1, torch.ones(3)]}, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(RuntimeError, match="cannot load"):
            torch.load(io.BytesIO(data[:length]))
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 0x55
        try:
            torch.load(io.BytesIO(bytes(changed)))
        except RuntimeError as error:
            assert str(error).startswith("cannot load")  # noqa: PT017  # either is right
