package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	put := func(text string, failure error) error {
		return Write(path, func(w io.Writer) error {
			io.WriteString(w, text)
			return failure
		})
	}
	if err := put("one", nil); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("failure")
	if err := put("two", failure); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "one" {
		t.Errorf("after a failure the file holds %q, error %v", b, err)
	}
	if err := put("three", nil); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "three" {
		t.Errorf("the file holds %q", b)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, error %v", entries, err)
	}
	if err := Write(filepath.Join(dir, "none", "out"), func(io.Writer) error { return nil }); !os.IsNotExist(err) {
		t.Errorf("missing folder: error %v", err)
	}
}
