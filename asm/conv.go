package asm

// ConvSpec describes a 2-D convolution apart from its weights. A 1-D
// convolution has KH, StrideH and DilationH 1.
type ConvSpec struct {
	KH, KW               int // kernel size
	StrideH, StrideW     int // output to input step, at least 1
	DilationH, DilationW int // step between the kernel's elements, at least 1
	Groups               int // at least 1; divides input and output channels
}

// OutSize returns the size of the output for a source of h by w that holds
// its padding already; 0 where the kernel does not fit.
func (s ConvSpec) OutSize(h, w int) (oh, ow int) {
	return outSize(h, s.KH, s.StrideH, s.DilationH), outSize(w, s.KW, s.StrideW, s.DilationW)
}

func outSize(in, kernel, stride, dilation int) int {
	last := in - 1 - (kernel-1)*dilation
	if last < 0 {
		return 0
	}
	return last/stride + 1
}

// covers reports whether a source of h by w is large enough for an output of
// oh by ow.
func (s ConvSpec) covers(h, w, oh, ow int) bool {
	return (oh-1)*s.StrideH+(s.KH-1)*s.DilationH < h && (ow-1)*s.StrideW+(s.KW-1)*s.DilationW < w
}

// valid reports whether the fields make sense for m output and c input channels.
func (s ConvSpec) valid(m, c int) bool {
	return min(s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW, s.Groups, m, c) >= 1 &&
		m%s.Groups == 0 && c%s.Groups == 0
}
