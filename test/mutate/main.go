// Command mutate changes conditions, bounds, signs and constants of the code, one at a time, and runs the tests on each change: one
// that no test sees shows what is not tested.
//
//	go run ./test/mutate [-n 200] [-seed 1] [-o TABLE.md]
//
// The places are drawn from all that the packages have, the same ones for the same seed. A change that does not
// compile is drawn again. Nothing is written to the tree: the compiler is given the changed file as an overlay.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// slow are tests that take long and see little that others do not: only what survives the others meets them.
const slow = "ExtremeShapes|Invariance|Cases|Conformance|Networks|Signs|Shared|Zero|Threshold|SameBytes|Target|Unrounded|Helps|Odd|Restores|AllOptions|Statistics|Lp"

// tested are the packages whose code is changed, with the arguments of the test runs on a change, the cheapest first.
var tested = []struct {
	folder string
	quick  [][]string // for every change
	whole  [][]string // for what survives these
}{
	{"program", [][]string{{"./program"}, {"-skip", slow, "./engine"}}, [][]string{{"./engine"}, {"./ptq"}}},
	{"engine", [][]string{{"-skip", slow, "./engine"}}, [][]string{{"./engine"}, {"./ptq"}}},
	{"ptq", [][]string{{"-skip", slow, "./ptq"}}, [][]string{{"./ptq"}}},
}

// timeout is how long the tests of one change may take: one that makes a loop endless is seen by that.
const timeout = 2 * time.Minute

func main() {
	n := flag.Int("n", 200, "changes to try")
	seed := flag.Uint64("seed", 1, "which places are drawn")
	workers := flag.Int("p", 2, "changes tried at the same time")
	only := flag.String("only", "", "change these alone: packages, or FILE:LINE, with commas between")
	output := flag.String("o", "", "write the table to this file")
	flag.Parse()
	if err := run(*n, *workers, *seed, *only, *output); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(n, workers int, seed uint64, only, output string) error {
	places, err := placesOf(only)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	results := try(places, n, workers)
	retry(results)
	table := report(results, len(places), seed)
	fmt.Print(table)
	if output == "" {
		return nil
	}
	return os.WriteFile(output, []byte(table), 0o644)
}

// placesOf returns all changes that can be made to the packages.
func placesOf(only string) ([]mutation, error) {
	var all []mutation
	for i, t := range tested {
		files, err := filepath.Glob(filepath.Join(t.folder, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			ms, err := mutationsOf(file)
			if err != nil {
				return nil, err
			}
			for _, m := range ms {
				m.quick, m.whole = tested[i].quick, tested[i].whole
				if only == "" || slices.ContainsFunc(strings.Split(only, ","), func(place string) bool {
					return place == t.folder || place == fmt.Sprintf("%s:%d", m.file, m.line)
				}) {
					all = append(all, m)
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no code to change: run it in the root of the project")
	}
	return all, nil
}

type verdict int

const (
	notCompiled verdict = iota
	killed
	survived
)

type result struct {
	mutation
	verdict verdict
}

// try makes changes, in order, until n have compiled.
func try(places []mutation, n, workers int) []result {
	results := make([]*result, len(places))
	var mu sync.Mutex
	var group sync.WaitGroup
	next, compiled := 0, 0
	for range workers {
		group.Go(func() {
			for {
				mu.Lock()
				i := next
				if compiled >= n || i == len(places) {
					mu.Unlock()
					return
				}
				next, compiled = next+1, compiled+1 // taken back below if it does not compile
				mu.Unlock()
				v := places[i].test(places[i].quick)
				mu.Lock()
				results[i] = &result{places[i], v}
				if v == notCompiled {
					compiled--
				}
				fmt.Fprintf(os.Stderr, "%4d %-9s %s\n", compiled, v, places[i])
				mu.Unlock()
			}
		})
	}
	group.Wait()
	var all []result
	for _, r := range results {
		if r != nil && r.verdict != notCompiled {
			all = append(all, *r)
		}
	}
	return all
}

func (v verdict) String() string { return [...]string{"no build", "killed", "SURVIVED"}[v] }

// retry runs all tests on what survived the quick ones.
func retry(results []result) {
	for i, r := range results {
		if r.verdict == survived {
			results[i].verdict = r.test(r.whole)
			fmt.Fprintf(os.Stderr, "all tests: %-9s %s\n", results[i].verdict, r)
		}
	}
}

// test runs tests with the change.
func (m mutation) test(tests [][]string) verdict {
	dir, err := os.MkdirTemp("", "mutate-*")
	if err != nil {
		return notCompiled
	}
	defer os.RemoveAll(dir)
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	absolute, err := filepath.Abs(m.file)
	if err != nil {
		return notCompiled
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {absolute: changed}})
	if err != nil || os.WriteFile(changed, m.apply(), 0o644) != nil || os.WriteFile(overlay, text, 0o644) != nil {
		return notCompiled
	}
	for _, run := range tests {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		args := append([]string{"test", "-overlay", overlay, "-vet=off", "-short", "-failfast", "-count=1", "-timeout", timeout.String()}, run...)
		out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
		cancel()
		if bytes.Contains(out, []byte("[build failed]")) {
			return notCompiled
		}
		if err != nil {
			return killed
		}
	}
	return survived
}

// report writes the table.
func report(results []result, places int, seed uint64) string {
	var b, list strings.Builder
	byFolder := make(map[string][2]int)
	total := [2]int{}
	for _, r := range results {
		c := byFolder[filepath.Dir(r.file)]
		c[1]++
		total[1]++
		if r.verdict == killed {
			c[0]++
			total[0]++
		} else {
			fmt.Fprintf(&list, "| `%s` |\n", r)
		}
		byFolder[filepath.Dir(r.file)] = c
	}
	fmt.Fprintf(&b, "# Changes that tests see\n\n%d of %d possible changes of conditions, bounds, signs and constants, drawn with seed %d (`make mutate`); the tests need no\nshared data.\n\n", len(results), places, seed)
	b.WriteString("| package | seen | tried |\n|---|---|---|\n")
	for _, t := range tested {
		if c, ok := byFolder[t.folder]; ok {
			fmt.Fprintf(&b, "| %s | %d | %d |\n", t.folder, c[0], c[1])
		}
	}
	fmt.Fprintf(&b, "| all | %d (%.0f %%) | %d |\n\n| not seen |\n|---|\n%s", total[0], 100*float64(total[0])/float64(max(total[1], 1)), total[1], list.String())
	return b.String()
}
