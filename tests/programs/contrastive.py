"""Contrastive learning: SimCLR's loss, supervised contrastive, triplets, focal loss."""

import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F


def info_nce(features, n_views=2, temperature=0.5):
    batch = features.size(0) // n_views
    labels = torch.cat([torch.arange(batch) for i in range(n_views)], dim=0)
    labels = (labels.unsqueeze(0) == labels.unsqueeze(1)).float()
    features = F.normalize(features, dim=1)
    similarity = torch.matmul(features, features.T)
    mask = torch.eye(labels.shape[0], dtype=torch.bool)
    labels = labels[~mask].view(labels.shape[0], -1)
    similarity = similarity[~mask].view(similarity.shape[0], -1)
    positives = similarity[labels.bool()].view(labels.shape[0], -1)
    negatives = similarity[~labels.bool()].view(similarity.shape[0], -1)
    logits = torch.cat([positives, negatives], dim=1)
    labels = torch.zeros(logits.shape[0], dtype=torch.long)
    return logits / temperature, labels


class FocalLoss(nn.Module):
    def __init__(self, alpha=None, gamma=2.0, reduction="mean"):
        super().__init__()
        self.register_buffer("alpha", alpha)
        self.gamma = gamma
        self.reduction = reduction

    def forward(self, inputs, targets):
        ce = F.cross_entropy(inputs, targets, reduction="none", weight=self.alpha)
        pt = torch.exp(-ce)
        focal = ((1 - pt) ** self.gamma) * ce
        return focal.mean() if self.reduction == "mean" else focal.sum()


class LabelSmoothing(nn.Module):
    def __init__(self, classes, smoothing=0.1, dim=-1):
        super().__init__()
        self.confidence, self.smoothing = 1.0 - smoothing, smoothing
        self.cls, self.dim = classes, dim

    def forward(self, pred, target):
        pred = pred.log_softmax(dim=self.dim)
        with torch.no_grad():
            true_dist = torch.zeros_like(pred)
            true_dist.fill_(self.smoothing / (self.cls - 1))
            true_dist.scatter_(1, target.data.unsqueeze(1), self.confidence)
        return torch.mean(torch.sum(-true_dist * pred, dim=self.dim))


torch.manual_seed(6)
encoder = nn.Sequential(
    nn.Linear(10, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8)
)
optimizer = torch.optim.Adam(encoder.parameters(), 3e-3, weight_decay=1e-4)
data = torch.randn(12, 10)
for step in range(4):
    views = torch.cat((data + 0.1 * torch.randn(12, 10), data + 0.1 * torch.randn(12, 10)))
    logits, labels = info_nce(encoder(views))
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    top1 = (logits.argmax(1) == labels).float().mean() * 100
    _, pred = logits.topk(3, 1, True, True)
    correct = pred.t().eq(labels.view(1, -1).expand_as(pred.t()))
    print(step, loss.item(), top1.item(), correct[:3].reshape(-1).float().sum(0, keepdim=True))
logits = torch.randn(6, 4, requires_grad=True)
target = torch.tensor([0, 3, 1, 1, 2, 0])
for criterion in (
    FocalLoss(),
    FocalLoss(torch.tensor([1.0, 2.0, 0.5, 1.0]), 1.5, "sum"),
    LabelSmoothing(4, 0.2),
    nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.0]), label_smoothing=0.1),
    nn.CrossEntropyLoss(ignore_index=1),
    nn.NLLLoss(reduction="sum"),
):
    logits.grad = None
    value = criterion(logits, target)
    value.backward()
    print(type(criterion).__name__, value.item(), logits.grad.norm().item(), logits.grad[1])
soft = torch.softmax(torch.randn(6, 4), 1)
print(F.cross_entropy(logits, soft), F.kl_div(logits.log_softmax(1), soft, reduction="batchmean"))
a, p, n = (torch.randn(5, 3) for _ in range(3))
print(
    nn.TripletMarginLoss(margin=1.0)(a, p, n),
    nn.CosineEmbeddingLoss()(a, p, torch.tensor([1, -1, 1, 1, -1])),
)
print(F.pairwise_distance(a, p), F.margin_ranking_loss(a[:, 0], p[:, 0], torch.ones(5), 0.3))
