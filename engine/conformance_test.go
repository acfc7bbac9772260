package engine_test

import (
	"archive/zip"
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/shared"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

var (
	update = flag.Bool("update", false, "rewrite the lists of conformance cases that do not pass (reasons are to be filled in)")
	table  = flag.String("table", "", "write the figures of TestNodeSuite to this file")
)

// TestConformance runs the ONNX project's operator cases among the shared test
// data through Compile and Run. Cases that are not supported are listed with their reason in
// testdata/conformance.txt; one that is listed and passes is an error too.
func TestConformance(t *testing.T) {
	cases := folders(shared.Glob(t, "onnx/*/*/model.onnx"))
	s := runSuite(t, cases, "testdata/conformance.txt", 700)
	t.Logf("%d of %d cases pass\n%s", s.passed, s.cases, s.byOperator())
}

// TestNodeSuite does so for the cases that test/ort/nodes.py makes of the onnx
// package, the newest operator sets among them; testdata/nodesuite.txt lists what does
// not pass. They are in a list of their own for the two suites are of different times.
func TestNodeSuite(t *testing.T) {
	folder := os.Getenv("NARROW_NODE_SUITE")
	if folder == "" {
		t.Skip("set NARROW_NODE_SUITE to the folder that test/ort/nodes.py wrote")
	}
	cases := casesIn(t, filepath.Join(folder, "node", "*", "model.onnx"))
	if len(cases) == 0 {
		t.Fatalf("there are no cases in %s", folder)
	}
	s := runSuite(t, cases, "testdata/nodesuite.txt", 1700)
	if *table != "" {
		if err := os.WriteFile(*table, []byte(s.markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCases does so for calls of the operators' own tests with what ONNX Runtime gives for them, which are in the
// repository (make conformance-cases writes them): all pass.
func TestCases(t *testing.T) {
	dir := t.TempDir()
	unzip(t, "testdata/cases.zip", filepath.Join(dir, "cases"))
	s := runSuite(t, casesIn(t, filepath.Join(dir, "cases", "*", "model.onnx")), "", 250)
	if len(s.byOp) < 50 {
		t.Errorf("the cases are of %d operators only", len(s.byOp))
	}
}

func unzip(t *testing.T, archive, dir string) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
}

// suite counts the cases of a suite.
type suite struct {
	cases, passed int
	byOp          map[string]*[3]int // passed, failed, listed
	listed        map[string]string  // why cases do not pass
}

// runSuite runs the cases and compares what does not pass with a list.
func runSuite(t *testing.T, cases []string, list string, least int) *suite {
	s := &suite{cases: len(cases), byOp: make(map[string]*[3]int), listed: readUnsupported(t, list)}
	unseen := maps.Clone(s.listed)
	var failures []string
	for _, dir := range cases {
		name := caseName(dir)
		ops, err := runCase(dir)
		_, known := s.listed[name]
		delete(unseen, name)
		outcome := 1
		switch {
		case err == nil:
			outcome = 0
			s.passed++
		case known:
			outcome = 2
		}
		for _, o := range ops {
			if s.byOp[o] == nil {
				s.byOp[o] = new([3]int)
			}
			s.byOp[o][outcome]++
		}
		switch {
		case err != nil && errors.Is(err, errBroken):
			t.Errorf("%s: %v", name, err)
		case err != nil && *update:
			failures = append(failures, fmt.Sprintf("%s: %v", name, cmp.Or(s.listed[name], err.Error())))
		case err != nil && !known:
			t.Errorf("%s: %v", name, err)
		case err == nil && known && !*update:
			t.Errorf("%s passes but is listed in %s", name, list)
		}
	}
	if *update {
		writeUnsupported(t, list, failures)
		return s
	}
	for name := range unseen {
		t.Errorf("%s is listed in %s but there is no such case", name, list)
	}
	if s.passed < least {
		t.Errorf("%d of %d cases pass, at least %d must", s.passed, len(cases), least)
	}
	return s
}

func (s *suite) byOperator() string {
	var text strings.Builder
	for _, o := range slices.Sorted(maps.Keys(s.byOp)) {
		c := s.byOp[o]
		fmt.Fprintf(&text, "%-24s passed %3d  failed %d  not supported %d\n", o, c[0], c[1], c[2])
	}
	return text.String()
}

// markdown is what bench/results/conformance.md holds.
func (s *suite) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# The ONNX project's operator cases\n\nEvery case of the node suite of the onnx package (test/ort/requirements.txt names the version), run by narrow and compared within the suite's own tolerances. Written by `make test-ort`.\n\n"+
		"**%d of %d** cases pass. The others are listed by operator in docs/operators.md, and one by one with their reason in engine/testdata/nodesuite.txt.\n\n| operator | pass | do not |\n|---|---|---|\n", s.passed, s.cases)
	for _, o := range slices.Sorted(maps.Keys(s.byOp)) {
		c := s.byOp[o]
		fmt.Fprintf(&text, "| %s | %d | %d |\n", o, c[0], c[1]+c[2])
	}
	return text.String()
}

// errBroken reports a panic, which no reason excuses.
var errBroken = errors.New("panic")

func casesIn(t *testing.T, pattern string) []string {
	models, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return folders(models)
}

func folders(files []string) []string {
	for i, f := range files {
		files[i] = filepath.Dir(f)
	}
	return files
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
func readUnsupported(t *testing.T, list string) map[string]string {
	listed := make(map[string]string)
	if list == "" {
		return listed
	}
	f, err := os.Open(list)
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
			t.Fatalf("%s: %q has no reason", list, line)
		}
		listed[name] = reason
	}
	return listed
}

func writeUnsupported(t *testing.T, list string, failures []string) {
	text := "# Conformance cases that narrow does not pass, each with its reason.\n" + strings.Join(failures, "\n") + "\n"
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
