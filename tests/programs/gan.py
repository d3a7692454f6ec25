"""A generative adversarial network on points of a ring; the generator's output is detached."""

import math

import flambeau as torch
import flambeau.nn as nn

torch.manual_seed(7)


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Linear") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.2)
        m.bias is None or nn.init.constant_(m.bias.data, 0)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        m.bias is None or nn.init.constant_(m.bias.data, 0)


netG = nn.Sequential(
    nn.Linear(4, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(True), nn.Linear(16, 2), nn.Tanh()
)
netD = nn.Sequential(
    nn.Linear(2, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 1), nn.Sigmoid()
)
netG.apply(weights_init)
netD.apply(weights_init)
print(netG)
criterion = nn.BCELoss()
fixed_noise = torch.randn(8, 4)
optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
real_label, fake_label = 1.0, 0.0
for i in range(12):
    netD.zero_grad()
    angle = torch.rand(32) * 2 * math.pi
    real = torch.stack((angle.cos(), angle.sin()), dim=1) * 0.8
    b_size = real.size(0)
    label = torch.full((b_size,), real_label, dtype=torch.float)
    output = netD(real).view(-1)
    errD_real = criterion(output, label)
    errD_real.backward()
    D_x = output.mean().item()
    noise = torch.randn(b_size, 4)
    fake = netG(noise)
    label.fill_(fake_label)
    output = netD(fake.detach()).view(-1)
    errD_fake = criterion(output, label)
    errD_fake.backward()
    D_G_z1 = output.mean().item()
    errD = errD_real + errD_fake
    optimizerD.step()
    netG.zero_grad()
    label.fill_(real_label)
    output = netD(fake).view(-1)
    errG = criterion(output, label)
    errG.backward()
    D_G_z2 = output.mean().item()
    optimizerG.step()
    if i % 3 == 0:
        print(
            "[%d] Loss_D: %.4f Loss_G: %.4f D(x): %.4f D(G(z)): %.4f / %.4f"
            % (i, errD.item(), errG.item(), D_x, D_G_z1, D_G_z2)
        )
netG.eval()
with torch.no_grad():
    points = netG(fixed_noise).detach().cpu()
print(points)
print(netG[1].running_mean, netG[1].running_var.sum().item(), netG[1].num_batches_tracked)
