package report

import (
	"fmt"
	"math"
)

// weakTensor is the SQNR in dB below which a tensor is worth a look: 8 bits
// give 35 to 45 to a tensor without outliers.
const weakTensor = 25

// advice says what to try next, by what the report shows.
func advice(p Page) []string {
	var all []string
	if best := bestVariant(p); best != nil {
		all = append(all, fmt.Sprintf("Quantize again with %s: %s instead of %s.", best.Name, decibelText(best.SQNR), decibelText(p.SQNR)))
	}
	if len(p.WorstFirst) > 0 && p.WorstFirst[0].SQNR < weakTensor {
		t := p.WorstFirst[0]
		all = append(all, fmt.Sprintf("%q is represented worst (%s): leave the node that makes it in float by --exclude, or give it 16 bits by --bits NODE=8/16.", t.Name, decibelText(t.SQNR)))
	}
	if p.Inputs < 100 {
		all = append(all, fmt.Sprintf("Calibrate on more than %d inputs: a few hundred show the ranges better.", p.Inputs))
	}
	if len(p.FloatNodes) > 0 && p.IntegerMACs < 90 {
		all = append(all, "Much is still computed in float: the list below says why.")
	}
	if math.IsNaN(p.Agreement) || p.Agreement >= 99 || p.SQNR > 30 {
		all = append(all, "Measure on data that was not calibrated on: narrow eval "+p.Output+" --data TEST --labels LABELS --against "+p.Model)
	} else {
		all = append(all, "Find the layer that costs most: narrow compare "+p.Model+" "+p.Output+" --data TEST")
	}
	return all
}

// bestVariant returns the variant that is better than what was written by more
// than measuring on a few inputs can tell apart, or nil.
func bestVariant(p Page) *Variant {
	const clearly = 0.5 // dB
	var best *Variant
	for i, v := range p.Variants {
		if v.SQNR > p.SQNR+clearly && (best == nil || v.SQNR > best.SQNR) {
			best = &p.Variants[i]
		}
	}
	return best
}
