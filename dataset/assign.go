package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// isArchive reports whether a file holds arrays by name.
func isArchive(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".npz" || ext == ".safetensors"
}

func openArchive(path string) ([]namedColumn, error) {
	if strings.EqualFold(filepath.Ext(path), ".npz") {
		return openNPZ(path)
	}
	return openSafetensors(path)
}

// expanded returns the paths that patterns stand for, in the order of their names: NAME=a*.npy is NAME=a1.npy and so on.
// What is no pattern, or the name of a file, stays as it is.
func expanded(inputs []Input, paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		_, pattern := inputNamed(inputs, path)
		_, err := os.Stat(pattern)
		if err == nil || !strings.ContainsAny(pattern, "*?[") {
			all = append(all, path)
			continue
		}
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%s: %w: no file is named like that", path, ErrEmpty)
		}
		for _, f := range found {
			all = append(all, strings.TrimSuffix(path, pattern)+f)
		}
	}
	return all, nil
}

// assign gives each path's columns to the input they are for.
func assign(inputs []Input, paths []string, c *config) ([][]*column, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("dataset: %w: no file given", ErrEmpty)
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%s: %w: the network takes no inputs", paths[0], ErrShape)
	}
	paths, err := expanded(inputs, paths)
	if err != nil {
		return nil, err
	}
	parts := make([][]*column, len(inputs))
	for k, path := range paths {
		i, rest := inputNamed(inputs, path)
		c.paths = append(c.paths, rest)
		if i < 0 && isLines(path) {
			if err := assignLines(inputs, parts, path); err != nil {
				return nil, err
			}
			continue
		}
		if i < 0 && isArchive(path) {
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
		if isLines(rest) {
			if err := assignLines(inputs[i:i+1], parts[i:i+1], rest); err != nil {
				return nil, err
			}
			continue
		}
		col, err := openOne(rest, inputs[i], c)
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
func openOne(path string, in Input, c *config) (*column, error) {
	if !isArchive(path) {
		return openPlain(path, c.formFor(in))
	}
	arrays, err := openArchive(path)
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
	arrays, err := openArchive(path)
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

// formFor returns what pictures must be brought to for an input; what is not known is 0.
func (c *config) formFor(in Input) pictureForm {
	form := pictureForm{prep: c.prep, skipCorrupt: c.skipCorrupt, skipped: &c.skipped}
	form.last = in.channelsLast(c.prep.Layout)
	form.c, form.h, form.w = in.Picture(c.prep.Layout)
	if form.c < 0 {
		form.c = 3
	}
	if form.h < 0 {
		form.h = c.size[0]
	}
	if form.w < 0 {
		form.w = c.size[1]
	}
	return form
}

// channelsLast reports whether a picture's channels are on the last axis.
func (in Input) channelsLast(layout Layout) bool {
	if layout != "" || len(in.Shape) != 4 {
		return layout == NHWC
	}
	isChannels := func(d int) bool { return d == 1 || d == 3 }
	return isChannels(in.Shape[3]) && !isChannels(in.Shape[1])
}

// Picture returns the channels, height and width of an input that takes pictures, negative where they are free, zeros if it
// takes none. The layout is what its shape shows unless one is given.
func (in Input) Picture(layout Layout) (c, h, w int) {
	switch {
	case in.Shape == nil:
		return -1, -1, -1
	case len(in.Shape) != 4:
		return 0, 0, 0
	case in.channelsLast(layout):
		return in.Shape[3], in.Shape[1], in.Shape[2]
	}
	return in.Shape[1], in.Shape[2], in.Shape[3]
}
