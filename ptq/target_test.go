package ptq

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
)

// TestTarget: what is written reaches the target on the inputs held back, at less cost than everything in float.
func TestTarget(t *testing.T) {
	data := images(t, 64, 3, 8, 8)
	poor := []Option{WithBits(4, 6), WithCompensation(false)}
	start := mustQuantize(t, residualNet(), data, poor...).Measured.Least
	for _, cost := range []Cost{CostMACs, CostSize} {
		for _, more := range []float64{0, 2, 4} {
			q, err := Quantize(context.Background(), residualNet(), data, append(poor, WithTarget(start+more), WithCost(cost))...)
			if err != nil {
				t.Fatal(err)
			}
			if q.Measured.Least < start+more {
				t.Errorf("%.1f dB, asked for %.1f", q.Measured.Least, start+more)
			}
			if more == 0 && len(q.Search.Left) > 0 || q.Nodes == 0 {
				t.Errorf("%.0f dB more: %v in float, %d nodes on integers", more, q.Search.Left, q.Nodes)
			}
			checkFront(t, q.Search.Front)
		}
	}
	if _, err := Quantize(context.Background(), residualNet(), data, append(poor, WithTarget(200))...); !errors.Is(err, ErrTarget) {
		t.Errorf("200 dB: %v", err)
	}
	q := mustQuantize(t, residualNet(), data, append(poor, WithTargetAgreement(100))...)
	if q.Measured.Agreement < 100 {
		t.Errorf("%g %% of the classes", q.Measured.Agreement)
	}
}

func checkFront(t *testing.T, points []Point) {
	t.Helper()
	if len(points) == 0 || len(points) > frontPoints {
		t.Errorf("%d points", len(points))
	}
	for i, p := range points[:max(len(points)-1, 0)] {
		q := points[i+1]
		if q.SQNR < p.SQNR || q.Integer >= p.Integer && q.Size <= p.Size && q.SQNR > p.SQNR {
			t.Errorf("%+v is beaten by %+v", p, q)
		}
	}
}

// TestSensitivityRanks: on the few inputs that it looks at, it ranks as the direct measurement on all does, and the
// network at that is not changed.
func TestSensitivityRanks(t *testing.T) {
	ctx := context.Background()
	j := scaled(t, residualNet(), images(t, 300, 3, 8, 8), WithBits(5, 6))
	var err error
	if j.sample, err = j.newSample(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := j.sensitivities(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 10 {
		t.Fatalf("%d things", len(got))
	}
	direct := make(map[*Sensitivity]float64)
	for _, u := range j.net.units() {
		i := slices.IndexFunc(got, func(s *Sensitivity) bool { return s.Name == u.Name && s.Weights == u.Weights })
		g, err := j.net.only(u.keep)
		if err != nil {
			t.Fatal(err)
		}
		m, err := j.sample.measure(ctx, g, 1)
		if err != nil {
			t.Fatal(err)
		}
		direct[got[i]] = m.noise()
	}
	order := slices.Clone(got)
	slices.SortFunc(order, func(a, b *Sensitivity) int { return cmp.Compare(direct[b], direct[a]) })
	sum, n := 0.0, float64(len(got))
	for i, s := range got {
		d := float64(i - slices.Index(order, s))
		sum += d * d
	}
	if rho := 1 - 6*sum/(n*(n*n-1)); rho < 0.9 || math.IsNaN(rho) {
		t.Errorf("rank correlation %.3f", rho)
	}
}

// TestMaxDrop: at most so many points are lost of the inputs whose class is right; labels that do not fit are named.
func TestMaxDrop(t *testing.T) {
	ctx := context.Background()
	data := images(t, 64, 3, 8, 8)
	g := residualNet()
	classes := make([]int, 64)
	net, err := engine.Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for x := range data.Batches(16) {
		y, err := net.Run(ctx, x...)
		if err != nil {
			t.Fatal(err)
		}
		n := y[0].Shape()[1]
		for row := range y[0].Shape()[0] {
			scores := y[0].F32()[row*n : (row+1)*n]
			classes[at] = slices.Index(scores, slices.Max(scores))
			at++
		}
	}
	coarse := []Option{WithBits(3, 5), WithCompensation(false)}
	left := -1
	for _, most := range []float64{40, 10} {
		q, err := Quantize(ctx, residualNet(), data, append(coarse, WithMaxDrop(most, classes))...)
		if err != nil {
			t.Fatal(err)
		}
		if q.Search.Drop == nil || *q.Search.Drop > most || len(q.Search.Left) <= left {
			t.Errorf("%g points: %v, left %v, %d before", most, *q.Search.Drop, q.Search.Left, left)
		}
		left = len(q.Search.Left)
	}
	classes[3] = 1000
	if _, err := Quantize(ctx, residualNet(), data, append(coarse, WithMaxDrop(0, classes))...); err == nil || !strings.Contains(err.Error(), "label is 1000") {
		t.Errorf("a label of no class: %v", err)
	}
}
