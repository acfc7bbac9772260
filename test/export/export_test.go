// Package export compiles what `narrow export` writes with the compilers of
// several processors, runs it under qemu and compares every step's integers.
// `make test-export` runs it.
package export

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/demo"
	"github.com/narrow-ml/narrow/export/c"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

// network is a real network with inputs for it.
type network struct {
	name, model, data string
	options           []dataset.Option
}

var networks = []network{
	{"resnet8", "resnet8_cifar10.onnx", "data/cifar10_calib_x.npy", nil},
	{"dscnn", "dscnn_kws.onnx", "data/kws_calib_x.npy", nil},
	{"vww", "mobilenetv1_vww.onnx", "golden/mobilenetv1_vww_in.npy", nil},
	{"autoencoder", "autoencoder_ad.onnx", "golden/autoencoder_ad_in.npy", nil},
	{"resnet20", "resnet20_cifar10.onnx", "data/cifar10_calib_x.npy", imagenet},
	{"mobilenetv2", "mobilenetv2_cifar10.onnx", "data/cifar10_calib_x.npy", imagenet},
}

var imagenet = []dataset.Option{dataset.Normalize(1.0/255, []float32{.485, .456, .406}, []float32{.229, .224, .225})}

// form is how a network is quantized.
type form struct{ shift, perChannel bool }

func (f form) String() string {
	name := "multiplier"
	if f.shift {
		name = "shift"
	}
	if !f.perChannel {
		name += ", per tensor"
	}
	return name
}

// full says that everything is to be run, and not what fits some minutes.
var full = os.Getenv("NARROW_EXPORT_FULL") != ""

func toolchains(t *testing.T) {
	t.Helper()
	if os.Getenv("NARROW_TOOLCHAINS") == "" {
		t.Skip("NARROW_TOOLCHAINS is not set: make test-export sets it")
	}
}

// shared returns the path of a file of the shared data.
func shared(t *testing.T, path string) string {
	t.Helper()
	root := os.Getenv("NARROW_SHARED")
	if root == "" {
		root = "../../../shared"
	}
	path = filepath.Join(root, path)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("shared data is absent: %v", err)
	}
	return path
}

// quantized returns the network in a form, and some inputs.
func (n *network) quantized(t *testing.T, f form, inputs int) (*graph.Graph, []*tensor.Tensor) {
	t.Helper()
	g, err := onnx.ReadFile(shared(t, filepath.Join("models", n.model)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(shared(t, n.data), append([]dataset.Option{dataset.First(64)}, n.options...)...)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ptq.Quantize(context.Background(), g, data, ptq.WithShift(f.shift), ptq.WithPerChannel(f.perChannel))
	if err != nil {
		t.Fatal(err)
	}
	var list []*tensor.Tensor
	for batch, err := range data.Batches(1) {
		if err != nil {
			t.Fatal(err)
		}
		if list = append(list, batch[0].Clone()); len(list) == inputs {
			break
		}
	}
	return q.Graph, list
}

// export writes the network for a processor and returns the folder.
func export(t *testing.T, g *graph.Graph, cpu string, inputs []*tensor.Tensor) (string, *c.Project) {
	t.Helper()
	p, err := c.Lower(g, program.ModeAuto)
	if err != nil {
		t.Fatal(err)
	}
	target, err := c.Lookup(cpu)
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.New(p, target)
	if err != nil {
		t.Fatal(err)
	}
	o := c.Options{CPU: target}
	for _, x := range inputs {
		v, err := n.Vector([]*tensor.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		o.Tests = append(o.Tests, v)
	}
	project, err := n.Export(o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range project.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, project
}

var strict = []string{"-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"}

func sources(dir string) []string {
	return []string{filepath.Join(dir, "test_net.c"), filepath.Join(dir, "net.c"), filepath.Join(dir, "net_weights.c")}
}

func mustCompare(t *testing.T, out string, err error, inputs int) {
	t.Helper()
	if err != nil || !strings.HasPrefix(out, fmt.Sprintf("ok: %d inputs", inputs)) {
		t.Errorf("error %v: %s", err, out)
	}
}

// TestNetworks runs the real networks on the host and on all boards.
func TestNetworks(t *testing.T) {
	toolchains(t)
	inputs, forms := 2, []form{{true, true}, {false, true}}
	if full {
		inputs, forms = 20, append(forms, form{true, false}, form{false, false})
	}
	for _, n := range networks {
		for _, f := range forms {
			t.Run(n.name+"/"+f.String(), func(t *testing.T) {
				g, x := n.quantized(t, f, inputs)
				onHost(t, g, x)
				for _, b := range boards {
					if full || f.shift && b.name != "cortex-m7" { // M7 and M33 run the C of M4
						onBoard(t, &b, g, x)
					}
				}
			})
		}
	}
}

// onHost compiles with both compilers, strictly, and with the sanitizers, and looks at it with cppcheck.
func onHost(t *testing.T, g *graph.Graph, inputs []*tensor.Tensor) {
	dir, p := export(t, g, "host", inputs)
	if p.Plan.Arena > p.Plan.Lower+p.Plan.Lower/20+8 {
		t.Errorf("the arena has %d bytes, the steps need %d", p.Plan.Arena, p.Plan.Lower)
	}
	for _, cc := range [][]string{{"gcc", "-O2"}, {"clang", "-O2"}, {"gcc", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}} {
		program := filepath.Join(dir, "test")
		args := append(append(append([]string{}, cc[1:]...), strict...), "-DNET_TRACE", "-o", program)
		if out, err := exec.Command(cc[0], append(args, sources(dir)...)...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", cc, err, out)
			continue
		}
		out, err := exec.Command(program).CombinedOutput()
		mustCompare(t, string(out), err, len(inputs))
	}
	check := exec.Command("cppcheck", "--enable=warning,performance,portability", "--std=c99", "--error-exitcode=1", "--quiet", filepath.Join(dir, "net.c")) // it takes minutes over an array of 80000 constants
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("cppcheck: %v\n%s", err, out)
	}
}

// onBoard runs the test on a board. Where its memory is too small for so many inputs there are fewer.
func onBoard(t *testing.T, b *board, g *graph.Graph, inputs []*tensor.Tensor) {
	for ; len(inputs) > 0; inputs = inputs[:len(inputs)/2] {
		dir, _ := export(t, g, b.cpu, inputs)
		program := filepath.Join(dir, "test."+b.name)
		isFull, err := b.build(dir, program, []string{"-O2", "-DNET_TRACE"}, sources(dir)...)
		if isFull {
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		out, err := b.run(program)
		t.Logf("%s: %s", b.name, out)
		mustCompare(t, out, err, len(inputs))
		return
	}
	t.Logf("%s: its memory is too small", b.name)
}

// TestSmallBoard runs the demo's network with the memory of a small board.
func TestSmallBoard(t *testing.T) {
	toolchains(t)
	g, err := demo.Network()
	if err != nil {
		t.Fatal(err)
	}
	pictures, _ := demo.Calibration(40)
	inputs := demo.Normalize(pictures)
	data, err := dataset.FromTensors(inputs)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ptq.Quantize(context.Background(), g, data, ptq.WithShift(true))
	if err != nil {
		t.Fatal(err)
	}
	size := inputs.Len() / 40
	var list []*tensor.Tensor
	for i := range 3 {
		list = append(list, tensor.From(inputs.F32()[i*size:][:size], append([]int{1}, inputs.Shape()[1:]...)...))
	}
	dir, _ := export(t, q.Graph, microbit.cpu, list)
	path := filepath.Join(dir, "test.microbit")
	if _, err := microbit.build(dir, path, []string{"-O2", "-DNET_TRACE"}, sources(dir)...); err != nil {
		t.Fatal(err)
	}
	out, err := microbit.run(path)
	mustCompare(t, out, err, len(list))
}

// forbidden are symbols of float, division and allocation in a C library for a processor that has none of them.
var forbidden = regexp.MustCompile(`__aeabi_[fdiul]*(div|mod)|__aeabi_[fd][a-z0-9]*|__aeabi_u?l[a-z]*2[fd]|__(u|s)?(div|mod)[sdt]i|__(add|sub|mul|div|fix|float)[a-z]*[sd]f|malloc|calloc|free|printf|__mul[sd]i3|__aeabi_lmul`)

// TestSymbols looks for what networks of shifts must not need.
func TestSymbols(t *testing.T) {
	toolchains(t)
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			g, _ := n.quantized(t, form{true, true}, 1)
			dir, _ := export(t, g, "generic", nil)
			object := filepath.Join(dir, "net.o")
			if out, err := exec.Command("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m0", "-O3", "-std=c99", "-c", "-o", object, filepath.Join(dir, "net.c")).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out, err := exec.Command("arm-none-eabi-nm", "--undefined-only", object).Output()
			if err != nil {
				t.Fatal(err)
			}
			if found := forbidden.FindAllString(string(out), -1); found != nil {
				t.Errorf("it needs %v", found)
			}
			t.Logf("it needs %v", strings.Fields(strings.ReplaceAll(string(out), " U ", "")))
		})
	}
}
