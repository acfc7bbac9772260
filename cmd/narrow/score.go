package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/narrow-ml/narrow/tensor"
)

// score adds up what is measured of a network, batch by batch.
type score struct {
	labelled, compared bool
	count              int // inputs
	correct, agreeing  int // inputs whose class is the label, or the reference's
	classes            bool
	signal, noise      float64 // sums of r^2 and (r-q)^2 over all outputs
	elapsed            time.Duration
}

// compare takes the outputs of the network and of the reference for some inputs. What has
// the shape of its input, like that of an autoencoder, holds no scores of classes.
func (s *score) compare(input *tensor.Tensor, n int, outputs, want []*tensor.Tensor) error {
	if len(outputs) != len(want) {
		return fmt.Errorf("the network has %d outputs, the reference %d: they are not two forms of one network", len(outputs), len(want))
	}
	for i, w := range want {
		q, r := outputs[i], w
		if !slices.Equal(q.Shape(), r.Shape()) {
			return fmt.Errorf("output %d has shape %v, the reference's %v: they are not two forms of one network", i, q.Shape(), r.Shape())
		}
		qv, rv := q.Float32s(), r.Float32s()
		for k, v := range rv {
			d := float64(v) - float64(qv[k])
			s.signal += float64(v) * float64(v)
			s.noise += d * d
		}
	}
	if math.IsNaN(s.noise) || math.IsInf(s.noise, 0) {
		return errors.New("an output is not a finite number")
	}
	if s.classes = isClassifier(want[0], n) && !slices.Equal(want[0].Shape(), input.Shape()); s.classes {
		a, b := classes(outputs[0], n), classes(want[0], n)
		for i := range a {
			if a[i] == b[i] {
				s.agreeing++
			}
		}
	}
	return nil
}

// check takes the outputs of the network and the labels of their inputs.
func (s *score) check(outputs []*tensor.Tensor, labels []int) error {
	if !isClassifier(outputs[0], len(labels)) {
		return fmt.Errorf("the output has shape %v: top-1 needs one score for each class, [N, classes]; leave --labels out", outputs[0].Shape())
	}
	for i, c := range classes(outputs[0], len(labels)) {
		if c == labels[i] {
			s.correct++
		}
	}
	return nil
}

// isClassifier reports whether t holds scores of several classes for each of n
// inputs: [N, C], also with dimensions of 1 behind.
func isClassifier(t *tensor.Tensor, n int) bool {
	s := t.Shape()
	return len(s) >= 2 && s[0] == n && s[1] > 1 && s[1]*n == t.Len()
}

// classes returns the place of the largest score of each of n rows, the first
// if there are several.
func classes(t *tensor.Tensor, n int) []int {
	v := t.Float32s()
	width := len(v) / n
	out := make([]int, n)
	for i := range out {
		row := v[i*width : (i+1)*width]
		for k, x := range row {
			if x > row[out[i]] {
				out[i] = k
			}
		}
	}
	return out
}

// sqnr returns the signal to quantization noise ratio in dB, +Inf if there is
// no difference.
func (s *score) sqnr() float64 { return 10 * math.Log10(s.signal/s.noise) }

func (s *score) percent(n int) *float64 {
	p := 100 * float64(n) / float64(s.count)
	return &p
}

func (s *score) result() evalResult {
	r := evalResult{Count: s.count, Seconds: s.elapsed.Seconds(), PeakRSS: peakRSS()}
	r.ImagesPerSecond = float64(s.count) / max(s.elapsed.Seconds(), 1e-9)
	if s.labelled {
		r.Top1 = s.percent(s.correct)
	}
	if s.compared {
		if s.classes {
			r.Agreement = s.percent(s.agreeing)
		}
		if db := s.sqnr(); !math.IsInf(db, 0) && !math.IsNaN(db) {
			r.SQNR = &db
		}
		r.Identical = s.noise == 0
	}
	return r
}

// table writes the result for people.
func (r evalResult) table() *table {
	t := &table{}
	if r.Top1 != nil {
		t.add("top-1", fmt.Sprintf("%.2f %%", *r.Top1))
	}
	if r.Agreement != nil {
		t.add("agreement", fmt.Sprintf("%.2f %%", *r.Agreement))
	}
	if r.SQNR != nil {
		t.add("SQNR", fmt.Sprintf("%.2f dB", *r.SQNR))
	}
	if r.Identical {
		t.add("outputs", "identical")
	}
	if r.Safe != nil && *r.Safe {
		t.add("weights", "saturation-safe")
	} else if r.Safe != nil {
		t.add("weights", "not saturation-safe (see narrow inspect, --saturating)")
	}
	t.add("inputs", r.Count)
	t.add("speed", fmt.Sprintf("%.0f inputs/s", r.ImagesPerSecond))
	t.add("memory", bytesText(r.PeakRSS))
	return t
}
