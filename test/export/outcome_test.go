package export

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// outcome is how many inputs of a network were equal, and where.
type outcome struct {
	network    string
	form       form
	steps, run int // steps of the C, and those compared with the engine
	host       int
	boards     []int // in the order of boards
}

const outcomePage = "# What `make test-export` compared\n\n" +
	"`NARROW_EXPORT_FULL=1 NARROW_EXPORT_OUTCOME=$PWD/bench/results/export-test.md make test-export` writes this page: how many inputs " +
	"gave the same integers after every step as narrow has. \"Host\" is gcc, clang and gcc with the address and undefined-behaviour " +
	"sanitizers, each with `-Wall -Wextra -Wpedantic -Wconversion -Werror`; cppcheck reads the C for host, M4 and M55 of each network in the form \"shift\". Boards are qemu's mps2-an385, -an386, -an500, " +
	"-an505, mps3-an547 and virt, compiled with -O2; a number below 20 is what their memory has room for. \"Tensors as run\" are those that have a name, " +
	"compared with what `narrow run --output-name` gives.\n\n"

// record adds a line to the page that NARROW_EXPORT_OUTCOME names, if everything ran and was equal.
func (o *outcome) record(t *testing.T) {
	path := os.Getenv("NARROW_EXPORT_OUTCOME")
	if path == "" || !full || t.Failed() {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), outcomePage) {
		names, rule := "", ""
		for _, b := range boards {
			names, rule = names+" "+b.name+" |", rule+"---|"
		}
		text = []byte(outcomePage + "| network | form | steps | tensors as run | host |" + names + "\n|---|---|---|---|---|" + rule + "\n")
	}
	line := fmt.Sprintf("| %s | %s | %d | %d | %d |", o.network, o.form, o.steps, o.run, o.host)
	for _, n := range o.boards {
		line += fmt.Sprintf(" %d |", n)
	}
	if err := os.WriteFile(path, []byte(string(text)+line+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
}
