package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs runs every command of the README and of docs/ that starts with
// "narrow" in a block marked sh, in the order of the page. The pages share one
// folder and one run of the demo.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages, error %v", err)
	}
	commands := make(map[string][][]string)
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		commands[page] = docCommands(string(b))
	}
	t.Chdir(t.TempDir())
	mustRun(t, "demo", "--calibration", "40", "--test", "60")
	for page, all := range commands {
		t.Run(filepath.Base(page), func(t *testing.T) {
			for _, args := range all {
				if args[0] != "demo" {
					mustRun(t, args...)
				}
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
