package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/narrow-ml/narrow/internal/regular"
)

// Origin says which inputs some are: what they were read from and what was done to them. It holds no path: the same
// inputs in another place have the same origin.
type Origin struct {
	Files       []File      `json:"files"`
	Preparation Preparation `json:"preparation"`
	First       int         `json:"first,omitempty"` // so many inputs of the files only, 0 for all
	Inputs      int         `json:"inputs"`
}

// Same reports whether two origins are of the same files, prepared and cut in the same way.
func (o Origin) Same(p Origin) bool {
	return slices.Equal(o.Files, p.Files) && o.Preparation.Equal(p.Preparation) && o.First == p.First
}

// File tells a data file, or a folder of pictures, from others.
type File struct {
	Name string `json:"name"` // without its folder
	Size int64  `json:"size"` // in bytes, of all files of a folder
	Hash string `json:"hash"` // SHA-256 of what is in it, shortened; of large files of the beginning and the end
}

// Known is a [Source] that knows its origin.
type Known interface {
	Origin() (Origin, error)
}

// Origin implements [Known]. It reads the files, of those over 64 MB the beginning and the end.
func (s *Set) Origin() (Origin, error) {
	o := Origin{Preparation: s.prep, Inputs: s.rows}
	if s.rows < s.total {
		o.First = s.rows
	}
	for _, path := range s.paths {
		f, err := identify(path)
		if err != nil {
			return o, err
		}
		o.Files = append(o.Files, f)
	}
	return o, nil
}

// hashedWhole is the size up to which all of a file is hashed; of a larger one half of it at either end.
const hashedWhole = 64 << 20

func identify(path string) (File, error) {
	id := File{Name: filepath.Base(path)}
	h := sha256.New()
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name != path {
			inside, err := filepath.Rel(path, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q", filepath.ToSlash(inside))
		}
		size, err := hashFile(h, name)
		id.Size += size
		return err
	})
	id.Hash = hex.EncodeToString(h.Sum(nil)[:12])
	return id, err
}

// hashFile writes what tells a file apart to h, and returns its size.
func hashFile(h io.Writer, path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	f, err := regular.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size := info.Size()
	fmt.Fprintf(h, "%d\n", size)
	parts := []*io.SectionReader{io.NewSectionReader(f, 0, size)}
	if size > hashedWhole {
		parts = []*io.SectionReader{io.NewSectionReader(f, 0, hashedWhole/2), io.NewSectionReader(f, size-hashedWhole/2, hashedWhole/2)}
	}
	for _, p := range parts {
		if _, err := io.Copy(h, p); err != nil {
			return 0, err
		}
	}
	return size, nil
}
