package main

import (
	"strings"
	"testing"
)

// TestPreparationTravels quantizes with prepared inputs and lets later commands find out how.
func TestPreparationTravels(t *testing.T) {
	x := newFiles(t)
	model, int8, data := x.path("model.onnx"), x.path("int8.onnx"), x.path("x.npy")
	mustRun(t, "quantize", model, "--calib", data, "--scale", "1/4", "--mean", "0.5", "-o", int8)
	said := mustJSON(t, "eval", int8, "--data", data, "--scale", "1/4", "--mean", "0.5", "--against", model)
	out, errs, code := narrow("eval", int8, "--data", data, "--against", model, "--json")
	if code != exitOK || !strings.Contains(errs, `"scale":0.25,"mean":[0.5]`) {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	if want := strings.TrimSpace(out); !strings.Contains(want, `"sqnr_db"`) || said["sqnr_db"] == nil {
		t.Fatalf("no ratio in %s", want)
	}
	silent := mustJSONOf(t, out)
	if silent["sqnr_db"] != said["sqnr_db"] {
		t.Errorf("%v dB when prepared as recorded, %v when told so", silent["sqnr_db"], said["sqnr_db"])
	}
	if _, errs, code := narrow("run", int8, "--input", data, "--scale", "1/255", "-o", x.path("y.npy")); code != exitFailure || !strings.Contains(errs, "--any-preparation") {
		t.Errorf("another preparation: exit code %d, %s", code, errs)
	}
	mustRun(t, "run", int8, "--input", data, "--scale", "1/255", "--any-preparation", "-o", x.path("y.npy"))
}

func TestWrongPreparations(t *testing.T) {
	x := newFiles(t)
	for _, args := range [][]string{
		{"--preset", "imagnet"}, {"--order", "gbr"}, {"--layout", "chw"}, {"--resize", "-1"}, {"--resize", "8", "--letterbox", "8"},
		{"--crop", "0"}, {"--crop", "axb"}, {"--size", "3"}, {"--letterbox", "4x"}, {"--scale", "1,2"}, {"--std", "0"},
	} {
		args = append([]string{"run", x.path("model.onnx"), "--input", x.path("x.npy"), "-o", x.path("y.npy")}, args...)
		if _, errs, code := narrow(args...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args[6:], code, errs)
		}
	}
}
