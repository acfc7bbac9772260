package asm

import "fmt"

// panelS8 holds the packed weights of neighbouring output channels.
type panelS8 struct {
	first, channels int // output channels
	width           int // channels computed, the rest being padding
	kernel          *tileKernelS8
	kind            int // index into the kernel's widths
	input           int // first input channel
	quads           int // groups of four bytes in a tap
	weights         []int8
	weights16       []int16
	bias            []int32
}

// PackConvS8 packs the weights w, in ONNX's order [m][c/Groups][KH][KW], and the
// bias (m long, or nil) of a convolution of c channels to m. inZero is the zero point
// of the input, with which its padding must be filled. The slices are copied.
func PackConvS8(w []int8, bias []int32, inZero uint8, m, c int, spec ConvSpec) (*ConvS8, error) {
	return packConvS8(widened(w), bias, inZero, m, c, spec, tilesS8, depthwiseS8)
}

// PackConvU8 is [PackConvS8] for unsigned weights with one zero point for each
// output channel. Where a weight less its zero point takes more than a signed byte, the whole
// convolution takes two or three times as long.
func PackConvU8(w []uint8, zero []uint8, bias []int32, inZero uint8, m, c int, spec ConvSpec) (*ConvS8, error) {
	if len(zero) != m || m == 0 || len(w)%m != 0 {
		return nil, fmt.Errorf("asm: convolution to %d channels with %d weights, %d zero points", m, len(w), len(zero))
	}
	wide := widened(w)
	for i := range wide {
		wide[i] -= int16(zero[i/(len(w)/m)])
	}
	return packConvS8(wide, bias, inZero, m, c, spec, tilesS8, depthwiseS8)
}

// PackGemmS8 packs the k by n matrix b for products a*b + bias, where a is a matrix of bytes
// with zero point aZero: run it on images made by [Rows].
func PackGemmS8(b []int8, bias []int32, aZero uint8, k, n int) (*ConvS8, error) {
	if len(b) != k*n {
		return nil, fmt.Errorf("asm: matrix of %d by %d with %d elements", k, n, len(b))
	}
	transposed := make([]int8, len(b))
	for i, v := range b {
		transposed[i%n*k+i/n] = v
	}
	return PackConvS8(transposed, bias, aZero, n, k, ConvSpec{1, 1, 1, 1, 1, 1, 1})
}

func widened[T int8 | uint8](w []T) []int16 {
	out := make([]int16, len(w))
	for i, v := range w {
		out[i] = int16(v)
	}
	return out
}

func packConvS8(w []int16, bias []int32, inZero uint8, m, c int, spec ConvSpec, tiles *tileKernelS8, depthwise *depthwiseKernelS8) (*ConvS8, error) {
	if !spec.valid(m, c) || len(w) != m*c/spec.Groups*spec.KH*spec.KW || bias != nil && len(bias) != m {
		return nil, fmt.Errorf("asm: convolution %+v of %d to %d channels with %d weights, %d biases", spec, c, m, len(w), len(bias))
	}
	if n := len(w) / m; n > MaxSumLength {
		return nil, fmt.Errorf("asm: convolution %+v of %d to %d channels: sums of %d products overflow, the limit is %d", spec, c, m, n, MaxSumLength)
	}
	p := packerS8{w: w, bias: foldZero(w, bias, inZero, m), inner: c / spec.Groups, area: spec.KH * spec.KW, passes: 1}
	for _, v := range w {
		if v == int16(int8(v)) {
			continue // one signed byte
		}
		for partS8(v, p.passes) != 0 {
			p.passes++
		}
	}
	f := &ConvS8{spec: spec, m: m, c: c, passes: p.passes}
	if spec.Groups == c && m == c && c > 1 {
		f.depthwise, f.order = depthwise, spec.tapOrder(p.passes)
		for first := 0; first < m; first += depthwise.width {
			f.panels = append(f.panels, p.depthwise(depthwise, f.order, first, min(depthwise.width, m-first)))
		}
		return f, nil
	}
	if tiles.winograd.fits(w, m, c, spec, p.passes) {
		f.winograd, f.panels = tiles.winograd, p.winograd(tiles.winograd, m)
		return f, nil
	}
	f.panels = p.panels(tiles, m, spec.Groups)
	if c%4 != 0 && spec.Groups == 1 && spec.DilationW == 1 && spec.KW > 1 {
		apart := *f
		p.run = spec.KW
		if rows := p.panels(tiles, m, 1); cost(rows) < cost(f.panels) {
			f.apart, f.rowTaps, f.panels = &apart, true, rows
		}
	}
	return f, nil
}

// foldZero returns bias - inZero * the sum of the channel's weights.
func foldZero(w []int16, bias []int32, inZero uint8, m int) []int32 {
	out := make([]int32, m)
	copy(out, bias)
	for o, n := 0, len(w)/m; o < m; o++ {
		var sum int32
		for _, v := range w[o*n:][:n] {
			sum += int32(v)
		}
		out[o] -= int32(inZero) * sum
	}
	return out
}

// packerS8 lays out the weights w [m][inner][area] of a convolution.
type packerS8 struct {
	w           []int16
	bias        []int32
	inner, area int
	run         int // elements of a kernel row that make one tap; 0 stands for 1
	passes      int
}

// at returns the weight of output channel o, input channel c and kernel element t,
// or the part of it that belongs to the pass: the whole is the sum over the passes.
func (p *packerS8) at(pass, o, c, t int) int16 {
	return partS8(p.w[(o*p.inner+c)*p.area+t], pass)
}

// partS8 returns part number pass of v as a sum of signed bytes.
func partS8(v int16, pass int) int16 {
	for range pass {
		v -= min(max(v, -128), 127)
	}
	return min(max(v, -128), 127)
}

// panels packs dense weights.
func (p *packerS8) panels(k *tileKernelS8, m, groups int) []panelS8 {
	out := p.layOut(k, m, groups)
	for i := range out {
		panel := &out[i]
		if k.safe != nil && !p.saturates(panel) {
			panel.kernel = k.safe
		}
		p.fill(panel)
	}
	return out
}

// layOut cuts the output channels into panels, which do not cross groups.
func (p *packerS8) layOut(k *tileKernelS8, m, groups int) []panelS8 {
	var out []panelS8
	for g := range groups {
		end := (g + 1) * m / groups
		for first := g * m / groups; first < end; {
			kind := len(k.widths) - 1
			for kind > 0 && k.widths[kind] < end-first {
				kind--
			}
			width := k.widths[kind]
			channels := min(width, end-first)
			out = append(out, panelS8{first: first, channels: channels, width: width, kernel: k, kind: kind, input: g * p.inner})
			first += channels
		}
	}
	return out
}

// saturates reports whether two neighbouring products of a panel's weights with bytes can
// leave 16 bits: whether those of one sign add up to more than 128.
func (p *packerS8) saturates(panel *panelS8) bool {
	run := max(1, p.run)
	for o := panel.first; o < panel.first+panel.channels; o++ {
		for t := range p.passes * p.area / run {
			at := func(k int) int16 {
				if k >= p.inner*run {
					return 0
				}
				return p.at(t/(p.area/run), o, k%p.inner, t%(p.area/run)*run+k/p.inner)
			}
			for k := 0; k < p.inner*run; k += 2 {
				v, w := at(k), at(k+1)
				if max(v, 0)+max(w, 0) > 128 || min(v, 0)+min(w, 0) < -128 {
					return true
				}
			}
		}
	}
	return false
}

// cost is what the products of panels take for each tap, the measure being what a kernel for
// weights that do not saturate takes for four bytes.
func cost(panels []panelS8) (sum int) {
	for _, p := range panels {
		sum += len(p.weights) + len(p.weights16)*4/3
	}
	return sum
}

// fill lays out the panel's weights as tileArgsS8 says.
func (p *packerS8) fill(panel *panelS8) {
	kernel, run, group := panel.kernel, max(1, p.run), 4
	if kernel.wide {
		group = 2
	}
	taps := p.area / run
	panel.quads = (p.inner*run + 3) / 4
	packed := aligned[int16](p.passes * taps * panel.quads * 4 * panel.width)
	panel.bias = aligned[int32](panel.width)
	copy(panel.bias, p.bias[panel.first:][:panel.channels])
	tap := make([]int16, panel.quads*4) // of one channel, zeros behind it
	for n := range panel.channels {
		for t := range p.passes * taps {
			sum := p.tap(tap[:p.inner*run], t/taps, panel.first+n, t%taps*run)
			panel.bias[n] += kernel.offset * sum
			at := (t*panel.quads*4/group*panel.width + n) * group
			for k := 0; k < len(tap); k += group {
				copy(packed[at:at+group], tap[k:])
				at += panel.width * group
			}
		}
	}
	panel.setWeights(packed, kernel.wide)
}

// tap sets dst to the weights of an output channel that neighbouring kernel elements from t on have, each
// for all its input channels, and returns their sum.
func (p *packerS8) tap(dst []int16, pass, o, t int) (sum int32) {
	for ; len(dst) > 0; t++ {
		from := p.w[o*p.inner*p.area+t:]
		for c := range dst[:p.inner] {
			v := from[c*p.area]
			if p.passes > 1 {
				v = partS8(v, pass)
			}
			dst[c] = v
			sum += int32(v)
		}
		dst = dst[p.inner:]
	}
	return sum
}

// depthwise packs channels [first, first+channels) of a depthwise convolution as
// depthwiseArgsS8 says.
func (p *packerS8) depthwise(k *depthwiseKernelS8, order []int, first, channels int) panelS8 {
	panel := panelS8{first: first, channels: channels, width: k.width, input: first, bias: aligned[int32](k.width)}
	packed := aligned[int16](len(order) * k.width)
	for c := range channels {
		lane := k.lane(c)
		panel.bias[lane] = p.bias[first+c]
		for i, t := range order {
			if t >= 0 {
				packed[(i/k.group*k.width+lane)*k.group+i%k.group] = p.at(t/p.area, first+c, 0, t%p.area)
			}
		}
	}
	panel.setWeights(packed, k.wide)
	return panel
}

func (p *panelS8) setWeights(packed []int16, wide bool) {
	if wide {
		p.weights16 = packed
		return
	}
	p.weights = aligned[int8](len(packed))
	for i, v := range packed {
		p.weights[i] = int8(v)
	}
}
