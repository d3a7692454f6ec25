"""The safetensors format of save and load: round trips, and files that are not right."""

from __future__ import annotations

import json
import struct
from collections import OrderedDict

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flambeau as torch
from flambeau.serialization import files

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool"]


def _same(a, b):
    if isinstance(a, torch.Tensor):
        assert a.dtype is b.dtype and tuple(a.shape) == tuple(b.shape)
        assert a.requires_grad == b.requires_grad and type(a) is type(b)
        assert a.detach()._to_numpy().tobytes() == b.detach()._to_numpy().tobytes()
    elif isinstance(a, dict):
        assert type(a) is type(b) and list(a) == list(b)
        for key in a:
            _same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            _same(one, other)
    else:
        assert type(a) is type(b) and (a == b or a != a)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_dtypes_and_shapes(tmp_path, dtype, shape):
    values = torch.arange(6).to(getattr(torch, dtype))
    tensor = values[: numpy.prod(shape, dtype=int)].reshape(shape).clone()
    torch.save({"x": tensor}, tmp_path / "a.safetensors")
    _same(torch.load(tmp_path / "a.safetensors"), {"x": tensor})


def test_structure(tmp_path):
    value = {
        "list": [1, 2.5, None, True, "text", (1, (2,)), float("inf"), -0.0, 2**70],
        3: OrderedDict(a=torch.ones(2), b=[]),
        "dtype": torch.float16,
        "size": torch.ones(2, 3).shape,
        (1, "x"): {1, 2},
    }
    torch.save(value, tmp_path / "a.safetensors")
    _same(torch.load(tmp_path / "a.safetensors"), value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_any_plain_value(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    torch.save(value, path)
    _same(torch.load(path), value)


def test_shared_storage_stays_shared(tmp_path):
    weight = torch.ones(2, 3)
    torch.save(
        {"a": weight, "b": weight, "flat": weight.view(6), "part": weight[0]},
        tmp_path / "a.safetensors",
    )
    loaded = torch.load(tmp_path / "a.safetensors")
    loaded["a"].fill_(7)
    assert loaded["b"].sum().item() == 42
    assert loaded["flat"].sum().item() == 42
    assert loaded["part"].sum().item() == 3


def test_other_programs_read_it_and_we_read_theirs(tmp_path):
    numpy_file = pytest.importorskip("safetensors.numpy", reason="compares with it")
    torch.save({"a.weight": torch.arange(4), "b": torch.ones(2)}, tmp_path / "ours.safetensors")
    theirs = numpy_file.load_file(tmp_path / "ours.safetensors")
    assert set(theirs) == {"a.weight", "b"}
    assert theirs["a.weight"].tolist() == [0, 1, 2, 3]
    numpy_file.save_file({"x": numpy.eye(2, dtype="float32")}, str(tmp_path / "theirs"))
    assert torch.load(tmp_path / "theirs")["x"].tolist() == [[1, 0], [0, 1]]


def test_file_objects_and_map_location(tmp_path):
    with (tmp_path / "a.safetensors").open("wb") as file:
        torch.save([torch.ones(2)], file)
    with (tmp_path / "a.safetensors").open("rb") as file:
        (found,) = torch.load(file, map_location=torch.device("cpu"))
    assert found.device.type == "cpu" and found.tolist() == [1, 1]
    assert torch.load(tmp_path / "a.safetensors", map_location=lambda x, where: x)[0].tolist() == [
        1,
        1,
    ]
    assert torch.load(tmp_path / "a.safetensors", map_location={"cuda:0": "cpu"})[0].tolist() == [
        1,
        1,
    ]


def test_what_cannot_be_saved_is_named_and_nothing_is_lost(tmp_path):
    torch.save([1], tmp_path / "a.safetensors")
    with pytest.raises(TypeError, match=r"the object\['model'\]\[1\].*state_dict"):
        torch.save({"model": [1, object()]}, tmp_path / "a.safetensors")
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        torch.save(loop, tmp_path / "a.safetensors")
    assert torch.load(tmp_path / "a.safetensors") == [1]
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    torch.save([1], tmp_path / "a.safetensors")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        torch.save([2], tmp_path / "a.safetensors")
    assert torch.load(tmp_path / "a.safetensors") == [1]
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "none")
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        torch.save([1], tmp_path / "none" / "a")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes.*truncated"),
        (b"PK\x03\x04" + b"x" * 20, "zip archive is broken or truncated"),
        (b"\x80\x02}q\x00." + b"x" * 20, "pickle that torch.save did not write"),
        (b"x" * 40, "neither a zip file.*nor a safetensors file"),
        (struct.pack("<Q", 100) + b"{}", "truncated"),
        (struct.pack("<Q", 2) + b"{x", "not valid JSON"),
    ],
)
def test_foreign_files(tmp_path, data, message):
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(RuntimeError, match=f"cannot load .*a.safetensors: .*{message}"):
        torch.load(tmp_path / "a.safetensors")


def test_every_truncation_is_an_error(tmp_path):
    torch.save({"x": torch.arange(5), "y": [1, torch.ones(3)]}, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    for length in range(len(data)):
        (tmp_path / "b.safetensors").write_bytes(data[:length])
        with pytest.raises(RuntimeError, match="cannot load"):
            torch.load(tmp_path / "b.safetensors")
    (tmp_path / "b.safetensors").write_bytes(data + b"x")
    with pytest.raises(RuntimeError, match="1 bytes follow the last tensor"):
        torch.load(tmp_path / "b.safetensors")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_another_value(tmp_path_factory, place, byte):
    path = tmp_path_factory.mktemp("byte") / "a.safetensors"
    torch.save({"x": torch.arange(3), "y": [1.5, torch.ones(2) > 0]}, path)
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(bytes(data))
    try:
        torch.load(path)
    except RuntimeError as error:
        assert str(error).startswith("cannot load")  # noqa: PT017  # either is right


def _file(structure, table=None, body=b""):
    head = {"__metadata__": {"flambeau.structure": json.dumps(structure)}, **(table or {})}
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    "structure",
    [
        {"version": 1, "object": {"tensor": "none", "shape": [1]}},
        {"version": 1, "object": {"unknown": 1}},
        {"version": 1, "object": {"a": 1, "b": 2}},
        {"version": 1, "object": {"dict": [[1]]}},
        {"version": 1, "object": {"dict": [[[], 1]]}},
        {"version": 1, "object": {"dtype": "float8"}},
        {"version": 1},
        {"version": 2, "object": 1},
        [],
    ],
)
def test_descriptions_that_do_not_fit(tmp_path, structure):
    (tmp_path / "a.safetensors").write_bytes(_file(structure))
    with pytest.raises(RuntimeError, match="cannot load"):
        torch.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]},
        {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        7,
    ],
)
def test_tables_that_do_not_fit(tmp_path, entry):
    (tmp_path / "a.safetensors").write_bytes(
        _file({"version": 1, "object": 1}, {"x": entry}, b"\0" * 8)
    )
    with pytest.raises(RuntimeError, match="cannot load"):
        torch.load(tmp_path / "a.safetensors")
