package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
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
		Options: []Option{{"--clip", "mse", "mse"}, {"--weight-bits", "6", "8"}},
		Steps: []Step{
			{"", "rounded to nearest", 19.5, 91}, {"--clip mse", "outliers cut", 23.1, 94},
			{"--per-channel", "a scale for each channel", 22.5, 94}, {"--compensate", "errors cancel", 28.9, 98},
		},
		Variants: []Variant{{"--clip max", 27.5, 97}, {"--signs=false", 31, 99}},
		Network:  sampleNodes(12), Check: sampleCheck(), Latency: 0.21, LatencyFloat: 0.43, Threads: 2,
		Front:  []Point{{ptq.Point{SQNR: 30.1, Integer: 93, Size: 270000, Float: 2}, "narrow quantize model.onnx --target 30.1dB"}},
		Record: []Option{{Name: "float network", Value: "model.onnx, SHA-256 " + strings.Repeat("0123456789abcdef", 4)}},
		Rerun:  "narrow quantize model.onnx --calib=x.npy --output=int8.onnx",
		Result: &ptq.Report{
			Tensors:      []ptq.TensorReport{tensorReport("good", 42, true), tensorReport("<b>bad</b>", 18.5, false)},
			Float:        map[string]string{"softmax": "a softmax at the end is computed in float"},
			Raised:       []string{"conv7"},
			Mends:        []ptq.Mend{{Node: "conv 1", Gain: 4.5}},
			Weights:      sampleWeights(60),
			Equalization: &ptq.Equalization{Pairs: 5, Balanced: []ptq.BalancedPair{balancedPair("conv1", "<i>conv2</i>", 64)}, Refused: map[string]string{"conv5": "it clips"}},
		},
	}
}

// sampleWeights returns the weights of several nodes, some with a bad channel.
func sampleWeights(n int) []ptq.WeightReport {
	var all []ptq.WeightReport
	for i := range n {
		w := ptq.WeightReport{Node: fmt.Sprint("/block/conv", i, "/Conv"), Bits: 8, Scales: 16, SQNR: 41, Histogram: normal(1000, false)}
		for c := range 16 {
			w.Channels = append(w.Channels, 38-float64(c*(i%4))/2)
		}
		all = append(all, w)
	}
	return all
}

// sampleNodes returns a network of blocks with a branch around each.
func sampleNodes(blocks int) []Node {
	nan := math.NaN()
	nodes := []Node{{Name: "/in/Conv", Op: "Conv", Shape: "?x16x32x32", Integer: true, MACs: 442368, Weights: 44, Result: 18, Exclude: "narrow quantize model.onnx --exclude=/in/Conv"}}
	for b := range blocks {
		last := len(nodes) - 1
		name := fmt.Sprint("/a/rather/long/name/of/the/block", b)
		nodes = append(nodes,
			Node{Name: name + "/conv<1>", Op: "Conv", Inputs: []int{last}, Integer: true, MACs: 2359296, Weights: float64(18 + b), Result: nan},
			Node{Name: name + "/side", Op: "Conv", Inputs: []int{last}, Integer: true, MACs: 2359296, Weights: 50, Result: math.Inf(1)},
			Node{Name: name + "/Softmax", Op: "Softmax", Inputs: []int{last + 1}, Why: "a softmax at the end is computed in float", Weights: nan, Result: nan},
			Node{Name: name + "/Add", Op: "Add", Inputs: []int{last + 3, last + 2, last}, Integer: true, Weights: nan, Result: 33})
	}
	return nodes
}

// sampleCheck returns what two forms of a classifier do on unseen pictures.
func sampleCheck() *Check {
	picture := make([]float32, 3*16*20)
	for i := range picture {
		picture[i] = float32(i % 97)
	}
	c := &Check{Unseen: true, Inputs: 1000, SQNR: 28.1, Agreement: 97.5, Top1Float: 81, Top1: 80.5, MoreChanged: 3}
	for i := range 7 {
		c.Changed = append(c.Changed, Change{Input: 100 * i, Float: i, Integers: i + 1, Label: i - 1, Picture: Thumbnail(picture, 3, 16, 20)})
		c.Classes = append(c.Classes, Class{Label: i, Inputs: 100, Float: 80, Top1: 79, Mistaken: "3 (8 times)"})
	}
	return c
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
	checkForeign(t, html)
	for _, want := range []string{
		"narrow quantize model.onnx --calib=x.npy --output=int8.onnx --signs=false", // a command at a finding
		"--exclude=&#39;conv 1&#39;", "default 8", "97.5 % of the classes", "fp32 81.0 %", "0.21 ms", "data:image/png;base64,", "label 5", "3 (8 times)",
		"--target 30.1dB", "SHA-256 0123", `class="node e0" data-node="/in/Conv"`, `class="node float"`, "conv&lt;1&gt;", `<span class="best">best</span>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// checkForeign looks for what a page loads from elsewhere, and for scripts but its own.
func checkForeign(t *testing.T, html string) {
	t.Helper()
	hash := sha256.Sum256([]byte(script))
	policy := `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-` + base64.StdEncoding.EncodeToString(hash[:]) + `'"`
	if !strings.Contains(strings.ReplaceAll(html, "&#43;", "+"), policy) {
		t.Error("browsers are not told to load nothing and to run the page's own script alone")
	}
	if own := "<script>" + script + "</script>"; strings.Count(html, own) != 1 {
		t.Error("the script is not the one that is allowed")
	} else {
		html = strings.Replace(html, own, "", 1)
	}
	html = strings.ReplaceAll(html, `src="data:image/png;base64,`, "")
	for _, foreign := range []string{"<script", "http:", "https:", "src=", "href=", "@import", "url(", "<link", "<iframe", "<object"} {
		if strings.Contains(html, foreign) {
			t.Errorf("the page holds %q", foreign)
		}
	}
}

// TestLayout: every node is below those that it reads, and none lies over another.
func TestLayout(t *testing.T) {
	nodes := sampleNodes(5)
	places, width, height := layout(nodes)
	for i, p := range places {
		if p.x < 0 || p.y < 0 || p.x+boxWidth > width || p.y+boxHeight > height {
			t.Errorf("node %d at %+v is outside of %dx%d", i, p, width, height)
		}
		for _, in := range nodes[i].Inputs {
			if places[in].y+boxHeight >= p.y {
				t.Errorf("node %d at %+v is not below node %d at %+v", i, p, in, places[in])
			}
		}
		for k, q := range places[:i] {
			if p.y == q.y && p.x < q.x+boxWidth && q.x < p.x+boxWidth {
				t.Errorf("nodes %d and %d lie over each other", k, i)
			}
		}
	}
	wellFormed(t, string(networkSVG(nodes)))
	if networkSVG(nil) != "" || networkSVG(make([]Node, drawnNodes+1)) != "" {
		t.Error("a network of no nodes, or of too many, is drawn")
	}
}

func TestThumbnail(t *testing.T) {
	for _, c := range []struct {
		c, h, w, n int
		is         bool
	}{{3, 32, 32, 3072, true}, {1, 500, 20, 10000, true}, {2, 32, 32, 2048, false}, {3, 2, 32, 192, false}, {3, 32, 32, 5, false}} {
		if got := Thumbnail(make([]float32, c.n), c.c, c.h, c.w); (got != "") != c.is {
			t.Errorf("%+v: %q", c, got)
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
