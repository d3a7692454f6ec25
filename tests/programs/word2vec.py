"""word2vec with negative sampling, embeddings and bmm; nearest neighbours by cosine."""

from collections import Counter

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

words = (
    "the cat sat on the mat the dog sat on the log the cat saw the dog and the dog saw the cat " * 2
).split()
counts = Counter(words)
vocab = sorted(counts, key=lambda w: (-counts[w], w))
index = {w: i for i, w in enumerate(vocab)}
corpus = [index[w] for w in words]
torch.manual_seed(11)
freq = torch.tensor([counts[w] for w in vocab], dtype=torch.float32)
noise = freq.pow(0.75)
noise /= noise.sum()
print(noise)


class SkipGram(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.center = nn.Embedding(vocab_size, dim)
        self.context = nn.Embedding(vocab_size, dim)
        initrange = 0.5 / dim
        self.center.weight.data.uniform_(-initrange, initrange)
        self.context.weight.data.uniform_(-0, 0)

    def forward(self, pos_u, pos_v, neg_v):
        emb_u = self.center(pos_u)
        emb_v = self.context(pos_v)
        score = torch.sum(torch.mul(emb_u, emb_v), dim=1)
        score = torch.clamp(score, max=10, min=-10)
        score = -F.logsigmoid(score)
        neg_score = torch.bmm(self.context(neg_v), emb_u.unsqueeze(2)).squeeze()
        neg_score = torch.clamp(neg_score, max=10, min=-10)
        neg_score = -torch.sum(F.logsigmoid(-neg_score), dim=1)
        return torch.mean(score + neg_score)


pairs = [
    (corpus[i], corpus[j])
    for i in range(len(corpus))
    for j in range(max(0, i - 2), min(len(corpus), i + 3))
    if i != j
]
pairs = torch.tensor(pairs)
model = SkipGram(len(vocab), 8)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
for epoch in range(3):
    running = 0.0
    perm = torch.randperm(len(pairs))
    for batch in pairs[perm].split(32):
        u, v = batch[:, 0], batch[:, 1]
        negatives = torch.multinomial(noise, len(batch) * 4, replacement=True).view(len(batch), 4)
        optimizer.zero_grad()
        loss = model(u, v, negatives)
        loss.backward()
        optimizer.step()
        running = running * 0.9 + loss.item() * 0.1
    print(epoch, running)
emb = model.center.weight.detach()
normed = F.normalize(emb, p=2, dim=1)
sim = normed @ normed.T
values, nearest = sim.fill_diagonal_(-1).sort(dim=1, descending=True)
for w in ("cat", "sat"):
    print(w, values[index[w], :3], [vocab[j] for j in nearest[index[w], :2]])
print(F.cosine_similarity(emb[0:1], emb[1:4]))
