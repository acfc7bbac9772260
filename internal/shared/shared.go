// Package shared finds the shared test data, for tests: models, inputs and cases that are not in the repository.
package shared

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of a file or folder of the data, which is in the folder NARROW_SHARED, from the project's root, or
// else ../shared. Where it is not there the test is skipped or, if NARROW_REQUIRE_SHARED is set as in CI, fails.
func Path(t testing.TB, elements ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{folder(t)}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		missing(t, err)
	}
	return path
}

// Glob returns the files of the data that match a pattern, at least one.
func Glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder(t), pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		missing(t, os.ErrNotExist)
	}
	return files
}

func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("NARROW_REQUIRE_SHARED") != "" {
		t.Fatalf("NARROW_REQUIRE_SHARED is set, and there is no shared test data: %v", err)
	}
	t.Skipf("no shared test data (NARROW_SHARED names its folder): %v", err)
}

// folder returns the data's folder. Tests run in the folder of their package, which is somewhere below the root.
func folder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("NARROW_SHARED")
	if filepath.IsAbs(dir) {
		return dir
	}
	if dir == "" {
		dir = filepath.Join("..", "shared")
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return filepath.Join(root, dir)
		}
		if root == filepath.Dir(root) {
			t.Fatal("there is no go.mod above the test's folder")
		}
	}
}
