package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/report"
)

// addQuality adds how good the network is to what is printed.
func addQuality(t *table, m *ptq.Measured) {
	on := "inputs held back"
	if !m.HeldBack {
		on = "inputs that it was calibrated on"
	}
	t.add("quality", fmt.Sprintf("%s: %s", decibels(m.Least), m.Verdict()))
	t.add("measured", fmt.Sprintf("on %d %s", m.Inputs, on))
	if !math.IsNaN(m.Agreement) {
		t.add("agreement", fmt.Sprintf("%.1f %%", m.Agreement))
	}
	for _, o := range m.Outputs {
		if len(m.Outputs) > 1 {
			t.add("output", fmt.Sprintf("%s: %s", shorten(o.Name, 48), decibels(o.SQNR)))
		}
		for _, p := range o.Parts {
			t.add("part", fmt.Sprintf("%s: %s", report.PartName(shorten(o.Name, 48), p), decibels(p.SQNR)))
		}
	}
}

func decibels(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "identical"
	case math.IsNaN(v):
		return "nothing but zeros"
	}
	return fmt.Sprintf("%.1f dB", v)
}

// warn says on standard error what is wrong with a network that was made.
func warn(cmd *cobra.Command, path string, q *ptq.Result) {
	for _, w := range q.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "narrow: warning: %s: %s\n", path, oneLine(fmt.Errorf("%s", w)))
	}
	m := q.Measured
	if m == nil || m.Least >= ptq.Poor {
		return
	}
	if len(q.Mends) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "narrow: warning: %s: %.1f dB, %s\n", path, m.Least, m.Verdict())
		return
	}
	var costs []string
	line := commandLine(cmd, path)
	for _, mend := range q.Mends {
		costs = append(costs, fmt.Sprintf("%q (%+.1f dB without)", mend.Node, mend.Gain))
		line += fmt.Sprintf(" --exclude=%s", mend.Node)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "narrow: warning: %s: %.1f dB, %s; what costs most, one after the other: %s; to leave it in float: %s\n", path, m.Least, m.Verdict(), strings.Join(costs, ", "), line)
}
