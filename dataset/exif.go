package dataset

import (
	"bytes"
	"encoding/binary"
	"io"
)

// orientation is the way up of a picture, numbered as in EXIF's tag 0x0112: which edges of the scene its first row
// and first column are.
type orientation uint16

const upright orientation = 1

// maxHeader is how far into a JPEG file the EXIF record is looked for.
const maxHeader = 1 << 20

// orientationOf finds the way up in the EXIF record of a JPEG file, upright if it has none that can be read.
func orientationOf(f io.ReadSeeker) orientation {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return upright
	}
	head, err := io.ReadAll(io.LimitReader(f, maxHeader))
	if err != nil {
		return upright
	}
	const app1, startOfScan = 0xE1, 0xDA
	for at := 2; at+4 <= len(head) && head[at] == 0xFF && head[at+1] != startOfScan; {
		size := int(binary.BigEndian.Uint16(head[at+2:]))
		end := at + 2 + size
		if size < 2 || end > len(head) {
			return upright
		}
		if record, ok := bytes.CutPrefix(head[at+4:end], []byte("Exif\x00\x00")); ok && head[at+1] == app1 {
			return exifOrientation(record)
		}
		at = end
	}
	return upright
}

// exifOrientation reads tag 0x0112 from the first directory of a TIFF header.
func exifOrientation(tiff []byte) orientation {
	if len(tiff) < 8 {
		return upright
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	dir := int64(order.Uint32(tiff[4:]))
	if dir+2 > int64(len(tiff)) {
		return upright
	}
	entries := tiff[dir+2:]
	for range order.Uint16(tiff[dir:]) {
		if len(entries) < 12 {
			break
		}
		if tag, value := order.Uint16(entries), order.Uint16(entries[8:]); tag == 0x0112 && value >= 1 && value <= 8 {
			return orientation(value)
		}
		entries = entries[12:]
	}
	return upright
}

// turned returns the picture the right way up.
func (p *pixels) turned(way orientation) *pixels {
	if way == upright {
		return p
	}
	h, w := p.h, p.w
	if way >= 5 {
		h, w = w, h
	}
	out := newPixels(p.c, h, w)
	for y := range h {
		for x := range w {
			sx, sy := way.source(x, y, w, h)
			copy(out.at(x, y), p.at(sx, sy))
		}
	}
	return out
}

// source returns where in the file's picture pixel (x, y) of the upright one, w x h, is.
func (o orientation) source(x, y, w, h int) (sx, sy int) {
	switch o {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6: // the file's first row is the scene's right edge
		return y, w - 1 - x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return h - 1 - y, x
	}
	return x, y
}
