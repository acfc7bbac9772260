"""Trains the five networks of testdata/networks and exports each at opset 11 and 17.

    python testdata/scripts/networks.py [NAME]...

Needs torch and onnx. About a minute a network. The networks are small so that their files are.
"""
import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

import data

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "networks")


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        s = F.adaptive_avg_pool2d(x, 1)
        return x * F.hardsigmoid(self.up(F.relu(self.down(s))))


def conv_bn(i, o, kernel, stride=1, groups=1, activation=nn.Hardswish):
    layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Inverted(nn.Module):
    """An inverted residual of MobileNetV3."""

    def __init__(self, i, wide, o, kernel, stride, excite, activation):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(i, wide, 1, activation=activation),
            conv_bn(wide, wide, kernel, stride, wide, activation),
            SqueezeExcite(wide) if excite else nn.Identity(),
            conv_bn(wide, o, 1, activation=None),
        )
        self.residual = stride == 1 and i == o

    def forward(self, x):
        y = self.body(x)
        return x + y if self.residual else y


class MobileNetV3(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(3, 12, 3, 2),
            Inverted(12, 24, 12, 3, 1, False, nn.ReLU),
            Inverted(12, 36, 16, 3, 2, True, nn.ReLU),
            Inverted(16, 48, 16, 5, 1, True, nn.Hardswish),
            Inverted(16, 48, 24, 5, 2, True, nn.Hardswish),
            Inverted(24, 64, 24, 3, 1, True, nn.Hardswish),
            conv_bn(24, 64, 1),
        )
        self.head = nn.Sequential(nn.Linear(64, 64), nn.Hardswish(), nn.Dropout(0.1), nn.Linear(64, data.CLASSES))

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, width=32, depth=3, heads=4, patch=4):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, (data.PICTURE // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, data.CLASSES)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class UNet(nn.Module):
    """Segments the shape: transposed convolutions up, and the way down concatenated."""

    def __init__(self, c=8):
        super().__init__()
        double = lambda i, o: nn.Sequential(conv_bn(i, o, 3, activation=nn.ReLU), conv_bn(o, o, 3, activation=nn.ReLU))
        self.down1, self.down2, self.middle = double(3, c), double(c, 2 * c), double(2 * c, 3 * c)
        self.up2, self.join2 = nn.ConvTranspose2d(3 * c, 2 * c, 2, 2), double(4 * c, 2 * c)
        self.up1, self.join1 = nn.ConvTranspose2d(2 * c, c, 2, 2), double(2 * c, c)
        self.out = nn.Conv2d(c, 1, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        y = self.middle(F.max_pool2d(b, 2))
        y = self.join2(torch.cat([b, self.up2(y)], 1))
        y = self.join1(torch.cat([a, self.up1(y)], 1))
        return torch.sigmoid(self.out(y))


class AudioNet(nn.Module):
    def __init__(self):
        super().__init__()
        layer = lambda i, o, k, s, d=1, g=1: nn.Sequential(nn.Conv1d(i, o, k, s, d * (k // 2), dilation=d, groups=g, bias=False), nn.BatchNorm1d(o), nn.LeakyReLU(0.1))
        self.body = nn.Sequential(
            layer(1, 16, 15, 4), nn.MaxPool1d(2),
            layer(16, 24, 9, 2), layer(24, 24, 5, 1, 2, 24), layer(24, 32, 1, 1), nn.AvgPool1d(2),
            layer(32, 32, 5, 1, 4, 4), layer(32, 40, 3, 2),
        )
        self.head = nn.Linear(80, data.CLASSES)

    def forward(self, x):
        y = self.body(x)
        return self.head(torch.cat([y.mean(2), y.amax(2)], 1))


class Detector(nn.Module):
    """Two levels with a top-down path; at each: where a shape's centre is, its kind, its box."""

    def __init__(self):
        super().__init__()
        layer = lambda i, o, s=1: conv_bn(i, o, 3, s, activation=nn.ReLU6)
        self.stem, self.fine, self.coarse = nn.Sequential(layer(3, 12), layer(12, 16, 2)), nn.Sequential(layer(16, 24, 2), layer(24, 24)), nn.Sequential(layer(24, 32, 2), layer(32, 32))
        self.lateral, self.top = nn.Conv2d(24, 24, 1), nn.Conv2d(32, 24, 1)
        self.score, self.kind, self.box = (nn.Conv2d(24, o, 3, padding=1) for o in (1, data.CLASSES, 4))

    def forward(self, x):
        fine = self.fine(self.stem(x))
        top = self.top(self.coarse(fine))
        levels = [self.lateral(fine) + F.interpolate(top, scale_factor=2.0, mode="nearest"), top]
        out = []
        for y in levels:
            y = F.relu(y)
            out += [torch.sigmoid(self.score(y)), self.kind(y), F.softplus(self.box(y))]
        return tuple(out)


def detector_loss(out, batch):
    _, label, _, box = batch
    loss = 0
    for score, kind, sizes in (out[:3], out[3:]):
        cells = score.shape[-1]
        at = (box[:, :2] * cells).long().clamp(0, cells - 1)
        n = torch.arange(len(label))
        centre = torch.zeros_like(score)
        centre[n, 0, at[:, 1], at[:, 0]] = 1
        loss = loss + F.binary_cross_entropy(score, centre, weight=1 + 8 * centre)
        loss = loss + F.cross_entropy(kind[n, :, at[:, 1], at[:, 0]], label)
        loss = loss + 4 * F.l1_loss(sizes[n, :, at[:, 1], at[:, 0]], box)
    return loss


def class_loss(out, batch):
    return F.cross_entropy(out, batch[1])


NETWORKS = {
    "mobilenetv3": (MobileNetV3, data.pictures, class_loss, ["logits"]),
    "vit": (VisionTransformer, data.pictures, class_loss, ["logits"]),
    "unet": (UNet, data.pictures, lambda out, batch: F.binary_cross_entropy(out, batch[2]), ["mask"]),
    "audio": (AudioNet, data.sounds, class_loss, ["logits"]),
    "detector": (Detector, data.pictures, detector_loss, ["score4", "kind4", "box4", "score8", "kind8", "box8"]),
}


def train(net, draw, loss, steps, batch=64):
    samples = [torch.as_tensor(a) for a in draw(4096, seed=1)]
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    total = 0.0
    for step in range(steps):
        pick = torch.randint(0, len(samples[0]), (batch,))
        now = [s[pick] for s in samples]
        value = loss(net(now[0]), now)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        total += value.item()
        if step % 100 == 99:
            print(f"  step {step + 1}: loss {total / 100:.3f}", flush=True)
            total = 0.0


def export(name, steps):
    make, draw, loss, outputs = NETWORKS[name]
    torch.manual_seed(0)
    net = make()
    print(f"{name}: {sum(p.numel() for p in net.parameters())} parameters", flush=True)
    train(net, draw, loss, steps)
    net.eval()
    x = torch.as_tensor(draw(2, seed=2)[0])
    for opset in (11, 17):
        path = os.path.join(OUT, f"{name}_opset{opset}.onnx")
        torch.onnx.export(net, x, path, opset_version=opset, input_names=["x"], output_names=outputs, dynamo=False,
                          dynamic_axes={k: {0: "N"} for k in ["x", *outputs]})
        print(f"  {os.path.basename(path)} {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    for name in sys.argv[1:] or NETWORKS:
        export(name, steps=600)
