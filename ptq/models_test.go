package ptq

import (
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/shared"
	"github.com/narrow-ml/narrow/onnx"
)

// sharedModels are trained networks, and what the default must reach on 200 test
// inputs, calibrated on 100.
var sharedModels = []struct {
	name, data string
	least      float64 // SQNR in dB
	options    []dataset.Option
}{
	{"resnet8_cifar10", "cifar10", 26.5, nil},
	{"resnet20_cifar10", "cifar10", 28.8, cifar},
	{"resnet20_cifar10_bn", "cifar10", 28.8, cifar},
	{"dscnn_kws", "kws", 27, nil},
	{"mobilenetv2_cifar10", "cifar10", 34.3, cifar},
	{"resnet8_cifar10_skewed", "cifar10", 26.5, nil},
	{"dscnn_kws_skewed", "kws", 27, nil},
}

var cifar = []dataset.Option{dataset.Normalize(1.0/255, []float32{.485, .456, .406}, []float32{.229, .224, .225})}

func sharedModel(t *testing.T, name, data string, options []dataset.Option, calib, test int) (*graph.Graph, dataset.Source, dataset.Source) {
	t.Helper()
	g, err := onnx.ReadFile(shared.Path(t, "models/"+name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(kind string, count int) dataset.Source {
		d, err := dataset.Open(shared.Path(t, "data/"+data+"_"+kind+"_x.npy"), append(options, dataset.First(count))...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return g, open("calib", calib), open("test", test)
}

func TestSharedModels(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	for _, m := range sharedModels {
		t.Run(m.name, func(t *testing.T) {
			g, calib, test := sharedModel(t, m.name, m.data, m.options, 100, 200)
			want := outputs(t, g, test)
			if got := ratio(want, outputs(t, mustQuantize(t, g, calib).Graph, test)); got < m.least {
				t.Errorf("%.1f dB, want at least %g", got, m.least)
			}
		})
	}
}

// TestSharedModelsUnrounded: on real networks too, the pipeline is a change of variables.
func TestSharedModelsUnrounded(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	for _, m := range sharedModels {
		t.Run(m.name, func(t *testing.T) {
			g, calib, test := sharedModel(t, m.name, m.data, m.options, 16, 8)
			want := outputs(t, g, test)
			step := 1
			if m.name == "resnet20_cifar10" || m.name == "resnet20_cifar10_bn" {
				step = 5 // the large ones: none, all and two between
			}
			for i := 0; i < 16; i += step {
				on := func(bit int) bool { return i>>bit&1 == 1 }
				q := mustQuantize(t, g, calib, WithNoRound(true), WithSigns(on(0)), WithShift(on(1)), WithEqualize(on(2)), WithPerChannel(on(3)))
				if got := ratio(want, outputs(t, q.Graph, test)); got < 80 {
					t.Errorf("signs %v, shift %v, equalize %v, per channel %v: %.1f dB", on(0), on(1), on(2), on(3), got)
				}
			}
		})
	}
}

// TestSharedModelsShift: every rescaling of a real network is an exact power of two.
func TestSharedModelsShift(t *testing.T) {
	for _, m := range sharedModels[:5] {
		g, calib, _ := sharedModel(t, m.name, m.data, m.options, 32, 1)
		q := mustQuantize(t, g, calib, WithShift(true), WithCompensation(false))
		t.Logf("%s: %d rescalings", m.name, checkShifts(t, q.Graph))
	}
}

// TestSignsBringResolution: unsigned tensors are worth at least 1.5 dB on resnet20, per
// tensor.
func TestSignsBringResolution(t *testing.T) {
	g, calib, test := sharedModel(t, "resnet20_cifar10", "cifar10", cifar, 50, 100)
	want := outputs(t, g, test)
	var db [2]float64
	for i, on := range []bool{false, true} {
		db[i] = ratio(want, outputs(t, mustQuantize(t, g, calib, WithPerChannel(false), WithSigns(on)).Graph, test))
	}
	if db[1] < db[0]+1.5 {
		t.Errorf("signed %.1f dB, unsigned %.1f", db[0], db[1])
	}
}
