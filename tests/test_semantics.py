"""What must hold across all layers: laziness is invisible, nothing compiles twice, bits repeat."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import finish, made, nothing_new, run, start

import flambeau as torch
from flambeau import nn

# nothing new for new values ----------------------------------------------------------------------

CHANGING: dict[str, Callable[[Any, int], Any]] = {
    "a float factor": lambda x, step: x * (0.1 + step),
    "a float added in place": lambda x, step: x.clone().add_(step / 3),
    "alpha": lambda x, step: x.add(x, alpha=1.0 + step),
    "an integer": lambda x, step: x + step,
    "a comparison": lambda x, step: (x > step).sum(),
    "an index": lambda x, step: x[step + 1],
    "a negative index": lambda x, step: x[-step - 1],
    "a slice's start": lambda x, step: x[step : step + 3].sum(),
    "a column": lambda x, step: x[:, step].sum(),
    "narrow": lambda x, step: x.narrow(0, step, 2).sum(),
    "select": lambda x, step: x.select(1, step).exp(),
    "an index written": lambda x, step: _written(x, (step,), 1.5 * step),
    "a slice written": lambda x, step: _written(x, slice(step, step + 2), 2.0 * step),
    "full": lambda x, step: x + torch.full((10, 4), 1.0 + step),
    "a tensor of a number": lambda x, step: x * torch.tensor(0.25 + step),
    "clamp": lambda x, step: x.clamp(min=0.1 * step, max=5.0 + step),
    "a power": lambda x, step: x.abs() ** (1.25 + step),
    "masked_fill": lambda x, step: x.masked_fill(x > 0, 7.5 + step),
    "lerp": lambda x, step: x.lerp(x * 2, 0.125 * (step + 1)),
    "dropout's seed": lambda x, step: nn.functional.dropout(x, 0.5),
    "random numbers": lambda x, step: torch.rand(10, 4) + x,
}


def _written(x: Any, index: Any, value: float) -> Any:
    copy = x.clone()
    copy[index] = value
    return copy


@pytest.mark.parametrize("name", CHANGING)
def test_a_new_value_compiles_nothing(name: str) -> None:
    x = torch.arange(40.0).reshape(10, 4) - 11.5
    for step in (0, 1):
        CHANGING[name](x, step).tolist()
    with nothing_new():
        for step in (2, 3):
            CHANGING[name](x, step).tolist()


def test_indices_in_a_tensor_compile_nothing() -> None:
    x = torch.arange(40.0).reshape(10, 4)
    for values in ([0, 1], [2, 3]):
        x[torch.tensor(values)].tolist()
    with nothing_new():
        x[torch.tensor([4, 4])].tolist()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_a_decaying_learning_rate_compiles_nothing(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    data = torch.rand(8, 4)

    def step() -> float:
        optimizer.zero_grad()
        loss = model(data).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return float(loss.item())

    first = [step() for _ in range(3)]
    with nothing_new():
        later = [step() for _ in range(5)]
    assert later[-1] < first[0]


def test_another_shape_compiles() -> None:
    """The counters count: without this the tests above could not fail."""
    before = made()
    (torch.rand(3, 17) * 1.5).sum().item()
    assert made() > before


# memory ------------------------------------------------------------------------------------------

LONG_LOOP = """
import gc, resource
import flambeau as torch
from flambeau.graph.node import Node

{setup}
def live():
    gc.collect()
    return sum(type(each) is Node for each in gc.get_objects())

most = []
for step in range(10_000):
    {body}
    if step in (2_999, 9_999):
        most.append((live(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
(nodes, memory), (nodes_later, memory_later) = most
print(nodes, nodes_later, memory, memory_later, {result})
"""


def _bounded(setup: str, body: str, result: str) -> float:
    printed = run(LONG_LOOP.format(setup=setup, body=body, result=result)).split()
    _nodes, nodes_later, memory, memory_later, value = map(float, printed)
    assert nodes_later < 60_000
    assert memory_later - memory < 64, "MB between step 3,000 and step 10,000"
    return value


def test_10000_steps_without_reading_keep_memory_bounded() -> None:
    value = _bounded("x = torch.ones(1000)", "x = x * 0.5 + 1", "x.mean().item()")
    assert value == pytest.approx(2.0)


def test_10000_training_steps_without_reading_keep_memory_bounded() -> None:
    setup = """
torch.manual_seed(0)
w = torch.zeros(16, requires_grad=True)
data = torch.rand(8, 16)
optimizer = torch.optim.SGD([w], lr=0.01)
def train():
    optimizer.zero_grad()
    (data @ w - 1).square().mean().backward()
    optimizer.step()
"""
    value = _bounded(setup, "train()", "(data @ w - 1).square().mean().item()")
    assert value < 0.01


# in place ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_optimizer_updates_happen_in_place(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8))
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.01, **options)
    data = torch.rand(16, 32)

    def step() -> None:
        optimizer.zero_grad()
        model(data).square().mean().backward()
        optimizer.step()

    def addresses() -> list[int]:
        held = list(model.parameters())
        for state in optimizer.state.values():
            held += [each for each in state.values() if torch.is_tensor(each) and each.ndim]
        return [each.data_ptr() for each in held]

    step()
    step()
    before = addresses()
    values = model[0].weight.tolist()
    for _ in range(3):
        step()
    assert addresses() == before
    assert model[0].weight.tolist() != values


def test_a_value_that_somebody_holds_is_not_overwritten() -> None:
    cache = torch.zeros(4)
    cache.add_(1)
    kept = cache.clone()
    seen = cache.numpy().copy()
    cache[2] = 9
    assert cache.tolist() == [1, 1, 9, 1]
    assert kept.tolist() == [1, 1, 1, 1]
    assert seen.tolist() == [1, 1, 1, 1]


def test_a_cache_that_is_written_in_a_loop_stays_in_place() -> None:
    cache = torch.zeros(1000, 8)
    row = torch.ones(8)
    cache[0] = row
    cache[1] = row
    place = cache.data_ptr()
    for step in range(2, 20):
        cache[step] = row * step
        assert cache.data_ptr() == place
    assert cache[19].tolist() == [19.0] * 8


# views -------------------------------------------------------------------------------------------


def test_views_see_writes_both_ways() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    column, row, turned = base[:, 1], base[2], base.t()
    column += 100
    assert row.tolist() == [8.0, 109.0, 10.0, 11.0]
    row.zero_()
    assert turned[1].tolist() == [101.0, 105.0, 0.0]
    turned[0, 0] = -1
    assert base[0, 0].item() == -1


def test_gradient_flows_through_a_write_into_a_view() -> None:
    x = torch.ones(3, requires_grad=True)
    whole = torch.zeros(3, 2)
    whole[:, 1] = x * 2
    (whole * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [20.0, 20.0, 20.0]


def test_version_error_where_pytorch_raises_it() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_no_version_error_where_the_value_is_not_needed() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    z = y + 1
    y.add_(1)
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


# the same bits -----------------------------------------------------------------------------------

TRAIN = """
import hashlib
import flambeau as torch
from flambeau import nn
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Dropout(0.2), nn.Linear(128, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
images, labels = torch.rand(96, 1, 8, 8), torch.randint(0, 10, (96,))
for step in range(4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
digest = hashlib.sha256()
for each in model.state_dict().values():
    digest.update(each.numpy().tobytes())
x = torch.rand(300, 500)
for each in (x.sum(), x.sum(0), x.sum(1), x @ x.t(), x.cumsum(1), x.sort(1).values, x.softmax(0)):
    digest.update(each.numpy().tobytes())
print(digest.hexdigest(), loss.item())
"""


def test_bits_are_the_same_from_run_to_run_and_for_1_and_2_threads() -> None:
    found = {run(TRAIN, FLAMBEAU_THREADS=threads) for threads in ("1", "2", "1", "2")}
    assert len(found) == 1, found


def test_a_sample_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.Linear(30, 5), nn.Softmax(dim=1))
    model.requires_grad_(False)
    data = torch.rand(33, 20)
    whole = model(data)
    for size, first in ((1, 7), (2, 30), (16, 5)):
        part = model(data[first : first + size])
        assert part.numpy().tobytes() == whole[first : first + size].clone().numpy().tobytes()


# the disk cache ----------------------------------------------------------------------------------

SHARED = """
import flambeau as torch
from flambeau.schedule.flush import STATISTICS
total = 0.0
for size in range(2, 14):
    x = torch.arange(float(size * size)).reshape(size, size)
    total += ((x @ x).softmax(0) * x.t()).sum().item()
print(total, STATISTICS.plans_built)
"""


def test_processes_share_the_disk_cache_and_survive_a_killed_one(tmp_path: Path) -> None:
    cache = {"FLAMBEAU_CACHE": str(tmp_path)}
    killed = start(SHARED, **cache)
    others = [start(SHARED, **cache) for _ in range(2)]
    while killed.poll() is None and not list(tmp_path.rglob("*.*")) and not any(tmp_path.iterdir()):
        pass  # until it, or another, begins to write
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    totals = {finish(each).split()[0] for each in others}
    total, built = run(SHARED, **cache).split()
    assert totals == {total}
    assert built == "0", "all plans were on disk"


def test_a_damaged_cache_is_repaired(tmp_path: Path) -> None:
    cache = {"FLAMBEAU_CACHE": str(tmp_path)}
    total = run(SHARED, **cache).split()[0]
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert files
    for number, each in enumerate(files):
        content = bytearray(each.read_bytes())
        if number % 2:
            content[len(content) // 2] ^= 255
        each.write_bytes(content if number % 2 else content[: len(content) // 2])
    assert run(SHARED, **cache).split()[0] == total
    assert run(SHARED, **cache).split() == [total, "0"]


FULL = """
import resource, warnings
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # every write of a byte fails, as on a full disk
import flambeau as torch
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    values = [(torch.arange(float(size)) * 2).sum().item() for size in (3, 4, 5)]
print(values, [each.category.__name__ for each in seen])
"""


def test_a_full_disk_under_the_cache_is_said_once_and_work_goes_on(tmp_path: Path) -> None:
    printed = run(FULL, FLAMBEAU_CACHE=str(tmp_path))
    assert printed.strip() == "[6.0, 12.0, 20.0] ['RuntimeWarning']"
