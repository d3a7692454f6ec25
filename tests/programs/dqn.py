"""Deep Q-learning on a small made environment, with a replay buffer that is written in place."""

import random

import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F
import flambeau.optim as optim


class Walk:
    """Stay near the middle of a line: push left or right against a drift."""

    def reset(self):
        self.x, self.v, self.t = 0.1, 0.0, 0
        return [self.x, self.v]

    def step(self, action):
        self.v = 0.9 * self.v + (0.1 if action == 1 else -0.1) + 0.02 * self.x
        self.x += self.v
        self.t += 1
        done = abs(self.x) > 1.0 or self.t >= 20
        return [self.x, self.v], 1.0 - abs(self.x), done


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 16)
        self.layer2 = nn.Linear(16, 16)
        self.layer3 = nn.Linear(16, n_actions)

    def forward(self, x):
        x = F.relu(self.layer1(x))
        x = F.relu(self.layer2(x))
        return self.layer3(x)


class Replay:
    def __init__(self, size, device):
        self.obs = torch.zeros((size, 2), device=device)
        self.next_obs = torch.zeros_like(self.obs)
        self.actions = torch.zeros(size, dtype=torch.int64, device=device)
        self.rewards = torch.zeros(size, device=device)
        self.dones = torch.zeros(size, dtype=torch.bool, device=device)
        self.size, self.position, self.full = size, 0, False

    def push(self, obs, action, reward, next_obs, done):
        p = self.position
        self.obs[p] = torch.as_tensor(obs)
        self.next_obs[p] = torch.tensor(next_obs)
        self.actions[p] = action
        self.rewards[p] = reward
        self.dones[p] = done
        self.position = (p + 1) % self.size
        self.full = self.full or self.position == 0

    def __len__(self):
        return self.size if self.full else self.position

    def sample(self, n):
        index = torch.randint(0, len(self), (n,))
        return (
            self.obs[index],
            self.actions[index],
            self.rewards[index],
            self.next_obs[index],
            self.dones[index],
        )


random.seed(3)
torch.manual_seed(3)
device = torch.device("cpu")
policy_net, target_net = DQN(2, 2).to(device), DQN(2, 2).to(device)
target_net.load_state_dict(policy_net.state_dict())
optimizer = optim.AdamW(policy_net.parameters(), lr=5e-3, amsgrad=True)
memory = Replay(64, device)
GAMMA, TAU, eps, steps = 0.95, 0.05, 1.0, 0
env = Walk()
for episode in range(6):
    state, total, done = env.reset(), 0.0, False
    while not done:
        eps = max(0.1, eps * 0.97)
        if random.random() > eps:
            with torch.no_grad():
                q = policy_net(torch.tensor(state, device=device).unsqueeze(0))
                action = q.max(1).indices.view(1, 1).item()
        else:
            action = random.randrange(2)
        next_state, reward, done = env.step(action)
        memory.push(state, action, reward, next_state, done)
        state = next_state
        total += reward
        steps += 1
        if len(memory) < 16:
            continue
        obs, actions, rewards, next_obs, dones = memory.sample(16)
        q_values = policy_net(obs).gather(1, actions.unsqueeze(1)).squeeze(1)
        next_values = torch.zeros(16, device=device)
        with torch.no_grad():
            next_values[~dones] = target_net(next_obs[~dones]).max(1).values
        expected = rewards + GAMMA * next_values
        loss = nn.SmoothL1Loss()(q_values, expected)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
        optimizer.step()
        with torch.no_grad():
            for target, source in zip(target_net.parameters(), policy_net.parameters()):
                target.data.mul_(1 - TAU)
                torch.add(target.data, source.data, alpha=TAU, out=target.data)
    print(f"episode {episode}: return {total:.4f}, steps {steps}, memory {len(memory)}")
print(loss.item(), memory.dones.sum().item(), memory.rewards.mean().item())
print(target_net.layer3.weight.data.sum(), q_values[:4])
