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
	if !strings.Contains(html, `content="default-src 'none'; style-src 'unsafe-inline'"`) {
		t.Error("browsers are not told to load nothing and run nothing")
	}
	for _, foreign := range []string{"<script", "http:", "https:", "src=", "href=", "@import", "url(", "<link", "<iframe", "<object"} {
		if strings.Contains(html, foreign) {
			t.Errorf("the page holds %q", foreign)
		}
	}
}

func TestSteps(t *testing.T) {
	html := write(t, samplePage())
	for _, want := range []string{"outliers cut", "&#43;3.6 dB", "-0.6 dB", `class="worse"`, "&#43;6.4 dB", "19 dB</span><span>30 dB"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is missing", want)
		}
	}
	inf := math.Inf(1)
	for _, c := range []struct {
		db          []float64
		left, width []float64 // of the bars
		changes     []string
	}{
		{[]float64{10.6, 12.6, 11.6}, []float64{15, 15, 40}, []float64{0, 50, 25}, []string{"", "+2.0 dB", "-1.0 dB"}}, // on an axis from 10 to 14
		{[]float64{20, inf}, []float64{50, 50}, []float64{0, 50}, []string{"", "–"}},
		{[]float64{inf, inf}, []float64{100, 100}, []float64{0, 0}, []string{"", "0.0 dB"}},
		{[]float64{-3, -3}, []float64{50, 50}, []float64{0, 0}, []string{"", "0.0 dB"}},
		{[]float64{-3, -3.04}, []float64{50, 48}, []float64{0, 2}, []string{"", "0.0 dB"}},
	} {
		steps := make([]Step, len(c.db))
		for i, db := range c.db {
			steps[i].SQNR = db
		}
		rows, _, _ := stepRows(steps)
		for i, r := range rows {
			if math.Abs(r.Left-c.left[i]) > 1e-9 || math.Abs(r.Width-c.width[i]) > 1e-9 || r.Change != c.changes[i] || r.First != (i == 0) || r.Worse != strings.HasPrefix(r.Change, "-") {
				t.Errorf("step %d of %v: %+v", i, c.db, r)
			}
		}
	}
}

// TestUnbalanced: where no channel was scaled the page says so, and why.
func TestUnbalanced(t *testing.T) {
	for _, c := range []struct {
		e    *ptq.Equalization
		says string
	}{
		{nil, "not asked for"},
		{&ptq.Equalization{}, "no two layers"},
		{&ptq.Equalization{Pairs: 7}, "7 pairs"},
		{&ptq.Equalization{Refused: map[string]string{"a": "it clips"}}, "without changing what the network computes"},
	} {
		p := samplePage()
		p.Result.Equalization = c.e
		if html := write(t, p); !strings.Contains(html, c.says) || strings.Contains(html, `<div class="pair">`) {
			t.Errorf("%+v: %q is missing, or pairs are shown", c.e, c.says)
		}
	}
}

func TestBalances(t *testing.T) {
	html := write(t, samplePage())
	for _, want := range []string{"&lt;i&gt;conv2", "64 channels", `class="channels"`, "it clips", "var(--accent)"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, c := range []struct {
		ranges []float64
		want   float64
	}{
		{[]float64{8, 1, 2, 0, 4}, 4}, // 8, 4, 2, 1
		{[]float64{3}, 1}, {nil, 1}, {[]float64{0, 0}, 1},
		{[]float64{1e-30, 8, 2, 1e-31, 1e-30}, 4}, // of 8 and 2
	} {
		if got := spread(c.ranges); got != c.want {
			t.Errorf("spread of %v is %v, want %v", c.ranges, got, c.want)
		}
	}
	e := &ptq.Equalization{}
	for i := range drawnPairs + 3 {
		p := balancedPair(fmt.Sprint(i), "next", 16)
		p.Before.In[0] *= float64(100 + i) // the last are the worst
		e.Balanced = append(e.Balanced, p)
	}
	drawn, listed := balances(e)
	if len(drawn) != drawnPairs || len(listed) != 3 || drawn[0].First != fmt.Sprint(drawnPairs+2) || listed[2].First != "0" {
		t.Errorf("%d drawn, %d listed, %s first", len(drawn), len(listed), drawn[0].First)
	}
	if drawn[0].Sides[2].Picture == "" || listed[0].Sides[2].Picture != "" {
		t.Error("what is drawn has no picture, or what is listed has one")
	}
}

// TestChannelsSVG draws channels that are hard to draw.
func TestChannelsSVG(t *testing.T) {
	many := make([]float64, 5000)
	for i := range many {
		many[i] = math.Exp(float64(i) / 500)
	}
	for _, ranges := range [][]float64{{1}, {0, 0}, {1, 1, 1}, {1e-30, 1, 1e30}, {0, 1e-20, 5}, many} {
		svg := string(channelsSVG("weights", ranges, ranges))
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || len(svg) > 20_000 {
			t.Errorf("%d channels: %d bytes, %.200s", len(ranges), len(svg), svg)
		}
		wellFormed(t, svg)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		db, agreement float64
		want          string
	}{
		{math.Inf(1), 100, "The outputs are those of fp32."},
		{40, 99, "Close to fp32. The error of the outputs is 1 % of their size (root mean square), and 99.0 % of the inputs get the class that fp32 gives."},
		{26, math.NaN(), "A usual loss for 8 bits. The error of the outputs is 5 % of their size (root mean square)."},
		{6, math.NaN(), "Far from fp32: expect it to show in the accuracy. The error of the outputs is 50 % of their size (root mean square)."},
	} {
		if got := strings.ReplaceAll(verdict(Page{SQNR: c.db, Agreement: c.agreement}), "\u00a0", " "); got != c.want {
			t.Errorf("%v dB: %q, want %q", c.db, got, c.want)
		}
	}
}

// TestSize writes a network of 300 tensors, with as many pairs of wide layers.
func TestSize(t *testing.T) {
	p := samplePage()
	p.Result.Tensors, p.Result.Equalization.Balanced = nil, nil
	for i := range 300 {
		p.Result.Tensors = append(p.Result.Tensors, tensorReport(fmt.Sprint("tensor", i), 30, i%2 == 0))
		p.Result.Equalization.Balanced = append(p.Result.Equalization.Balanced, balancedPair(fmt.Sprint("layer", i), fmt.Sprint("layer", i+1), 512))
	}
	n := len(write(t, p))
	t.Logf("%d bytes", n)
	if n > 3e6 {
		t.Errorf("%d bytes", n)
	}
}

func TestNothingToShow(t *testing.T) {
	p := Page{Result: &ptq.Report{}, SQNR: math.Inf(1), Agreement: math.NaN(), Steps: []Step{{SQNR: math.NaN(), Agreement: math.NaN()}, {SQNR: math.Inf(1), Agreement: math.NaN()}}}
	html := write(t, p)
	if !strings.Contains(html, "exact") || strings.Contains(html, "NaN") || strings.Contains(html, "Inf") {
		t.Error("infinite and missing figures are not written in words")
	}
	if strings.Contains(html, "Agreement") || strings.Contains(html, "LABELS") || strings.Contains(html, "class of fp32") {
		t.Error("classes of a network that has none")
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
		wellFormed(t, svg)
	}
	if svg := histogramSVG(new(ptq.Histogram), 0, 1); svg != "" {
		t.Errorf("an empty histogram: %s", svg)
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
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
