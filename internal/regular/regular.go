// Package regular opens files that have an end and can be read twice.
package regular

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrNot reports a FIFO, a device, a socket or a folder: opening one may wait for ever, and reading one may never end.
var ErrNot = errors.New("it is not a regular file")

// Open opens a regular file.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path) // before it is opened: that may wait
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNot}
	}
	return os.Open(path)
}

// ReadFile returns what is in a regular file.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
