package ptq

import (
	"math"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

const networkFiles = "../testdata/networks/"

// networks are the trained networks of the repository, each exported twice, with what the defaults reach on 16 inputs that
// calibration on 32 others did not see: in dB, less 1.
var networks = []struct {
	name, data string
	least      float64
}{
	{"audio_opset11", "sounds", 27}, {"audio_opset17", "sounds", 27}, {"detector_opset17", "pictures", 32.2}, {"mobilenetv3_opset11", "pictures", 24.8},
	{"mobilenetv3_opset17", "pictures", 24.8}, {"unet_opset17", "pictures", 30.4}, {"vit_opset11", "pictures", 28.1}, {"vit_opset17", "pictures", 28.1},
}

const networkTests = 16

func openNetwork(t *testing.T, name, data string) (g *graph.Graph, calib, test dataset.Source) {
	t.Helper()
	g, err := onnx.ReadFile(networkFiles + name + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	all, err := dataset.Open(networkFiles+data+".npy", dataset.Normalize(1.0/32, []float32{4}, nil))
	if err != nil {
		t.Fatal(err)
	}
	var x []float32
	var shape []int
	for batch, err := range all.Batches(16) {
		if err != nil {
			t.Fatal(err)
		}
		x, shape = append(x, batch[0].F32()...), batch[0].Shape()[1:]
	}
	sample := tensor.Volume(shape)
	part := func(from, to int) dataset.Source {
		s, err := dataset.FromTensors(tensor.From(x[from*sample:to*sample], append([]int{to - from}, shape...)...))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	count := len(x) / sample
	return g, part(0, count-networkTests), part(count-networkTests, count)
}

// TestNetworks quantizes them.
func TestNetworks(t *testing.T) {
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			g, calib, test := openNetwork(t, n.name, n.data)
			got := ratio(outputs(t, g, test), outputs(t, mustQuantize(t, g, calib).Graph, test, engine.WithThreads(2)))
			if t.Logf("%.1f dB", got); got < n.least || got > n.least+3 {
				t.Errorf("%.1f dB, want %g or a little more", got, n.least)
			}
		})
	}
}

// TestNetworksInFloat compares float networks with what ONNX Runtime gave for them.
func TestNetworksInFloat(t *testing.T) {
	data, err := dataset.Open(networkFiles + "expected.npy")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"mobilenetv3_opset11", "mobilenetv3_opset17", "vit_opset11", "vit_opset17", "audio_opset11", "audio_opset17"}
	for batch, err := range data.Batches(1) {
		if err != nil || len(names) == 0 {
			t.Fatal("results of other networks", err)
		}
		name, kind := names[0], "pictures"
		if names = names[1:]; strings.HasPrefix(name, "audio") {
			kind = "sounds"
		}
		g, _, test := openNetwork(t, name, kind)
		for i, v := range outputs(t, g, test, engine.WithThreads(1)) {
			if want := float64(batch[0].F32()[i]); math.Abs(v-want) > 1e-4*max(1, math.Abs(v)) {
				t.Errorf("%s: output %d is %v, ONNX Runtime has %v", name, i, v, want)
				break
			}
		}
	}
	if len(names) > 0 {
		t.Errorf("no results of %s", names)
	}
}
