package onnx

import (
	"os"
	"path/filepath"
	"testing"
)

// shared returns a path in the folder of shared test data, and skips the test
// if there is none.
func shared(t testing.TB, name string) string {
	dir := os.Getenv("NARROW_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no shared test data: set NARROW_SHARED to its folder")
	}
	return path
}

func glob(t testing.TB, pattern string) []string {
	dir := shared(t, ".")
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	return files
}
