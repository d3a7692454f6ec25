"""REINFORCE and PPO with generalised advantages that are written backwards in place."""

import numpy as np

import flambeau as torch
import flambeau.nn as nn
import flambeau.optim as optim


def layer_init(layer, std=np.sqrt(2), bias_const=0.0):
    torch.nn.init.orthogonal_(layer.weight, std)
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


class Environments:
    """Four carts in numpy, reset by themselves when they leave."""

    def __init__(self, n, seed):
        self.random = np.random.default_rng(seed)
        self.state = self.random.uniform(-0.5, 0.5, (n, 3)).astype(np.float32)

    def reset(self):
        return self.state.copy()

    def step(self, action):
        push = (action * 2 - 1).astype(np.float32) * 0.1
        self.state[:, 1] = 0.95 * self.state[:, 1] + push
        self.state[:, 0] += self.state[:, 1]
        self.state[:, 2] = np.sin(self.state[:, 0])
        reward = 1.0 - np.abs(self.state[:, 0])
        done = np.abs(self.state[:, 0]) > 1.0
        self.state[done] = 0.05
        return self.state.copy(), reward, done


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(3, 16)), nn.Tanh(), layer_init(nn.Linear(16, 1), std=1.0)
        )
        self.actor = nn.Sequential(
            layer_init(nn.Linear(3, 16)), nn.Tanh(), layer_init(nn.Linear(16, 2), std=0.01)
        )

    def get_value(self, x):
        return self.critic(x)

    def get_action_and_value(self, x, action=None):
        logits = self.actor(x)
        logits = logits - logits.logsumexp(dim=-1, keepdim=True)
        probs = logits.exp()
        if action is None:
            action = torch.multinomial(probs, 1, replacement=True).squeeze(-1)
        logprob = logits.gather(-1, action.long().unsqueeze(-1)).squeeze(-1)
        entropy = -(logits * probs).sum(-1)
        return action, logprob, entropy, self.critic(x)


torch.manual_seed(1)
num_steps, num_envs, gamma, gae_lambda, clip_coef = 16, 4, 0.99, 0.95, 0.2
device = torch.device("cpu")
envs = Environments(num_envs, 1)
agent = Agent().to(device)
optimizer = optim.Adam(agent.parameters(), lr=2.5e-3, eps=1e-5)
obs = torch.zeros((num_steps, num_envs) + (3,)).to(device)
actions = torch.zeros((num_steps, num_envs)).to(device)
logprobs = torch.zeros((num_steps, num_envs)).to(device)
rewards = torch.zeros((num_steps, num_envs)).to(device)
dones = torch.zeros((num_steps, num_envs)).to(device)
values = torch.zeros((num_steps, num_envs)).to(device)
next_obs = torch.Tensor(envs.reset()).to(device)
next_done = torch.zeros(num_envs).to(device)
rng = np.random.default_rng(0)
for iteration in range(1, 4):
    frac = 1.0 - (iteration - 1.0) / 3
    optimizer.param_groups[0]["lr"] = frac * 2.5e-3
    for step in range(0, num_steps):
        obs[step] = next_obs
        dones[step] = next_done
        with torch.no_grad():
            action, logprob, _, value = agent.get_action_and_value(next_obs)
            values[step] = value.flatten()
        actions[step] = action
        logprobs[step] = logprob
        next_obs, reward, done = envs.step(action.cpu().numpy())
        rewards[step] = torch.tensor(reward).to(device).view(-1)
        next_obs, next_done = torch.Tensor(next_obs).to(device), torch.Tensor(done).to(device)
    with torch.no_grad():
        next_value = agent.get_value(next_obs).reshape(1, -1)
        advantages = torch.zeros_like(rewards).to(device)
        lastgaelam = 0
        for t in reversed(range(num_steps)):
            if t == num_steps - 1:
                nextnonterminal = 1.0 - next_done
                nextvalues = next_value
            else:
                nextnonterminal = 1.0 - dones[t + 1]
                nextvalues = values[t + 1]
            delta = rewards[t] + gamma * nextvalues * nextnonterminal - values[t]
            advantages[t] = lastgaelam = delta + gamma * gae_lambda * nextnonterminal * lastgaelam
        returns = advantages + values
    b_obs = obs.reshape((-1,) + (3,))
    b_logprobs = logprobs.reshape(-1)
    b_actions = actions.reshape((-1,))
    b_advantages = advantages.reshape(-1)
    b_returns = returns.reshape(-1)
    b_values = values.reshape(-1)
    b_inds = np.arange(num_steps * num_envs)
    clipfracs = []
    for epoch in range(2):
        rng.shuffle(b_inds)
        for start in range(0, num_steps * num_envs, 32):
            mb_inds = b_inds[start : start + 32]
            _, newlogprob, entropy, newvalue = agent.get_action_and_value(
                b_obs[mb_inds], b_actions.long()[mb_inds]
            )
            logratio = newlogprob - b_logprobs[mb_inds]
            ratio = logratio.exp()
            with torch.no_grad():
                approx_kl = ((ratio - 1) - logratio).mean()
                clipfracs += [((ratio - 1.0).abs() > clip_coef).float().mean().item()]
            mb_advantages = b_advantages[mb_inds]
            mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
            pg_loss1 = -mb_advantages * ratio
            pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - clip_coef, 1 + clip_coef)
            pg_loss = torch.max(pg_loss1, pg_loss2).mean()
            newvalue = newvalue.view(-1)
            v_loss_unclipped = (newvalue - b_returns[mb_inds]) ** 2
            v_clipped = b_values[mb_inds] + torch.clamp(
                newvalue - b_values[mb_inds], -clip_coef, clip_coef
            )
            v_loss_clipped = (v_clipped - b_returns[mb_inds]) ** 2
            v_loss = 0.5 * torch.max(v_loss_unclipped, v_loss_clipped).mean()
            loss = pg_loss - 0.01 * entropy.mean() + v_loss * 0.5
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
    y_pred, y_true = b_values.cpu().numpy(), b_returns.cpu().numpy()
    var_y = np.var(y_true)
    explained_var = np.nan if var_y == 0 else 1 - np.var(y_true - y_pred) / var_y
    print(iteration, pg_loss.item(), v_loss.item(), approx_kl.item(), np.mean(clipfracs))
    print(explained_var, returns.sum().item(), advantages[0], actions.sum(0))

policy = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(dim=-1))
optimizer = optim.SGD(policy.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for episode in range(3):
    state, log_probs, rewards = envs.reset()[:1], [], []
    for t in range(8):
        probs = policy(torch.from_numpy(state).float())
        action = probs.multinomial(1)[0]
        log_probs.append(torch.log(probs[0, action]))
        state, reward, _ = envs.step(np.full(4, action.item()))
        state = state[:1]
        rewards.insert(0, reward[0])
    R, returns = 0, []
    for r in rewards:
        R = r + 0.9 * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + np.finfo(np.float32).eps.item())
    policy_loss = [-log_prob * R for log_prob, R in zip(log_probs, returns)]
    optimizer.zero_grad()
    policy_loss = torch.cat(policy_loss).sum()
    policy_loss.backward()
    optimizer.step()
    print(episode, policy_loss.item(), float(returns[0]), policy[0].weight.grad.norm().item())
