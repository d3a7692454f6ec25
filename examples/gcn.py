"""Find out the group of each member of a network from a few whose group is known.

T. Kipf and M. Welling, Semi-Supervised Classification with Graph Convolutional Networks, 2017. The
graph is made: groups whose members know each other more often than others, and noisy features.

    python examples/gcn.py --nodes 1000
"""

from __future__ import annotations

import argparse

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F


def community(
    nodes: int, groups: int, features: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (nodes, features), edges (2, edges) both ways and with loops, groups (nodes,)."""
    group = torch.arange(nodes) % groups
    known = torch.where(group[:, None] == group, 12.0 / nodes, 1.5 / nodes)
    upper = torch.triu((torch.rand(nodes, nodes) < known).long(), 1)
    one, other = torch.nonzero(upper, as_tuple=True)
    loops = torch.arange(nodes)
    edges = torch.stack([torch.cat([one, other, loops]), torch.cat([other, one, loops])])
    centers = torch.randn(groups, features)
    return centers[group] * 0.5 + torch.randn(nodes, features), edges, group


class GraphConvolution(nn.Module):
    """The sum over neighbours of their features, by 1/√(degree · degree), after a linear layer."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(into, out, bias=False)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        source, target = edges
        degree = torch.zeros(len(x)).index_add(0, target, torch.ones(len(target)))
        weight = (degree[source] * degree[target]).rsqrt()
        messages = self.linear(x)[source] * weight[:, None]
        return torch.zeros(len(x), messages.shape[1]).index_add(0, target, messages) + self.bias


class GCN(nn.Module):
    """Two convolutions over the graph."""

    def __init__(self, features: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.first = GraphConvolution(features, hidden)
        self.second = GraphConvolution(hidden, groups)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return self.second(self.drop(F.relu(self.first(self.drop(x), edges))), edges)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, and return the error of the nodes that were not known, before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--known", type=int, default=20, help="members of each group that are told")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    x, edges, group = community(options.nodes, options.groups, 16)
    told = torch.arange(options.nodes) < options.known * options.groups
    model = GCN(16, 32, options.groups)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)

    def error() -> float:
        model.eval()
        with torch.no_grad():
            wrong = model(x, edges).argmax(1) != group
        model.train()
        return wrong[~told].float().mean().item()

    before = error()
    for epoch in range(options.epochs):
        loss = F.cross_entropy(model(x, edges)[told], group[told])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 20 == 0 or epoch == options.epochs - 1:
            print(f"epoch {epoch + 1:3}  loss {loss.item():.3f}  error {100 * error():.1f} %")
    return {"first": before, "last": error()}


if __name__ == "__main__":
    main()
