package dataset

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // decoders register themselves
	_ "image/png"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/image/draw"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/tensor"
)

// pictureSize is what pictures are brought to: channels (1 is grey, 3 is RGB),
// height, width.
type pictureSize struct{ c, h, w int }

// maxPixels bounds the memory that decoding one picture can take.
const maxPixels = 1 << 27

func isPicture(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png", ".jpg", ".jpeg":
		return true
	}
	return false
}

// openFolder takes every picture below dir, in the order of their names.
func openFolder(dir string, size pictureSize) (*column, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && isPicture(path) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return openPictures(dir, paths, size)
}

// openList takes the pictures that a text file names, one a line, relative to
// the file's folder.
func openList(list string, size pictureSize) (*column, error) {
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
			return nil, fmt.Errorf("%s: line %d: %w: %q is no .png or .jpg", list, n, ErrFormat, path)
		}
		paths = append(paths, path)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w: not a list of pictures, one a line (%v)", list, ErrFormat, err)
	}
	return openPictures(list, paths, size)
}

func openPictures(origin string, paths []string, size pictureSize) (*column, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: %w: no .png or .jpg picture", origin, ErrEmpty)
	}
	if (size.c != 1 && size.c != 3) || size.h <= 0 || size.w <= 0 {
		return nil, fmt.Errorf("%s: %w: pictures need a network input [N,1,H,W] or [N,3,H,W] of known size; give --size HxW if height and width are free", origin, ErrShape)
	}
	return &column{
		dtype: tensor.Uint8,
		rows:  len(paths),
		shape: []int{size.c, size.h, size.w},
		where: func(row int) string { return paths[row] },
		open: func() (io.ReadCloser, error) {
			return io.NopCloser(&pictureReader{paths: paths, size: size}), nil
		},
	}, nil
}

// pictureReader streams pictures as bytes, channel planes one after the other.
type pictureReader struct {
	paths []string // still to be decoded
	size  pictureSize
	row   bytes.Reader
}

func (p *pictureReader) Read(b []byte) (int, error) {
	if p.row.Len() == 0 {
		if len(p.paths) == 0 {
			return 0, io.EOF
		}
		planes, err := readPicture(p.paths[0], p.size)
		if err != nil {
			return 0, wrap(p.paths[0], err)
		}
		p.paths = p.paths[1:]
		p.row.Reset(planes)
	}
	return p.row.Read(b)
}

// readPicture decodes a picture, cuts its middle to the aspect ratio asked
// for, scales that bilinearly (averaging when it shrinks) and returns its
// planes, 0..255.
func readPicture(path string, size pictureSize) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cfg, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PNG or JPEG picture (%v)", ErrFormat, err)
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > maxPixels/cfg.Height {
		return nil, fmt.Errorf("%w: %dx%d pixels is too large", ErrFormat, cfg.Width, cfg.Height)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%w: damaged picture (%v)", ErrFormat, err)
	}
	scaled := image.NewRGBA(image.Rect(0, 0, size.w, size.h))
	draw.BiLinear.Scale(scaled, scaled.Bounds(), img, centre(img.Bounds(), size), draw.Src, nil)
	return planes(scaled, size.c), nil
}

// centre returns the largest middle part of r with the aspect ratio of size.
func centre(r image.Rectangle, size pictureSize) image.Rectangle {
	w, h := r.Dx(), r.Dy()
	if w*size.h > h*size.w {
		w = max(1, h*size.w/size.h)
	} else {
		h = max(1, w*size.h/size.w)
	}
	x, y := r.Min.X+(r.Dx()-w)/2, r.Min.Y+(r.Dy()-h)/2
	return image.Rect(x, y, x+w, y+h)
}

// planes returns red, green and blue, or grey alone, each as h*w bytes.
func planes(img *image.RGBA, channels int) []byte {
	n := img.Rect.Dx() * img.Rect.Dy()
	out := make([]byte, channels*n)
	for i := range n {
		px := img.Pix[4*i : 4*i+4]
		if channels == 1 {
			out[i] = color.GrayModel.Convert(color.RGBA{px[0], px[1], px[2], 255}).(color.Gray).Y
			continue
		}
		out[i], out[n+i], out[2*n+i] = px[0], px[1], px[2]
	}
	return out
}
