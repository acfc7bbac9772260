package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestNotices holds the list of licences to the modules that are required.
func TestNotices(t *testing.T) {
	required := modulesIn(t, "../../go.mod", `(?m)^\t(\S+) v`)
	listed := modulesIn(t, "../../THIRD_PARTY.md", `(?m)^\| (\S+\.\S+) \|`)
	if !slices.Equal(required, listed) {
		t.Errorf("THIRD_PARTY.md lists %q, go.mod requires %q", listed, required)
	}
}

// modulesIn returns the sorted first groups of what matches in a file.
func modulesIn(t *testing.T, path, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return all
}
