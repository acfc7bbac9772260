package mutation

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	limit  = 10 * time.Second // for one file
	memory = 2 << 30          // bytes of address space beyond what the process has

	workerEnv = "NARROW_MUTATION_WORKER" // FIRST:COUNT, makes this test's program a worker
	countEnv  = "NARROW_MUTATIONS"
	firstEnv  = "NARROW_MUTATION_FIRST"
	batch     = 500 // files for one worker
)

func TestMain(m *testing.M) {
	if task := os.Getenv(workerEnv); task != "" {
		first, count, _ := strings.Cut(task, ":")
		from, _ := strconv.ParseUint(first, 10, 64)
		n, _ := strconv.ParseUint(count, 10, 64)
		work(from, n)
		return
	}
	os.Exit(m.Run())
}

// TestMutations puts broken files through the library, in processes of their own: none ends by itself, none takes
// over ten seconds for a file, none takes over 2 GB. NARROW_MUTATIONS says how many; a failure names its number, and
// NARROW_MUTATION_FIRST begins there.
func TestMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	program, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	count, first := number64(countEnv, 300), number64(firstEnv, 0)
	read, ran, quantized := 0, 0, 0
	for done := uint64(0); done < count; {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%d", workerEnv, first+done, min(batch, count-done)), "GOTRACEBACK=single")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		lines := uint64(0)
		for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
			switch what := s.Text(); {
			case strings.HasPrefix(what, "failed"):
				t.Errorf("file %d: %s", first+done+lines, what)
			case what == "quantized":
				quantized++
				fallthrough
			case what == "ran":
				ran++
				fallthrough
			case what == "read":
				read++
			}
			lines++
		}
		if err != nil {
			t.Errorf("file %d: %v\n%s", first+done+lines, err, head(errs.String()))
			lines++
		}
		done += max(lines, 1)
	}
	t.Logf("%d files from %d on: %d could be read, %d of these run, %d of these quantized", count, first, read, ran, quantized)
}

func head(s string) string { return s[:min(len(s), 3000)] }

func number64(env string, def uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(env), 10, 64); err == nil {
		return n
	}
	return def
}

// sources are the files that are mutated: the project's, and the shared ones that are there.
func sources() [][]byte {
	shared := os.Getenv("NARROW_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	var all [][]byte
	for _, pattern := range []string{"../../testdata/networks/*.onnx", "../../demo/*.onnx", shared + "/models/*.onnx", shared + "/zoo/models/*.onnx"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if b, err := os.ReadFile(path); err == nil && len(b) < 3<<20 {
				all = append(all, b)
			}
		}
	}
	return all
}

// work does files [first, first+count) and prints how far each came.
func work(first, count uint64) {
	files := sources()
	limitMemory(memory)
	debug.SetMemoryLimit(memory / 2)
	for i := first; i < first+count; i++ {
		r := rand.New(rand.NewPCG(i, 20261125))
		b := Mutate(r, files[r.IntN(len(files))])
		done := make(chan struct{})
		go watch(i, done)
		fmt.Println(exercise(r, b))
		close(done)
	}
}

// watch ends the process if a file takes too long: by the time of the processor, since others may use that too, or by
// twelve times as much on the clock.
func watch(file uint64, done chan struct{}) {
	start, used := time.Now(), processorTime()
	for {
		select {
		case <-done:
			return
		case <-time.After(limit / 10):
		}
		if processorTime()-used > limit || time.Since(start) > 12*limit {
			fmt.Fprintf(os.Stderr, "file %d takes over %s\n", file, limit)
			debug.SetTraceback("all")
			panic("too slow")
		}
	}
}

// exercise puts a file through the library and returns how far it came; what begins with "failed" should not be.
func exercise(r *rand.Rand, b []byte) (reached string) {
	reached = "refused"
	defer func() {
		if p := recover(); p != nil {
			reached = fmt.Sprintf("failed: panic: %v %s", p, strings.ReplaceAll(string(debug.Stack()), "\n", " "))
		}
	}()
	ctx, stop := context.WithTimeout(context.Background(), 12*limit)
	defer stop()
	g, err := onnx.Read(b)
	if err != nil {
		return broken(reached, err)
	}
	reached = "read"
	if _, err := ptq.NewPlan(g); err != nil {
		return broken(reached, err)
	}
	inputs, ok := inputsFor(r, g)
	if !ok {
		return reached
	}
	if err := run(ctx, g, inputs); err != nil {
		return broken(reached, err)
	}
	reached = "ran"
	data, err := dataset.FromTensors(inputs...)
	if err != nil {
		return reached
	}
	q, err := ptq.Quantize(ctx, g, data, options[r.IntN(len(options))]...)
	if err != nil {
		return broken(reached, err)
	}
	var out bytes.Buffer
	if err := onnx.Write(&out, q.Graph); err != nil {
		return broken(reached, err)
	}
	again, err := onnx.Read(out.Bytes())
	if err != nil {
		return "failed: what was written cannot be read: " + err.Error()
	}
	if err := run(ctx, again, inputs); err != nil {
		return "failed: what was written does not run: " + err.Error()
	}
	return "quantized"
}

var options = [][]ptq.Option{nil, {ptq.WithCompensation(false), ptq.WithEqualize(false)}, {ptq.WithQOperator(true)}, {ptq.WithShift(true)}, {ptq.WithNoRound(true)},
	{ptq.WithBits(4, 8)}, {ptq.WithBits(8, 16)}, {ptq.WithPerChannel(false)}}

// broken returns how far a file came before an error, or that the error is the trace of a bug.
func broken(reached string, err error) string {
	if strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "broke on it") || errors.Is(err, context.DeadlineExceeded) {
		return "failed: " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return reached
}

func run(ctx context.Context, g *graph.Graph, inputs []*tensor.Tensor) error {
	net, err := engine.Compile(g)
	if err != nil {
		return err
	}
	_, err = net.Run(ctx, inputs...)
	return err
}

// inputsFor makes inputs of the types that a network declares, four where the batch is free; false if they would be
// large or are of a type that no data has.
func inputsFor(r *rand.Rand, g *graph.Graph) ([]*tensor.Tensor, bool) {
	var all []*tensor.Tensor
	for _, v := range g.Inputs {
		shape := []int{4}
		for i, d := range v.Type.Shape {
			switch {
			case i == 0 && d < 0:
				shape[0] = 4
			case i == 0:
				shape[0] = d
			default:
				shape = append(shape, max(d, -d*9)) // 9 where it is free
			}
		}
		if n, ok := tensor.CheckedVolume(shape); !ok || n > 1<<20 {
			return nil, false
		}
		d := v.Type.DType
		if d == tensor.Undefined {
			d = tensor.Float32
		}
		if d == tensor.String {
			return nil, false
		}
		t := tensor.New(d, shape...)
		if d == tensor.Float32 {
			for i := range t.F32() {
				t.F32()[i] = float32(r.NormFloat64())
			}
		}
		all = append(all, t)
	}
	return all, len(all) > 0
}
