// Package export compiles what `narrow export` writes with the compilers of
// several processors, runs it under qemu and compares every step's integers.
// `make test-export` runs it.
package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/demo"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/export/c"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/shared"
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

// quantized returns the network in a form, and some inputs.
func (n *network) quantized(t *testing.T, f form, inputs int) (*graph.Graph, []*tensor.Tensor) {
	t.Helper()
	g, err := onnx.ReadFile(shared.Path(t, filepath.Join("models", n.model)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(shared.Path(t, n.data), append([]dataset.Option{dataset.First(64)}, n.options...)...)
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
	for i := 0; len(list) < inputs; i++ { // of some networks there are few: the others are mixtures
		x, other := list[i].Clone(), list[i+1].F32()
		for k := range x.F32() {
			x.F32()[k] = (x.F32()[k] + other[len(other)-1-k]) / 2
		}
		list = append(list, x)
	}
	return q.Graph, list
}

// subject is a network, its program, and inputs with what each step makes of them.
type subject struct {
	graph   *graph.Graph
	program *program.Program
	mode    program.Mode
	inputs  []*tensor.Tensor
	tests   []*c.Vector
}

func newSubject(t *testing.T, g *graph.Graph, inputs []*tensor.Tensor) *subject {
	t.Helper()
	mode := program.ModeShift
	p, err := c.Lower(g, mode)
	if notShift := (*program.ErrShift)(nil); errors.As(err, &notShift) {
		mode = program.ModeMultiplier
		p, err = c.Lower(g, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.New(p, c.CPU{})
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{graph: g, program: p, mode: mode, inputs: inputs}
	for _, x := range inputs {
		v, err := n.Vector([]*tensor.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		s.tests = append(s.tests, v)
	}
	return s
}

// export writes the network for a processor, with so many tests, and returns the folder.
func (s *subject) export(t *testing.T, cpu string, tests int) (string, *c.Project) {
	t.Helper()
	target, err := c.Lookup(cpu)
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.New(s.program, target)
	if err != nil {
		t.Fatal(err)
	}
	project, err := n.Export(c.Options{CPU: target, Tests: s.tests[:tests]})
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
				s := newSubject(t, g, x)
				o := &outcome{network: n.name, form: f, steps: len(s.tests[0].Steps)}
				o.run = sameAsRun(t, s)
				o.host = onHost(t, s)
				for _, cpu := range []string{"host", "cortex-m4", "cortex-m55"} { // the forms of the C
					if f == forms[0] {
						cppcheck(t, s, cpu)
					}
				}
				for _, b := range boards {
					if full || f.shift && b.name != "cortex-m7" { // M7 and M33 run the C of M4
						o.boards = append(o.boards, onBoard(t, &b, s))
					}
				}
				o.record(t)
			})
		}
	}
}

// sameAsRun compares what is inside of the program with what the engine gives as outputs, and returns how
// many steps it could compare: those whose result has a name in the graph.
func sameAsRun(t *testing.T, s *subject) (steps int) {
	t.Helper()
	g := s.graph.Clone()
	named := make(map[string]*graph.Value)
	for _, v := range g.Values() {
		named[v.Name] = v
	}
	at := make(map[string]int)
	for _, step := range s.program.Steps {
		if out := step.Action.Writes()[0]; exact(step) && named[out.Name] != nil {
			at[out.Name] = len(g.Outputs)
			g.Outputs = append(g.Outputs, named[out.Name])
		}
	}
	net, err := engine.Compile(g, engine.WithRequant(s.mode))
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range s.inputs {
		y, err := net.Run(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.program.Interpret([]*tensor.Tensor{x}, func(step *program.Step, m *program.Memory) error {
			out := step.Action.Writes()[0]
			if k, ok := at[out.Name]; ok && exact(step) && !same(m.Read(out), y[k], out.Coding) {
				return fmt.Errorf("input %d: %q is not the engine's", i, out.Name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return len(at)
}

// same reports whether the engine gives the elements of a step, or, where the graph has the tensor in float, the numbers that they stand for.
func same(x, y *tensor.Tensor, coding program.Coding) bool {
	if x.DType() == y.DType() {
		return bytes.Equal(x.Bytes(), y.Bytes())
	}
	for i, v := range y.F32() {
		q := int(x.Bytes()[i])
		if x.DType() == tensor.Int8 {
			q = int(int8(q))
		}
		if coding.Number(q) != v {
			return false
		}
	}
	return x.Len() == y.Len()
}

// exact reports whether a step makes integers, or sums with a scale.
func exact(s *program.Step) bool {
	switch s.Action.(type) {
	case *program.Conv, *program.MatMul:
		return true
	}
	return s.Action.Writes()[0].Bytewide()
}

// onHost compiles with both compilers, strictly, and with the sanitizers, and returns how many inputs were equal in all.
func onHost(t *testing.T, s *subject) int {
	dir, p := s.export(t, "host", len(s.tests))
	if p.Plan.Arena > p.Plan.Lower+p.Plan.Lower/20+8 {
		t.Errorf("the arena has %d bytes, the steps need %d", p.Plan.Arena, p.Plan.Lower)
	}
	for _, cc := range [][]string{{"gcc", "-O2"}, {"clang", "-O2"}, {"gcc", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}} {
		program := filepath.Join(dir, "test")
		args := append(append(append([]string{}, cc[1:]...), strict...), "-DNET_TRACE", "-o", program)
		if out, err := exec.Command(cc[0], append(args, sources(dir)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cc, err, out)
		}
		out, err := exec.Command(program).CombinedOutput()
		mustCompare(t, string(out), err, len(s.tests))
	}
	return len(s.tests)
}

// cppcheck looks for faults in the C for a processor.
func cppcheck(t *testing.T, s *subject, cpu string) {
	dir, _ := s.export(t, cpu, 0)
	check := exec.Command("cppcheck", "--enable=warning,performance,portability", "--std=c99", "--error-exitcode=1", "--quiet",
		filepath.Join(dir, "net.c"), filepath.Join(dir, "net_weights.c"), filepath.Join(dir, "test_net.c"))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("cppcheck, %s: %v\n%s", cpu, err, out)
	}
}

// onBoard runs the test on a board, with as many inputs as its memory has room for, and returns how many were equal.
func onBoard(t *testing.T, b *board, s *subject) int {
	for n := len(s.tests); n > 0; n /= 2 {
		dir, _ := s.export(t, b.cpu, n)
		program := filepath.Join(dir, "test."+b.name)
		isFull, err := b.build(dir, program, []string{"-O2", "-DNET_TRACE"}, sources(dir)...)
		if isFull {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := b.run(program)
		mustCompare(t, out, err, n)
		return n
	}
	t.Errorf("%s: its memory is too small", b.name)
	return 0
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
	dir, _ := newSubject(t, q.Graph, list).export(t, microbit.cpu, len(list))
	path := filepath.Join(dir, "test.microbit")
	if _, err := microbit.build(dir, path, []string{"-O2", "-DNET_TRACE"}, sources(dir)...); err != nil {
		t.Fatal(err)
	}
	out, err := microbit.run(path)
	mustCompare(t, out, err, len(list))
}

// TestMicrobit runs the network that is the largest to fit 256 kB of flash and 16 kB of RAM, which the others are too large for.
func TestMicrobit(t *testing.T) {
	toolchains(t)
	for _, n := range networks {
		g, x := n.quantized(t, form{true, true}, 2)
		s := newSubject(t, g, x)
		dir, p := s.export(t, microbit.cpu, len(x))
		if fits := p.Plan.Arena <= 14<<10 && p.Flash < 256<<10; fits != (n.name == "dscnn") {
			t.Errorf("%s: %d bytes of RAM and %d of flash: fits %t", n.name, p.Plan.Arena, p.Flash, fits)
		} else if !fits {
			continue
		}
		path := filepath.Join(dir, "test.microbit")
		if _, err := microbit.build(dir, path, []string{"-O2", "-DNET_TRACE"}, sources(dir)...); err != nil {
			t.Fatal(err)
		}
		out, err := microbit.run(path)
		mustCompare(t, out, err, len(x))
	}
}

// forbidden are symbols of float, division and allocation in a C library for a processor that has none of them.
var forbidden = regexp.MustCompile(`__aeabi_[fdiul]*(div|mod)|__aeabi_[fd][a-z0-9]*|__aeabi_u?l[a-z]*2[fd]|__(u|s)?(div|mod)[sdt]i|__(add|sub|mul|div|fix|float)[a-z]*[sd]f|malloc|calloc|free|printf|__mul[sd]i3|__aeabi_lmul`)

// TestSymbols looks for what networks of shifts must not need.
func TestSymbols(t *testing.T) {
	toolchains(t)
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			g, _ := n.quantized(t, form{true, true}, 1)
			dir, _ := newSubject(t, g, nil).export(t, "generic", 0)
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
