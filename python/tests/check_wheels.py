"""Looks into wheels: `python check_wheels.py build/wheels`. What they hold, for which machine, that RECORD is right; the one for this machine is
installed in a clean environment and quantizes the demo's network there."""
import base64
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
import wheel  # noqa: E402

PYTHON = {"__init__.py", "__main__.py", "_command.py", "_data.py", "_errors.py", "_lib.py", "api.py", "arrays.py", "models.py", "onnxruntime.py", "ort.py", "py.typed"}

# The first bytes of programs, and where and what they say of the machine.
FORMATS = {
    ("linux", "amd64"): (b"\x7fELF", 18, b"\x3e\x00"), ("linux", "arm64"): (b"\x7fELF", 18, b"\xb7\x00"),
    ("darwin", "amd64"): (b"\xcf\xfa\xed\xfe", 4, b"\x07\x00\x00\x01"), ("darwin", "arm64"): (b"\xcf\xfa\xed\xfe", 4, b"\x0c\x00\x00\x01"),
    ("windows", "amd64"): (b"MZ", None, b"\x64\x86"), ("windows", "arm64"): (b"MZ", None, b"\x64\xaa"),
}


def check_program(name, data, goos, goarch):
    magic, at, machine = FORMATS[goos, goarch]
    assert data.startswith(magic), f"{name} is no program for {goos}"
    at = int.from_bytes(data[0x3C:0x40], "little") + 4 if at is None else at
    assert data[at : at + len(machine)] == machine, f"{name} is not for {goarch}"


def check(path):
    tag = path.stem.split("-", 4)[4]
    goos, goarch, target, library = wheel.PLATFORMS[tag]
    with zipfile.ZipFile(path) as z:
        files = {n: z.read(n) for n in z.namelist()}
    info = next(n for n in files if n.endswith("/RECORD")).rsplit("/", 1)[0]
    for line in files[f"{info}/RECORD"].decode().splitlines():
        name, digest, size = line.split(",")
        if digest:
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode() and int(size) == len(files[name]), name
    assert len(files[f"{info}/RECORD"].decode().splitlines()) == len(files)
    command = "narrow/bin/narrow" + (".exe" if goos == "windows" else "")
    programs = {command} | ({"narrow/" + library} if library else set())
    want = {f"narrow/{n}" for n in PYTHON} | programs | {f"{info}/{n}" for n in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/THIRD_PARTY.md")}
    assert set(files) == want, f"{path.name}: {set(files) ^ want} is missing or too much"
    for name in programs:
        check_program(f"{path.name}: {name}", files[name], goos, goarch)
    print(f"{path.name}: {len(files)} files, {path.stat().st_size / 1e6:.1f} MB, {'command and C library' if library else 'command'}")
    return tag


def install(path):
    """Installs the wheel where nothing else is, and uses it."""
    program = """
import numpy as np, narrow, sys
x = np.random.default_rng(1).integers(0, 256, (40, 3, 24, 24), dtype=np.uint8)
r = narrow.quantize(sys.argv[1], x, scale="1/255", report=True)
assert r.sqnr > 20 and "<html" in r.report, r
assert narrow.evaluate(r.model, x, against=sys.argv[1], any_preparation=True, scale="1/255").count == 40
assert narrow.Session(r.model).run(x[:2].astype(np.float32))[0].shape == (2, 10)
print("narrow", narrow.__version__, f"{r.sqnr:.1f} dB")
"""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = pathlib.Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", path], check=True)
        subprocess.run([python, "-I", "-c", program, ROOT / "demo" / "shapes.onnx"], check=True, cwd=folder)
        subprocess.run([pathlib.Path(folder) / "bin" / "narrow", "--version"], check=True)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    tags = {check(path): path for path in sorted(folder.glob("*.whl"))}
    assert set(tags) == set(wheel.PLATFORMS), f"{set(wheel.PLATFORMS) - set(tags)} are not there"
    install(tags[wheel.native()])
