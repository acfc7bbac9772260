package c

import (
	"fmt"
	"strings"
)

// CPU is a processor that C is written for.
type CPU struct {
	Name  string
	Flags string // of gcc
	about string

	kernel *kernel // of convolutions and products
}

// kernel is a loop over products, and the order of weights that it wants.
type kernel struct {
	name   string // of the function, and in upper case of its constant
	file   string // under kernels/
	atOnce int    // elements that it takes at once
	partly bool   // whether fewer at the end of a row will do
	pack   func(l *layer) table
	fits   func(l *layer) bool         // whether it computes a layer; nil: each
	other  *kernel                     // that computes those it does not
	start  func(l *layer, o int) int64 // what it wants added to the bias; nil: nothing
}

var (
	portable = &kernel{name: "dot4", file: "dot_portable.c", atOnce: 1, pack: packPortable}
	nibble   = &kernel{name: "dot4_nibble", file: "dot_nibble.c", atOnce: 1, pack: packNibble, fits: fitsNibble}
	dsp      = &kernel{name: "dot4_dsp", file: "dot_dsp.c", atOnce: 4, pack: packDSP, fits: fitsDSP, other: dspWide}
	dspWide  = &kernel{name: "dot4_dsp_wide", file: "dot_dsp_wide.c", atOnce: 4, pack: packDSPWide}
	mve      = &kernel{name: "dot4_mve", file: "dot_mve.c", atOnce: 16, partly: true, pack: packMVE, start: startMVE}
)

// CPUs lists the processors.
var CPUs = []CPU{
	{Name: "generic", about: "any processor with a C99 compiler", kernel: portable},
	{Name: "cortex-m4", Flags: "-mcpu=cortex-m4 -mthumb", about: "with DSP instructions", kernel: dsp},
	{Name: "cortex-m7", Flags: "-mcpu=cortex-m7 -mthumb", about: "with DSP instructions", kernel: dsp},
	{Name: "cortex-m33", Flags: "-mcpu=cortex-m33 -mthumb", about: "with DSP instructions", kernel: dsp},
	{Name: "cortex-m55", Flags: "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard", about: "with Helium vectors", kernel: mve},
	{Name: "rv32imc", Flags: "-march=rv32imc -mabi=ilp32", about: "32-bit RISC-V", kernel: portable},
	{Name: "host", about: "the machine at hand, to try a network on", kernel: portable},
}

// Lookup returns the processor of that name.
func Lookup(name string) (CPU, error) {
	var names []string
	for _, c := range CPUs {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return CPU{}, fmt.Errorf("export: processor %q is not known: use one of %s", name, strings.Join(names, ", "))
}
