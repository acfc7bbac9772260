// Package atomicfile writes files that appear whole or not at all, and leaves
// alone what is no regular file.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Write gives write a temporary file in the folder of path, which becomes path
// when it is complete and on disk: after an error, or when the process is
// killed, what was at path before is still there and, where the system has
// files without names, nothing else. A new file has the mode that the umask
// leaves. One that is replaced keeps its mode and owner, and a symbolic link to
// it stays one. A device, a FIFO or a socket is written to.
func Write(path string, write func(io.Writer) error) error {
	target, info, err := resolve(path)
	switch {
	case err != nil:
		return err
	case info != nil && info.IsDir():
		return &fs.PathError{Op: "write", Path: path, Err: errors.New("it is a folder")}
	case info != nil && !info.Mode().IsRegular():
		return through(path, write)
	}
	return replace(target, info, write)
}

// resolve follows symbolic links to a file, which need not be there: then info is nil.
func resolve(path string) (target string, info fs.FileInfo, err error) {
	if info, err = os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return path, info, nil
	}
	for range 40 { // as many links as Linux follows
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil, nil
		case err != nil || info.Mode()&fs.ModeSymlink == 0:
			return path, info, err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", nil, err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", nil, &fs.PathError{Op: "write", Path: path, Err: errors.New("too many symbolic links")}
}

// through writes to what is there.
func through(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return buffered(f, write)
}

func buffered(w io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 1<<20)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}

// replace makes a new file at path; old describes the one that is there, nil for none.
func replace(path string, old fs.FileInfo, write func(io.Writer) error) (err error) {
	if old != nil { // renaming asks for no right to write to it
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		f.Close()
	}
	t, err := newTemporary(path)
	if err != nil {
		return err
	}
	defer t.remove()
	if err := buffered(t.File, write); err != nil {
		return err
	}
	if old != nil {
		keepOwner(t.File, old)
		if err := t.Chmod(old.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := t.Sync(); err != nil {
		return err
	}
	return t.commit(path)
}

// temporary is a file that is not there yet: without a name where the system
// can, else under one beside what it becomes.
type temporary struct {
	*os.File
	name string // "" if it has none
}

// newTemporary makes a file in the folder of path.
func newTemporary(path string) (*temporary, error) {
	if f := unnamed(filepath.Dir(path)); f != nil {
		return &temporary{File: f}, nil
	}
	for {
		name := beside(path)
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			return &temporary{f, name}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// beside returns a name for a file that path is to be replaced by.
func beside(path string) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%08x", filepath.Base(path), rand.Uint32()))
}

// commit gives the file its name, and closes it.
func (t *temporary) commit(path string) error {
	if t.name == "" {
		err := link(t.File, path)
		if err == nil {
			return t.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		name := beside(path) // only renaming replaces what is there
		if err := link(t.File, name); err != nil {
			return err
		}
		t.name = name
	}
	if err := t.Close(); err != nil {
		return err
	}
	if err := os.Rename(t.name, path); err != nil {
		return err
	}
	t.name = ""
	return nil
}

// remove closes the file and takes it away unless it was committed.
func (t *temporary) remove() {
	t.Close()
	if t.name != "" {
		os.Remove(t.name)
	}
}

// Scratch returns an empty file for what path is made of, in its folder if path
// is a regular file. It goes away with close, or with the process where the system can.
func Scratch(path string) (f *os.File, close func(), err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() || path == "-" || strings.HasPrefix(path, "/dev/") {
		path = filepath.Join(os.TempDir(), "narrow")
	}
	t, err := newTemporary(path)
	if err != nil {
		return nil, nil, err
	}
	if t.name != "" && os.Remove(t.name) == nil {
		t.name = ""
	}
	return t.File, t.remove, nil
}
