package ptq

// WeightReport tells how a node's weights become integers.
type WeightReport struct {
	Node     string    `json:"node"`
	Bits     int       `json:"bits"`
	Scales   int       `json:"scales"`   // how many: one, or one for each output channel
	SQNR     float64   `json:"sqnr_db"`  // of the weights rounded to nearest; +Inf if nothing is lost
	Channels []float64 `json:"channels"` // the same of each output channel, dB

	Histogram *Histogram `json:"-"`
}

// WithWeightReports has [Report.Weights] filled, which takes a look at every weight: by default it is not.
func WithWeightReports(on bool) Option { return func(c *config) { c.weightReports = on } }

// describeWeights tells how weights become integers. Their scales must be known, and they must not be rounded yet.
func (r *Report) describeWeights(net *network) error {
	for _, n := range net.Nodes {
		if !isAffine(n) {
			continue
		}
		w := weightsOf(n)
		h := new(Histogram)
		if err := h.Add(w.data); err != nil {
			return err
		}
		rounded := w.scaling.rounded(w.value.Const).F32()
		signal, noise := make([]float64, w.channels()), make([]float64, w.channels())
		for i, v := range w.data {
			c := w.channel(i)
			d := float64(v) - float64(rounded[i])
			signal[c] += float64(v) * float64(v)
			noise[c] += d * d
		}
		report := WeightReport{Node: n.Name, Bits: w.scaling.Bits, Scales: len(w.scaling.Scale), Histogram: h}
		var allSignal, allNoise float64
		for c := range signal {
			allSignal, allNoise = allSignal+signal[c], allNoise+noise[c]
			report.Channels = append(report.Channels, ratioDB(signal[c], noise[c]))
		}
		report.SQNR = ratioDB(allSignal, allNoise)
		r.Weights = append(r.Weights, report)
	}
	return nil
}
