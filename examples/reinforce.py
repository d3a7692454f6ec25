"""Learn to balance a pole by REINFORCE.

R. J. Williams, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
Learning, 1992; the task is CartPole of gymnasium (`pip install 'flambeau[examples]'`).

    python examples/reinforce.py --episodes 300
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy

import flambeau as torch
from flambeau import nn
from flambeau.distributions import Categorical


@torch.no_grad()
def episode(
    environment: gymnasium.Env, policy: nn.Module, seed: int | None
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """What was seen (steps, 4), what was done (steps,), and the rewards."""
    observation, _ = environment.reset(seed=seed)
    seen, actions, rewards, done = [], [], [], False
    while not done:
        x = torch.as_tensor(observation, dtype=torch.float32)
        action = Categorical(logits=policy(x)).sample().item()
        seen.append(observation)
        actions.append(action)
        observation, reward, ended, cut, _ = environment.step(action)
        rewards.append(float(reward))
        done = ended or cut
    return torch.tensor(numpy.stack(seen)), torch.tensor(actions), rewards


def discounted(rewards: list[float], rate: float) -> torch.Tensor:
    """The sum of rewards from each step on, a later one counting `rate` less a step."""
    total, sums = 0.0, []
    for reward in reversed(rewards):
        total = reward + rate * total
        sums.append(total)
    return torch.tensor(sums[::-1])


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Learn, and return how long the pole stood in the first and the last tenth, in steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--rate", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    environment = gymnasium.make("CartPole-v1")
    policy = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    lengths = []
    for number in range(options.episodes):
        seed = options.seed if number == 0 else None
        seen, actions, rewards = episode(environment, policy, seed)
        returns = discounted(rewards, options.rate)
        returns = (returns - returns.mean()) / (returns.std() + 1e-6)
        logs = Categorical(logits=policy(seen)).log_prob(actions)
        loss = -(logs * returns).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lengths.append(len(rewards))
        if (number + 1) % 20 == 0:
            print(f"episode {number + 1:4}  stood {sum(lengths[-20:]) / 20:.0f} steps")
    environment.close()
    tenth = max(options.episodes // 10, 1)
    return {"first": sum(lengths[:tenth]) / tenth, "last": sum(lengths[-tenth:]) / tenth}


if __name__ == "__main__":
    main()
