"""Writes graph/op/schema.txt: what attributes and types each operator of narrow's table takes, by operator set.

    schema.py NAMES OUT

NAMES has an operator a line, as op.Names lists them. The facts are those that the onnx package and ONNX Runtime
declare of their operators; the notation is explained at the head of the file.
"""

import sys

import onnx
import onnx.defs
import onnxruntime.capi.onnxruntime_pybind11_state as ort

HEAD = """# Attributes and types of every operator, by the version of its operator set. Written by test/ort/schema.py from the
# declarations of onnx {onnx} and, for com.microsoft, ONNX Runtime {ort}; `make schema` does it anew.
#
#   operator version | attributes | inputs | types of its variables
#
# An attribute is name:kind, i f s t g an integer, float, string, tensor or graph, I F S T lists of them, with ! if it must be given.
# An input has the name of its variable, or a type. Behind ? it may be omitted, behind * there may be any number.
# Types that no tensor of narrow has (complex numbers, sequences) are left out.
"""

KINDS = {"INT": "i", "FLOAT": "f", "STRING": "s", "TENSOR": "t", "GRAPH": "g",
         "INTS": "I", "FLOATS": "F", "STRINGS": "S", "TENSORS": "T", "GRAPHS": "G"}
TYPES = {"float": "f32", "double": "f64", "float16": "f16", "bfloat16": "bf16", "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16",
         "int32": "i32", "uint32": "u32", "int64": "i64", "uint64": "u64", "bool": "bool", "string": "str", "int4": "i4", "uint4": "u4",
         "int2": "i2", "uint2": "u2", "float8e4m3fn": "e4m3fn", "float8e4m3fnuz": "e4m3fnuz", "float8e5m2": "e5m2",
         "float8e5m2fnuz": "e5m2fnuz", "float8e8m0": "e8m0", "float4e2m1": "e2m1"}


def type_name(text):
    if text.startswith("tensor(") and text[7:-1] in TYPES:
        return TYPES[text[7:-1]]
    return None


def describe(schema, name):
    attributes = []
    for a in sorted(schema.attributes.values(), key=lambda a: a.name):
        kind = KINDS.get(str(a.type).rsplit(".", 1)[-1])
        if kind:
            attributes.append(f"{a.name}:{kind}{'!' if a.required else ''}")
    variables = {}
    for t in schema.type_constraints:
        variables[t.type_param_str] = [n for n in map(type_name, t.allowed_type_strs) if n]
    inputs = []
    for i in schema.inputs:
        kind = i.typeStr if hasattr(i, "typeStr") else i.type_str
        text = kind if kind in variables else (type_name(kind) or "any")
        option = str(i.option)
        heterogeneous = hasattr(i, "isHomogeneous") and not i.isHomogeneous or hasattr(i, "is_homogeneous") and not i.is_homogeneous
        inputs.append(("?" if "Optional" in option else "*" if "Variadic" in option else "") + ("any" if "Variadic" in option and heterogeneous else text))
    types = [f"{k}={','.join(v)}" for k, v in variables.items()]
    return f"{name} {schema.since_version} | {' '.join(attributes)} | {' '.join(inputs)} | {' '.join(types)}"


def main(names, out):
    known = [line.strip() for line in open(names) if line.strip()]
    schemas = {}
    for s in list(onnx.defs.get_all_schemas_with_history()) + [s for s in ort.get_all_operator_schema() if s.domain == "com.microsoft"]:
        full = s.name if s.domain in ("", "ai.onnx") else f"{s.domain}.{s.name}"
        if s.domain in ("", "ai.onnx") and not isinstance(s, onnx.defs.OpSchema):
            continue
        schemas.setdefault(full, {})[s.since_version] = s
    with open(out, "w") as f:
        f.write(HEAD.format(onnx=onnx.__version__, ort=ort.__dict__.get("__version__", __import__("onnxruntime").__version__)))
        f.write(f"latest {onnx.defs.onnx_opset_version()}\n")
        for name in known:
            if name not in schemas:
                sys.exit(f"{name} has no schema")
            for version in sorted(schemas[name]):
                f.write(describe(schemas[name][version], name) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
