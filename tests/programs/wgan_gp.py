"""WGAN with gradient penalty: the gradient of a gradient, through create_graph."""

import flambeau as torch
import flambeau.autograd as autograd
import flambeau.nn as nn

torch.manual_seed(9)
LAMBDA = 0.1
netG = nn.Sequential(nn.Linear(2, 16), nn.ReLU(True), nn.Linear(16, 2))
netD = nn.Sequential(
    nn.Linear(2, 16),
    nn.LeakyReLU(0.2),
    nn.LayerNorm(16),
    nn.Linear(16, 16),
    nn.Tanh(),
    nn.Linear(16, 1),
)
optimizerD = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.9))
optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.9))
one = torch.tensor(1, dtype=torch.float)
mone = one * -1


def calc_gradient_penalty(netD, real_data, fake_data):
    alpha = torch.rand(real_data.size(0), 1)
    alpha = alpha.expand(real_data.size())
    interpolates = alpha * real_data + ((1 - alpha) * fake_data)
    interpolates = interpolates.detach().requires_grad_(True)
    disc_interpolates = netD(interpolates)
    gradients = autograd.grad(
        outputs=disc_interpolates,
        inputs=interpolates,
        grad_outputs=torch.ones(disc_interpolates.size()),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * LAMBDA


for iteration in range(5):
    for p in netD.parameters():
        p.requires_grad = True
    for _ in range(2):
        real_data = torch.randn(16, 2) * 0.3 + torch.tensor([1.0, -1.0])
        netD.zero_grad()
        D_real = netD(real_data).mean()
        D_real.backward(mone)
        with torch.no_grad():
            fake = netG(torch.randn(16, 2))
        D_fake = netD(fake).mean()
        D_fake.backward(one)
        gradient_penalty = calc_gradient_penalty(netD, real_data.data, fake.data)
        gradient_penalty.backward()
        D_cost = D_fake - D_real + gradient_penalty
        Wasserstein_D = D_real - D_fake
        optimizerD.step()
    for p in netD.parameters():
        p.requires_grad = False
    netG.zero_grad()
    G = netD(netG(torch.randn(16, 2))).mean()
    G.backward(mone)
    optimizerG.step()
    print(iteration, D_cost.item(), gradient_penalty.item(), Wasserstein_D.item(), -G.item())
print(netD[0].weight.grad.norm(), netG[2].weight)
