//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOutputsAreTreatedWithRespect writes where something is already.
func TestOutputsAreTreatedWithRespect(t *testing.T) {
	f := newFiles(t)
	quantize := func(out string) []string {
		return []string{"quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", out}
	}
	mustRun(t, quantize(f.path("want.onnx"))...)
	want := f.read(t, "want.onnx")

	t.Run("link and mode", func(t *testing.T) {
		if err := os.WriteFile(f.path("real.onnx"), []byte("old"), 0o604); err != nil {
			t.Fatal(err)
		}
		for link, to := range map[string]string{"link.onnx": "real.onnx", "dangling.onnx": "new.onnx"} {
			if err := os.Symlink(to, f.path(link)); err != nil {
				t.Fatal(err)
			}
			mustRun(t, quantize(f.path(link))...)
			if info, err := os.Lstat(f.path(link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("%s is no link any more: %v %v", link, info, err)
			}
			if f.read(t, to) != want {
				t.Errorf("%s holds something else", to)
			}
		}
		if info, err := os.Stat(f.path("real.onnx")); err != nil || info.Mode().Perm() != 0o604 {
			t.Errorf("mode %v, error %v", info.Mode(), err)
		}
	})
	t.Run("umask", func(t *testing.T) {
		old := syscall.Umask(0o027)
		defer syscall.Umask(old)
		mustRun(t, quantize(f.path("masked.onnx"))...)
		if info, err := os.Stat(f.path("masked.onnx")); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v, error %v", info.Mode(), err)
		}
	})
	t.Run("device", func(t *testing.T) {
		mustRun(t, quantize(os.DevNull)...)
		if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			t.Errorf("%s is %v, error %v", os.DevNull, info.Mode(), err)
		}
	})
	t.Run("FIFO", func(t *testing.T) { fifoGets(t, f.path("fifo.onnx"), want, quantize) })
	t.Run("standard output", func(t *testing.T) {
		out, errs, code := narrow(quantize("-")...)
		if code != exitOK || out != want || !strings.Contains(errs, "nodes") {
			t.Errorf("exit code %d, %d bytes, message %q", code, len(out), errs)
		}
	})
}

// fifoGets checks what comes out of a FIFO that a command writes to.
func fifoGets(t *testing.T, path, want string, command func(out string) []string) {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	got := make(chan string)
	go func() {
		b, _ := os.ReadFile(path)
		got <- string(b)
	}()
	mustRun(t, command(path)...)
	if <-got != want {
		t.Error("the FIFO's reader got something else")
	}
}

// TestOutputIsAnInput names what is read, or another output, as the output.
func TestOutputIsAnInput(t *testing.T) {
	f := newFiles(t)
	if err := os.Symlink("x.npy", f.path("again.npy")); err != nil {
		t.Skip(err)
	}
	mustRun(t, "calibrate", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("s.nrw"))
	data, model := f.read(t, "x.npy"), f.read(t, "model.onnx")
	m, x, s := f.path("model.onnx"), f.path("x.npy"), f.path("s.nrw")
	for _, args := range [][]string{
		{"run", m, "--input", x, "-o", x},
		{"run", m, "--input", x, "-o", f.path("again.npy")},
		{"run", m, "--input", "x=" + x, "-o", x},
		{"quantize", m, "--calib", x, "-o", f.path("q"), "--report", f.path("q")},
		{"quantize", m, "--calib", x, "-o", f.path("q"), "--report", f.path(".") + "/./q"},
		{"quantize", m, "--calib", x, "-o", "-", "--report", "-"},
		{"quantize", m, "--stats", s, "-o", s},
		{"calibrate", m, "--calib", x, "-o", x},
		{"calibrate", m, "--calib", x, "-o", f.path("c"), "--checkpoint", f.path("c")},
		{"merge", s, "-o", s},
		{"ranges", s, "-o", s},
	} {
		if out, errs, code := narrow(args...); code != exitFailure || out != "" {
			t.Errorf("%v: exit code %d, %q, %q", args, code, out, errs)
		}
	}
	if f.read(t, "x.npy") != data || f.read(t, "model.onnx") != model {
		t.Error("an input was changed")
	}
}

// TestInputsThatNeverEnd reads FIFOs and devices where a file is needed: an error, at once.
func TestInputsThatNeverEnd(t *testing.T) {
	f := newFiles(t)
	for _, name := range []string{"fifo.npy", "fifo.npz", "fifo.onnx", "fifo.nrw"} {
		if err := syscall.Mkfifo(f.path(name), 0o600); err != nil {
			t.Skip(err)
		}
	}
	m, x := f.path("model.onnx"), f.path("x.npy")
	for _, args := range [][]string{
		{"inspect", f.path("fifo.onnx")},
		{"inspect", "/dev/zero"},
		{"quantize", m, "--calib", f.path("fifo.npy"), "-o", f.path("q")},
		{"quantize", m, "--calib", f.path("fifo.npz"), "-o", f.path("q")},
		{"quantize", m, "--stats", f.path("fifo.nrw"), "-o", f.path("q")},
		{"run", f.path("fifo.onnx"), "--input", x, "-o", f.path("y.npy")},
	} {
		done := make(chan int)
		go func() {
			_, _, code := narrow(args...)
			done <- code
		}()
		select {
		case code := <-done:
			if code != exitFailure {
				t.Errorf("%v: exit code %d", args, code)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%v hangs", args)
		}
	}
}
