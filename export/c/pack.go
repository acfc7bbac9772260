package c

import (
	"fmt"
	"slices"
)

// table is a constant array of a C file.
type table struct {
	name  string
	ctype string
	data  []int64
	hex   bool
	width int // of the rows that the C has; 0: it is one list
}

// inRows makes rows of a long list, filled up with zeros: tools that read C take minutes over a list of 80000.
func (t table) inRows() table {
	const width = 256
	if len(t.data) > 16*width {
		t.width = width
		t.data = append(t.data, make([]int64, roundUp(len(t.data), width)-len(t.data))...)
	}
	return t
}

func (t table) declaration() string {
	if t.width == 0 {
		return fmt.Sprintf("%s %s[%d]", t.ctype, t.name, len(t.data))
	}
	return fmt.Sprintf("%s %s[%d][%d]", t.ctype, t.name, len(t.data)/t.width, t.width)
}

func (t table) bytes() int {
	size := map[string]int{"int8_t": 1, "uint8_t": 1, "int32_t": 4, "uint32_t": 4}[t.ctype]
	return size * len(t.data)
}

// packPortable puts the weights of four filters side by side; filters that fill a group up are zeros.
func packPortable(l *layer) table {
	t := table{ctype: "int8_t"}
	for g := range l.window.Groups {
		for f := 0; f < l.filters; f += 4 {
			for k := range l.length {
				for i := range 4 {
					t.data = append(t.data, int64(l.weight(g, f+i, k)))
				}
			}
		}
	}
	return t
}

// packNibble does the same with two weights to a byte.
func packNibble(l *layer) table {
	t := table{ctype: "int8_t"}
	bytes := packPortable(l).data
	for i := 0; i < len(bytes); i += 2 {
		t.data = append(t.data, int64(int8(bytes[i]&15|bytes[i+1]<<4)))
	}
	return t
}

// fitsNibble reports whether all weights have 4 bits.
func fitsNibble(l *layer) bool {
	return !l.depthwise() && slices.Min(l.weights) >= -8 && slices.Max(l.weights) <= 7
}

// weight returns weight k of filter f of a group; zero where there is none.
func (l *layer) weight(group, f, k int) int {
	if f >= l.filters || k >= l.length {
		return 0
	}
	return l.filter(group*l.filters + f)[k]
}

// packDepthwise puts the weights of all channels side by side, by kernel element.
func packDepthwise(l *layer) table {
	t := table{ctype: "int8_t"}
	for k := range l.length {
		for c := range l.window.Groups {
			t.data = append(t.data, int64(l.filter(c)[k]))
		}
	}
	return t
}

// filled returns the bias of each filter, with zeros for those that fill a group up to a multiple of four.
func (l *layer) filled(bias []int64) []int64 {
	var out []int64
	for g := range l.window.Groups {
		for f := range roundUp(l.filters, 4) {
			b := int64(0)
			if f < l.filters {
				b = bias[g*l.filters+f]
			}
			out = append(out, b)
		}
	}
	return out
}

// runs calls f with the group, the first of four filters, and each run of at most n weights that a
// kernel takes together: row by row where windows are read where they lie, else all that is in a patch.
func (l *layer) runs(n int, f func(group, filter, from, count int)) {
	rows := 1
	if l.direct {
		rows = l.window.Kernel[0]
	}
	length := l.patch / rows
	for g := range l.window.Groups {
		for filter := 0; filter < l.filters; filter += 4 {
			for r := range rows {
				for k := 0; k < length; k += n {
					f(g, filter, r*length+k, min(n, length-k))
				}
			}
		}
	}
}

// packDSP makes words of the weights of two filters and two elements of a window: for every four elements the
// first and third of filters 0 and 1, the second and fourth of them, then those of filters 2 and 3. A halfword is
// the number w1*256 + w0.
func packDSP(l *layer) table {
	return packHalfwords(l, func(w0, w1 int) uint32 { return uint32(uint16(w1*256 + w0)) })
}

// packDSPWide does the same with halfwords of the two weights as bytes.
func packDSPWide(l *layer) table {
	return packHalfwords(l, func(w0, w1 int) uint32 { return uint32(uint8(w0)) | uint32(uint8(w1))<<8 })
}

func packHalfwords(l *layer, half func(w0, w1 int) uint32) table {
	t := table{ctype: "uint32_t", hex: true}
	l.runs(4, func(g, f, k, _ int) {
		for pair := f; pair < f+4; pair += 2 {
			for odd := k; odd < k+2; odd++ {
				t.data = append(t.data, int64(half(l.weight(g, pair, odd), l.weight(g, pair+1, odd))|half(l.weight(g, pair, odd+2), l.weight(g, pair+1, odd+2))<<16))
			}
		}
	})
	return t
}

// fitsDSP reports whether the sums of each second filter fit 24 bits, and two weights a halfword.
func fitsDSP(l *layer) bool {
	for o := range l.bias {
		if o%l.filters%2 == 0 {
			continue
		}
		lo, hi := l.sums(o)
		if add := rounding(l.requant, o); lo+min(add, 0) < -1<<23 || hi+max(add, 0) >= 1<<23 {
			return false
		}
	}
	for o := range l.bias {
		for k, w := range l.filter(o) {
			if o%l.filters%2 == 1 && w == -128 && l.filter(o - 1)[k] < 0 {
				return false
			}
		}
	}
	return true
}

// packMVE puts 16 weights of each of four filters one after the other; the last ones of a row are filled up with zeros.
func packMVE(l *layer) table {
	t := table{ctype: "int8_t"}
	l.runs(16, func(g, f, k, n int) {
		for i := range 4 {
			for j := range 16 {
				w := 0
				if j < n {
					w = l.weight(g, f+i, k+j)
				}
				t.data = append(t.data, int64(w))
			}
		}
	})
	return t
}

// startMVE makes up for the 128 that are taken from bytes without a sign.
func startMVE(l *layer, o int) int64 {
	sum := int64(0)
	if !l.signed {
		for _, w := range l.filter(o) {
			sum += 128 * int64(w)
		}
	}
	return sum
}
