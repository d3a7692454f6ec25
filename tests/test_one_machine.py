"""What programs expect of CUDA, many processes and TorchScript, where they are not."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau import distributed
from flambeau.nn.parallel import DataParallel, DistributedDataParallel
from flambeau.stand_in import is_stand_in, meaning_of


def test_cuda_answers() -> None:
    cuda = torch.cuda
    assert not cuda.is_available() and cuda.device_count() == 0
    assert cuda.memory_allocated() == cuda.max_memory_allocated() == cuda.memory_reserved() == 0
    cuda.set_device(0)
    cuda.manual_seed_all(3)
    cuda.empty_cache()
    with cuda.stream(cuda.Stream()), cuda.device(0):
        cuda.synchronize()
    assert is_stand_in(cuda.synchronize) and meaning_of(cuda.is_available) == "False"


@pytest.mark.parametrize("name", ["get_device_name", "get_device_properties", "FloatTensor"])
def test_cuda_says_what_to_use_instead(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"torch.cuda.{name}.*webgpu"):
        getattr(torch.cuda, name)()
    with pytest.raises(AttributeError, match="webgpu"):
        torch.cuda.no_such_name  # noqa: B018  # reading it is the test


def test_events_measure_what_was_recorded_between() -> None:
    first, second = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with pytest.raises(RuntimeError, match="recorded first"):
        first.elapsed_time(second)
    first.record()
    x = torch.ones(3) + 1
    second.record()
    assert x._storage.node.buffer is not None
    assert first.elapsed_time(second) > 0


@pytest.fixture
def world():
    distributed.init_process_group("nccl", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_a_world_of_one(world: None) -> None:
    tensor = torch.tensor([1.0, 2.0])
    distributed.all_reduce(tensor, op=distributed.ReduceOp.SUM)
    gathered = [torch.zeros(2)]
    work = distributed.all_gather(gathered, tensor, async_op=True)
    assert work.wait() and gathered[0].tolist() == tensor.tolist() == [1.0, 2.0]
    objects = [None]
    distributed.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    assert (distributed.get_rank(), distributed.get_world_size()) == (0, 1)
    assert distributed.get_backend() == "nccl"
    with pytest.raises(ValueError, match="list of 1"):
        distributed.all_gather([torch.zeros(2)] * 2, tensor)
    with pytest.raises(ValueError, match="twice"):
        distributed.init_process_group()


def test_larger_worlds_and_no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="not been initialized"):
        distributed.get_rank()
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(RuntimeError, match="rank 2 of a world of 4"):
        distributed.init_process_group("gloo")
    assert not distributed.is_initialized()


@pytest.mark.parametrize("wrap", [DataParallel, DistributedDataParallel])
def test_wrappers_keep_keys_and_gradients(wrap: type) -> None:
    inner = torch.nn.Linear(2, 1)
    model = wrap(inner)
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    model(torch.ones(1, 2)).sum().backward()
    assert inner.weight.grad.tolist() == [[1.0, 1.0]]


def test_a_module_without_parameters_is_not_distributed() -> None:
    with pytest.raises(RuntimeError, match="doesn't have any parameters"):
        DistributedDataParallel(torch.nn.ReLU())


def test_script_and_trace_return_what_they_are_given() -> None:
    model = torch.nn.Linear(2, 1)
    with pytest.warns(UserWarning, match="returns what it is given"):
        assert torch.jit.script(model) is model
    assert torch.jit.ignore(drop=True)(len) is len and torch.jit.unused(len) is len
    with pytest.raises(NotImplementedError, match="state_dict"):
        torch.jit.save(model, "model.pt")


def double(number: int, queue) -> None:  # a queue of the context's
    if number == 1:
        raise ArithmeticError("one is not doubled")
    queue.put(2 * number)


def test_spawn_runs_and_raises() -> None:
    from flambeau import multiprocessing

    queue = multiprocessing.get_context("spawn").SimpleQueue()
    multiprocessing.spawn(double, (queue,), nprocs=1)
    assert queue.get() == 0
    with pytest.raises(multiprocessing.ProcessRaisedException, match="one is not doubled"):
        multiprocessing.spawn(double, (queue,), nprocs=2)


def test_fork_rng_restores_the_stream() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with torch.random.fork_rng():
        torch.rand(5)
    assert torch.equal(torch.rand(3), expected)


def test_futures() -> None:
    first, second = torch.futures.Future(), torch.futures.Future()
    both = torch.futures.collect_all([first, second])
    tripled = first.then(lambda done: 3 * done.value())
    first.set_result(2)
    assert tripled.wait() == 6 and not both.done()
    second.set_exception(KeyError("gone"))
    assert both.done()
    with pytest.raises(KeyError, match="gone"):
        torch.futures.wait_all([first, second])


def test_profile_by_name_and_schedule() -> None:
    ready = []
    plan = torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
    assert [plan(step).name for step in range(5)] == [
        "NONE",
        "WARMUP",
        "RECORD",
        "RECORD_AND_SAVE",
        "NONE",
    ]
    with torch.profiler.profile(schedule=plan, on_trace_ready=ready.append) as measured:
        for _ in range(5):
            with torch.profiler.record_function("part"):
                torch.ones(3) + 1
            measured.step()
    assert ready == [measured]
    counts = {each.key: each.count for each in measured.key_averages()}
    assert counts == {"part": 2, "ProfilerStep": 2}
    assert "part" in measured.key_averages().table()


def test_assert_close() -> None:
    close = torch.testing.assert_close
    close(torch.ones(2), torch.ones(2) + 1e-6)
    close({"a": [torch.ones(2), 1]}, {"a": [torch.ones(2), 1]})
    close(torch.tensor(float("nan")), torch.tensor(float("nan")), equal_nan=True)
    with pytest.raises(AssertionError, match=r"elements: 1 / 2 (?s:.)*index \(1,\)"):
        close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    with pytest.raises(AssertionError, match="'dtype' do not match"):
        close(torch.ones(2), torch.ones(2).double())
    with pytest.raises(AssertionError, match=r"at \['a'\]\[1\]"):
        close({"a": [1, 2]}, {"a": [1, 3]})
    with pytest.raises(AssertionError, match="not close"):
        close(torch.tensor(float("inf")), torch.tensor(1.0))
    with pytest.raises(ValueError, match="both be specified"):
        close(1, 1, rtol=0.1)


def test_make_tensor() -> None:
    made = torch.testing.make_tensor((50,), dtype=torch.int64, device="cpu", low=2, high=4)
    assert set(made.tolist()) == {2, 3}
    strided = torch.testing.make_tensor(
        3, 4, dtype=torch.float32, device="cpu", noncontiguous=True, requires_grad=True
    )
    assert strided.shape == (3, 4) and not strided.is_contiguous() and strided.requires_grad


def test_devices_of_other_machines_can_be_named_and_not_used() -> None:
    device = torch.device("cuda:1")
    assert (device.type, device.index, str(device)) == ("cuda", 1, "cuda:1")
    assert torch.zeros(1).device != torch.device("mps")
    for use in (
        lambda: torch.zeros(1, device=device),
        lambda: torch.zeros(1).to("cuda"),
        lambda: torch.nn.Linear(1, 1).to(device),
        lambda: torch.set_default_device("mps"),
        lambda: torch.device("cuda").__enter__(),
    ):
        with pytest.raises(AssertionError, match=r"not compiled with .* device 'webgpu'"):
            use()
    with pytest.raises(RuntimeError, match="at start of device string: nowhere"):
        torch.device("nowhere")


def test_settings_of_backends_are_kept() -> None:
    import flambeau.backends.cudnn as cudnn

    assert cudnn is torch.backends.cudnn
    assert not cudnn.is_available() and cudnn.version() is None
    cudnn.benchmark = True
    with cudnn.flags(benchmark=False):
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark
    cudnn.benchmark = False
    assert not torch.backends.mps.is_available() and not torch.backends.mps.is_built()
    assert torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")


def test_checks() -> None:
    torch._check(True)
    with pytest.raises(ValueError, match="five"):
        torch._check_value(False, lambda: "five")
    with pytest.raises(TypeError, match="cond must be a bool"):
        torch._check(1)


def test_marks_for_quantisation_leave_floats() -> None:
    from flambeau.ao.quantization import DeQuantStub, QuantStub

    x = torch.tensor([1.0, -2.0])
    assert DeQuantStub()(QuantStub()(x)) is x
    module = torch.nn.quantized.FloatFunctional()
    assert module.add_relu(x, x).tolist() == [2.0, 0.0]
    assert module.mul_scalar(x, 2).tolist() == [2.0, -4.0]
    assert module.cat([x, x]).shape == (4,)
    with pytest.raises(RuntimeError, match="forward"):
        module(x)
