package onnx

import (
	"path/filepath"
	"testing"

	"github.com/narrow-ml/narrow/graph"
)

// What is read, written and read again is the same graph, for every model and
// every conformance case.
func TestRoundTripShared(t *testing.T) {
	files := append(glob(t, "models/*.onnx"), glob(t, "onnx/*/*/model.onnx")...)
	out := filepath.Join(t.TempDir(), "copy.onnx")
	for _, path := range files {
		g, err := ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := WriteFile(out, g); err != nil {
			t.Error(err)
			continue
		}
		again, err := ReadFile(out)
		if err != nil {
			t.Errorf("%s, written: %v", path, err)
			continue
		}
		if a, b := graph.Format(g), graph.Format(again); a != b {
			t.Errorf("%s changed:\n%s\nbecame\n%s", path, a, b)
		}
	}
}

func TestReadTensorFileShared(t *testing.T) {
	for _, path := range glob(t, "onnx/node/*/test_data_set_*/*.pb") {
		if _, _, err := ReadTensorFile(path); err != nil {
			t.Error(err)
		}
	}
}
