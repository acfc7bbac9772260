package main

import (
	"strings"
	"testing"
)

// TestDemo runs the demo, then each command that it says to try next.
func TestDemo(t *testing.T) {
	t.Chdir(t.TempDir())
	out := mustRun(t, "demo", "--calibration", "40", "--test", "60")
	if !strings.Contains(out, "fp32") || !strings.Contains(out, "  --clip max") {
		t.Errorf("%s", out)
	}
	tried := 0
	for line := range strings.Lines(out) {
		if args, ok := strings.CutPrefix(strings.TrimSpace(line), "narrow "); ok {
			mustRun(t, strings.Fields(args)...)
			tried++
		}
	}
	if tried != 3 {
		t.Errorf("%d commands tried", tried)
	}
	e := mustJSON(t, "eval", "narrow-demo/int8.onnx", "--data", "narrow-demo/test_x.npy", "--scale", "1/255", "--against", "narrow-demo/fp32.onnx")
	if e["sqnr_db"].(float64) < 20 || e["count"] != 60.0 {
		t.Errorf("%v", e)
	}
}
