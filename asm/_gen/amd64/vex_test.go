package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestVEXDotProduct compares the encoding for all registers with the system's assembler.
func TestVEXDotProduct(t *testing.T) {
	if _, err := exec.LookPath("as"); err != nil || runtime.GOARCH != "amd64" {
		t.Skip("no assembler for amd64 (binutils)")
	}
	var text, want bytes.Buffer
	for sum := range 16 {
		for u := range 16 {
			for s := range 16 {
				word, last := vexDotProduct(sum, u, s)
				binary.Write(&want, binary.LittleEndian, word)
				want.WriteByte(last)
				fmt.Fprintln(&text, vexText(sum, u, s))
			}
		}
	}
	dir := t.TempDir()
	object, raw := filepath.Join(dir, "o"), filepath.Join(dir, "raw")
	as := exec.Command("as", "-o", object)
	as.Stdin = &text
	if out, err := as.CombinedOutput(); err != nil {
		t.Fatalf("as: %v\n%s", err, out)
	}
	if out, err := exec.Command("objcopy", "-O", "binary", "-j", ".text", object, raw).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, out)
	}
	got, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d bytes differ from the assembler's %d", want.Len(), len(got))
	}
}
