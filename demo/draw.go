package demo

import (
	"math"
	"math/rand/v2"

	"github.com/narrow-ml/narrow/tensor"
)

// Size is the width and height of a picture, in pixels.
const Size = 24

// Classes names what a picture shows, by label.
var Classes = []string{"disc", "ring", "square", "frame", "triangle", "cross", "bars", "crescent", "corner", "tee"}

// Draw returns n pictures [n,3,Size,Size], uint8, and their labels [n], int64.
// The same seed draws the same pictures.
//
// Each picture is one shape of any colour, place, size and rotation on a
// shaded ground, crossed by a stripe, under noise: hard enough that a small
// network makes mistakes, so that there is something for quantization to lose.
func Draw(n int, seed uint64) (pictures, labels *tensor.Tensor) {
	pictures, labels = tensor.New(tensor.Uint8, n, 3, Size, Size), tensor.New(tensor.Int64, n)
	rng := rand.New(rand.NewPCG(seed, 0))
	const bytes = 3 * Size * Size
	for i := range n {
		label := rng.IntN(len(Classes))
		labels.I64()[i] = int64(label)
		newScene(rng, label).draw(rng, tensor.Data[uint8](pictures)[i*bytes:(i+1)*bytes])
	}
	return pictures, labels
}

// scene is what one picture shows.
type scene struct {
	label              int
	x, y, radius       float64 // of the shape, in pixels
	sin, cos           float64 // of its rotation
	ground, shade, ink [3]float64
	stripe             [3]float64 // colour of the stripe that crosses the shape
	stripeSin          float64
	stripeCos          float64
	stripeAt           float64
	noise              float64
}

func newScene(rng *rand.Rand, label int) *scene {
	uniform := func(low, high float64) float64 { return low + (high-low)*rng.Float64() }
	s := &scene{label: label, radius: uniform(5.5, 10), noise: uniform(8, 42)}
	s.x, s.y = Size/2+uniform(-3, 3), Size/2+uniform(-3, 3)
	s.sin, s.cos = math.Sincos(uniform(0, 2*math.Pi))
	s.stripeSin, s.stripeCos = math.Sincos(uniform(0, 2*math.Pi))
	s.stripeAt = uniform(-5, 5)
	for {
		contrast := 0.0
		for c := range 3 {
			s.ground[c], s.ink[c] = uniform(20, 235), uniform(20, 235)
			s.shade[c], s.stripe[c] = uniform(-2, 2), uniform(0, 255)
			contrast += math.Abs(s.ground[c] - s.ink[c])
		}
		if contrast > 110 {
			return s
		}
	}
}

// draw writes the picture as three planes.
func (s *scene) draw(rng *rand.Rand, planes []uint8) {
	for y := range Size {
		for x := range Size {
			dx, dy := float64(x)-s.x, float64(y)-s.y
			u, v := (dx*s.cos+dy*s.sin)/s.radius, (dy*s.cos-dx*s.sin)/s.radius
			cover := inside(-distance(s.label, u, v) * s.radius)
			stripe := inside(0.8 - math.Abs(dx*s.stripeCos+dy*s.stripeSin-s.stripeAt))
			for c := range 3 {
				value := s.ground[c] + s.shade[c]*float64(x-y)
				value += cover * (s.ink[c] - value)
				value += stripe * (s.stripe[c] - value)
				value += s.noise * rng.NormFloat64()
				planes[(c*Size+y)*Size+x] = uint8(math.Round(min(max(value, 0), 255)))
			}
		}
	}
}

// inside turns a distance to an edge in pixels into how much of a pixel lies inside.
func inside(d float64) float64 { return min(max(d+0.5, 0), 1) }

// distance returns how far (u, v) lies outside a shape that fills about the
// unit circle; it is negative inside.
func distance(label int, u, v float64) float64 {
	r := math.Hypot(u, v)
	box := func(u, v, halfWidth, halfHeight float64) float64 {
		return max(math.Abs(u)-halfWidth, math.Abs(v)-halfHeight)
	}
	switch Classes[label] {
	case "disc":
		return r - 0.85
	case "ring":
		return math.Abs(r-0.7) - 0.2
	case "square":
		return box(u, v, 0.75, 0.75)
	case "frame":
		return math.Abs(box(u, v, 0.65, 0.65)) - 0.18
	case "triangle":
		return max(-v, 0.866*u+0.5*v, -0.866*u+0.5*v) - 0.48
	case "cross":
		return min(box(u, v, 0.22, 0.9), box(u, v, 0.9, 0.22))
	case "bars":
		return box(u, math.Abs(v)-0.45, 0.85, 0.2)
	case "crescent":
		return max(r-0.9, 0.72-math.Hypot(u-0.45, v))
	case "corner":
		return min(box(u+0.5, v, 0.22, 0.8), box(u, v-0.58, 0.72, 0.22))
	}
	return min(box(u, v+0.6, 0.8, 0.22), box(u, v-0.1, 0.22, 0.8)) // tee
}
