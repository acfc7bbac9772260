package dataset

import (
	"archive/zip"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/tensor"
)

// column is what the files hold for one input of the network: rows of equal
// type and shape that stream, one row after the other, as little-endian bytes.
type column struct {
	dtype  tensor.DType
	rows   int
	shape  []int                         // of one row, without the batch
	scalar bool                          // a single number: one row without a dimension
	where  func(row int) string          // names the file and the place of a row in it
	open   func() (io.ReadCloser, error) // starts at the first row; its errors name the file
	files  []string                      // of pictures, one a row; nil for an array
}

// rowBytes returns the size of a row.
func (c *column) rowBytes() int { return tensor.Volume(c.shape) * c.dtype.Size() }

// newColumn checks an array's header and makes its rows readable. open starts
// at the header.
func newColumn(name string, h npyHeader, open func() (io.ReadCloser, error)) (*column, error) {
	c := &column{dtype: h.dtype, rows: 1, scalar: len(h.shape) == 0, where: func(row int) string { return fmt.Sprintf("%s: input %d", name, row) }}
	if !c.scalar {
		c.rows, c.shape = h.shape[0], h.shape[1:]
	}
	if c.rows == 0 {
		return nil, fmt.Errorf("%s: %w: shape %v", name, ErrEmpty, h.shape)
	}
	c.open = func() (io.ReadCloser, error) {
		r, err := open()
		if err == nil {
			_, err = io.CopyN(io.Discard, r, h.size)
		}
		if err != nil {
			return nil, wrap(name, err)
		}
		return r, nil
	}
	return c, nil
}

// openNPY returns the array of a .npy file.
func openNPY(path string) (*column, error) {
	f, h, err := openNPYHeader(path)
	if err != nil {
		return nil, wrap(path, err)
	}
	f.Close()
	return newColumn(path, h, func() (io.ReadCloser, error) { return regular.Open(path) })
}

// namedColumn is an array of an archive.
type namedColumn struct {
	name string
	*column
}

// openNPZ returns the arrays of a .npz archive in their order.
func openNPZ(path string) ([]namedColumn, error) {
	z, err := openZip(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w: not a .npz archive (%v)", path, ErrFormat, err)
	}
	defer z.Close()
	var all []namedColumn
	for i, f := range z.File {
		name, isArray := strings.CutSuffix(f.Name, ".npy")
		if !isArray {
			continue
		}
		c, err := openNPZEntry(path, name, i, f)
		if err != nil {
			return nil, err
		}
		all = append(all, namedColumn{name, c})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w: no array in it", path, ErrEmpty)
	}
	return all, nil
}

// maxDeflateRatio is how much larger than itself a deflated stream can become.
const maxDeflateRatio = 1032

func openNPZEntry(path, name string, index int, f *zip.File) (*column, error) {
	label := path + ": " + name
	total := f.UncompressedSize64
	if total > math.MaxInt64/2 || total/maxDeflateRatio > f.CompressedSize64 {
		return nil, fmt.Errorf("%s: %w: the archive claims an impossible size of %d bytes", label, ErrFormat, total)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %v", label, ErrFormat, err)
	}
	defer r.Close()
	h, err := readNPYHeader(r, int64(total))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", label, err)
	}
	return newColumn(label, h, func() (io.ReadCloser, error) { return openEntry(path, index) })
}

// archive is a .npz file that is open.
type archive struct {
	*zip.Reader
	file *os.File
}

func (a *archive) Close() error { return a.file.Close() }

func openZip(path string) (*archive, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	return &archive{z, f}, nil
}

// entry closes its archive with itself.
type entry struct {
	io.ReadCloser
	archive *archive
}

func (e entry) Close() error {
	err := e.ReadCloser.Close()
	if err2 := e.archive.Close(); err == nil {
		err = err2
	}
	return err
}

func openEntry(path string, index int) (io.ReadCloser, error) {
	z, err := openZip(path)
	if err != nil {
		return nil, err
	}
	if index >= len(z.File) {
		z.Close()
		return nil, fmt.Errorf("%w: the archive changed while it was read", ErrFormat)
	}
	r, err := z.File[index].Open()
	if err != nil {
		z.Close()
		return nil, err
	}
	return entry{r, z}, nil
}

// openPlain returns the one array or the pictures of a path that is no archive.
func openPlain(path string, form pictureForm) (*column, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case info.IsDir():
		return openFolder(path, form)
	case ext == ".txt":
		return openList(path, form)
	case isPicture(path):
		return openPictures(path, []string{path}, form)
	case ext == ".npy":
		return openNPY(path)
	}
	return nil, fmt.Errorf("%s: %w: it is none of .npy, .npz, .safetensors, .jsonl, a picture (%s), a .txt list of pictures or a folder of them", path, ErrFormat, strings.Join(pictureEndings, " "))
}

// concat returns the rows of all parts, one part after the other.
func concat(parts []*column) (*column, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	all := *parts[0]
	all.rows, all.files = 0, nil
	for _, p := range parts {
		if p.dtype != all.dtype || !slices.Equal(p.shape, all.shape) {
			return nil, fmt.Errorf("%s: %w: %s %v for each input, in %s it is %s %v", p.where(0), ErrShape,
				p.dtype, p.shape, parts[0].where(0), all.dtype, all.shape)
		}
		all.rows += p.rows
		all.files = append(all.files, p.files...)
	}
	if len(all.files) != all.rows {
		all.files = nil
	}
	all.where = func(row int) string {
		i := 0
		for ; row >= parts[i].rows && i < len(parts)-1; i++ {
			row -= parts[i].rows
		}
		return parts[i].where(row)
	}
	all.open = func() (io.ReadCloser, error) { return &chain{parts: parts}, nil }
	return &all, nil
}

// chain reads columns one after the other, each opened when its turn comes.
type chain struct {
	parts   []*column
	current io.ReadCloser
	left    int64 // bytes of current still to be read: a file may go on behind its array
}

func (c *chain) Read(b []byte) (int, error) {
	for c.current == nil || c.left == 0 {
		if err := c.Close(); err != nil {
			return 0, err
		}
		if len(c.parts) == 0 {
			return 0, io.EOF
		}
		r, err := c.parts[0].open()
		if err != nil {
			return 0, err
		}
		c.current, c.left = r, int64(c.parts[0].rows)*int64(c.parts[0].rowBytes())
		c.parts = c.parts[1:]
	}
	n, err := c.current.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	if err == io.EOF && c.left == 0 { // the end of this part only
		err = nil
	}
	return n, err
}

func (c *chain) Close() error {
	if c.current == nil {
		return nil
	}
	err := c.current.Close()
	c.current = nil
	return err
}
