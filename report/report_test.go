package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/ptq"
)

// normal returns the histogram of n normal values, made of their magnitudes if
// positive is set.
func normal(n int, positive bool) *ptq.Histogram {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
		if positive {
			x[i] = max(x[i], 0)
		}
	}
	h := new(ptq.Histogram)
	if err := h.Add(x); err != nil {
		panic(err)
	}
	return h
}

func tensorReport(name string, db float64, unsigned bool) ptq.TensorReport {
	h := normal(10000, unsigned)
	lo, hi := h.Range()
	return ptq.TensorReport{Name: name, Min: lo, Max: hi, Clip: 2, Scale: 2.0 / 127, Bits: 8, Unsigned: unsigned, SQNR: db, Histogram: h}
}

// balancedPair returns a pair whose channels were 64 times apart.
func balancedPair(first, second string, channels int) ptq.BalancedPair {
	p := ptq.BalancedPair{First: first, Second: second}
	for c := range channels {
		wide := math.Exp2(6 * float64(c) / float64(max(channels-1, 1)))
		for _, r := range []*ptq.ChannelRanges{&p.Before, &p.After} {
			r.Out, r.Acts, r.In = append(r.Out, wide), append(r.Acts, 3*wide), append(r.In, 1/wide)
			wide = 2 + float64(c%2)
		}
	}
	return p
}

func samplePage() Page {
	return Page{
		Model: "model.onnx", Output: "int8.onnx", ModelSize: 1_094_591, OutputSize: 310_000, Inputs: 500, Seconds: 0.8, PeakRSS: 42e6,
		IntegerMACs: 99.5, Measured: 100, Agreement: 98, SQNR: 28.9,
		Options: []Option{{"clip", "mse"}},
		Steps: []Step{
			{"", "rounded to nearest", 19.5, 91}, {"--clip mse", "outliers cut", 23.1, 94},
			{"--per-channel", "a scale for each channel", 22.5, 94}, {"--compensate", "errors cancel", 28.9, 98},
		},
		Variants: []Variant{{"--clip max", 27.5, 97}, {"--signs=false", 31, 99}},
		Result: &ptq.Report{
			Tensors:      []ptq.TensorReport{tensorReport("good", 42, true), tensorReport("<b>bad</b>", 18.5, false)},
			Float:        map[string]string{"softmax": "a softmax at the end is computed in float"},
			Raised:       []string{"conv7"},
			Equalization: &ptq.Equalization{Pairs: 5, Balanced: []ptq.BalancedPair{balancedPair("conv1", "<i>conv2</i>", 64)}, Refused: map[string]string{"conv5": "it clips"}},
		},
	}
}

func write(t *testing.T, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteHTML(t *testing.T) {
	html := write(t, samplePage())
	for _, want := range []string{"28.9 dB", "1.1 MB", "310.0 kB", "98.0 %", "softmax", "conv7", "--signs=false: 31.0 dB instead of 28.9 dB", "uint8", "prefers-color-scheme"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if bad, good := strings.Index(html, "&lt;b&gt;bad"), strings.Index(html, "<code>good"); bad < 0 || good < 0 || bad > good {
		t.Error("tensors are not escaped, or not the worst first")
	}
	for _, foreign := range []string{"<script", "http://", "https://", "@import", "url("} {
		if strings.Contains(html, foreign) {
			t.Errorf("the page holds %q", foreign)
		}
	}
}

// TestSize writes a network of 300 tensors.
func TestSize(t *testing.T) {
	p := samplePage()
	p.Result.Tensors = nil
	for i := range 300 {
		p.Result.Tensors = append(p.Result.Tensors, tensorReport(fmt.Sprint("tensor", i), 30, i%2 == 0))
	}
	if n := len(write(t, p)); n > 2e6 {
		t.Errorf("%d bytes", n)
	}
}

func TestNothingToShow(t *testing.T) {
	p := Page{Result: &ptq.Report{}, SQNR: math.Inf(1), Agreement: math.NaN()}
	if html := write(t, p); !strings.Contains(html, "exact") || strings.Contains(html, "NaN") || strings.Contains(html, "Inf") {
		t.Error("infinite and missing figures are not written in words")
	}
}

func TestHistogramSVG(t *testing.T) {
	for _, c := range []struct {
		h         *ptq.Histogram
		low, high float64
		cut       bool // something lies outside
	}{
		{normal(10000, false), -10, 10, false},
		{normal(10000, false), -1, 1, true},
		{normal(10000, true), 0, 1, true},
		{normal(1, true), 0, 10, false},
	} {
		svg := string(histogramSVG(c.h, c.low, c.high))
		if cut := strings.Contains(svg, `fill:var(--cut)`); svg != "" && cut != c.cut {
			t.Errorf("cut is %v: %s", cut, svg)
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
	}
	if svg := histogramSVG(new(ptq.Histogram), 0, 1); svg != "" {
		t.Errorf("an empty histogram: %s", svg)
	}
}

// TestRebinKeepsCounts: every value is in a bar.
func TestRebinKeepsCounts(t *testing.T) {
	h := normal(10000, false)
	from, to := h.Range()
	total := 0.0
	for _, n := range rebin(h, from, to) {
		total += n
	}
	if total != 10000 {
		t.Errorf("%v values in the bars", total)
	}
}
