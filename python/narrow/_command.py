"""The command, as a process of its own."""
import json
import os
import pathlib
import re
import subprocess
import sys

from ._errors import ARGUMENT, FILE, MODEL, ArgumentError, FileError, NarrowError

_USAGE = 2  # exit code of a wrong command line


def path():
    """The command: the package's, or that which NARROW_COMMAND names."""
    name = "narrow.exe" if sys.platform == "win32" else "narrow"
    found = pathlib.Path(os.environ.get("NARROW_COMMAND") or pathlib.Path(__file__).parent / "bin" / name)
    if not found.exists():
        raise FileError(FILE, f"{found}: the command is not there: install a wheel of narrow-ptq, or name one by NARROW_COMMAND")
    return found


def version():
    return run_text("--version").removeprefix("narrow ").strip()


def main():
    """The command on the command line."""
    sys.exit(subprocess.call([str(path()), *sys.argv[1:]]))


def run_text(*arguments):
    return _run([str(path()), *arguments]).stdout


def run(*arguments):
    """What the command prints with --json, and its warnings."""
    done = _run([str(path()), *map(os.fspath, arguments), "--json"])
    warnings = [line.removeprefix("narrow: warning: ") for line in done.stderr.splitlines() if line.startswith("narrow: warning: ")]
    return json.loads(done.stdout), warnings


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode == 0:
        return done
    lines = [line for line in done.stderr.splitlines() if line.startswith("narrow: ") and not line.startswith("narrow: warning: ")]
    message = (lines[-1] if lines else done.stderr).removeprefix("narrow: ") or f"the command ended with {done.returncode}"
    if done.returncode == _USAGE:
        raise ArgumentError(ARGUMENT, _in_python(message))
    if "no such file" in message or "permission denied" in message or "does not exist" in message:
        raise FileError(FILE, message)
    raise NarrowError(MODEL, _in_python(message))


def _in_python(message):
    """A message with options as Python names them."""
    return re.sub(r"--([a-z][a-z-]*)", lambda m: m.group(1).replace("-", "_"), message)


def flags(options):
    """Keyword arguments as flags: clip="mse" is --clip=mse; lists are flags given several times, dicts NAME=VALUE."""
    all = []
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")  # for_, as for is a word of Python
        for text in _texts(name, value):
            all.append(f"{flag}={text}")
    return all


_JOINED = {"mean", "std"}  # several numbers in one flag


def _texts(name, value):
    if value is None:
        return []
    if isinstance(value, dict):
        return [f"{key}={_one(name, v)}" for key, v in value.items()]
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, (list, tuple)):
            texts = [_one(name, v) for v in value]
            return [",".join(texts)] if name in _JOINED else texts
    return [_one(name, value)]


def _one(name, value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float, os.PathLike)):
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    if isinstance(value, (list, tuple)):
        return "/".join(str(v) for v in value)  # the bits of weights and activations
    if hasattr(value, "item"):
        return str(value.item())
    raise ArgumentError(ARGUMENT, f"{name}: {value!r} is no value for an option")
