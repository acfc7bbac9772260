package main

import (
	"strings"
	"testing"
)

// TestBench checks what is printed, not how fast anything was.
func TestBench(t *testing.T) {
	f := newFiles(t)
	mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx"))
	r := mustJSON(t, "bench", f.path("int8.onnx"), "--seconds", "0.05", "--batch", "2", "--threads", "1")
	if r["batch"] != 2.0 || r["threads"] != 1.0 {
		t.Errorf("batch %v, threads %v", r["batch"], r["threads"])
	}
	integer, share := 0, 0.0
	for _, s := range r["steps"].([]any) {
		step := s.(map[string]any)
		share += step["share"].(float64)
		if step["kind"] == "integer" {
			integer++
		}
	}
	if integer == 0 || share < 99 || share > 101 {
		t.Errorf("%d integer steps, shares of %v %% together", integer, share)
	}
	if out := mustRun(t, "bench", f.path("model.onnx"), "--seconds", "0.05"); !strings.Contains(out, "latency") {
		t.Errorf("no latency in %q", out)
	}
	for _, args := range [][]string{{"--seconds", "0"}, {"--batch", "0"}, {"--engine", "int9"}, {"--requant", "no"}} {
		if _, errs, code := narrow(append([]string{"bench", f.path("model.onnx")}, args...)...); code != exitUsage || errs == "" {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
}
