package ptq

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// WriteTensorRT writes the ranges that the rule keeps as a calibration cache of
// TensorRT: for each tensor the bits of its scale T/127, in hexadecimal.
func (s *Statistics) WriteTensorRT(w io.Writer, rule Clip) error {
	if _, err := fmt.Fprintln(w, "TRT-8601-EntropyCalibration2"); err != nil {
		return err
	}
	grid := Grid{Bits: 8, Signed: true}
	for _, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		scale := float32(grid.Over(rule.Threshold(s.Tensors[name], grid)).Scale)
		if _, err := fmt.Fprintf(w, "%s: %08x\n", name, math.Float32bits(scale)); err != nil {
			return err
		}
	}
	return nil
}

// Range is what [Statistics.WriteJSON] tells of a tensor.
type Range struct {
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Clip   float64 `json:"clip"` // the largest magnitude that the rule keeps
	Mean   float64 `json:"mean"`
	Values uint64  `json:"values"`
	Zeros  uint64  `json:"zeros"`
}

// WriteJSON writes the range of every tensor, and what the rule keeps of it, as one
// JSON object.
func (s *Statistics) WriteJSON(w io.Writer, rule Clip) error {
	ranges := make(map[string]Range)
	for name, h := range s.Tensors {
		lo, hi := h.Range()
		mean, _ := h.Moments()
		ranges[name] = Range{
			Min: lo, Max: hi, Mean: mean, Values: h.Count(), Zeros: h.Zeros(),
			Clip: rule.Threshold(h, Grid{Bits: 8, Signed: lo < 0}),
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Inputs  int              `json:"inputs"`
		Clip    string           `json:"clip_rule"`
		Tensors map[string]Range `json:"tensors"`
	}{s.Inputs, rule.String(), ranges})
}
