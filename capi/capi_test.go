package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// archive is the library as a C archive, built once.
var archive = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "libnarrow.a")
	if out, err := exec.Command("go", "build", "-buildmode=c-archive", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "narrow-capi"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// program builds a C program with the library and returns its path.
func program(t *testing.T, source string, flags ...string) string {
	t.Helper()
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("builds a C library")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc")
	}
	lib, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program")
	args := append(flags, "-Wall", "-Wextra", "-Werror", "-std=c11", "-g", "-I.", "-D_GNU_SOURCE", "-o", path, source, lib, "-lpthread", "-lm")
	command(t, gcc, args...)
	return path
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// network is a convolution, an activation and a fully connected layer on [N,3,size,size].
func network(r *rand.Rand, size int) *graph.Graph {
	random := func(shape ...int) *tensor.Tensor {
		t := tensor.New(tensor.Float32, shape...)
		for i := range t.F32() {
			t.F32()[i] = float32(r.NormFloat64()) / 4
		}
		return t
	}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{-1, 3, size, size}, Known: true}, Dims: []string{"N", "", "", ""}}
	g := &graph.Graph{Name: "net", Inputs: []*graph.Value{x}, Opset: map[string]int{"": 13}}
	y := g.New("conv", "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, x, graph.NewConst("w", random(6, 3, 3, 3)), graph.NewConst("b", random(6)))
	y = g.New("relu", "Relu", nil, y)
	y = g.New("pool", "GlobalAveragePool", nil, y)
	y = g.New("flat", "Flatten", nil, y)
	y = g.New("fc", "Gemm", nil, y, graph.NewConst("w2", random(6, 4)), graph.NewConst("b2", random(4)))
	y.Type = op.Type{DType: tensor.Float32, Shape: []int{-1, 4}, Known: true}
	g.Outputs = []*graph.Value{y}
	return g
}

// caseFiles writes a model and its inputs.
func caseFiles(t *testing.T, inputs *tensor.Tensor) (model, data string) {
	t.Helper()
	dir := t.TempDir()
	model, data = filepath.Join(dir, "model.onnx"), filepath.Join(dir, "inputs.f32")
	if err := onnx.WriteFile(model, network(rand.New(rand.NewPCG(1, 1)), inputs.Shape()[3])); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, inputs.F32()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return model, data
}

func randomInputs(n, size int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(2, 2))
	x := tensor.New(tensor.Float32, n, 3, size, size)
	for i := range x.F32() {
		x.F32()[i] = float32(r.NormFloat64())
	}
	return x
}

// TestExample runs the C program and checks that it writes the bytes that the
// Go library writes.
func TestExample(t *testing.T) {
	example := program(t, "example/example.c")
	x := randomInputs(20, 8)
	model, data := caseFiles(t, x)
	got := filepath.Join(t.TempDir(), "c.onnx")
	out := command(t, example, model, data, got, "20", "3", "8", "8")
	if !strings.Contains(out, "no such file") || strings.Count(out, `"shape":[-1,4]`) != 2 {
		t.Errorf("the program says\n%s", out)
	}
	sameAsCommand(t, model, x, got)
}

// sameAsCommand checks that a file holds the bytes that the command writes for a model and its inputs.
func sameAsCommand(t *testing.T, model string, x *tensor.Tensor, got string) {
	t.Helper()
	dir := t.TempDir()
	data, want := filepath.Join(dir, "x.npy"), filepath.Join(dir, "want.onnx")
	f, err := os.Create(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := dataset.WriteNPY(f, x); err != nil {
		t.Fatal(err)
	}
	command(t, "go", "run", "../cmd/narrow", "quantize", model, "--calib", data, "-o", want)
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("C wrote %d bytes, the command %d others", len(a), len(b))
	}
}

// TestStream feeds a few and many inputs: the bytes are those of the command, and memory is not that of the data.
func TestStream(t *testing.T) {
	stream := program(t, "testdata/stream.c")
	x := randomInputs(2000, 64)
	model, data := caseFiles(t, x)
	peak := func(count int) (kilobytes int) {
		got := filepath.Join(t.TempDir(), "c.onnx")
		out := command(t, stream, model, data, got, strconv.Itoa(count), "3", "64", "64")
		kilobytes, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			t.Fatal(err)
		}
		sameAsCommand(t, model, x.Rows(0, count), got)
		return kilobytes
	}
	few, many := peak(300), peak(2000)
	t.Logf("peak of 300 inputs %d kB, of 2000 %d kB", few, many)
	if size := 1700 * x.Len() / 2000 * 4 / 1024; many-few > size/2 {
		t.Errorf("peak of 300 inputs %d kB, of 2000 %d kB: more by over half of the %d kB of the others", few, many, size)
	}
}

// TestExampleSanitized runs the C program with gcc's address sanitizer: no
// access beyond a buffer of the caller's, and no leak of C memory.
func TestExampleSanitized(t *testing.T) {
	example := program(t, "example/example.c", "-fsanitize=address")
	model, data := caseFiles(t, randomInputs(4, 8))
	command(t, example, model, data, filepath.Join(t.TempDir(), "c.onnx"), "4", "3", "8", "8")
}

// TestKernels runs a C program that compares the kernels with plain loops, under
// the sanitizers.
func TestKernels(t *testing.T) {
	command(t, program(t, "testdata/kernels.c", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"))
}

// TestDocs runs the commands of docs/c.md, in their order, on the program that is there.
func TestDocs(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("builds a C library")
	}
	for _, tool := range []string{"cc", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("there is no " + tool)
		}
	}
	page, err := os.ReadFile("../docs/c.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("..") // for make; the other commands are run where the library is
	dir := t.TempDir()
	command(t, "go", "build", "-o", filepath.Join(dir, "narrow"), "./cmd/narrow")
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	source := "#line 1 \"program.c\"\n" + strings.Join(blocks(string(page), "c"), "\n")
	if err := os.WriteFile(filepath.Join(dir, "program.c"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, line := range strings.Split(strings.Join(blocks(string(page), "sh"), "\n"), "\n") {
		switch {
		case line == "make lib":
			command(t, "make", "lib", "LIB="+filepath.Join(dir, "build", "lib"))
		case strings.HasPrefix(line, "cc "): // a buffer that is read beyond its end is found
			command(t, "sh", "-c", "cd '"+dir+"' && "+line+" -g -fsanitize=address")
		default:
			said = command(t, "sh", "-c", "cd '"+dir+"' && "+line)
		}
	}
	var result struct {
		Nodes int     `json:"nodes_quantized"`
		SQNR  float64 `json:"sqnr_db"`
	}
	if err := json.Unmarshal([]byte(said), &result); err != nil || result.Nodes < 10 || result.SQNR < 15 {
		t.Errorf("the program says %q, error %v", said, err)
	}
	if _, err := onnx.ReadFile(filepath.Join(dir, "int8.onnx")); err != nil {
		t.Error(err)
	}
	if html, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(html), "int8.onnx") {
		t.Errorf("no report, error %v", err)
	}
}

// TestHeaderOptions: narrow.h tells of every choice that narrow quantize has, and of no other.
func TestHeaderOptions(t *testing.T) {
	header, err := os.ReadFile("narrow.h")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(header), "Opens the fp32 ONNX model")
	text, _, _ = strings.Cut(text, "*/")
	documented := map[string]bool{"batch": false, "threads": false}
	new(option.Set).Flags().VisitAll(func(f *pflag.Flag) { documented[strings.ReplaceAll(f.Name, "-", "_")] = false })
	for _, m := range regexp.MustCompile(`(?m)^ \*   "([a-z_]+)":`).FindAllStringSubmatch(text, -1) {
		if _, is := documented[m[1]]; !is {
			t.Errorf("narrow.h has %q, which is no option", m[1])
		}
		documented[m[1]] = true
	}
	for name, is := range documented {
		if !is {
			t.Errorf("narrow.h does not tell of %q", name)
		}
	}
}

// blocks returns the blocks of a page that are in a language.
func blocks(page, language string) []string {
	var all []string
	for {
		_, rest, found := strings.Cut(page, "```"+language+"\n")
		if !found {
			return all
		}
		block, rest, _ := strings.Cut(rest, "\n```")
		all, page = append(all, block), rest
	}
}
