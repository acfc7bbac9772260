package dataset

import (
	"fmt"
	"path/filepath"
	"strings"
)

// assign gives each path's columns to the input they are for.
func assign(inputs []Input, paths []string, size [2]int) ([][]*column, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("dataset: %w: no file given", ErrEmpty)
	}
	parts := make([][]*column, len(inputs))
	for k, path := range paths {
		i, rest := inputNamed(inputs, path)
		if i < 0 && strings.EqualFold(filepath.Ext(path), ".npz") {
			if err := assignArchive(inputs, parts, path); err != nil {
				return nil, err
			}
			continue
		}
		if i < 0 {
			if len(inputs) > 1 && len(paths) != len(inputs) {
				return nil, fmt.Errorf("%s: %w: the network has the inputs %s: write NAME=%s, or give one file for each in this order",
					path, ErrShape, names(inputs), path)
			}
			if i = 0; len(inputs) > 1 {
				i = k
			}
		}
		col, err := openOne(rest, inputs[i], size)
		if err != nil {
			return nil, err
		}
		parts[i] = append(parts[i], col)
	}
	for i, p := range parts {
		if len(p) == 0 {
			return nil, fmt.Errorf("dataset: %w for the network's input %q: give it as %s=PATH", ErrEmpty, inputs[i].Name, inputs[i].Name)
		}
	}
	return parts, nil
}

// inputNamed splits NAME=PATH, or returns -1 and all of it.
func inputNamed(inputs []Input, path string) (int, string) {
	for i, in := range inputs {
		if rest, ok := strings.CutPrefix(path, in.Name+"="); ok && in.Name != "" {
			return i, rest
		}
	}
	return -1, path
}

func names(inputs []Input) string {
	all := make([]string, len(inputs))
	for i, in := range inputs {
		all[i] = in.Name
	}
	return strings.Join(all, ", ")
}

// openOne opens a path that belongs to one input.
func openOne(path string, in Input, size [2]int) (*column, error) {
	if !strings.EqualFold(filepath.Ext(path), ".npz") {
		return openPlain(path, sizeFor(in, size))
	}
	arrays, err := openNPZ(path)
	if err != nil {
		return nil, err
	}
	return pick(path, arrays, in)
}

// pick returns the array named as the input, or the only one.
func pick(path string, arrays []namedColumn, in Input) (*column, error) {
	have := make([]string, len(arrays))
	for i, a := range arrays {
		if a.name == in.Name {
			return a.column, nil
		}
		have[i] = a.name
	}
	if len(arrays) == 1 {
		return arrays[0].column, nil
	}
	return nil, fmt.Errorf("%s: %w: none of its arrays (%s) is named as the network's input %q", path, ErrShape, strings.Join(have, ", "), in.Name)
}

// assignArchive takes the arrays of an archive by the inputs' names, or the
// only array for the only input.
func assignArchive(inputs []Input, parts [][]*column, path string) error {
	arrays, err := openNPZ(path)
	if err != nil {
		return err
	}
	if len(inputs) > 1 && len(arrays) == 1 {
		return fmt.Errorf("%s: %w: one array for a network with the inputs %s: save them all under these names, or write NAME=%s",
			path, ErrShape, names(inputs), path)
	}
	for i, in := range inputs {
		col, err := pick(path, arrays, in)
		if err != nil {
			return err
		}
		parts[i] = append(parts[i], col)
	}
	return nil
}

// sizeFor returns what pictures must be brought to for an input; what is not
// known is 0.
func sizeFor(in Input, size [2]int) pictureSize {
	if in.Shape == nil {
		return pictureSize{3, size[0], size[1]}
	}
	if len(in.Shape) != 4 {
		return pictureSize{}
	}
	known := func(d, otherwise int) int {
		if d >= 0 {
			return d
		}
		return otherwise
	}
	return pictureSize{known(in.Shape[1], 3), known(in.Shape[2], size[0]), known(in.Shape[3], size[1])}
}
