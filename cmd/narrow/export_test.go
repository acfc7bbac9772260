package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// quantizedDemo quantizes the demo's network with shifts.
func quantizedDemo(t *testing.T) (model, calib string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	mustRun(t, "demo", "--calibration", "40", "--test", "20")
	calib = filepath.Join("narrow-demo", "calib_x.npy")
	mustRun(t, "quantize", filepath.Join("narrow-demo", "fp32.onnx"), "--calib", calib, "--scale", "1/255", "--shift", "-o", "shift.onnx")
	return "shift.onnx", calib
}

func TestExport(t *testing.T) {
	model, calib := quantizedDemo(t)
	info := mustJSON(t, "export", model, "-o", "board", "--name", "shapes", "--cpu", "cortex-m4", "--ram", "64kB", "--test-vectors", "2", "--calib", calib, "--scale", "1/255")
	if ram, least := info["ram"].(float64), info["least_ram"].(float64); ram < least || ram > 1.05*least {
		t.Errorf("%v bytes of RAM, %v is the least", ram, least)
	}
	for _, name := range []string{"shapes.h", "shapes.c", "shapes_weights.c", "test_shapes.c", "Makefile", "CMakeLists.txt", "README.md"} {
		if info, err := os.Stat(filepath.Join("board", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Mkdir("taken", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("taken", "README.md"), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "export", model, "-o", "board", "--name", "shapes") // over what export wrote
	for want, args := range map[string][]string{
		"more than 1024: step":           {"export", model, "-o", "other", "--ram", "1kB"},
		"there are 40 inputs":            {"export", model, "-o", "other", "--test-vectors", "41", "--calib", calib, "--scale", "1/255"},
		"the network is not all integer": {"export", filepath.Join("narrow-demo", "fp32.onnx"), "-o", "other"},
		`(Conv), node "/Relu" (Relu) is computed in float (its input is not quantized)`: {"export", filepath.Join("narrow-demo", "fp32.onnx"), "-o", "other"},
		"that of a header of C":  {"export", model, "-o", "other", "--name", "string"},
		"not from narrow export": {"export", model, "-o", "taken"},
	} {
		if _, errs, code := narrow(args...); code != exitFailure || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d, %q does not say %q", args, code, errs, want)
		}
	}
	for _, args := range [][]string{
		{"export", model}, {"export", model, "-o", "x", "--cpu", "z80"}, {"export", model, "-o", "x", "--ram", "much"},
		{"export", model, "-o", "x", "--requant", "float"}, {"export", model, "-o", "x", "--test-vectors", "1"},
		{"export", model, "-o", ""}, {"export", model, "-o", "x", "--ram", "9999999999999999MB"},
	} {
		if _, _, code := narrow(args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	if _, err := os.Stat("other"); err == nil {
		t.Error("what failed left a folder")
	}
}
