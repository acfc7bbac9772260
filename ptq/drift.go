package ptq

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Drift says how far a tensor's values have moved from those it was calibrated on.
type Drift struct {
	Name    string  `json:"name"`
	Outside float64 `json:"outside"` // percent of the new values beyond the least and the greatest that calibration saw
	Reach   float64 `json:"reach"`   // the largest new magnitude as so many times the largest old one; 1e9 if that was 0
	RMS     float64 `json:"rms"`     // ratio of the new root mean square to the old one; likewise
}

// Shift returns how many times smaller or larger the values have become, at least 1.
func (d Drift) Shift() float64 {
	if d.RMS <= 0 {
		return farAway
	}
	return max(d.RMS, 1/d.RMS)
}

// farAway stands for a ratio to nothing: JSON has no infinity.
const farAway = 1e9

// FindDrift compares what tensors hold now with what they held when ranges were calibrated, the farthest first. Both are
// statistics of one network.
func FindDrift(old, now *Statistics) ([]Drift, error) {
	if old.Network != now.Network {
		return nil, fmt.Errorf("%w: %08x and %08x", ErrOtherNetwork, old.Network, now.Network)
	}
	for _, a := range old.Origins {
		for _, b := range now.Origins {
			if !a.Preparation.Equal(b.Preparation) {
				return nil, fmt.Errorf("%w: %s and %s", ErrOtherPreparation, a.Preparation, b.Preparation)
			}
		}
	}
	var all []Drift
	for _, name := range slices.Sorted(maps.Keys(now.Tensors)) {
		was, is := old.Tensors[name], now.Tensors[name]
		if was == nil || was.Count() == 0 || is.Count() == 0 {
			continue
		}
		_, a := was.Moments()
		_, b := is.Moments()
		all = append(all, Drift{name, 100 * is.outside(was.Range()), times(is.MaxAbs(), was.MaxAbs()), times(math.Sqrt(b), math.Sqrt(a))})
	}
	slices.SortStableFunc(all, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(b.Outside, a.Outside), cmp.Compare(b.Shift(), a.Shift()))
	})
	return all, nil
}

func times(a, b float64) float64 {
	switch {
	case a == b:
		return 1
	case b == 0:
		return farAway
	}
	return a / b
}

// outside returns the share of the values that lie outside of [lo, hi], as far as bins tell: one that an end lies in counts as inside.
func (h *Histogram) outside(lo, hi float64) float64 {
	pos, neg := h.Sides()
	width := h.Width()
	var n uint64
	for i := range pos {
		edge := float64(i) * width
		if edge > hi {
			n += pos[i]
		}
		if edge > -lo {
			n += neg[i]
		}
	}
	return float64(n) / float64(h.count)
}
