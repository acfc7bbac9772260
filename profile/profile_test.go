package profile

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph/op"
)

// TestTable: rows are whole, their operators are in the operator table, and the page about targets names them.
func TestTable(t *testing.T) {
	page, err := os.ReadFile("../docs/targets.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, name := range Names() {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if seen[name] || p.About == "" || len(p.Weights) == 0 {
			t.Errorf("%s: twice, or without a description or weights", name)
		}
		seen[name] = true
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/targets.md does not name %s", name)
		}
		for operator, wants := range p.Units {
			o, err := op.Lookup("", operator)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if wants&Static != 0 && o.Traits.Products == nil {
				t.Errorf("%s: %s has no weights that could be constant", name, operator)
			}
		}
		for _, operator := range p.PerChannel {
			if o, err := op.Lookup("", operator); err != nil || o.Traits.Products == nil {
				t.Errorf("%s: %s has no weights with channels", name, operator)
			}
		}
	}
}

// TestFind: who misspells a target is told what it is called.
func TestFind(t *testing.T) {
	_, err := Find("tensort")
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "tensorrt") {
		t.Errorf("Find: %v", err)
	}
}
