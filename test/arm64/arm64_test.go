// Package arm64 compares the command for arm64, run by qemu-user, with the one
// for this machine. `make test-arm64` runs it.
package arm64

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/shared"
	"github.com/narrow-ml/narrow/onnx"
)

const qemu = "qemu-aarch64-static"

// commands are the command for this machine and for arm64, as argument lists.
func commands(t *testing.T) (native, arm []string) {
	t.Helper()
	if os.Getenv("NARROW_QEMU") == "" {
		t.Skip("NARROW_QEMU is not set: make test-arm64 sets it")
	}
	build := func(name string, env ...string) string {
		path := filepath.Join(t.TempDir(), name)
		cmd := exec.Command("go", "build", "-o", path, "../../cmd/narrow")
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return path
	}
	return []string{build("narrow")}, []string{qemu, "-cpu", "max", build("narrow-arm64", "GOARCH=arm64", "CGO_ENABLED=0")}
}

func run(t *testing.T, command []string, args ...string) {
	t.Helper()
	args = append(command[1:len(command):len(command)], args...)
	if out, err := exec.Command(command[0], args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", command[0], args, err, out)
	}
}

func TestSameIntegers(t *testing.T) {
	native, arm := commands(t)
	model, calib := shared.Path(t, "models", "resnet20_cifar10.onnx"), shared.Path(t, "data", "cifar10_calib_x.npy")
	dir := t.TempDir()
	quantized := filepath.Join(dir, "int8.onnx")
	run(t, native, "quantize", model, "--calib", calib, "--limit", "20", "--scale", "1/64", "--mean", "2", "-o", quantized)

	outputs := [][]byte{nil, nil}
	for i, command := range [][]string{native, arm} {
		out := filepath.Join(dir, "y.npy")
		run(t, command, "run", quantized, "--input", calib, "--limit", "20", "--scale", "1/64", "--mean", "2", "-o", out)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		outputs[i] = data
	}
	if !bytes.Equal(outputs[0], outputs[1]) {
		t.Error("the outputs differ")
	}
}

func TestSameScales(t *testing.T) {
	native, arm := commands(t)
	model, calib := shared.Path(t, "models", "resnet8_cifar10.onnx"), shared.Path(t, "data", "cifar10_calib_x.npy")
	dir := t.TempDir()
	var scales [2][]float32
	for i, command := range [][]string{native, arm} {
		out := filepath.Join(dir, "int8.onnx")
		run(t, command, "quantize", model, "--calib", calib, "--limit", "20", "-o", out)
		g, err := onnx.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		scales[i] = scalesOf(g)
	}
	if len(scales[0]) == 0 || len(scales[0]) != len(scales[1]) {
		t.Fatalf("%d scales here, %d on arm64", len(scales[0]), len(scales[1]))
	}
	for i, s := range scales[0] {
		if d := math.Abs(float64(s - scales[1][i])); d > 1e-6*float64(s) {
			t.Errorf("scale %d is %g here, %g on arm64", i, s, scales[1][i])
		}
	}
}

// scalesOf returns the scales of all QuantizeLinear and DequantizeLinear nodes.
func scalesOf(g *graph.Graph) (scales []float32) {
	for _, n := range g.Nodes {
		if n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" {
			scales = append(scales, n.In(1).Const.Float32s()...)
		}
	}
	return scales
}
