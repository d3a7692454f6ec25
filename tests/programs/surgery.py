"""Hooks, weight tying, freezing, averages of weights, state_dict with other keys, files."""

import copy
import os
import tempfile
from collections import OrderedDict

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(4 * 3 * 3, 3)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x):
        self.steps += 1
        return self.head(self.features(x).flatten(1)) * self.scale


torch.manual_seed(13)
net = Net()
x, y = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
seen = {}


def save(name):
    def hook(module, inputs, output):
        seen[name] = output.detach().mean().item()

    return hook


handles = [m.register_forward_hook(save(n)) for n, m in net.named_modules() if n]
back = net.head.register_full_backward_hook(
    lambda m, gi, go: seen.update(gi=gi[0].norm().item(), go=go[0].norm().item())
)
pre = net.features.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
net.head.weight.register_hook(lambda g: g * 0.5)
F.cross_entropy(net(x), y).backward()
print({k: round(v, 4) for k, v in seen.items()})
print(net.head.weight.grad.norm().item(), net.steps, net.scale.grad)
for h in handles + [back, pre]:
    h.remove()
seen.clear()
net(x)
print(len(seen), net.steps.item())

teacher = copy.deepcopy(net)
for p in teacher.parameters():
    p.requires_grad_(False)
teacher.eval()
for name, p in net.named_parameters():
    if "features" in name:
        p.requires_grad = False
optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), lr=0.1)
before = {k: v.clone() for k, v in net.state_dict().items()}
for step in range(4):
    loss = F.cross_entropy(net(x), y) / 2
    loss.backward()
    if (step + 1) % 2 == 0:
        total = nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.25)
        optimizer.step()
        optimizer.zero_grad()
        for t, s in zip(teacher.parameters(), net.parameters()):
            t.data.mul_(0.9).add_(s.data, alpha=0.1)
        for t, s in zip(teacher.buffers(), net.buffers()):
            t.copy_(s)
        print(step, loss.item() * 2, total.item())
changed = [k for k, v in net.state_dict().items() if not torch.equal(v, before[k])]
print(changed)
print(
    teacher.scale.item(),
    teacher.head.bias,
    F.kl_div(F.log_softmax(net(x), 1), F.softmax(teacher(x), 1), reduction="batchmean").item(),
)

old = OrderedDict(("module.backbone." + k, v) for k, v in net.state_dict().items())
new = OrderedDict()
for k, v in old.items():
    k = k[len("module.") :] if k.startswith("module.") else k
    new[k.replace("backbone.", "")] = v
fresh = Net()
fresh.head = nn.Linear(36, 5)
own = fresh.state_dict()
new = {k: v for k, v in new.items() if k in own and v.shape == own[k].shape}
result = fresh.load_state_dict(new, strict=False)
print(result.missing_keys, result.unexpected_keys)
try:
    fresh.load_state_dict(old)
except RuntimeError as error:
    print(type(error).__name__, "Missing key(s)" in str(error), "Unexpected key(s)" in str(error))
try:
    fresh.load_state_dict(net.state_dict())
except RuntimeError as error:
    print(str(error).splitlines()[1].strip())

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.pt")
    torch.save(
        {
            "epoch": 3,
            "model_state_dict": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "loss": 0.5,
        },
        path,
    )
    checkpoint = torch.load(path, map_location="cpu")
other = Net()
print(
    other.load_state_dict(checkpoint["model_state_dict"]), checkpoint["epoch"], checkpoint["loss"]
)
net.eval(), other.eval()
with torch.no_grad():
    print((net(x) - other(x)).abs().max().item(), other.steps)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(7, 5)
        self.out = nn.Linear(5, 7, bias=False)
        self.out.weight = self.emb.weight

    def forward(self, t):
        return self.out(self.emb(t))


tied = Tied()
tokens = torch.tensor([[1, 2, 3], [3, 4, 5]])
loss = F.cross_entropy(tied(tokens).permute(0, 2, 1), tokens.roll(-1, 1))
loss.backward()
print(
    len(list(tied.parameters())),
    len(tied.state_dict()),
    tied.out.weight is tied.emb.weight,
    tied.emb.weight.grad.sum(1),
)
twin = copy.deepcopy(tied)
print(twin.out.weight is twin.emb.weight, loss.item())
for m in (net, tied):
    print(m)
print(sum(p.numel() for p in net.parameters()), [tuple(b.shape) for b in net.buffers()])
