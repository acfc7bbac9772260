"""check.py NARROW SHARED [case...]: situations from public reports (SHARED/cases), each quantized, checked and run, against what it must reach.

Fails if one does not reach it. What does not for a reason that is known is in known.tsv beside this file, with the reason;
one that is there and does reach it fails too. Without SHARED the cases are skipped, unless NARROW_REQUIRE_SHARED is set.
"""
import csv
import os
import re
import subprocess
import sys

LINE = re.compile(r"^(\S+) rc=(-?\d+) checker=(\S*) db=(\S*) opt_db=(\S*) run_db=(\S*)$")
SAME = 80  # dB, from which on two networks are taken for one
APART = 0.3  # dB between ONNX Runtime with and without its optimizations


def table(path):
    with open(path) as f:
        return list(csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t"))


def misses(want, got):
    """Returns what one case does not reach."""
    if not got:
        return ["no result"]
    rc, check, *db = got
    if rc != want["exit"]:
        return [f"exit code {rc}"]
    if rc != "0":
        return []
    found = [] if check == "ok" else ["the ONNX checker refuses the file"]
    for where, value in zip(("ONNX Runtime without optimizations", "ONNX Runtime", "narrow run"), db):
        try:
            if float(value) < float(want["least dB"]):
                found.append(f"{where}: {value} dB")
        except ValueError:
            found.append(f"{where}: {value or 'nothing'}")
    if not found and abs(min(float(db[0]), SAME) - min(float(db[1]), SAME)) > APART:
        found.append(f"ONNX Runtime gives {db[0]} dB without its optimizations and {db[1]} with")
    return found


def main():
    narrow, shared, only = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
    cases = os.path.join(shared, "cases")
    if not os.path.isdir(cases):
        print(f"skipped: {cases} is not there: set NARROW_SHARED to the folder of shared test data")
        sys.exit(1 if os.environ.get("NARROW_REQUIRE_SHARED") else 0)
    expected = [e for e in table(os.path.join(cases, "expected.tsv")) if not only or e["case"] in only]
    known = {k["case"]: k["reason"] for k in table(os.path.join(os.path.dirname(__file__), "known.tsv"))}
    done = subprocess.run([sys.executable, os.path.join(cases, "run.py"), *[e["case"] for e in expected]], capture_output=True, text=True, env={**os.environ, "NARROW": narrow})
    results, said, notes = {}, {}, []
    for line in done.stdout.splitlines():
        if m := LINE.match(line):
            results[m[1]], said[m[1]], notes = m.groups()[1:], notes, []
        else:
            notes.append(line)
    failed = 0
    for e in expected:
        name = e["case"]
        found = misses(e, results.get(name))
        if found and name in known:
            print(f"{name}: known: {known[name]} ({'; '.join(found)})")
        elif found:
            failed += 1
            print(f"{name}: {'; '.join(found)}; at least {e['least dB']} dB are wanted", *said.get(name, []), sep="\n  ")
        elif name in known:
            failed += 1
            print(f"{name}: reaches what it must, but is in known.tsv")
    print(f"{len(expected)} cases, {failed} not as they must be, {len(known)} known")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
