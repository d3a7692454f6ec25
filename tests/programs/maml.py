"""MAML on sine waves: the outer gradient goes through the inner steps."""

import math
from collections import OrderedDict

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            OrderedDict(
                [
                    ("l1", nn.Linear(1, 16)),
                    ("a1", nn.Tanh()),
                    ("l2", nn.Linear(16, 16)),
                    ("a2", nn.Tanh()),
                    ("l3", nn.Linear(16, 1)),
                ]
            )
        )

    def forward(self, x, weights=None):
        if weights is None:
            return self.net(x)
        x = torch.tanh(F.linear(x, weights["net.l1.weight"], weights["net.l1.bias"]))
        x = torch.tanh(F.linear(x, weights["net.l2.weight"], weights["net.l2.bias"]))
        return F.linear(x, weights["net.l3.weight"], weights["net.l3.bias"])


torch.manual_seed(0)
model = Net()
meta = torch.optim.Adam(model.parameters(), lr=1e-2)
for it in range(4):
    meta.zero_grad()
    outer = torch.tensor(0.0)
    for task in range(3):
        amplitude, phase = torch.rand(()) * 4.9 + 0.1, torch.rand(()) * math.pi
        x = torch.rand(10, 1) * 10 - 5
        y = amplitude * torch.sin(x + phase)
        xs, xq = x[:5], x[5:]
        ys, yq = y[:5], y[5:]
        fast = OrderedDict(model.named_parameters())
        for inner in range(2):
            loss = F.mse_loss(model(xs, fast), ys)
            grads = torch.autograd.grad(loss, fast.values(), create_graph=True)
            fast = OrderedDict((name, p - 0.05 * g) for (name, p), g in zip(fast.items(), grads))
        outer = outer + F.mse_loss(model(xq, fast), yq)
    outer /= 3
    outer.backward()
    total = torch.norm(torch.stack([p.grad.detach().norm() for p in model.parameters()]))
    meta.step()
    print(it, outer.item(), total.item(), loss.item())
print(
    torch.autograd.grad(F.mse_loss(model(xs), ys), list(model.parameters()), allow_unused=True)[-1]
)
