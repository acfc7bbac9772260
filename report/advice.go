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

// Advice is something to try, with the command that does it if there is one.
type Advice struct{ Text, Command string }

// advice says what to try next, by what the report shows.
func advice(p content) []Advice {
	var all []Advice
	add := func(text, command string) { all = append(all, Advice{text, command}) }
	if best := bestVariant(p.Page); best != nil {
		add(fmt.Sprintf("Quantize again with %s: %s instead of %s.", best.Name, decibelText(best.SQNR), decibelText(p.SQNR)), p.again(best.Name))
	}
	for _, m := range p.Result.Mends {
		add(fmt.Sprintf("Leave %q in float: %+.1f dB.", m.Node, m.Gain), p.again("--exclude="+Quote(m.Node)))
	}
	if len(p.WorstFirst) > 0 && p.WorstFirst[0].SQNR < weakTensor {
		t := p.WorstFirst[0]
		add(fmt.Sprintf("%q is represented worst (%s): leave the node that makes it in float by --exclude, or give it 16 bits by --bits NODE=8/16.", t.Name, decibelText(t.SQNR)), "")
	}
	if !math.IsNaN(p.SQNR) && p.SQNR < goodOutputs && len(p.Result.Mends) == 0 && p.Result.Search == nil {
		add("Have the choices made for a target.", p.again("--target 30dB"))
	}
	if p.Inputs < 100 {
		add(fmt.Sprintf("Calibrate on more than %d inputs: a few hundred show the ranges better.", p.Inputs), "")
	}
	if len(p.Result.Float) > 0 && p.IntegerMACs < 90 {
		add("Much is still computed in float: the list below says why.", "")
	}
	labels := ""
	if p.Classifier {
		labels = "--labels LABELS "
	}
	switch {
	case p.Classifier && p.Agreement < 99 && p.SQNR <= goodOutputs:
		add("Find the layer that costs most.", "narrow compare "+Quote(p.Model)+" "+Quote(p.Output)+" --data TEST")
	case p.Check == nil || !p.Check.Unseen:
		add("Measure on data that was not calibrated on (or add --test here).", "narrow eval "+Quote(p.Output)+" --data TEST "+labels+"--against "+Quote(p.Model))
	}
	return all
}

// again returns the command that quantizes once more with more flags, "" if it is not known how this was done.
func (p *Page) again(flags string) string {
	if p.Rerun == "" {
		return ""
	}
	return p.Rerun + " " + flags
}

// Quote returns a word as a shell takes it.
func Quote(word string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=,:+@%^", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !safe(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
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
