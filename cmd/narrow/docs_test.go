package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs runs every command of the README and of docs/ that starts with
// "narrow" in a block marked sh, in the order of the page.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages, error %v", err)
	}
	for _, page := range append(pages, "../../README.md") {
		t.Run(filepath.Base(page), func(t *testing.T) {
			b, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			for _, args := range docCommands(string(b)) {
				if args[0] == "demo" {
					args = append(args, "--calibration", "40", "--test", "60")
				}
				mustRun(t, args...)
			}
		})
	}
}

// docCommands returns the arguments of the narrow commands in the sh blocks of
// a page.
func docCommands(page string) [][]string {
	var all [][]string
	inBlock := false
	for line := range strings.Lines(strings.ReplaceAll(page, "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inBlock = line == "```sh"
			continue
		}
		if args, ok := strings.CutPrefix(line, "narrow "); ok && inBlock {
			args, _, _ = strings.Cut(args, " #")
			all = append(all, strings.Fields(args))
		}
	}
	return all
}
