//go:build unix

package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
)

// A data file that is a FIFO is an error, not a wait for somebody to write.
func TestExternalDataIsAFIFO(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "weights"), 0o600); err != nil {
		t.Skip(err)
	}
	c := &onnxpb.Tensor{DataType: 1, Dims: []int64{2}, DataLocation: onnxpb.Tensor_EXTERNAL, ExternalData: []*onnxpb.StringEntry{{Key: "location", Value: "weights"}}}
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, marshal(t, model(withConst(c))), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, regular.ErrNot) {
		t.Errorf("error %v", err)
	}
}
