"""Trains the demo's network and writes it as ONNX.

    go run ./demo/train -o build
    python demo/train/train.py build demo/shapes.onnx

Needs numpy, onnx and torch.
"""
import sys

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F


def convolution(inputs, outputs, size, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs))


class Shapes(nn.Module):
    """A convolution, a depthwise-separable one, a residual block, another depthwise-separable one, a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = convolution(3, 16, 3)
        self.depthwise1 = convolution(16, 16, 3, stride=2, groups=16)
        self.pointwise1 = convolution(16, 32, 1)
        self.residual1 = convolution(32, 32, 3)
        self.residual2 = convolution(32, 32, 3)
        self.depthwise2 = convolution(32, 32, 3, stride=2, groups=32)
        self.pointwise2 = convolution(32, 64, 1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.relu(self.pointwise1(F.relu(self.depthwise1(x))))
        x = F.relu(x + self.residual2(F.relu(self.residual1(x))))
        x = F.relu(self.pointwise2(F.relu(self.depthwise2(x))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def load(folder, name):
    x = torch.from_numpy(np.load(f"{folder}/{name}_x.npy")).float() / 255
    return x, torch.from_numpy(np.load(f"{folder}/{name}_y.npy"))


def train(net, x, y, epochs=30, batch=64):
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-2)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for epoch in range(epochs):
        net.train()
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            picked = order[start:start + batch]
            loss = F.cross_entropy(net(x[picked]), y[picked], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)


def top1(net, x, y):
    net.eval()
    with torch.no_grad():
        return 100 * (net(x).argmax(1) == y).float().mean().item()


def main(folder, path):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = Shapes()
    train(net, *load(folder, "train"))
    print(f"test top-1: {top1(net, *load(folder, 'test')):.2f} %")
    x = torch.zeros(1, 3, 24, 24)
    torch.onnx.export(net, x, path, input_names=["x"], output_names=["scores"], opset_version=13,
                      dynamic_axes={"x": {0: "N"}, "scores": {0: "N"}}, dynamo=False)
    onnx.checker.check_model(onnx.load(path))


main(*sys.argv[1:])
