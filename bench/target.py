"""What `narrow quantize --target` reaches: python bench/target.py NARROW SHARED [-o bench/results/target.md] [NAME...]

For each network: the default, and the network for each target, measured by narrow on the inputs held back and by
`narrow eval` on the test inputs, which neither has seen; multiply-accumulates on integers, size and time beside the default's.
"""
import argparse, json, os, subprocess, tempfile, time

cifar = ["--scale", "1/255", "--mean", ".485,.456,.406", "--std", ".229,.224,.225"]
networks = [  # name, calibration inputs, test inputs, how many of each, preparation
    ("models/resnet8_cifar10", "data/cifar10_calib_x.npy", "data/cifar10_test_x.npy", 300, 1000, []),
    ("models/resnet20_cifar10", "data/cifar10_calib_x.npy", "data/cifar10_test_x.npy", 300, 1000, cifar),
    ("models/dscnn_kws", "data/kws_calib_x.npy", "data/kws_test_x.npy", 200, 800, []),
    ("models/mobilenetv2_cifar10", "data/cifar10_calib_x.npy", "data/cifar10_test_x.npy", 300, 1000, cifar),
    ("zoo/models/mtcnn_onet", "zoo/data/mtcnn_onet_calib.npy", "zoo/data/mtcnn_onet_test.npy", 200, 300, ["--scale", "1/128", "--mean", "0.99609375"]),
    ("zoo/models/fsmn_vad", "zoo/data/fsmn_vad_calib.npz", "zoo/data/fsmn_vad_test.npz", 0, 0, []),
    ("zoo/models/ppocrv5_det", "zoo/data/ppocrv5_det_calib.npy", "zoo/data/ppocrv5_det_test.npy", 0, 0, ["--scale", "1/255", *cifar[2:]]),
    ("zoo/models/ppocrv5_rec", "zoo/data/ppocrv5_rec_calib.npy", "zoo/data/ppocrv5_rec_test.npy", 0, 0, ["--scale", "1/255", "--mean", ".5,.5,.5", "--std", ".5,.5,.5"]),
]


def run(*args):
    start = time.time()
    p = subprocess.run(args, capture_output=True, text=True)
    return p, time.time() - start


def row(o, network, target, default):
    model, calib, test, few, many, preparation = network
    with tempfile.TemporaryDirectory() as d:
        out = d + "/q.onnx"
        limit = lambda n: ["--limit", str(n)] if n else []
        args = [o.narrow, "quantize", f"{o.shared}/{model}.onnx", "--calib", f"{o.shared}/{calib}", "-o", out, "--json", *limit(few), *preparation]
        p, seconds = run(*args, *(["--target", target] if target else []))
        name = model.split("/")[-1]
        if p.returncode:
            return f"| {name} | {target or 'default'} | refused: {p.stderr.strip().split(': ')[-1]} | | | | | {seconds / (default or seconds):.1f} |", seconds
        q = json.loads(p.stdout)
        e, _ = run(o.narrow, "eval", out, "--data", f"{o.shared}/{test}", "--against", f"{o.shared}/{model}.onnx", "--json", *limit(many), *preparation)
        e = json.loads(e.stdout) if e.returncode == 0 else {}
        i, _ = run(o.narrow, "inspect", out, "--json")
        macs = json.loads(i.stdout)["integer_macs"] if i.returncode == 0 else float("nan")
        db = lambda v: "-" if v is None else f"{v:.1f}"
        return (f"| {name} | {target or 'default'} | {db(q['sqnr_db'])} | {db(e.get('sqnr_db'))} | {q['nodes_float']} | {macs:.1f} | "
                f"{os.path.getsize(out) / 1000:.0f} | {seconds / (default or seconds):.1f} |"), seconds


def main():
    a = argparse.ArgumentParser()
    a.add_argument("narrow"), a.add_argument("shared"), a.add_argument("-o", "--output"), a.add_argument("names", nargs="*")
    o = a.parse_args()
    lines = ["# What a target costs", "", "Written by `make bench-target`. dB held back: the worst output or part on inputs that the ranges have not seen, by `narrow quantize`; dB unseen: all",
             "outputs on test inputs, by `narrow eval`. Time is in parts of the default's.", "",
             "| network | target | dB held back | dB unseen | nodes in float | MACs on integers, % | kB | time |", "|---|---|---|---|---|---|---|---|"]
    for network in networks:
        if o.names and network[0].split("/")[-1] not in o.names:
            continue
        default = None
        for target in [None, "30dB", "40dB", "99%"]:
            text, seconds = row(o, network, target, default)
            default = default or seconds
            lines.append(text)
            print(text, flush=True)
    if o.output:
        with open(o.output, "w") as f:
            f.write("\n".join(lines) + "\n")


main()
