package ptq

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
)

// Errors of statistics that do not belong together, wrapped with what differs.
var (
	// ErrOtherInputs reports statistics that cannot go on with other inputs than they began with.
	ErrOtherInputs = errors.New("ptq: the statistics were begun with other inputs")
	// ErrOtherPreparation reports statistics of inputs that were prepared otherwise.
	ErrOtherPreparation = errors.New("ptq: the statistics are of inputs that were prepared otherwise")
	// ErrTwice reports statistics of the same inputs.
	ErrTwice = errors.New("ptq: the statistics are of the same inputs, which would count twice")
)

// originOf returns where data comes from, nothing if it does not know.
func originOf(data dataset.Source) ([]dataset.Origin, error) {
	known, ok := data.(dataset.Known)
	if !ok {
		return nil, nil
	}
	o, err := known.Origin()
	if err != nil {
		return nil, fmt.Errorf("ptq: calibration data: %w", err)
	}
	return []dataset.Origin{o}, nil
}

// continues returns an error unless s are statistics of the first inputs of an origin.
func (s *Statistics) continues(origins []dataset.Origin) error {
	if len(s.Origins) == 0 || len(origins) == 0 {
		return nil // it is not known
	}
	was, is := s.Origins[0], origins[0]
	switch {
	case len(s.Origins) > 1:
		return fmt.Errorf("%w: they are merged of %d parts", ErrOtherInputs, len(s.Origins))
	case !was.Preparation.Equal(is.Preparation):
		return fmt.Errorf("%w: %s then, %s now", ErrOtherPreparation, was.Preparation, is.Preparation)
	case !was.Same(is):
		return fmt.Errorf("%w: %s then, %s now", ErrOtherInputs, describeOrigin(was), describeOrigin(is))
	}
	return nil
}

func describeOrigin(o dataset.Origin) string {
	text := ""
	for i, f := range o.Files {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s of %d bytes (%s)", f.Name, f.Size, f.Hash[:min(8, len(f.Hash))])
	}
	if o.First > 0 {
		text += fmt.Sprintf(", the first %d", o.First)
	}
	return text
}

// Joins returns an error unless s can be merged with o: statistics of one network, of other inputs, prepared in the
// same way, as far as that is known.
func (s *Statistics) Joins(o *Statistics) error {
	if s.Network != o.Network {
		return fmt.Errorf("%w: %08x and %08x", ErrOtherNetwork, s.Network, o.Network)
	}
	for _, a := range s.Origins {
		for _, b := range o.Origins {
			if !a.Preparation.Equal(b.Preparation) {
				return fmt.Errorf("%w: %s and %s", ErrOtherPreparation, a.Preparation, b.Preparation)
			}
			if a.Same(b) {
				return fmt.Errorf("%w: %s", ErrTwice, describeOrigin(a))
			}
		}
	}
	return nil
}

// sortOrigins puts them in an order that does not depend on that of merging.
func (s *Statistics) sortOrigins() {
	slices.SortStableFunc(s.Origins, func(a, b dataset.Origin) int { return cmp.Compare(originText(a), originText(b)) })
}

func originText(o dataset.Origin) string {
	b, err := json.Marshal(o)
	if err != nil { // it holds nothing that JSON does not
		panic(err)
	}
	return string(b)
}

// Apart says how far the magnitudes of each of several statistics are from what is usual among them: the median, over
// the tensors, of the ratio of its root mean square to the median of all, or its inverse, whichever is over 1.
func Apart(all []*Statistics) []float64 {
	ratios := make([][]float64, len(all))
	for name := range all[0].Tensors {
		var rms []float64
		for _, s := range all {
			if h := s.Tensors[name]; h != nil {
				_, square := h.Moments()
				rms = append(rms, math.Sqrt(square))
			}
		}
		if len(rms) < len(all) || slices.Min(rms) == 0 {
			continue
		}
		sorted := slices.Sorted(slices.Values(rms))
		usual := math.Sqrt(sorted[len(sorted)/2] * sorted[(len(sorted)-1)/2])
		for i, x := range rms {
			ratios[i] = append(ratios[i], max(x/usual, usual/x))
		}
	}
	out := make([]float64, len(all))
	for i, r := range ratios {
		if out[i] = 1; len(r) > 0 {
			slices.Sort(r)
			out[i] = r[len(r)/2]
		}
	}
	return out
}
