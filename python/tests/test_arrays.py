"""The kernels against NumPy."""
import numpy as np
import pytest

import narrow

rng = np.random.default_rng(0)


def test_minmax():
    x = rng.normal(size=1001).astype(np.float32)
    x[7] = np.nan
    assert narrow.minmax(x) == (np.nanmin(x), np.nanmax(x), 1)


def test_histogram():
    x = rng.normal(size=100_003).astype(np.float32)
    x[::10] = 0
    h = narrow.Histogram(-2, 2, 64)
    h.add(x[:50_000])
    other = narrow.Histogram(-2, 2, 64)
    other.add(x[50_000:].reshape(1, -1))
    h.merge(other)
    inside = x[(x >= -2) & (x <= 2) & (x != 0)]
    want = np.bincount(np.minimum(((inside + np.float32(2)) * np.float32(16)).astype(int), 63), minlength=64)
    assert (h.counts == want).all()
    assert (h.under, h.over, h.nan, h.zeros) == ((x < -2).sum(), (x > 2).sum(), 0, (x == 0).sum())


def test_histogram_refuses_others():
    with pytest.raises(ValueError, match="bins"):
        narrow.Histogram(0, 1, 8).merge(narrow.Histogram(0, 1, 9))
    with pytest.raises(narrow.ArgumentError, match="range"):
        narrow.Histogram(1, 1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_quantize(dtype, axis):
    x = rng.normal(size=(3, 5, 7)).astype(np.float32) * 5
    n = 1 if axis is None else x.shape[axis]
    shape = [1, 1, 1]
    if axis is not None:
        shape[axis] = n
    scale = rng.uniform(0.01, 0.1, n).astype(np.float32)
    info = np.iinfo(dtype)
    zero = rng.integers(info.min // 2, info.max // 2, n).astype(np.int32)
    q = narrow.quantize_linear(x, scale, zero, dtype, axis)
    want = np.clip(np.rint(x / scale.reshape(shape)) + zero.reshape(shape), info.min, info.max).astype(dtype)
    assert q.dtype == dtype and (q == want).all()
    back = narrow.dequantize_linear(q, scale, zero, axis)
    real = (want.astype(np.int64) - zero.reshape(shape)).astype(np.float32) * scale.reshape(shape)
    assert (back == real).all()


def test_fake_quantize():
    x = rng.normal(size=(4, 9)).astype(np.float32)
    y = narrow.fake_quantize(x, 0.25, bits=4)
    assert (y == np.clip(np.rint(x / np.float32(0.25)), -8, 7) * np.float32(0.25)).all()
    assert narrow.fake_quantize(x, 0.25, bits=4, out=x) is x and (x == y).all()


@pytest.mark.parametrize("bits", [4, 8, 9, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_fake_quantize_to_other_widths(bits, signed):
    x = (rng.normal(size=(5, 77)) * 2.0**bits).astype(np.float32)
    low = -(2 ** (bits - 1)) if signed else 0
    scale, zero = np.float32(0.5), low + 3
    want = (np.clip(np.rint(x / scale) + zero, low, low + 2**bits - 1) - zero).astype(np.float32) * scale
    assert (narrow.fake_quantize(x, scale, zero, bits=bits, signed=signed) == want).all()


def test_wrong_parameters():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="2 elements for 3 channels"):
        narrow.quantize_linear(x, [1, 1], axis=1)
    with pytest.raises(narrow.ArgumentError):
        narrow.quantize_linear(x, -1)
    with pytest.raises(narrow.ArgumentError):
        narrow.quantize_linear(x, 1, dtype=np.float64)


def test_range():
    x = rng.normal(size=10_000).astype(np.float32)
    r, parts = narrow.Range(), [narrow.Range() for _ in range(3)]
    for i, p in enumerate(parts):
        p.add(x[i::3])
    for p in reversed(parts):
        r.merge(p)
    assert r.seen == (x.min(), x.max(), x.size)
    assert r.clip("max") == (-np.abs(x).max(), np.abs(x).max())
    lo, hi = r.clip("mse", 4)
    assert -lo == hi < np.abs(x).max()
    with pytest.raises(narrow.ArgumentError, match="none of"):
        r.clip("nonsense")
    with pytest.raises(narrow.DataError, match="NaN"):
        r.add(np.array([np.nan]))


def test_no_copies(monkeypatch):
    x = np.zeros(10, np.float32)
    assert narrow.arrays._floats(x) is x
