package main

import (
	"os"
	"strings"
	"testing"
)

// TestCheck: a file for a target keeps its rules, another is refused with exit code 1, and both are told as JSON too.
func TestCheck(t *testing.T) {
	f := newFiles(t)
	quantize := []string{"quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx")}
	mustRun(t, quantize...)
	out, errs, code := narrow("check", f.path("int8.onnx"), "--for", "tensorrt", "--json")
	v := mustJSONOf(t, out)
	if code != exitFailure || !strings.Contains(errs, "tensorrt") || len(v["problems"].([]any)) == 0 {
		t.Errorf("exit code %d, %s, %v", code, errs, v)
	}
	made := mustJSON(t, append(quantize, "--for", "tensorrt")...)
	if made["target"] != "tensorrt" || made["target_integer_macs"] != 100.0 {
		t.Errorf("%v", made)
	}
	v = mustJSON(t, "check", f.path("int8.onnx"), "--for", "tensorrt")
	if len(v["problems"].([]any)) != 0 || v["integer_macs"] != 100.0 {
		t.Errorf("%v", v)
	}
	if text := mustRun(t, "check", f.path("int8.onnx"), "--for", "onnxruntime"); !strings.Contains(text, "float: its bias is in float") {
		t.Errorf("%s", text)
	}
}

// TestFor: what contradicts a target, and what is none, is refused with the reason; nothing is written.
func TestFor(t *testing.T) {
	f := newFiles(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--for", "tensort"}, exitUsage, `did you mean "tensorrt"`},
		{[]string{"--for", "tensorrt", "--signs"}, exitFailure, "--signs"},
		{[]string{"--for", "tensorrt", "--asymmetric"}, exitFailure, "zero points"},
		{[]string{"--for", "tensorrt", "--format", "qoperator"}, exitFailure, "qoperator"},
		{[]string{"--for", "esp-dl", "--shift"}, exitFailure, "--shift=scales"},
		{[]string{"--for", "esp-dl", "--per-channel"}, exitFailure, "--per-channel"},
		{[]string{"--for", "onnxruntime-x64-any", "--saturation-safe=false"}, exitFailure, "--saturation-safe"},
		{[]string{"--for", "migraphx", "--act-bits", "16"}, exitFailure, "16-bit"},
		{[]string{"--for", "cmsis-nn", "--exclude", "conv"}, exitFailure, "nothing in float"},
	} {
		_, errs, code := narrow(append([]string{"quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("none.onnx")}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") > 2 {
			t.Errorf("%v: exit code %d, %s", c.args, code, errs)
		}
		if _, err := os.Stat(f.path("none.onnx")); err == nil {
			t.Fatalf("%v: a file was written", c.args)
		}
	}
	mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx"), "--for", "tensorrt", "--report", f.path("r.html"))
}

// TestCheckDamaged: what is no network is an error in one line.
func TestCheckDamaged(t *testing.T) {
	f := newFiles(t)
	b, err := os.ReadFile(f.path("model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := os.WriteFile(f.path("bad.onnx"), append(b[:len(b)*i/40:len(b)*i/40], byte(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := narrow("check", f.path("bad.onnx"), "--for", "onnxruntime"); code == exitUsage || code == exitFailure && strings.Count(errs, "\n") != 1 {
			t.Errorf("cut after %d parts of 40: exit code %d, %s", i, code, errs)
		}
	}
	if _, errs, code := narrow("check", f.path("model.onnx")); code != exitUsage || !strings.Contains(errs, "--for") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
