package dataset

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/tensor"
)

// pictureForm is what pictures are brought to: channels (1 is grey, 3 is RGB), height, width, and how.
type pictureForm struct {
	c, h, w     int
	last        bool // channels are the last axis
	prep        Preparation
	skipCorrupt bool
	skipped     *[]string // what was left out, and why
}

func (f pictureForm) shape() []int {
	if f.last {
		return []int{f.h, f.w, f.c}
	}
	return []int{f.c, f.h, f.w}
}

// workers is how many pictures are decoded at the same time.
var workers = runtime.GOMAXPROCS(0)

// openFolder takes every picture below dir, in the order of their names.
func openFolder(dir string, form pictureForm) (*column, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case isPicture(path):
			paths = append(paths, path)
		default:
			form.skip(path, "no picture")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return openPictures(dir, paths, form)
}

// openList takes the pictures that a text file names, one a line, relative to
// the file's folder.
func openList(list string, form pictureForm) (*column, error) {
	f, err := regular.Open(list)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var paths []string
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		path := strings.TrimSpace(lines.Text())
		if path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(list), path)
		}
		if !isPicture(path) {
			return nil, fmt.Errorf("%s: line %d: %w: %q is no picture (%s)", list, n, ErrFormat, path, strings.Join(pictureEndings, " "))
		}
		paths = append(paths, path)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w: not a list of pictures, one a line (%v)", list, ErrFormat, err)
	}
	return openPictures(list, paths, form)
}

// skip notes a file that is left out.
func (f pictureForm) skip(path, why string) {
	if f.skipped != nil {
		*f.skipped = append(*f.skipped, path+": "+why)
	}
}

func openPictures(origin string, paths []string, form pictureForm) (*column, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: %w: no picture (%s)", origin, ErrEmpty, strings.Join(pictureEndings, " "))
	}
	if (form.c != 1 && form.c != 3) || form.h <= 0 || form.w <= 0 {
		return nil, fmt.Errorf("%s: %w: pictures need a network input of 1 or 3 channels, [N,C,H,W] or [N,H,W,C], of known size; give --size HxW if height and width are free", origin, ErrShape)
	}
	if form.skipCorrupt {
		if paths = form.readable(paths); len(paths) == 0 {
			return nil, fmt.Errorf("%s: %w: none of its pictures can be read", origin, ErrEmpty)
		}
	}
	return &column{
		dtype: tensor.Uint8,
		rows:  len(paths),
		shape: form.shape(),
		files: paths,
		where: func(row int) string { return paths[row] },
		open: func() (io.ReadCloser, error) {
			return io.NopCloser(&pictureReader{paths: paths, form: form}), nil
		},
	}, nil
}

// readable decodes all pictures once and returns those that can be.
func (f pictureForm) readable(paths []string) []string {
	broken := make([]error, len(paths))
	var work errgroup.Group
	work.SetLimit(workers)
	for i, path := range paths {
		work.Go(func() error {
			_, broken[i] = decodePicture(path, f.c, f.prep.IgnoreEXIF)
			return nil
		})
	}
	work.Wait() // no error is returned
	var good []string
	for i, path := range paths {
		if broken[i] != nil {
			f.skip(path, broken[i].Error())
			continue
		}
		good = append(good, path)
	}
	return good
}

// pictureReader streams pictures as bytes, in the form of the network's input. Those ahead are
// decoded at the same time.
type pictureReader struct {
	paths []string // still to be decoded
	form  pictureForm
	ahead []decoded
	row   bytes.Reader
}

type decoded struct {
	bytes []byte
	err   error
}

func (p *pictureReader) Read(b []byte) (int, error) {
	if p.row.Len() == 0 {
		if len(p.paths) == 0 {
			return 0, io.EOF
		}
		if len(p.ahead) == 0 {
			p.decodeAhead()
		}
		next := p.ahead[0]
		if next.err != nil {
			return 0, wrap(p.paths[0], next.err)
		}
		p.paths, p.ahead = p.paths[1:], p.ahead[1:]
		p.row.Reset(next.bytes)
	}
	return p.row.Read(b)
}

// decodeAhead reads one picture for each worker.
func (p *pictureReader) decodeAhead() {
	p.ahead = make([]decoded, min(workers, len(p.paths)))
	var all sync.WaitGroup
	for i := range p.ahead {
		all.Go(func() { p.ahead[i].bytes, p.ahead[i].err = p.form.read(p.paths[i]) })
	}
	all.Wait()
}

// read returns a picture's bytes, 0..255, in the order of the network's input.
func (f pictureForm) read(path string) ([]byte, error) {
	p, err := decodePicture(path, f.c, f.prep.IgnoreEXIF)
	if err != nil {
		return nil, err
	}
	p = p.fitted(f.prep, f.h, f.w)
	if f.prep.Order == BGR && f.c == 3 {
		for i := 0; i < len(p.pix); i += 3 {
			p.pix[i], p.pix[i+2] = p.pix[i+2], p.pix[i]
		}
	}
	if f.last {
		return p.pix, nil
	}
	return p.planes(), nil
}

// planes returns the bytes channel by channel.
func (p *pixels) planes() []byte {
	n := p.h * p.w
	out := make([]byte, len(p.pix))
	for i, v := range p.pix {
		out[i%p.c*n+i/p.c] = v
	}
	return out
}
