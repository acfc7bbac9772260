package engine_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

var update = flag.Bool("update", false, "rewrite testdata/conformance.txt (reasons are to be filled in)")

const unsupportedList = "testdata/conformance.txt"

// TestConformance runs the ONNX project's operator cases through Compile and
// Run. Cases that are not supported are listed with their reason in
// testdata/conformance.txt; one that is listed and passes is an error too.
func TestConformance(t *testing.T) {
	cases := conformanceCases(t)
	listed := readUnsupported(t)
	type count struct{ passed, failed, unsupported int }
	byOp := make(map[string]*count)
	var failures []string
	passed := 0
	for _, dir := range cases {
		name := caseName(dir)
		ops, err := runCase(dir)
		_, known := listed[name]
		delete(listed, name)
		for _, o := range ops {
			if byOp[o] == nil {
				byOp[o] = &count{}
			}
			switch {
			case err == nil:
				byOp[o].passed++
			case known:
				byOp[o].unsupported++
			default:
				byOp[o].failed++
			}
		}
		switch {
		case err != nil && errors.Is(err, errBroken):
			t.Errorf("%s: %v", name, err)
		case err != nil && *update:
			failures = append(failures, fmt.Sprintf("%s: %v", name, err))
		case err != nil && !known:
			t.Errorf("%s: %v", name, err)
		case err == nil && known:
			t.Errorf("%s passes but is listed in %s", name, unsupportedList)
		}
		if err == nil {
			passed++
		}
	}
	if *update {
		writeUnsupported(t, failures)
		return
	}
	for name := range listed {
		t.Errorf("%s is listed in %s but there is no such case", name, unsupportedList)
	}
	var table strings.Builder
	for _, o := range sortedKeys(byOp) {
		fmt.Fprintf(&table, "%-24s passed %3d  failed %d  not supported %d\n", o, byOp[o].passed, byOp[o].failed, byOp[o].unsupported)
	}
	t.Logf("%d of %d cases pass\n%s", passed, len(cases), table.String())
	if passed < 700 {
		t.Errorf("%d of %d cases pass, at least 700 must", passed, len(cases))
	}
}

// errBroken reports a panic, which no reason excuses.
var errBroken = errors.New("panic")

func conformanceCases(t *testing.T) []string {
	shared := os.Getenv("NARROW_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	models, err := filepath.Glob(filepath.Join(shared, "onnx", "*", "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if len(models) == 0 {
		t.Skip("no shared conformance cases: set NARROW_SHARED to the folder of shared test data")
	}
	dirs := make([]string, len(models))
	for i, m := range models {
		dirs[i] = filepath.Dir(m)
	}
	return dirs
}

// caseName is the last two folders of a case's path: "node/test_abs".
func caseName(dir string) string {
	return filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir)
}

// runCase runs every data set of a case and returns the operators it uses.
func runCase(dir string) (ops []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errBroken, r)
		}
	}()
	g, err := onnx.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return nil, err
	}
	for _, n := range g.Nodes {
		if !slices.Contains(ops, n.Op) {
			ops = append(ops, n.Op)
		}
	}
	inferred := g.Clone()
	for _, v := range inferred.Outputs {
		if v.Node != nil {
			v.Type = op.Type{} // what the file says is not to help
		}
	}
	if err := graph.Infer(inferred); err != nil {
		return ops, fmt.Errorf("inference: %w", err)
	}
	net, err := engine.Compile(g)
	if err != nil {
		return ops, err
	}
	sets, err := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	if err != nil || len(sets) == 0 {
		return ops, fmt.Errorf("no data sets: %v", err)
	}
	exact := !slices.ContainsFunc(ops, func(o string) bool { return strings.Contains(o, "Quant") || strings.HasPrefix(o, "QLinear") })
	for _, set := range sets {
		inputs, err := readTensors(set, "input")
		if err != nil {
			return ops, err
		}
		want, err := readTensors(set, "output")
		if err != nil {
			return ops, err
		}
		got, err := net.Run(context.Background(), inputs...)
		if err != nil {
			return ops, err
		}
		if len(got) != len(want) {
			return ops, fmt.Errorf("%d outputs, want %d", len(got), len(want))
		}
		for i := range want {
			if t := inferred.Outputs[i].Type; !agrees(t, got[i]) {
				return ops, fmt.Errorf("output %d is %s, inference says %s%v", i, got[i], t.DType, t.Shape)
			}
			if err := compareTensors(got[i], want[i], exact); err != nil {
				return ops, fmt.Errorf("output %d: %w", i, err)
			}
		}
	}
	return ops, nil
}

// agrees reports whether what is known of a value is true of x.
func agrees(t op.Type, x *tensor.Tensor) bool {
	if t.DType != tensor.Undefined && t.DType != x.DType() {
		return false
	}
	return !t.Known || slices.EqualFunc(t.Shape, x.Shape(), func(known, n int) bool { return known == op.Unknown || known == n })
}

func readTensors(set, kind string) ([]*tensor.Tensor, error) {
	var all []*tensor.Tensor
	for i := 0; ; i++ {
		path := filepath.Join(set, fmt.Sprintf("%s_%d.pb", kind, i))
		if _, err := os.Stat(path); err != nil {
			return all, nil
		}
		x, _, err := onnx.ReadTensorFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
}

// compareTensors allows floats what the ONNX project's own runner allows, and
// quantized integers one step where exact is not set.
func compareTensors(got, want *tensor.Tensor, exact bool) error {
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("%s, want %s", got, want)
	}
	if want.DType() == tensor.String {
		if !slices.Equal(tensor.Data[string](got), tensor.Data[string](want)) {
			return errors.New("strings differ")
		}
		return nil
	}
	rel, abs := 0.0, 0.0
	switch {
	case want.DType() == tensor.BFloat16:
		rel, abs = 1.0/64, 1e-5 // two of its steps
	case want.DType().IsFloat():
		rel, abs = 1e-3, 1e-5
	case !exact:
		abs = 1
	}
	a, b := got.Float64s(), want.Float64s()
	for i := range b {
		if a[i] != a[i] && b[i] != b[i] || a[i] == b[i] {
			continue
		}
		if !(math.Abs(a[i]-b[i]) <= abs+rel*math.Abs(b[i])) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// readUnsupported reads lines "case: reason"; # begins a comment.
func readUnsupported(t *testing.T) map[string]string {
	listed := make(map[string]string)
	f, err := os.Open(unsupportedList)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || reason == "" {
			t.Fatalf("%s: %q has no reason", unsupportedList, line)
		}
		listed[name] = reason
	}
	return listed
}

func writeUnsupported(t *testing.T, failures []string) {
	text := "# Conformance cases that are not supported, each with its reason.\n" + strings.Join(failures, "\n") + "\n"
	if err := os.WriteFile(unsupportedList, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
