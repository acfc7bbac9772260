package op

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update", false, "write docs/operators.md anew")

const (
	docsPath  = "../../docs/operators.md"
	suiteList = "../../engine/testdata/nodesuite.txt" // which cases of the node suite do not pass, and why
)

// TestOperatorDocs compares docs/operators.md with what the table says; -update writes it.
func TestOperatorDocs(t *testing.T) {
	want := operatorDocs(t)
	if *updateDocs {
		if err := os.WriteFile(docsPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/operators.md is not what the table says: make operators writes it anew")
	}
}

func operatorDocs(t *testing.T) string {
	var b strings.Builder
	all, latest := schemas()
	fmt.Fprintf(&b, `# Operators

What narrow reads, runs and quantizes, generated from the operator table in graph/op by %[1]smake operators%[1]s. Everything runs in float on any shape that the
ONNX standard allows; attributes, types and operators that the operator set of a file does not have are refused by name, and so are operator sets after %[2]d.

- *sets*: the operator sets that the operator is known from, to the last that changed it.
- *on integers*: how values go through it when a network is quantized. %[1]sproducts%[1]s with constant weights (%[1]sof two tensors%[1]s without); %[1]sjoins%[1]s tensors, each with its scale;
  tensors %[1]sshare a scale%[1]s; %[1]smoves%[1]s values, which keep theirs; %[1]sone to one%[1]s; %[1]sbounded%[1]s, with a range that is known. Empty: it stays in float.
- *QOperator*: its form with %[1]s--format qoperator%[1]s; without one it stays between DequantizeLinear and QuantizeLinear there.
- *range*: what its results lie in, whatever the data.
- *apart*: whether narrow can prove that the inputs of a batch do not depend on each other; where it cannot, they run one at a time.

| operator | sets | on integers | QOperator | range | apart |
|---|---|---|---|---|---|
`, "`", latest)
	flows := map[Flow]string{Affine: "products", Product: "products of two tensors", Join: "joins", Concat: "share a scale", Moves: "moves", OneToOne: "one to one", Bounded: "bounded"}
	for _, name := range Names() {
		if strings.HasPrefix(name, Narrow+".") {
			continue // these are in no file
		}
		at := strings.LastIndexByte(name, '.') + 1
		o, err := Lookup(strings.TrimSuffix(name[:at], "."), name[at:])
		if err != nil {
			t.Fatal(err)
		}
		r := o.Traits
		integer, q := "", ""
		if r.Integer == OnIntegers {
			integer = flows[r.Flow]
		}
		switch r.Q.Form {
		case NoQForm:
		case QSelf:
			q = "itself"
		default:
			q = r.Q.Name
		}
		list := all[name]
		if len(list) == 0 {
			continue // narrow's own, which no file has
		}
		sets := fmt.Sprint(list[0].since)
		if last := list[len(list)-1].since; last != list[0].since {
			sets += fmt.Sprintf(" to %d", last)
		}
		apart := ""
		if !keepsApart(o) {
			apart = "no"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", name, sets, integer, q, rangeText(r.Range), apart)
	}
	refusals(t, &b)
	return b.String()
}

// keepsApart reports whether the rule of a row is any but [never].
func keepsApart(o *Op) bool {
	return fmt.Sprintf("%p", o.Traits.Batch) != fmt.Sprintf("%p", BatchRule(never))
}

func rangeText(r Interval) string {
	end := func(v float64) string {
		switch v {
		case math.Pi:
			return "π"
		case math.Pi / 2:
			return "π/2"
		case -math.Pi / 2:
			return "-π/2"
		}
		return fmt.Sprint(v)
	}
	switch lo, hi := math.IsInf(r.Lo, -1), math.IsInf(r.Hi, 1); {
	case lo && hi:
		return ""
	case lo:
		return "up to " + end(r.Hi)
	case hi:
		return "from " + end(r.Lo)
	}
	return end(r.Lo) + " to " + end(r.Hi)
}

// refusals lists the cases of the ONNX project's node suite that do not pass, by reason.
func refusals(t *testing.T, b *strings.Builder) {
	f, err := os.Open(suiteList)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	byReason := make(map[string][]string)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, reason, ok := strings.Cut(lines.Text(), ": "); ok && name[0] != '#' {
			byReason[reason] = append(byReason[reason], strings.TrimPrefix(name, "node/test_"))
		}
	}
	b.WriteString("\n## What is refused\n\nThe cases of the ONNX project's node suite that do not pass (how many do is in bench/results/conformance.md), by their reason:\n")
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(b, "\n- %s: %s\n", reason, strings.Join(byReason[reason], ", "))
	}
}
