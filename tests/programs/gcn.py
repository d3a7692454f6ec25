"""A graph network: messages by index_add_, normalised degrees, dropout-free, semi-supervised."""

import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F


class GCNConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x, edge_index):
        n = x.size(0)
        loops = torch.arange(n, device=x.device).unsqueeze(0).repeat(2, 1)
        row, col = torch.cat([edge_index, loops], dim=1)
        deg = torch.zeros(n, dtype=x.dtype).scatter_add_(
            0, col, torch.ones_like(col, dtype=x.dtype)
        )
        deg_inv_sqrt = deg.pow(-0.5)
        deg_inv_sqrt[deg_inv_sqrt == float("inf")] = 0
        norm = deg_inv_sqrt[row] * deg_inv_sqrt[col]
        x = x @ self.weight
        out = torch.zeros_like(x)
        out = out.index_add(0, col, norm.view(-1, 1) * x[row])
        return out + self.bias


class GAT(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query, self.key = nn.Linear(width, width, False), nn.Linear(width, width, False)

    def forward(self, x, edge_index):
        row, col = edge_index
        score = (self.query(x)[col] * self.key(x)[row]).sum(-1)
        top = torch.full((x.size(0),), -1e9).scatter_reduce(0, col, score, "amax")
        weight = (score - top[col]).exp()
        total = torch.zeros(x.size(0)).index_add_(0, col, weight)
        alpha = weight / total[col].clamp(min=1e-9)
        return torch.zeros_like(x).index_add_(0, col, alpha[:, None] * x[row])


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = GCNConv(6, 8)
        self.attend = GAT(8)
        self.conv2 = GCNConv(8, 3)

    def forward(self, x, edge_index):
        x = F.relu(self.conv1(x, edge_index))
        x = x + self.attend(x, edge_index)
        return F.log_softmax(self.conv2(x, edge_index), dim=1)


torch.manual_seed(2)
n = 20
adjacency = torch.rand(n, n) < 0.15
adjacency = adjacency | adjacency.t()
adjacency.fill_diagonal_(False)
edge_index = adjacency.nonzero().t().contiguous()
print(edge_index.shape, edge_index[:, :5])
x = torch.randn(n, 6)
y = torch.randint(3, (n,))
train_mask = torch.zeros(n, dtype=torch.bool)
train_mask[torch.randperm(n)[:12]] = True
model = GCN()
optimizer = torch.optim.Adam(
    [
        dict(params=model.conv1.parameters(), weight_decay=5e-4),
        dict(params=list(model.attend.parameters()) + list(model.conv2.parameters())),
    ],
    lr=0.05,
)
for epoch in range(6):
    model.train()
    optimizer.zero_grad()
    out = model(x, edge_index)
    loss = F.nll_loss(out[train_mask], y[train_mask])
    loss.backward()
    optimizer.step()
    model.eval()
    pred = model(x, edge_index).argmax(dim=-1)
    accs = [int((pred[m] == y[m]).sum()) / int(m.sum()) for m in (train_mask, ~train_mask)]
    print(epoch, float(loss), accs)
print(out.exp().sum(1)[:3], pred)
