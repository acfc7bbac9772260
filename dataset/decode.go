package dataset

import (
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // decoders register themselves
	_ "image/jpeg"
	_ "image/png"
	"io"
	"path/filepath"
	"slices"
	"strings"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"github.com/narrow-ml/narrow/internal/regular"
)

// maxPixels bounds the memory that decoding one picture can take.
const maxPixels = 1 << 27

// pictureEndings are the names' endings of the pictures that are read.
var pictureEndings = []string{".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

func isPicture(path string) bool {
	return slices.Contains(pictureEndings, strings.ToLower(filepath.Ext(path)))
}

// decodePicture reads a picture file (of a GIF the first frame), turned the right way up, as RGB or as grey.
// What is transparent shows its colour.
func decodePicture(path string, channels int, ignoreEXIF bool) (*pixels, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cfg, format, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%w: not a picture of a kind that is read: %s (%v)", ErrFormat, strings.Join(pictureEndings, " "), err)
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > maxPixels/cfg.Height {
		return nil, fmt.Errorf("%w: %dx%d pixels is too large", ErrFormat, cfg.Width, cfg.Height)
	}
	way := upright
	if format == "jpeg" && !ignoreEXIF {
		way = orientationOf(f)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%w: damaged picture (%v)", ErrFormat, err)
	}
	p := rgbOf(img)
	if channels == 1 {
		p = p.grey()
	}
	return p.turned(way), nil
}

// rgbOf returns a decoded picture's bytes.
func rgbOf(img image.Image) *pixels {
	b := img.Bounds()
	p := newPixels(3, b.Dy(), b.Dx())
	if y, ok := img.(*image.YCbCr); ok && b.Min == (image.Point{}) {
		fromYCbCr(p, y)
		return p
	}
	for y := range p.h {
		for x := range p.w {
			c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			copy(p.at(x, y), []byte{c.R, c.G, c.B})
		}
	}
	return p
}

// fromYCbCr converts as libjpeg does, which most pictures that networks were trained on were read by: chroma that
// was stored at half the size is not repeated but interpolated.
func fromYCbCr(p *pixels, img *image.YCbCr) {
	cw, ch := p.w, p.h
	halfX := img.SubsampleRatio == image.YCbCrSubsampleRatio420 || img.SubsampleRatio == image.YCbCrSubsampleRatio422
	halfY := img.SubsampleRatio == image.YCbCrSubsampleRatio420
	if halfX {
		cw = (p.w + 1) / 2
	}
	if halfY {
		ch = (p.h + 1) / 2
	}
	plain := !halfX && img.SubsampleRatio != image.YCbCrSubsampleRatio444 // 440, 411, 410: rare
	cb, cr := make([]byte, p.w+1), make([]byte, p.w+1)
	for y := range p.h {
		if !plain {
			chromaRow(cb, img.Cb, img.CStride, cw, ch, y, halfX, halfY)
			chromaRow(cr, img.Cr, img.CStride, cw, ch, y, halfX, halfY)
		}
		for x := range p.w {
			if plain {
				i := img.COffset(x, y)
				cb[x], cr[x] = img.Cb[i], img.Cr[i]
			}
			putRGB(p.at(x, y), img.Y[y*img.YStride+x], cb[x], cr[x])
		}
	}
}

// chromaRow makes row y of a chroma plane at full size: every value is three parts of the nearest that was stored
// and one of the next in each direction that was halved.
func chromaRow(dst, plane []byte, stride, w, h, y int, halfX, halfY bool) {
	near, far, one := y, y, 1
	if halfY {
		near = y / 2
		far = min(max(near-1+2*(y%2), 0), h-1)
		one = 4
	}
	sum := func(x int) int { // of the two rows, four times the value
		n := int(plane[near*stride+x])
		if halfY {
			return 3*n + int(plane[far*stride+x])
		}
		return n
	}
	if !halfX {
		for x := range w {
			dst[x] = byte((sum(x) + one/2) / one)
		}
		return
	}
	// Halves are rounded up on one side and down on the other, so that no tint builds up.
	even, odd := 2*one, 2*one-1
	if !halfY {
		even, odd = 1, 2
	}
	for x := range w {
		here, left, right := sum(x), sum(max(x-1, 0)), sum(min(x+1, w-1))
		dst[2*x] = byte((3*here + left + even) / (4 * one))
		if 2*x+1 < len(dst) {
			dst[2*x+1] = byte((3*here + right + odd) / (4 * one))
		}
	}
}

// putRGB converts one pixel (JFIF, ITU-R BT.601), with 16 bits behind the point.
func putRGB(dst []byte, y, cb, cr byte) {
	const half = 1 << 15
	l, b, r := int32(y), int32(cb)-128, int32(cr)-128
	dst[0] = clampByte(l + (91881*r+half)>>16)
	dst[1] = clampByte(l + (-22554*b-46802*r+half)>>16)
	dst[2] = clampByte(l + (116130*b+half)>>16)
}

func clampByte(v int32) byte { return byte(min(max(v, 0), 255)) }

// grey returns the brightness of an RGB picture (ITU-R BT.601).
func (p *pixels) grey() *pixels {
	out := newPixels(1, p.h, p.w)
	for i := range out.pix {
		r, g, b := uint32(p.pix[3*i]), uint32(p.pix[3*i+1]), uint32(p.pix[3*i+2])
		out.pix[i] = byte((19595*r + 38470*g + 7471*b + 1<<15) >> 16)
	}
	return out
}
