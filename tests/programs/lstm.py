"""An LSTM written by hand with chunk(), beside nn.LSTM, with truncated backpropagation."""

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import Tensor, nn


class Cell(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.x2h = nn.Linear(input_size, 4 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x: Tensor, hidden):
        hx, cx = hidden
        gates = self.x2h(x) + self.h2h(hx)
        ingate, forgetgate, cellgate, outgate = gates.chunk(4, 1)
        ingate, forgetgate = torch.sigmoid(ingate), torch.sigmoid(forgetgate)
        cellgate, outgate = torch.tanh(cellgate), torch.sigmoid(outgate)
        cy = torch.mul(cx, forgetgate) + torch.mul(ingate, cellgate)
        hy = torch.mul(outgate, torch.tanh(cy))
        return hy, cy


class Model(nn.Module):
    def __init__(self, vocab, width, hidden):
        super().__init__()
        self.embed = nn.Embedding(vocab, width, padding_idx=0)
        self.cell = Cell(width, hidden)
        self.out = nn.Linear(hidden, vocab)

    def forward(self, tokens, state):
        outs = []
        for x in self.embed(tokens).unbind(1):
            state = self.cell(x, state)
            outs.append(state[0])
        return self.out(torch.stack(outs, dim=1)), state

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (
            weight.new_zeros(bsz, self.cell.hidden_size),
            weight.new_zeros(bsz, self.cell.hidden_size),
        )


def repackage_hidden(h):
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


torch.manual_seed(4)
tokens = torch.randint(0, 9, (3, 25))
model = Model(9, 5, 7)
state = model.init_hidden(3)
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
for i in range(0, tokens.size(1) - 1, 6):
    data, target = tokens[:, i : i + 6], tokens[:, i + 1 : i + 7]
    state = repackage_hidden(state)
    model.zero_grad()
    output, state = model(data, state)
    loss = F.cross_entropy(output.reshape(-1, 9), target.reshape(-1))
    loss.backward()
    print(i, loss.item(), model.embed.weight.grad[0].abs().sum().item())
    optimizer.step()
print(state[0][0], state[1].mean(1))

lstm = nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True)
gru = nn.GRU(4, 5)
x = torch.randn(2, 7, 4)
out, (hn, cn) = lstm(x)
print(out.shape, hn.shape, cn.sum().item(), out[0, -1])
out2, h = gru(x.transpose(0, 1))
print(out2.shape, h.squeeze(0))
(out.pow(2).mean() + out2.abs().mean()).backward()
print(lstm.weight_hh_l1_reverse.grad.norm().item(), gru.bias_ih_l0.grad)
print([n for n, _ in lstm.named_parameters()][:5])
