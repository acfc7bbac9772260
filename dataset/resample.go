package dataset

import "math"

// pixels is a picture of bytes, its channels side by side: [h][w][c].
type pixels struct {
	c, h, w int
	pix     []byte
}

func newPixels(c, h, w int) *pixels { return &pixels{c, h, w, make([]byte, c*h*w)} }

// at returns the channels of a pixel.
func (p *pixels) at(x, y int) []byte {
	i := (y*p.w + x) * p.c
	return p.pix[i : i+p.c]
}

// weightBits is the precision of a tap's weight.
const weightBits = 22

// tap is how one line of the result is made: of lines first, first+1, ... with these weights.
type tap struct {
	first   int
	weights []int32
}

// taps returns how n lines are made of size lines: each is the mean of the lines around
// its place, weighted by a triangle that is as wide as a line of the result, but no narrower than one of the source (Pillow's
// BILINEAR, also that of torchvision's Resize on pictures).
func taps(size, n int) []tap {
	scale := float64(size) / float64(n)
	width := max(scale, 1)
	all := make([]tap, n)
	for i := range all {
		middle := (float64(i) + 0.5) * scale
		first := max(int(middle-width+0.5), 0)
		last := min(int(middle+width+0.5), size)
		w := make([]float64, max(last-first, 0))
		sum := 0.0
		for k := range w {
			w[k] = max(0, 1-math.Abs((float64(first+k)-middle+0.5)/width))
			sum += w[k]
		}
		all[i] = tap{first, make([]int32, len(w))}
		for k, v := range w {
			if sum != 0 {
				v /= sum
			}
			all[i].weights[k] = int32(math.Round(v * (1 << weightBits)))
		}
	}
	return all
}

// mix returns the mean of a tap's lines, one element stride apart, rounded to nearest.
func (t tap) mix(line []byte, stride int) byte {
	sum := int64(1) << (weightBits - 1)
	for k, w := range t.weights {
		sum += int64(w) * int64(line[(t.first+k)*stride])
	}
	return byte(min(max(sum>>weightBits, 0), 255))
}

// scaled returns the picture at another size: first each row, then each column, rounded to bytes between.
func (p *pixels) scaled(h, w int) *pixels {
	if h == p.h && w == p.w {
		return p
	}
	across := newPixels(p.c, p.h, w)
	columns := taps(p.w, w)
	for y := range p.h {
		row := p.pix[y*p.w*p.c : (y+1)*p.w*p.c]
		for x, t := range columns {
			for c := range p.c {
				across.at(x, y)[c] = t.mix(row[c:], p.c)
			}
		}
	}
	out := newPixels(p.c, h, w)
	for y, t := range taps(p.h, h) {
		for i := range w * p.c {
			out.pix[y*w*p.c+i] = t.mix(across.pix[i:], w*p.c)
		}
	}
	return out
}

// paste copies q into p with its corner at (x, y); what lies outside is left away.
func (p *pixels) paste(q *pixels, x, y int) {
	for row := max(0, -y); row < min(q.h, p.h-y); row++ {
		from, to := max(0, -x), min(q.w, p.w-x)
		if from < to {
			copy(p.pix[((y+row)*p.w+x+from)*p.c:], q.pix[(row*q.w+from)*q.c:(row*q.w+to)*q.c])
		}
	}
}

// fill makes all of the picture one grey.
func (p *pixels) fill(grey byte) *pixels {
	for i := range p.pix {
		p.pix[i] = grey
	}
	return p
}

// Greys that pictures are padded with.
const (
	letterboxGrey = 114
	lineGrey      = 127
)

// fitted brings a picture to h x w as the preparation says.
func (p *pixels) fitted(prep Preparation, h, w int) *pixels {
	switch prep.Fit {
	case FitCrop:
		return p.cropped(prep.Resize, h, w)
	case FitLetterbox:
		ratio := min(float64(h)/float64(p.h), float64(w)/float64(p.w))
		sh, sw := max(1, int(math.Round(float64(p.h)*ratio))), max(1, int(math.Round(float64(p.w)*ratio)))
		out := newPixels(p.c, h, w).fill(letterboxGrey)
		out.paste(p.scaled(sh, sw), (w-sw)/2, (h-sh)/2)
		return out
	case FitLine:
		sw := min(w, max(1, int(math.Ceil(float64(h)*float64(p.w)/float64(p.h)))))
		out := newPixels(p.c, h, w).fill(lineGrey)
		out.paste(p.scaled(h, sw), 0, 0)
		return out
	}
	return p.middle(h, w).scaled(h, w)
}

// cropped scales the shorter side to size and cuts the middle h x w out, with black around what is too small.
func (p *pixels) cropped(size, h, w int) *pixels {
	sh, sw := size, size
	if p.h < p.w {
		sw = size * p.w / p.h
	} else {
		sh = size * p.h / p.w
	}
	out := newPixels(p.c, h, w)
	out.paste(p.scaled(sh, sw), -offset(sw, w), -offset(sh, h))
	return out
}

// offset returns where the middle part of so many pixels begins: half to even, as torchvision's CenterCrop has it; below 0
// it is how much must be padded.
func offset(size, part int) int {
	if size < part {
		return -((part - size) / 2)
	}
	return int(math.RoundToEven(float64(size-part) / 2))
}

// middle returns the largest middle part with the aspect ratio of h x w, in whole pixels.
func (p *pixels) middle(h, w int) *pixels {
	ph, pw := p.h, p.w
	if pw*h > ph*w {
		pw = max(1, ph*w/h)
	} else {
		ph = max(1, pw*h/w)
	}
	out := newPixels(p.c, ph, pw)
	out.paste(p, -((p.w - pw) / 2), -((p.h - ph) / 2))
	return out
}
