package demo

import (
	"bytes"
	"context"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/tensor"
)

func TestDrawIsReproducible(t *testing.T) {
	x, y := Draw(50, 9)
	again, _ := Draw(50, 9)
	other, _ := Draw(50, 10)
	if !bytes.Equal(x.Bytes(), again.Bytes()) {
		t.Error("the same seed draws other pictures")
	}
	if bytes.Equal(x.Bytes(), other.Bytes()) {
		t.Error("another seed draws the same pictures")
	}
	seen := make(map[int]bool)
	for _, label := range y.Ints() {
		seen[label] = true
	}
	if len(seen) != len(Classes) {
		t.Errorf("50 pictures show %d of %d shapes", len(seen), len(Classes))
	}
}

// TestShapesAreDistinct: each shape covers a fair part of the unit square, and
// no two cover the same part.
func TestShapesAreDistinct(t *testing.T) {
	const n = 60
	covers := make([][]bool, len(Classes))
	for c := range Classes {
		covered := 0
		for i := range n * n {
			in := distance(c, float64(i%n)/n*2-1, float64(i/n)/n*2-1) < 0
			covers[c] = append(covers[c], in)
			if in {
				covered++
			}
		}
		if share := float64(covered) / (n * n); share < 0.1 || share > 0.7 {
			t.Errorf("%s covers %.2f", Classes[c], share)
		}
		for other := range c {
			differ := 0
			for i := range covers[c] {
				if covers[c][i] != covers[other][i] {
					differ++
				}
			}
			if differ < n*n/20 {
				t.Errorf("%s and %s differ in %d of %d points", Classes[c], Classes[other], differ, n*n)
			}
		}
	}
}

// TestNetwork: the embedded network sorts most pictures, and not all.
func TestNetwork(t *testing.T) {
	g, err := Network()
	if err != nil {
		t.Fatal(err)
	}
	net, err := engine.Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	x, labels := Test(n)
	out, err := net.Run(context.Background(), Normalize(x))
	if err != nil {
		t.Fatal(err)
	}
	correct := 0
	for i, label := range labels.Ints() {
		scores := out[0].Rows(i, i+1).F32()
		best := 0
		for k, s := range scores {
			if s > scores[best] {
				best = k
			}
		}
		if best == label {
			correct++
		}
	}
	if share := float64(correct) / n; share < 0.75 || share > 0.95 {
		t.Errorf("%.3f of the pictures sorted right", share)
	}
	if len(Model()) > 200_000 {
		t.Errorf("the network takes %d bytes", len(Model()))
	}
	if x.DType() != tensor.Uint8 {
		t.Errorf("pictures are %s", x.DType())
	}
}
