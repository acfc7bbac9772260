package main

import (
	"os"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// TestCalibrateInShards: two halves merged, in either order, are the whole.
func TestCalibrateInShards(t *testing.T) {
	f := newFiles(t)
	x := tensor.New(tensor.Float32, 40, 2, 6, 5)
	for i := range x.F32() {
		x.F32()[i] = float32(i%37)/9 - 2
	}
	f.save(t, "all.npy", x)
	f.save(t, "first.npy", x.Rows(0, 15))
	f.save(t, "second.npy", x.Rows(15, 40))
	for _, part := range []string{"all", "first", "second"} {
		mustRun(t, "calibrate", f.path("model.onnx"), "--calib", f.path(part+".npy"), "-o", f.path(part+".nrw"), "--checkpoint", f.path(part+".part"))
		if _, err := os.Stat(f.path(part + ".part")); err == nil {
			t.Errorf("%s.part is left behind", part)
		}
	}
	mustRun(t, "merge", f.path("first.nrw"), f.path("second.nrw"), "-o", f.path("a.nrw"))
	mustRun(t, "merge", f.path("second.nrw"), f.path("first.nrw"), "-o", f.path("b.nrw"))
	if f.read(t, "a.nrw") != f.read(t, "b.nrw") {
		t.Error("the order of merging shows")
	}
	mustRun(t, "quantize", f.path("model.onnx"), "--stats", f.path("a.nrw"), "-o", f.path("q.onnx"))
	mustRun(t, "quantize", f.path("model.onnx"), "--stats", f.path("all.nrw"), "-o", f.path("whole.onnx"))
	if f.read(t, "q.onnx") != f.read(t, "whole.onnx") {
		t.Error("merged halves give another network than the whole")
	}
	if out := mustRun(t, "ranges", f.path("a.nrw"), "--format", "tensorrt"); !strings.Contains(out, "\nrelu: ") {
		t.Errorf("the cache has no tensor relu:\n%s", out)
	}
	if v := mustJSON(t, "compare", f.path("model.onnx"), f.path("q.onnx"), "--data", f.path("all.npy")); len(v["tensors"].([]any)) < 3 {
		t.Errorf("compare: %v", v)
	}
}

func (f files) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBadStatistics: one sentence that names the file, exit code 1, nothing written.
func TestBadStatistics(t *testing.T) {
	f := newFiles(t)
	mustRun(t, "calibrate", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("good.nrw"))
	good := f.read(t, "good.nrw")
	later := []byte(good)
	later[strings.IndexByte(good, '\n')+1]++
	other := smallNetwork()
	other.Nodes[0].Inputs[1].Const.F32()[0]++
	if err := onnx.WriteFile(f.path("other.onnx"), other); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"cut.nrw": good[:len(good)-1], "damaged.nrw": strings.Replace(good, "relu", "rely", 1), "foreign.nrw": "PK\x03\x04", "later.nrw": string(later), "empty.nrw": "",
	} {
		if err := os.WriteFile(f.path(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		f.refused(t, f.path("model.onnx"), name)
	}
	f.refused(t, f.path("other.onnx"), "good.nrw")
	if _, stderr, code := narrow("merge", f.path("good.nrw"), f.path("cut.nrw"), "-o", f.path("m.nrw")); code != exitFailure || !strings.Contains(stderr, "cut.nrw") {
		t.Errorf("merge with a damaged file: exit code %d, %s", code, stderr)
	}
}

// refused checks that quantizing with a statistics file fails.
func (f files) refused(t *testing.T, model, stats string) {
	t.Helper()
	_, stderr, code := narrow("quantize", model, "--stats", f.path(stats), "-o", f.path("bad.onnx"))
	if code != exitFailure || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "statistics") {
		t.Errorf("%s: exit code %d, %s", stats, code, stderr)
	}
	if _, err := os.Stat(f.path("bad.onnx")); err == nil {
		t.Errorf("%s: a file was written", stats)
	}
}

// TestShardsThatDoNotBelongTogether: the same shard twice, another preparation and going on with other inputs are
// refused; one whose inputs are larger is pointed out.
func TestShardsThatDoNotBelongTogether(t *testing.T) {
	f := newFiles(t)
	x := tensor.New(tensor.Float32, 30, 2, 6, 5)
	for i := range x.F32() {
		x.F32()[i] = float32(i%37)/9 - 2
	}
	f.save(t, "a.npy", x.Rows(0, 10))
	f.save(t, "b.npy", x.Rows(10, 20))
	large := x.Rows(20, 30).Clone()
	for i := range large.F32() {
		large.F32()[i] *= 255
	}
	f.save(t, "large.npy", large)
	calibrate := func(name string, args ...string) {
		t.Helper()
		mustRun(t, append([]string{"calibrate", f.path("model.onnx"), "--calib", f.path(name[:strings.IndexByte(name, '.')] + ".npy"), "-o", f.path(name)}, args...)...)
	}
	for _, name := range []string{"a.nrw", "b.nrw", "large.nrw"} {
		calibrate(name)
	}
	calibrate("a.scaled.nrw", "--scale", "1/255")
	merge := func(says string, names ...string) {
		t.Helper()
		args := []string{"merge", "-o", f.path("m.nrw")}
		for _, n := range names {
			args = append(args, f.path(n))
		}
		if _, errs, code := narrow(args...); code != exitFailure || !strings.Contains(errs, says) {
			t.Errorf("merge %v: exit code %d, %s", names, code, errs)
		}
	}
	merge("twice", "a.nrw", "b.nrw", "a.nrw")
	merge("prepared otherwise", "b.nrw", "a.scaled.nrw")
	mustRun(t, "merge", f.path("a.nrw"), f.path("b.nrw"), "-o", f.path("ab.nrw"))
	merge("twice", "ab.nrw", "b.nrw")
	out := mustRun(t, "merge", f.path("a.nrw"), f.path("b.nrw"), f.path("large.nrw"), "-o", f.path("all.nrw"))
	if lines := strings.Split(out, "\n"); strings.Count(out, "outlying") != 1 || !strings.Contains(lines[3], "outlying") {
		t.Errorf("the shard of larger inputs is not pointed out:\n%s", out)
	}
	if info := mustRun(t, "inspect", f.path("all.nrw")); !strings.Contains(info, "large.npy") || !strings.Contains(info, "30") {
		t.Errorf("inspect:\n%s", info)
	}
	if err := os.Rename(f.path("a.nrw"), f.path("c.part")); err != nil {
		t.Fatal(err)
	}
	resume := []string{"calibrate", f.path("model.onnx"), "--checkpoint", f.path("c.part"), "-o", f.path("c.nrw"), "--calib"}
	for says, args := range map[string][]string{"other inputs": {f.path("b.npy")}, "prepared otherwise": {f.path("a.npy"), "--scale", "1/255"}} {
		if _, errs, code := narrow(append(resume, args...)...); code != exitFailure || !strings.Contains(errs, says) {
			t.Errorf("going on with %v: exit code %d, %s", args, code, errs)
		}
	}
	mustRun(t, append(resume, f.path("a.npy"))...)
}
