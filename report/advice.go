package report

import (
	"fmt"
	"math"
	"strings"
)

// weakTensor is the SQNR in dB below which a tensor is worth a look: 8 bits
// give 35 to 45 to a tensor without outliers.
const weakTensor = 25

// Bounds of the SQNR of outputs in dB: what is good for 8 bits, and under what it begins to
// show in the accuracy.
const (
	goodOutputs = 30
	badOutputs  = 20
)

// verdict says in a sentence or two how far the outputs are from those of fp32.
func verdict(p Page) string {
	if math.IsInf(p.SQNR, 1) {
		return "The outputs are those of fp32."
	}
	word := "A usual loss for 8 bits."
	switch {
	case math.IsNaN(p.SQNR):
		return "Nothing could be measured."
	case p.SQNR >= goodOutputs:
		word = "Close to fp32."
	case p.SQNR < badOutputs:
		word = "Far from fp32: expect it to show in the accuracy."
	}
	text := fmt.Sprintf("%s The error of the outputs is %.2g %% of their size (root mean square)", word, 100*math.Pow(10, -p.SQNR/20))
	if !math.IsNaN(p.Agreement) {
		text += fmt.Sprintf(", and %s of the inputs get the class that fp32 gives", percentText(p.Agreement))
	}
	return strings.ReplaceAll(text, " %", "\u00a0%") + "." // no line begins with a percent sign
}

// advice says what to try next, by what the report shows.
func advice(p content) []string {
	var all []string
	if best := bestVariant(p.Page); best != nil {
		all = append(all, fmt.Sprintf("Quantize again with %s: %s instead of %s.", best.Name, decibelText(best.SQNR), decibelText(p.SQNR)))
	}
	if len(p.WorstFirst) > 0 && p.WorstFirst[0].SQNR < weakTensor {
		t := p.WorstFirst[0]
		all = append(all, fmt.Sprintf("%q is represented worst (%s): leave the node that makes it in float by --exclude, or give it 16 bits by --bits NODE=8/16.", t.Name, decibelText(t.SQNR)))
	}
	if p.Inputs < 100 {
		all = append(all, fmt.Sprintf("Calibrate on more than %d inputs: a few hundred show the ranges better.", p.Inputs))
	}
	if len(p.Result.Float) > 0 && p.IntegerMACs < 90 {
		all = append(all, "Much is still computed in float: the list below says why.")
	}
	if !p.Classifier || p.Agreement >= 99 || p.SQNR > goodOutputs {
		labels := ""
		if p.Classifier {
			labels = "--labels LABELS "
		}
		all = append(all, "Measure on data that was not calibrated on: narrow eval "+p.Output+" --data TEST "+labels+"--against "+p.Model)
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
