package main

import (
	"os"
	"strings"
	"testing"
)

// TestSelectCommand: what is chosen can be calibrated on, and the numbers are those in the JSON file.
func TestSelectCommand(t *testing.T) {
	f := newFiles(t)
	v := mustJSON(t, "select", f.path("model.onnx"), "--data", f.path("x.npy"), "--count", "5", "-o", f.path("chosen.npy"))
	if len(v["chosen"].([]any)) != 5 {
		t.Errorf("%v", v)
	}
	mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("chosen.npy"), "-o", f.path("int8.onnx"))
	text := mustRun(t, "select", f.path("model.onnx"), "--data", f.path("x.npy"), "--count", "4", "-o", f.path("chosen.json"))
	if b, err := os.ReadFile(f.path("chosen.json")); err != nil || strings.Count(string(b), ",") != 3 || !strings.Contains(text, "RANGES REACHED") {
		t.Errorf("%s, error %v; %s", b, err, text)
	}
	for _, args := range [][]string{{"--count", "0", "-o", f.path("c.npy")}, {"--count", "3"}} {
		if _, errs, code := narrow(append([]string{"select", f.path("model.onnx"), "--data", f.path("x.npy")}, args...)...); code != exitUsage {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
	if _, errs, code := narrow("select", f.path("model.onnx"), "--data", f.path("x.npy"), "-o", f.path("c.txt")); code != exitFailure || !strings.Contains(errs, "as .npy") {
		t.Errorf("code %d, %s", code, errs)
	}
}

// TestDriftCommand: the exit code tells whether inputs have left the ranges.
func TestDriftCommand(t *testing.T) {
	f := newFiles(t)
	mustRun(t, "calibrate", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("s.nrw"))
	drift := func(args ...string) (string, string, int) {
		return narrow(append([]string{"drift", f.path("s.nrw")}, args...)...)
	}
	if out, errs, code := drift(f.path("s.nrw")); code != exitOK || !strings.Contains(out, "0 of") {
		t.Errorf("the same: code %d, %s%s", code, out, errs)
	}
	if _, errs, code := drift("--model", f.path("model.onnx"), "--data", f.path("x.npy")); code != exitOK {
		t.Errorf("the same inputs: code %d, %s", code, errs)
	}
	out, errs, code := drift("--model", f.path("model.onnx"), "--data", f.path("x.npy"), "--scale", "3", "--any-preparation")
	if code != exitFailure || !strings.Contains(errs, "calibrate anew") || !strings.Contains(out, "drifted") {
		t.Errorf("three times as large: code %d, %s%s", code, out, errs)
	}
	if v := out; strings.Contains(v, "x 1.00") {
		t.Errorf("three times as large: %s", v)
	}
	for _, args := range [][]string{nil, {"--model", f.path("model.onnx")}, {f.path("s.nrw"), "--data", f.path("x.npy")}} {
		if _, errs, code := drift(args...); code != exitUsage {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}
