"""Builds the wheels of narrow-ptq, with Go and nothing else: the build backend of pyproject.toml (pip install .), and

    python wheel.py build/wheel            # every platform
    python wheel.py build/wheel native     # this one

Each wheel holds the static command. Those for which the C library can be built hold it as well: with zig (pip install ziglang), which
cross-compiles C, or with the machine's own compiler for this machine.
"""
import base64
import hashlib
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent

# Tag of the wheel: GOOS, GOARCH, zig's name of the target, the name of the library; no target where the library cannot be built elsewhere.
PLATFORMS = {
    "manylinux_2_17_x86_64.manylinux2014_x86_64": ("linux", "amd64", "x86_64-linux-gnu.2.17", "libnarrow.so"),
    "manylinux_2_17_aarch64.manylinux2014_aarch64": ("linux", "arm64", "aarch64-linux-gnu.2.17", "libnarrow.so"),
    "macosx_12_0_x86_64": ("darwin", "amd64", None, None),
    "macosx_12_0_arm64": ("darwin", "arm64", None, None),
    "win_amd64": ("windows", "amd64", "x86_64-windows-gnu", "narrow.dll"),
    "win_arm64": ("windows", "arm64", None, None),
}


def project():
    """The fields of pyproject.toml that wheels need; there is no TOML reader in Python 3.9."""
    text = (HERE / "pyproject.toml").read_text()
    field = lambda name: re.search(rf'^{name} = "(.*)"$', text, re.M).group(1)
    extras = re.search(r"\[project.optional-dependencies\]\n(.*)", text, re.S).group(1)
    optional = {m[1]: re.findall(r'"([^"]+)"', m[2]) for m in re.finditer(r"^(\w+) = \[(.*)\]$", extras, re.M)}
    return {n: field(n) for n in ("name", "version", "description", "license", "requires-python")}, optional


def metadata():
    p, optional = project()
    lines = ["Metadata-Version: 2.4", f"Name: {p['name']}", f"Version: {p['version']}", f"Summary: {p['description']}", f"License-Expression: {p['license']}",
             f"Requires-Python: {p['requires-python']}", "Requires-Dist: numpy", "Description-Content-Type: text/markdown"]
    for extra, needs in optional.items():
        lines += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {n}; extra == "{extra}"' for n in needs)]
    return "\n".join(lines) + "\n\n" + (HERE / "README.md").read_text()


def root():
    """The Go module; in a source distribution there is none."""
    for folder in HERE.parents:
        if (folder / "go.mod").exists():
            return folder
    raise SystemExit("wheels are built in a checkout of narrow, which has the Go sources")


def go(out, package, goos, goarch, *flags, **environment):
    version = project()[0]["version"]
    subprocess.run(["go", "build", "-trimpath", "-ldflags", f"-s -w -X main.version=v{version}", *flags, "-o", str(out), package], cwd=root(), check=True,
                   env={**os.environ, "GOOS": goos, "GOARCH": goarch, "CGO_ENABLED": "0", **environment})


def is_native(goos, goarch):
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower())
    return (goos, goarch) == ({"win32": "windows"}.get(sys.platform, sys.platform), machine)


def library(folder, tag):
    """Builds the C library for a platform and returns its path, None where that cannot be done here."""
    goos, goarch, target, name = PLATFORMS[tag]
    out = folder / f"{goos}-{goarch}-library"
    if target and importlib.util.find_spec("ziglang"):
        go(out, "./capi", goos, goarch, "-buildmode=c-shared", CGO_ENABLED="1", CC=f"{sys.executable} -m ziglang cc -target {target}")
    elif is_native(goos, goarch) and goos == "linux" and shutil.which(os.environ.get("CC", "gcc")):
        name = "libnarrow.so"
        go(out, "./capi", goos, goarch, "-buildmode=c-shared", CGO_ENABLED="1")
    else:
        return None, None
    return out, name


def wheel(folder, tag):
    """Writes the wheel for a platform into a folder and returns its name."""
    goos, goarch, _, _ = PLATFORMS[tag]
    version = project()[0]["version"]
    info = f"narrow_ptq-{version}.dist-info"
    name = f"narrow_ptq-{version}-py3-none-{tag}.whl"
    files = {}
    with tempfile.TemporaryDirectory() as work:
        command = pathlib.Path(work) / "command"
        go(command, "./cmd/narrow", goos, goarch)
        files["narrow/bin/narrow" + (".exe" if goos == "windows" else "")] = command.read_bytes()
        built, library_name = library(pathlib.Path(work), tag)
        if built:
            files["narrow/" + library_name] = built.read_bytes()
    for path in sorted((HERE / "narrow").glob("*")):
        if path.suffix in (".py", ".typed"):
            files["narrow/" + path.name] = path.read_bytes()
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/WHEEL"] = "".join(["Wheel-Version: 1.0\nGenerator: narrow\nRoot-Is-Purelib: false\n", *(f"Tag: py3-none-{t}\n" for t in tag.split("."))]).encode()
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nnarrow = narrow._command:main\n"
    for text in "LICENSE", "THIRD_PARTY.md":
        files[f"{info}/licenses/{text}"] = (root() / text).read_bytes()
    record = [f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(b).digest()).rstrip(b'=').decode()},{len(b)}" for n, b in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    os.makedirs(folder, exist_ok=True)
    with zipfile.ZipFile(os.path.join(folder, name), "w", zipfile.ZIP_DEFLATED) as z:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path)  # of 1980: the same bytes in every build
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if path.startswith("narrow/bin/") or path.endswith((".so", ".dll")) else 0o100644) << 16
            z.writestr(entry, data)
    return name


def native():
    for tag, (goos, goarch, _, _) in PLATFORMS.items():
        if is_native(goos, goarch):
            return tag
    raise SystemExit(f"there is no wheel for {sys.platform} on {platform.machine()}")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517: the wheel for this machine."""
    return wheel(wheel_directory, native())


def build_sdist(sdist_directory, config_settings=None):
    raise SystemExit("there is no source distribution: the Go module is the source")


if __name__ == "__main__":
    for each in [native()] if sys.argv[2:] == ["native"] else PLATFORMS:
        print(wheel(sys.argv[1], each), flush=True)
