package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// ErrSubset reports data of which no part can be written as a file.
var ErrSubset = errors.New("dataset: this data cannot be written in part")

// WriteSubset writes some of the inputs, in the order given, as data that [OpenFor] reads: as they are in the files, before any
// preparation. ext says how: ".npy" for an array, ".npz" for an array for each input, ".txt" for a list of pictures. The inputs
// that are written are held in memory.
func (s *Set) WriteSubset(w io.Writer, ext string, inputs []int) error {
	switch {
	case len(s.parts) > 0:
		return fmt.Errorf("%w: its files hold inputs of several lengths", ErrSubset)
	case slices.ContainsFunc(s.placed, func(p *placed) bool { return p != nil }):
		return fmt.Errorf("%w: the batch of an input is not on its first axis", ErrSubset)
	}
	for _, i := range inputs {
		if i < 0 || i >= s.rows {
			return fmt.Errorf("%w: there is no input %d of %d", ErrSubset, i, s.rows)
		}
	}
	switch {
	case ext == ".txt" && len(s.columns) == 1 && s.columns[0].files != nil:
		return s.columns[0].writeList(w, inputs)
	case ext == ".npy" && len(s.columns) == 1:
		return s.columns[0].writeArray(w, inputs)
	case ext == ".npz":
		z := zip.NewWriter(w)
		for i, c := range s.columns {
			entry, err := z.CreateHeader(&zip.FileHeader{Name: s.inputs[i].Name + ".npy", Method: zip.Store})
			if err != nil {
				return err
			}
			if err := c.writeArray(entry, inputs); err != nil {
				return err
			}
		}
		return z.Close()
	}
	return fmt.Errorf("%w as %q: pictures as .txt, one input of the network as .npy, several as .npz", ErrSubset, ext)
}

// writeList writes the paths of pictures, one a line.
func (c *column) writeList(w io.Writer, rows []int) error {
	for _, row := range rows {
		path, err := filepath.Abs(c.files[row])
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, path); err != nil {
			return err
		}
	}
	return nil
}

// writeArray writes rows as a .npy array.
func (c *column) writeArray(w io.Writer, rows []int) error {
	bytes, err := c.pick(rows)
	if err != nil {
		return err
	}
	if err := WriteNPYHeader(w, c.dtype, slices.Concat([]int{len(rows)}, c.shape)...); err != nil {
		return err
	}
	for _, row := range rows {
		if _, err := w.Write(bytes[row]); err != nil {
			return err
		}
	}
	return nil
}

// pick reads some rows.
func (c *column) pick(rows []int) (map[int][]byte, error) {
	r, err := c.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	bytes := make(map[int][]byte)
	at := 0
	for _, row := range slices.Sorted(slices.Values(rows)) {
		if row < at {
			continue // a second time
		}
		if _, err := io.CopyN(io.Discard, r, int64(row-at)*int64(c.rowBytes())); err != nil {
			return nil, wrap(c.where(at), err)
		}
		bytes[row] = make([]byte, c.rowBytes())
		if _, err := io.ReadFull(r, bytes[row]); err != nil {
			return nil, wrap(c.where(row), err)
		}
		at = row + 1
	}
	return bytes, nil
}
