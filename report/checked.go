package report

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/color"
	"image/png"
)

// Check is what a network does on inputs beside its float form. Percentages are 0..100, NaN where there are no classes or labels.
type Check struct {
	Unseen          bool // the inputs were not calibrated on
	Inputs          int
	SQNR, Agreement float64
	Top1Float, Top1 float64
	Changed         []Change // inputs whose class changed, the first ones
	MoreChanged     int
	Classes         []Class // by label, that which loses most first
}

// Change is an input whose class is another one now.
type Change struct {
	Input           int
	Float, Integers int
	Label           int          // -1 if it is not known
	Picture         template.URL // "" if it is no picture
}

// Class is what becomes of the inputs with one label.
type Class struct {
	Label, Inputs int
	Float, Top1   float64 // percent that are right
	Mistaken      string  // what it is most often taken for, and how often
}

// thumbnailSize is the most pixels of a small picture's side.
const thumbnailSize = 72

// Thumbnail returns planes [c,h,w] of one or three channels as a small picture, whatever their scale: the least value is black, the
// greatest white. It returns "" for what is no picture.
func Thumbnail(x []float32, c, h, w int) template.URL {
	if c != 1 && c != 3 || h < 4 || w < 4 || len(x) != c*h*w {
		return ""
	}
	low, high := x[0], x[0]
	for _, v := range x {
		low, high = min(low, v), max(high, v)
	}
	if !(high > low) {
		high = low + 1
	}
	step := max(1, (max(h, w)+thumbnailSize-1)/thumbnailSize)
	img := image.NewRGBA(image.Rect(0, 0, w/step, h/step))
	for py := range h / step {
		for px := range w / step {
			var rgb [3]uint8
			for k := range 3 {
				v := x[min(k, c-1)*h*w+py*step*w+px*step]
				rgb[k] = uint8(255*(v-low)/(high-low) + 0.5)
			}
			img.SetRGBA(px, py, color.RGBA{rgb[0], rgb[1], rgb[2], 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return ""
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()))
}
