package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/narrow-ml/narrow/internal/mapped"
	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
)

// mapThreshold is the size from which a file is mapped into memory instead of
// read: the mapping stays for the life of the process, because nothing tells
// when the last tensor over it is gone.
const mapThreshold = 16 << 20

// contents returns the bytes of a file, read or mapped (see [mapped.File]).
func contents(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := info.Size(); size >= mapThreshold && size == int64(int(size)) {
		if b, err := mapped.File(f, int(size)); err == nil {
			return b, nil
		}
	}
	return io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
}

// external returns the size bytes of a tensor that are in a file of their own,
// which must lie in the folder of the model or below.
func (r *reader) external(p *onnxpb.Tensor, size int) ([]byte, error) {
	var location string
	offset, length := int64(0), int64(-1)
	for _, e := range p.ExternalData {
		var err error
		switch e.Key {
		case "location":
			location = e.Value
		case "offset":
			offset, err = strconv.ParseInt(e.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.Value, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: external data: %s %q", ErrFormat, e.Key, e.Value)
		}
	}
	data, err := r.externalFile(location)
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if length < 0 {
		length = int64(size)
	}
	if offset < 0 || offset > int64(len(data)) || length > int64(len(data))-offset {
		return nil, fmt.Errorf("%w: external data: %d bytes from %d on of %q, which has %d", ErrFormat, length, offset, location, len(data))
	}
	return data[offset : offset+length], nil
}

// externalFile returns the bytes of a data file, opened once for all tensors.
func (r *reader) externalFile(location string) ([]byte, error) {
	if data, ok := r.files[location]; ok {
		return data, nil
	}
	if r.dir == "" {
		return nil, errors.New("the model was not read from a file, so its data files cannot be found")
	}
	name := filepath.FromSlash(location)
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("%w: %q leaves the folder of the model", ErrFormat, location)
	}
	root, err := os.OpenRoot(r.dir) // follows no link out of the folder
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name) // before it is opened: that may wait
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", location, regular.ErrNot)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := contents(f)
	if err != nil {
		return nil, err
	}
	r.files[location] = data
	return data, nil
}
