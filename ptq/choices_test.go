package ptq

import (
	"bytes"
	"math"
	"testing"

	"github.com/narrow-ml/narrow/onnx"
)

// TestFront: points that another beats go, then those nearest to their neighbours.
func TestFront(t *testing.T) {
	var all []Point
	for i := range 14 {
		all = append(all, Point{SQNR: float64(10 + 5*i), Integer: float64(100 - i), Size: 100})
	}
	all = append(all, Point{SQNR: 31, Integer: 90, Size: 100}, Point{SQNR: 40, Integer: 50, Size: 200}, Point{SQNR: math.Inf(1), Integer: 0, Size: 400})
	all[6].SQNR, all[3].SQNR = all[7].SQNR-0.5, all[4].SQNR-0.25 // near a neighbour
	got := front(all)
	if len(got) != frontPoints || got[0].SQNR != 10 || got[len(got)-1].SQNR != 75 {
		t.Fatalf("%d points: %+v", len(got), got)
	}
	near := 0
	for i := range got[1:] {
		if d := got[i+1].SQNR - got[i].SQNR; d <= 0 {
			t.Error("out of order", got)
		} else if d < 1 {
			near++
		}
	}
	for _, p := range got {
		if p.SQNR == 31 || p.Integer == 50 || math.IsInf(p.SQNR, 0) {
			t.Errorf("%+v is beaten by others, or no ratio", p)
		}
	}
	if near > 0 {
		t.Errorf("%d neighbours within 1 dB, where others are 5 apart: %+v", near, got)
	}
}

// TestPointsOfASearch: the share of multiply-accumulates on integers and the size of weights, of all nodes, of some, of none.
func TestPointsOfASearch(t *testing.T) {
	j := scaled(t, residualNet(), images(t, 8, 3, 8, 8))
	s := &searcher{Job: j}
	whole := s.point(30, true)
	if whole.Integer != 100 || whole.Float != 0 || whole.SQNR != 30 || !whole.Exact {
		t.Errorf("all on integers: %+v", whole)
	}
	weights := int64(3*8*9 + 8 + 8*9 + 8 + 8*8*9 + 8 + 8*4 + 4)
	if whole.Size < weights*9/10 || whole.Size > weights*11/10 {
		t.Errorf("%d bytes of %d weights of 8 bits", whole.Size, weights)
	}
	j.Plan.Exclude(Reason{Code: ForTarget}, "conv2")
	part := s.point(35, false)
	macs := []float64{3 * 8 * 9 * 64, 8 * 9 * 64, 8 * 8 * 9 * 64, 8 * 4}
	if want := 100 * (1 - macs[2]/(macs[0]+macs[1]+macs[2]+macs[3])); math.Abs(part.Integer-want) > 0.5 || part.Float != 1 {
		t.Errorf("conv2 in float: %+v, want %.1f %%", part, want)
	}
	if more := part.Size - whole.Size; more < 3*8*8*9 {
		t.Errorf("a layer in float takes %d bytes more", more)
	}
}

// TestForeignOperatorsAreDeclared: a file that has ONNX Runtime's operators says so, and others do not.
func TestForeignOperatorsAreDeclared(t *testing.T) {
	data := images(t, 8, 3, 8, 8)
	for _, c := range []struct {
		options []Option
		foreign bool
	}{{nil, false}, {[]Option{WithQOperator(true)}, true}} {
		q := mustQuantize(t, residualNet(), data, c.options...)
		var b bytes.Buffer
		if err := onnx.Write(&b, q.Graph); err != nil {
			t.Fatal(err)
		}
		g, err := onnx.Read(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, there := g.Opset[microsoft]; there != c.foreign {
			t.Errorf("%d options: operator sets %v", len(c.options), g.Opset)
		}
	}
}
