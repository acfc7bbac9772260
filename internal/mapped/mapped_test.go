package mapped

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRelease: what is given back reads as before, and memory that is no file's is left alone.
func TestRelease(t *testing.T) {
	want := make([]byte, 3*least+123)
	for i := range want {
		want[i] = byte(i * 7)
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := File(f, len(want))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("files cannot be mapped here")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][2]int{{0, len(b)}, {17, 17 + 2*least}, {5, 6}, {len(b), len(b)}} {
		if !bytes.Equal(b, want) {
			t.Fatal("the file reads otherwise")
		}
		Release(b[part[0]:part[1]])
		if !bytes.Equal(b, want) {
			t.Fatalf("bytes %v given back read otherwise", part)
		}
	}
	own := bytes.Clone(want)
	Release(own)
	if !bytes.Equal(own, want) {
		t.Error("memory of no file was taken away")
	}
}
