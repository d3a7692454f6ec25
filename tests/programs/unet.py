"""A U-Net with transposed convolutions and concatenated skips, dice loss and freezing."""

import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels, mid_channels=None):
        super().__init__()
        if not mid_channels:
            mid_channels = out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        diffY = x2.size()[2] - x1.size()[2]
        diffX = x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [diffX // 2, diffX - diffX // 2, diffY // 2, diffY - diffY // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc = DoubleConv(1, 4)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16))
        self.up1 = Up(16, 8)
        self.up2 = Up(8, 4)
        self.outc = nn.Conv2d(4, 1, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.up1(x3, x2)
        x = self.up2(x, x1)
        return self.outc(x)


def dice_coeff(input, target, epsilon=1e-6):
    sum_dim = (-1, -2) if input.dim() == 2 else (-1, -2, -3)
    inter = 2 * (input * target).sum(dim=sum_dim)
    sets_sum = input.sum(dim=sum_dim) + target.sum(dim=sum_dim)
    sets_sum = torch.where(sets_sum == 0, inter, sets_sum)
    dice = (inter + epsilon) / (sets_sum + epsilon)
    return dice.mean()


torch.manual_seed(5)
images = torch.rand(2, 1, 11, 9)
masks = torch.zeros(2, 1, 11, 9)
masks[0, :, 2:6, 3:7] = 1
masks[1, 0, ::2, 1] = 1.0
images += masks
model = UNet()
for name, parameter in model.named_parameters():
    if name.startswith("inc"):
        parameter.requires_grad = False
trainable = [p for p in model.parameters() if p.requires_grad]
print(len(trainable), sum(p.numel() for p in trainable))
optimizer = torch.optim.RMSprop(trainable, lr=1e-3, weight_decay=1e-8, momentum=0.9)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=1)
criterion = nn.BCEWithLogitsLoss()
for epoch in range(4):
    pred = model(images)
    loss = criterion(pred.squeeze(1), masks.squeeze(1).float())
    loss += 1 - dice_coeff(torch.sigmoid(pred.squeeze(1)), masks.squeeze(1), 1e-6)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step(0.5)
    print(epoch, loss.item(), optimizer.param_groups[0]["lr"])
print(all(p.grad is None for p in model.inc.parameters()), model.up1.up.weight.grad.shape)
model.eval()
mask = (torch.sigmoid(model(images)) > 0.5).squeeze(1)
print(mask.sum(dim=(1, 2)), mask.dtype, dice_coeff(mask.float(), masks[:, 0]).item())
