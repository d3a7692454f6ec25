"""Whole programs on the cpu device: memory, threads, caches, host calls, processes."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from flambeau import config
from flambeau.device.cpu import CpuDevice, worker_ir
from flambeau.device.cpu.compile import STATISTICS
from flambeau.device.cpu.memory import new_block, rounded_size
from flambeau.device.host import HOST_FUNCTIONS, register_host
from flambeau.graph import dtype as dtypes
from flambeau.graph.node import tensor_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Parameter, Store
from flambeau.kernel.program import HostCall, Launch, Program, Slot

f32 = dtypes.float32


@pytest.fixture
def device() -> Iterator[Any]:
    made = CpuDevice()
    yield made
    made.runtime.stop()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "CACHE", tmp_path)
    return tmp_path


def scale(n: int, factor: float, name: str = "scale") -> Kernel:
    """b1 = b0 · factor + 1"""
    a = Axis(n)
    value = ir.apply("MUL", ir.load(0, f32, ir.axis(a)), ir.const(factor, f32))
    value = ir.apply("ADD", value, ir.const(1.0, f32))
    store = Store(1, ir.axis(a), value)
    return Kernel(name, (a,), (store,), (Parameter(f32, n, False), Parameter(f32, n, True)))


def total(rows: int, n: int) -> Kernel:
    """b1[row] = Σ exp b0[row]"""
    row, column = Axis(rows), Axis(n)
    at = ir.index_add(ir.index_multiply(ir.axis(row), n), ir.axis(column))
    fold = Fold((column,), "add", ir.apply("EXP", ir.load(0, f32, at)), f32)
    store = Store(1, ir.axis(row), ir.result(fold))
    sizes = (Parameter(f32, rows * n, False), Parameter(f32, rows, True))
    return Kernel("total", (row,), (fold, store), sizes)


def chain(n: int, length: int, factor: float = 0.5) -> Program:
    """x → x·factor + 1, `length` times, through two temporaries."""
    of = tensor_type((n,), f32)
    room = -(-n * 4 // 64) * 64
    slots = [Slot(of, "input"), Slot(of, "output")]
    slots += [Slot(of, "temporary", None, number * room) for number in (0, 1)]
    launches: list[Any] = []
    for number in range(length):
        source = 0 if number == 0 else 2 + (number - 1) % 2
        target = 1 if number == length - 1 else 2 + number % 2
        launches.append(Launch(scale(n, factor), (source, target)))
    return Program(slots, launches, (), (0,), (1,), 2 * room)


def chained(x: Any, length: int, factor: float = 0.5) -> Any:
    for _ in range(length):
        x = x * np.float32(factor) + np.float32(1)
    return x


def upload(device: Any, x: Any, copy: bool = True) -> Any:
    return device.from_numpy(x, tensor_type(x.shape, dtypes.from_numpy(x.dtype)), copy)


@pytest.mark.parametrize("n", [10, 100_000])
def test_temporaries_and_order_of_launches(device: Any, n: int) -> None:
    executable = device.compile(chain(n, 7))
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
        (result,) = executable.run([upload(device, x)], [])
        np.testing.assert_array_equal(device.to_numpy(result), chained(x, 7))


def test_the_arena_grows_for_a_larger_program(device: Any) -> None:
    small, large = device.compile(chain(100, 3)), device.compile(chain(50_000, 3))
    for executable, n in ((small, 100), (large, 50_000), (small, 100)):
        x = np.arange(n, dtype=np.float32)
        (result,) = executable.run([upload(device, x)], [])
        np.testing.assert_array_equal(device.to_numpy(result), chained(x, 3))


def test_same_bits_for_any_number_of_threads(device: Any) -> None:
    x = np.random.default_rng(0).standard_normal((301, 1017)).astype(np.float32)
    of = tensor_type(x.shape, f32)
    slots = [Slot(of, "input"), Slot(tensor_type((301,), f32), "output")]
    executable = device.compile(Program(slots, [Launch(total(301, 1017), (0, 1))], (), (0,), (1,)))
    found = []
    for threads in (1, 2, 3, 7):
        device.runtime.set_threads(threads)
        (result,) = executable.run([upload(device, x)], [])
        found.append(device.to_numpy(result).tobytes())
    assert len(set(found)) == 1
    np.testing.assert_allclose(
        np.frombuffer(found[0], np.float32), np.exp(x.astype(float)).sum(1), rtol=1e-5
    )


def test_threads_can_be_changed_often(device: Any) -> None:
    executable = device.compile(chain(200_000, 5))
    x = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    expected = chained(x, 5)
    for threads in (2, 1, 4, 2, 3):
        device.runtime.set_threads(threads)
        for _ in range(20):
            (result,) = executable.run([upload(device, x)], [])
            np.testing.assert_array_equal(device.to_numpy(result), expected)
    with pytest.raises(RuntimeError, match="positive"):
        device.runtime.set_threads(0)


def test_nobody_waits_for_a_thread_that_does_not_come(device: Any) -> None:
    """The state of two threads, of which one was never started: the other does all of the work."""
    n, length = 200000, 7
    executable = device.compile(chain(n, length))
    x = np.random.default_rng(0).random(n, np.float32)
    runtime = device.runtime
    address, owner = new_block(worker_ir.state_bytes(2))
    ctypes.memset(address, 0, worker_ir.state_bytes(2))
    for offset, value in ((0, 1), (144, 1), (192, 2)):  # closed, serial numbers from 1, threads
        ctypes.c_int64.from_address(address + offset).value = value
    runtime.set_threads(2)
    runtime.state = address
    try:
        for _ in range(50):
            (result,) = executable.run([upload(device, x)], [])
            np.testing.assert_array_equal(device.to_numpy(result), chained(x, length))
    finally:
        runtime.state = 0
        del owner


def test_more_threads_than_cores_and_changing_programs(device: Any) -> None:
    """Workers come late all the time; jobs whose programs are gone are not read any more."""
    device.runtime.set_threads(8)
    for size in range(40):
        n = 150000 + 1000 * size
        executable = device.compile(chain(n, 5))
        x = np.random.default_rng(size).random(n, np.float32)
        for _ in range(5):
            (result,) = executable.run([upload(device, x)], [])
            np.testing.assert_array_equal(device.to_numpy(result), chained(x, 5))
    assert len(device.runtime.retired) <= 40
    gc.collect()
    device.runtime.stop()
    device.runtime.bury()
    assert not device.runtime.retired


def test_more_independent_launches_than_there_are_claims(device: Any) -> None:
    n, count = 50000, 3 * worker_ir.SLOTS + 5
    kernel = scale(n, 0.5)
    of = tensor_type((n,), f32)
    slots = [Slot(of, "input"), *[Slot(of, "output") for _ in range(count)]]
    launches: list[Any] = [
        Launch(kernel, (0, number + 1), independent=True) for number in range(count)
    ]
    program = Program(slots, launches, (), (0,), tuple(range(1, count + 1)), 0)
    executable = device.compile(program)
    x = np.random.default_rng(0).random(n, np.float32)
    for threads in (1, 2, 5):
        device.runtime.set_threads(threads)
        for _ in range(3):
            for result in executable.run([upload(device, x)], []):
                np.testing.assert_array_equal(
                    device.to_numpy(result), x * np.float32(0.5) + np.float32(1)
                )


def test_python_threads_may_run_programs_at_once(device: Any) -> None:
    executable = device.compile(chain(60_000, 5))
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).standard_normal(60_000).astype(np.float32)
        for _ in range(10):
            (result,) = executable.run([upload(device, x)], [])
            if not np.array_equal(device.to_numpy(result), chained(x, 5)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def check_kernel(n: int, limit: int) -> Kernel:
    a = Axis(n)
    value = ir.load(0, dtypes.int64, ir.axis(a))
    good = ir.apply("LT", value, ir.const(limit))
    body = (Check(good, 5, value), Store(1, ir.axis(a), value))
    sizes = (Parameter(dtypes.int64, n, False), Parameter(dtypes.int64, n, True))
    return Kernel("check", (a,), body, sizes)


def test_the_first_error_is_reported_whatever_the_threads(device: Any) -> None:
    n = 300_000
    of = tensor_type((n,), dtypes.int64)
    slots = [Slot(of, "input"), Slot(of, "output")]
    errors = {5: ("ValueError", "got {detail}", ("x.py", 3))}
    program = Program(slots, [Launch(check_kernel(n, 100), (0, 1), errors=errors)], (), (0,), (1,))
    executable = device.compile(program)
    good = np.zeros(n, np.int64)
    bad = good.copy()
    bad[[70_001, 70_002, 200_000, n - 1]] = [111, 222, 333, 444]
    for threads in (1, 2, 5, 1):
        device.runtime.set_threads(threads)
        for _ in range(3):
            with pytest.raises(ValueError, match=r"^got 111 \(at x.py:3\)$"):
                executable.run([upload(device, bad)], [])
            executable.run([upload(device, good)], [])


def test_numpy_memory_is_shared_where_asked(device: Any) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    shared, copied = upload(device, x, False), upload(device, x, True)
    x[0, 0] = 100
    assert device.to_numpy(shared)[0, 0] == 100
    assert device.to_numpy(copied)[0, 0] == 0
    device.to_numpy(shared)[1, 1] = -1
    assert x[1, 1] == -1
    turned = upload(device, x.T, False)
    np.testing.assert_array_equal(device.to_numpy(turned), x.T)
    y = np.ones(3, ml_dtypes.bfloat16)
    assert device.to_numpy(upload(device, y)).dtype == y.dtype


def test_an_array_keeps_its_memory(device: Any) -> None:
    array = device.to_numpy(upload(device, np.arange(1000, dtype=np.float32)))
    gc.collect()
    others = [upload(device, np.zeros(1000, np.float32)) for _ in range(10)]
    np.testing.assert_array_equal(array, np.arange(1000))
    assert len(others) == 10


def test_memory_is_used_again(device: Any) -> None:
    executable = device.compile(chain(1000, 3))
    buffer = upload(device, np.zeros(1000, np.float32))
    addresses = set()
    for _ in range(50):
        (result,) = executable.run([buffer], [])
        assert result.address % 64 == 0
        addresses.add(result.address)
    assert len(addresses) <= 2
    assert device.pool.used <= 3 * rounded_size(4000)
    device.pool.trim()
    assert device.pool.free == 0


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 4096, 100_000, 12_345_678])
def test_size_classes_waste_little(nbytes: int) -> None:
    size = rounded_size(nbytes)
    assert size >= nbytes
    assert size % 64 == 0
    assert size <= max(64, nbytes * 9 / 8 + 64)


def test_empty_arrays(device: Any) -> None:
    executable = device.compile(chain(0, 3))
    (result,) = executable.run([upload(device, np.zeros(0, np.float32), False)], [])
    assert device.to_numpy(result).shape == (0,)


def test_host_calls_between_launches(device: Any) -> None:
    if "test_flip" not in HOST_FUNCTIONS:

        @register_host("test_flip")
        def flip(attrs: Any, x: Any) -> tuple[Any, ...]:
            return (x[::-1] * attrs[0],)

    of = tensor_type((100,), f32)
    slots = [Slot(of, "input"), Slot(of, "output"), Slot(of, "temporary"), Slot(of, "output")]
    steps = [
        Launch(scale(100, 2.0), (0, 2)),
        HostCall("test_flip", (3, "name", (1, f32, of)), (2,), (1,)),
        Launch(scale(100, 0.5), (1, 3)),
    ]
    program = Program(slots, steps, (), (0,), (1, 3), 448)
    x = np.arange(100, dtype=np.float32)
    middle = (x * 2 + 1)[::-1] * 3
    for executable in (
        device.compile(program),
        device.deserialize(device.compile(program).serialize()),
    ):
        results = [device.to_numpy(each) for each in executable.run([upload(device, x)], [])]
        np.testing.assert_array_equal(results[0], middle)
        np.testing.assert_array_equal(results[1], middle * np.float32(0.5) + 1)


def test_an_aliased_output_is_the_input_buffer(device: Any) -> None:
    of = tensor_type((50,), f32)
    slots = [Slot(of, "input"), Slot(of, "output", alias=0)]
    program = Program(slots, [Launch(scale(50, 2.0), (0, 1))], (), (0,), (1,))
    buffer = upload(device, np.ones(50, np.float32))
    (result,) = device.compile(program).run([buffer], [])
    assert result is buffer
    np.testing.assert_array_equal(device.to_numpy(buffer), np.full(50, 3.0))


def test_a_kernel_is_compiled_once(device: Any, cache: Path) -> None:
    before = STATISTICS.compiled
    device.compile(chain(777, 4))
    assert STATISTICS.compiled == before + 1
    device.compile(chain(777, 9))
    assert STATISTICS.compiled == before + 1
    device.compile(chain(778, 9))
    assert STATISTICS.compiled == before + 2


def test_another_device_loads_from_disk(device: Any, cache: Path) -> None:
    program = chain(555, 3)
    device.compile(program)
    compiled, loaded = STATISTICS.compiled, STATISTICS.loaded_from_disk
    other = CpuDevice()
    x = np.arange(555, dtype=np.float32)
    (result,) = other.compile(program).run([upload(other, x)], [])
    assert (STATISTICS.compiled, STATISTICS.loaded_from_disk) == (compiled, loaded + 1)
    np.testing.assert_array_equal(other.to_numpy(result), chained(x, 3))


def test_a_stored_executable_compiles_nothing(device: Any, cache: Path) -> None:
    stored = device.compile(chain(444, 3)).serialize()
    compiled = STATISTICS.compiled
    other = CpuDevice()
    x = np.arange(444, dtype=np.float32)
    (result,) = other.deserialize(stored).run([upload(other, x)], [])
    np.testing.assert_array_equal(other.to_numpy(result), chained(x, 3))
    assert STATISTICS.compiled == compiled
    assert other.deserialize(stored.replace(other.fingerprint().encode(), b"0" * 64)) is None


def test_a_damaged_object_is_compiled_again(device: Any, cache: Path) -> None:
    device.compile(chain(333, 2))
    for path in cache.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-9])
    compiled = STATISTICS.compiled
    other = CpuDevice()
    x = np.arange(333, dtype=np.float32)
    (result,) = other.compile(chain(333, 2)).run([upload(other, x)], [])
    assert STATISTICS.compiled == compiled + 1
    np.testing.assert_array_equal(other.to_numpy(result), chained(x, 2))


def _child(device: Any, executable: Any, x: Any, queue: Any) -> None:
    (result,) = executable.run([upload(device, x)], [])
    queue.put(device.to_numpy(result).copy())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_workers_of_its_own(device: Any) -> None:
    device.runtime.set_threads(2)
    executable = device.compile(chain(200_000, 4))
    x = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    executable.run([upload(device, x)], [])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(device, executable, x, queue))
    child.start()
    got = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(got, chained(x, 4))
    (result,) = executable.run([upload(device, x)], [])
    np.testing.assert_array_equal(device.to_numpy(result), got)


_EXIT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from test_cpu_program import CpuDevice, chain, upload
device = CpuDevice()
device.runtime.set_threads(2)
executable = device.compile(chain(200_000, 4))
kept = executable.run([upload(device, np.ones(200_000, np.float32))], [])
print(float(device.to_numpy(kept[0])[-1]))
"""


def test_the_interpreter_exits_cleanly_with_workers_running() -> None:
    command = [sys.executable, "-c", _EXIT, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == chained(np.ones(1, np.float32), 4)[0]


def test_importing_the_package_does_not_load_llvm() -> None:
    program = "import sys, flambeau.device.cpu; sys.exit('llvmlite' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
