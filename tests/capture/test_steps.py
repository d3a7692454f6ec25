"""Whole training steps: replays leave the bits that the plain loop leaves."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
from flambeau.nn import functional as F  # as everyone calls it

from .programs import batches, check_same, network, replays_of, state_of, train_step

nn, optim = torch.nn, torch.optim
OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "nadam": lambda p: optim.NAdam(p, lr=0.01),
    "radam": lambda p: optim.RAdam(p, lr=0.01),
    "adamax": lambda p: optim.Adamax(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01, lr_decay=0.1),
    "adadelta": lambda p: optim.Adadelta(p),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = OPTIMIZERS[name](model.parameters())
        step = wrap(train_step(model, optimizer))
        losses = [step(x, y).item() for x, y in batches(12, 5, 4)]
        if hasattr(step, "recordings"):
            assert "Replay" in replays_of(step)
        return [repr(losses).encode(), *state_of(model, optimizer)]

    check_same(run)


@pytest.mark.parametrize("with_momentum", [False, True])
def test_schedule_between_calls(with_momentum: bool) -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        schedule: Any = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        if with_momentum:  # changes betas, too
            schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
        step = wrap(train_step(model, optimizer))
        for x, y in batches(10, 5, 4):
            step(x, y)
            schedule.step()
        if hasattr(step, "recordings"):
            assert replays_of(step) == ["Replay"]
        return state_of(model, optimizer)

    check_same(run)


def test_schedule_inside_runs_plainly() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.StepLR(optimizer, 2)
        plain = train_step(model, optimizer)

        def step(x: Any, y: Any) -> None:
            plain(x, y)
            schedule.step()

        wrapped = wrap(step)
        for x, y in batches(7, 5, 4):
            wrapped(x, y)
        return [repr(optimizer.param_groups[0]["lr"]).encode(), *state_of(model)]

    with pytest.warns(UserWarning, match="a schedule sets a learning rate"):
        check_same(run)


def test_dropout_and_batch_norm() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network(nn.BatchNorm1d(8), nn.Dropout(0.4))
        optimizer = optim.Adam(model.parameters())
        step = wrap(train_step(model, optimizer))
        losses = [step(x, y).item() for x, y in batches(9, 5, 4)]
        return [repr(losses).encode(), *state_of(model, optimizer)]

    check_same(run)


def test_host_random_numbers() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = nn.Linear(4, 4)
        optimizer = optim.SGD(model.parameters(), lr=0.01)

        @wrap
        def step(x: Any) -> Any:
            optimizer.zero_grad()
            noisy = model(x + torch.randn_like(x)) * torch.rand(4) + torch.empty(4).normal_()
            loss = (noisy - x).pow(2).mean() + torch.randint(0, 5, (4,)).sum()
            loss.backward()
            optimizer.step()
            return loss

        losses = [step(x).item() for x, _ in batches(8, 5, 4)]
        if hasattr(step, "recordings"):
            assert replays_of(step) == ["Replay"]
        return [repr(losses).encode(), *state_of(model)]

    check_same(run)


def test_gradient_accumulation() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = optim.Adam(model.parameters())

        @wrap
        def accumulate(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        found: list[bytes] = []
        for number, (x, y) in enumerate(batches(20, 5, 4)):
            found.append(accumulate(x, y).detach().numpy().tobytes())
            if number % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
        return found + state_of(model, optimizer)

    check_same(run)


@pytest.mark.parametrize("to_none", [False, True])
def test_clipping_and_zeroing(to_none: bool) -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

        @wrap
        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad(set_to_none=to_none)
            F.cross_entropy(model(x), y).backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            nn.utils.clip_grad_value_(model.parameters(), 0.05)
            optimizer.step()
            return norm

        norms = [step(x, y).item() for x, y in batches(9, 5, 4)]
        return [repr(norms).encode(), *state_of(model, optimizer)]

    check_same(run)


def test_two_optimizers() -> None:
    def run(wrap: Any) -> list[bytes]:
        maker, judge = nn.Linear(2, 4), nn.Linear(4, 1)
        of_maker = optim.Adam(maker.parameters(), lr=0.01)
        of_judge = optim.RMSprop(judge.parameters(), lr=0.01)

        @wrap
        def step(real: Any) -> Any:
            noise = torch.randn(real.shape[0], 2)
            of_judge.zero_grad()
            ones, zeros = torch.ones(real.shape[0], 1), torch.zeros(real.shape[0], 1)
            judged = F.binary_cross_entropy_with_logits(judge(real), ones)
            judged = judged + F.binary_cross_entropy_with_logits(
                judge(maker(noise).detach()), zeros
            )
            judged.backward()
            of_judge.step()
            of_maker.zero_grad()
            fooled = F.binary_cross_entropy_with_logits(judge(maker(noise)), ones)
            fooled.backward()
            of_maker.step()
            return {"judge": judged.detach(), "maker": fooled.detach(), "name": "gan"}

        found = []
        for x, _ in batches(9, 5, 4):
            result = step(x)
            found.append(repr((result["judge"].item(), result["maker"].item(), result["name"])))
        if hasattr(step, "recordings"):
            assert replays_of(step) == ["Replay"]
        return ["".join(found).encode(), *state_of(maker, judge, of_maker, of_judge)]

    check_same(run)


def test_wrapped_model() -> None:
    """`model = compile(model)` in an otherwise plain loop, with evaluation in between."""

    def run(wrap: Any) -> list[bytes]:
        original = network(nn.BatchNorm1d(8), nn.Dropout(0.2))
        model = wrap(original)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        found: list[Any] = []
        for number, (x, y) in enumerate(batches(12, 5, 4)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
            if number % 2:
                model.eval()
                with torch.no_grad():
                    found += model(x).tolist()
                model.train()
        if hasattr(model, "recordings"):
            assert sorted(replays_of(model)) == ["ForwardReplay", "Replay"]
        return [repr(found).encode(), *state_of(original, optimizer)]

    check_same(run)


def test_new_shapes_and_numbers_are_recorded_anew() -> None:
    def run(wrap: Any) -> list[bytes]:
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        @wrap
        def step(x: Any, y: Any, weight: float) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y) * weight
            loss.backward()
            optimizer.step()
            return loss

        found = []
        for size in (5, 3):
            for weight in (1.0, 0.5):
                found += [step(x, y, weight).item() for x, y in batches(4, size, 4)]
                found += [step(x, y, weight=weight).item() for x, y in batches(4, size, 4)]
        return [repr(found).encode(), *state_of(model)]

    check_same(run)


def test_bits_do_not_depend_on_threads() -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        model = network(nn.Dropout(0.3))
        optimizer = optim.Adam(model.parameters())
        step = torch.compile(train_step(model, optimizer))
        for x, y in batches(6, 5, 4):
            step(x, y)
        found.append(state_of(model, optimizer))
    assert found[0] == found[1]
