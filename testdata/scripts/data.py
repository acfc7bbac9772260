"""Labelled pictures and sounds for the networks in testdata/networks, drawn from a seed."""
import numpy as np

CLASSES = 8
PICTURE, SOUND = 32, 2048


def pictures(count, seed):
    """Pictures of one shape each: x [count,3,32,32], label [count], mask [count,1,32,32], box [count,4] (centre, half sizes, 0..1)."""
    r = np.random.default_rng(seed)
    v, u = np.mgrid[0:PICTURE, 0:PICTURE].astype(np.float32) / PICTURE
    x = np.empty((count, 3, PICTURE, PICTURE), np.float32)
    mask = np.empty((count, 1, PICTURE, PICTURE), np.float32)
    box = np.empty((count, 4), np.float32)
    label = r.integers(0, CLASSES, count)
    for i in range(count):
        size = r.uniform(0.15, 0.3)
        cx, cy = r.uniform(size, 1 - size, 2)
        mask[i, 0] = shape(label[i], (u - cx) / size, (v - cy) / size, r.uniform(-0.4, 0.4))
        box[i] = cx, cy, size, size
        ground = r.normal(0, 0.5, 3)[:, None, None] + r.normal(0, 0.6, 3)[:, None, None] * u + r.normal(0, 0.6, 3)[:, None, None] * v
        colour = r.normal(0, 1.2, 3)[:, None, None]
        x[i] = ground + mask[i] * colour + r.normal(0, 0.25, (3, PICTURE, PICTURE))
    return x, label, mask, box


def shape(kind, a, b, angle):
    """A shape that fills -1..1, turned by an angle, as 0 and 1."""
    a, b = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
    inside = np.maximum(abs(a), abs(b)) < 1
    radius = np.hypot(a, b)
    return {
        0: radius < 1,
        1: np.maximum(abs(a), abs(b)) < 0.8,
        2: (radius < 1) & (radius > 0.55),
        3: (np.minimum(abs(a), abs(b)) < 0.3) & inside,
        4: (b > -0.8) & (abs(a) < (0.9 - b) * 0.6) & inside,
        5: (np.floor((a + 1) * 2.5) % 2 == 0) & inside,
        6: (np.floor((b + 1) * 2.5) % 2 == 0) & inside,
        7: abs(a) + abs(b) < 1,
    }[int(kind)].astype(np.float32)


def sounds(count, seed):
    """Sounds of one kind each, in noise: x [count,1,2048], label [count]."""
    r = np.random.default_rng(seed)
    t = np.arange(SOUND, dtype=np.float32) / SOUND
    x = np.empty((count, 1, SOUND), np.float32)
    label = r.integers(0, CLASSES, count)
    for i in range(count):
        f, phase = r.uniform(40, 120), r.uniform(0, 2 * np.pi)
        tone = lambda g: np.sin(2 * np.pi * g * t + phase)
        wave = {
            0: lambda: tone(f),
            1: lambda: np.sin(2 * np.pi * (f + f * t) * t),
            2: lambda: np.sin(2 * np.pi * (3 * f - f * t) * t),
            3: lambda: tone(f) * tone(6),
            4: lambda: np.sin(2 * np.pi * f * t + 6 * np.sin(2 * np.pi * 5 * t)),
            5: lambda: np.sign(tone(f)),
            6: lambda: 0.7 * tone(f) + 0.7 * tone(2.6 * f),
            7: lambda: r.normal(0, 1, SOUND) * (tone(4) > 0),
        }[int(label[i])]()
        x[i, 0] = r.uniform(0.3, 1.5) * wave + r.normal(0, 0.2, SOUND)
    return x, label
