package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

// asCommand makes this test's program the command.
const asCommand = "NARROW_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestCalibrateIsKilled kills calibration at 20 random moments. There is never a part of a file under the names of
// the result and of the checkpoint, and going on gives the bytes of one run.
func TestCalibrateIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	f := newFiles(t)
	x := tensor.New(tensor.Float32, 4_000, 2, 6, 5)
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	f.save(t, "many.npy", x)
	start := time.Now()
	f.calibrate(t, -1)
	whole, want := time.Since(start), f.read(t, "s.nrw")
	killed, resumed := 0, 0
	for tries := 0; killed < 20 && tries < 100; tries++ {
		f.remove(t, "s.nrw", "s.part")
		moment := time.Duration(rng.Int64N(int64(whole)))
		if !f.calibrate(t, moment) {
			continue // it was quicker
		}
		killed++
		if b, err := os.ReadFile(f.path("s.nrw")); !errors.Is(err, fs.ErrNotExist) && string(b) != want {
			t.Errorf("killed after %s of %s: %d bytes of the result's %d are there, error %v", moment, whole, len(b), len(want), err)
		}
		if b, err := os.ReadFile(f.path("s.part")); !errors.Is(err, fs.ErrNotExist) {
			s, err := ptq.ReadStatistics(b)
			if err != nil {
				t.Fatalf("killed after %s of %s: the checkpoint: %v", moment, whole, err)
			}
			if s.Inputs < x.Shape()[0] {
				resumed++
			}
		}
		if now := f.list(t); runtime.GOOS == "linux" && strings.Contains(now, ".s.") {
			t.Errorf("killed after %s of %s: left behind: %s", moment, whole, now)
		}
		f.calibrate(t, -1)
		if f.read(t, "s.nrw") != want {
			t.Errorf("killed after %s of %s: other bytes after going on", moment, whole)
		}
	}
	t.Logf("%d killed in %s, %d of them with a part done", killed, whole, resumed)
	if resumed == 0 {
		t.Error("none was killed with a part done")
	}
}

// calibrate runs the command as a process of its own, and reports whether it was killed after some
// time, which it is unless that is negative.
func (f files) calibrate(t *testing.T, after time.Duration) (killed bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(program, "calibrate", f.path("model.onnx"), "--calib", f.path("many.npy"), "-o", f.path("s.nrw"), "--checkpoint", f.path("s.part"))
	cmd.Env = append(os.Environ(), asCommand+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after >= 0 {
		time.Sleep(after)
		killed = cmd.Process.Kill() == nil
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Fatal(err)
	}
	return killed && !cmd.ProcessState.Success()
}

func (f files) remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
