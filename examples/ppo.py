"""Learn to balance poles by proximal policy optimization, several at a time.

J. Schulman and others, Proximal Policy Optimization Algorithms, 2017, with J. Schulman and others,
High-Dimensional Continuous Control Using Generalized Advantage Estimation, 2016; the task is
CartPole of gymnasium (`pip install 'flambeau[examples]'`).

    python examples/ppo.py --updates 60
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import gymnasium
import numpy

import flambeau as torch
from flambeau import nn
from flambeau.distributions import Categorical


def layer(into: int, out: int, gain: float = 2**0.5) -> nn.Linear:
    made = nn.Linear(into, out)
    nn.init.orthogonal_(made.weight, gain)
    nn.init.zeros_(made.bias)
    return made


class Agent(nn.Module):
    """Observations (batch, 4) to a choice of two actions, and what is expected (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(
            layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 2, 0.01)
        )
        self.critic = nn.Sequential(
            layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0)
        )

    def forward(self, x: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        return Categorical(logits=self.actor(x)), self.critic(x).squeeze(-1)


@dataclass
class Rollout:
    """What happened, (steps, environments) each."""

    observations: torch.Tensor
    actions: torch.Tensor
    logs: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class Runner:
    """Environments side by side, restarted when they end; `lengths` of the episodes that did."""

    def __init__(self, count: int, seed: int) -> None:
        self.environments = [gymnasium.make("CartPole-v1") for _ in range(count)]
        starts = [
            each.reset(seed=seed + number)[0] for number, each in enumerate(self.environments)
        ]
        self.observation = numpy.stack(starts)
        self.running = [0] * count
        self.lengths: list[int] = []

    def step(self, actions: list[int]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Rewards, and which episodes ended."""
        rewards, ends = [], []
        for number, (environment, action) in enumerate(
            zip(self.environments, actions, strict=True)
        ):
            observation, reward, ended, cut, _ = environment.step(action)
            self.running[number] += 1
            if ended or cut:
                self.lengths.append(self.running[number])
                self.running[number] = 0
                observation, _ = environment.reset()
            self.observation[number] = observation
            rewards.append(reward)
            ends.append(ended or cut)
        return numpy.array(rewards, numpy.float32), numpy.array(ends)

    @torch.no_grad()
    def rollout(self, agent: Agent, steps: int, rate: float, trace: float) -> Rollout:
        count = len(self.environments)
        observations = torch.zeros(steps, count, 4)
        actions = torch.zeros(steps, count, dtype=torch.long)
        logs, values, rewards, going = (torch.zeros(steps, count) for _ in range(4))
        for t in range(steps):
            x = torch.tensor(self.observation)
            choice, value = agent(x)
            action = choice.sample()
            observations[t], actions[t] = x, action
            logs[t], values[t] = choice.log_prob(action), value
            reward, ended = self.step(action.tolist())
            rewards[t], going[t] = torch.tensor(reward), torch.tensor(~ended).float()
        following = agent(torch.tensor(self.observation))[1]
        advantages, running = torch.zeros(steps, count), torch.zeros(count)
        for t in reversed(range(steps)):
            surprise = rewards[t] + rate * following * going[t] - values[t]
            running = surprise + rate * trace * going[t] * running
            advantages[t], following = running, values[t]
        return Rollout(observations, actions, logs, advantages, advantages + values)


def losses(agent: Agent, rollout: Rollout, rows: torch.Tensor, clip: float) -> torch.Tensor:
    """The clipped objective, the critic's error and a bonus for entropy."""
    x, actions, logs, advantages, returns = (
        each.flatten(0, 1)[rows]
        for each in (
            rollout.observations,
            rollout.actions,
            rollout.logs,
            rollout.advantages,
            rollout.returns,
        )
    )
    choice, value = agent(x)
    ratio = (choice.log_prob(actions) - logs).exp()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)).mean()
    critic = 0.5 * (value - returns).pow(2).mean()
    return policy + 0.5 * critic - 0.01 * choice.entropy().mean()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Learn, and return how long poles stood, in steps, in the first and last tenth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--steps", type=int, default=128, help="of each environment, an update")
    parser.add_argument("--environments", type=int, default=4)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4, help="over the steps of an update")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    agent, runner = Agent(), Runner(options.environments, options.seed)
    optimizer = torch.optim.Adam(agent.parameters(), lr=2.5e-3, eps=1e-5)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, options.updates)
    for update in range(options.updates):
        rollout = runner.rollout(agent, options.steps, rate=0.99, trace=0.95)
        for _ in range(options.epochs):
            order = torch.randperm(options.steps * options.environments)
            for rows in order.split(options.batch):
                loss = losses(agent, rollout, rows, clip=0.2)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        schedule.step()
        if (update + 1) % 10 == 0:
            last = runner.lengths[-20:]
            print(f"update {update + 1:3}  poles stood {sum(last) / len(last):.0f} steps")
    tenth = max(len(runner.lengths) // 10, 1)
    first, last = runner.lengths[:tenth], runner.lengths[-tenth:]
    return {"first": sum(first) / tenth, "last": sum(last) / tenth}


if __name__ == "__main__":
    main()
