package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/export/c"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/program"
)

type exportCommand struct {
	data    dataFlags
	output  string
	name    string
	cpu     string
	ram     string
	requant string
	vectors int
	asJSON  bool
}

// exportInfo is what `narrow export --json` prints.
type exportInfo struct {
	Flash int      `json:"flash"`     // bytes of constants; the code comes on top
	RAM   int      `json:"ram"`       // bytes of the arena
	Ports int      `json:"ports"`     // bytes of inputs and outputs
	Least int      `json:"least_ram"` // bytes that the steps need in any plan
	MACs  int      `json:"macs"`      // multiply-accumulates for one input
	Files []string `json:"files"`
}

func newExport() *cobra.Command {
	var f exportCommand
	cmd := &cobra.Command{
		Use:   "export INT8.onnx -o DIR",
		Short: "Write a quantized network as C for microcontrollers",
		Long: `Writes a network whose arithmetic is all on integers (quantized by narrow, or as QDQ or QOperator by another tool) as C99 that
needs no library, no allocation and no floating point: the network, its weights, a test of every step, a Makefile and a
README. With --shift networks there is no multiplication between layers either. --calib gives the inputs for the test.

` + dataHelp,
		Example: `  narrow quantize model.onnx --calib x.npy --shift -o shift.onnx
  narrow export shift.onnx --cpu cortex-m4 --ram 64kB --test-vectors 3 --calib x.npy -o board/`,
		Args: exactArgs("INT8.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "output"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "calib", "inputs for the test; may be repeated (`PATH`)") })
	var names []string
	for _, p := range c.CPUs {
		names = append(names, p.Name)
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "", "the folder to write to (`DIR`)")
	flags.StringVar(&f.name, "name", "net", "prefix of files and C names: lower-case letters, digits and _")
	flags.StringVar(&f.cpu, "cpu", "generic", "`CPU` to write loops for: "+strings.Join(names, ", "))
	flags.StringVar(&f.ram, "ram", "", "fail if the arena takes more than `SIZE`: bytes, or kB or MB of 1024 and 1024^2")
	flags.StringVar(&f.requant, "requant", "auto", "how sums are rescaled: auto (shift if all scales allow, else multiplier), multiplier or shift")
	flags.IntVar(&f.vectors, "test-vectors", 0, "write the integers of every step for the first `N` inputs of --calib")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object and nothing else")
	if err := cmd.RegisterFlagCompletionFunc("cpu", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is registered above
	}
	return cmd
}

func (f *exportCommand) execute(cmd *cobra.Command, path string) error {
	mode, ok := map[string]program.Mode{"auto": program.ModeAuto, "multiplier": program.ModeMultiplier, "shift": program.ModeShift}[f.requant]
	cpu, err := c.Lookup(f.cpu)
	limit, errRAM := parseSize(f.ram)
	switch {
	case !ok:
		return usagef("--requant %s: use auto, multiplier or shift", f.requant)
	case err != nil:
		return usagef("--cpu: %w", err)
	case errRAM != nil:
		return errRAM
	case f.output == "":
		return usagef("-o is empty: it is a folder")
	case f.vectors < 0:
		return usagef("--test-vectors %d: it is a number of inputs", f.vectors)
	case f.vectors > 0 && len(f.data.paths) == 0:
		return usagef("--test-vectors needs inputs: --calib X.npy")
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	o := c.Options{Name: f.name, From: filepath.Base(path)}
	p, err := f.project(g, mode, cpu, limit, o, cmd.OutOrStdout())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := f.write(p); err != nil {
		return err
	}
	if f.asJSON {
		info := exportInfo{Flash: p.Flash, RAM: p.Plan.Arena, Ports: p.Ports, Least: p.Plan.Lower, MACs: p.MACs}
		for _, file := range p.Files {
			info.Files = append(info.Files, filepath.Join(f.output, file.Name))
		}
		return printJSON(cmd.OutOrStdout(), info)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote     %s\n", f.output)
	return err
}

// project makes the C, after it has said what memory it takes.
func (f *exportCommand) project(g *graph.Graph, mode program.Mode, cpu c.CPU, limit int, o c.Options, w io.Writer) (*c.Project, error) {
	p, err := c.Lower(g, mode)
	if err != nil {
		return nil, err
	}
	n, err := c.New(p, cpu)
	if err != nil {
		return nil, err
	}
	if f.ram != "" {
		if err := n.Plan.Check(limit); err != nil {
			return nil, err
		}
	}
	if o.Tests, err = f.tests(g, n); err != nil {
		return nil, err
	}
	project, err := n.Export(o)
	if err == nil && !f.asJSON {
		_, err = fmt.Fprintf(w, "RAM       %d bytes (no plan needs less than %d), %d of input and output, and the stack\nflash     %d bytes of constants, and the code\nMACs      %d\n",
			n.Plan.Arena, n.Plan.Lower, project.Ports, project.Flash, project.MACs)
	}
	return project, err
}

// tests computes the integers of the test's inputs.
func (f *exportCommand) tests(g *graph.Graph, n *c.Network) ([]*c.Vector, error) {
	if f.vectors == 0 {
		return nil, nil
	}
	one := g.Clone() // the C takes one input, however many the file's batch has
	for _, v := range one.Inputs {
		if len(v.Type.Shape) > 1 {
			v.Type.Shape = append([]int{op.Unknown}, v.Type.Shape[1:]...)
		}
	}
	source, err := f.data.open(one)
	if err != nil {
		return nil, err
	}
	var list []*c.Vector
	for inputs, err := range source.Batches(1) {
		if err != nil {
			return nil, err
		}
		v, err := n.Vector(inputs)
		if err != nil {
			return nil, err
		}
		if list = append(list, v); len(list) == f.vectors {
			return list, nil
		}
	}
	return nil, fmt.Errorf("--test-vectors %d: there are %d inputs", f.vectors, len(list))
}

// write writes the files, if no file of that name is somebody else's.
func (f *exportCommand) write(p *c.Project) error {
	if err := os.MkdirAll(f.output, 0o777); err != nil {
		return err
	}
	for _, file := range p.Files {
		path := filepath.Join(f.output, file.Name)
		if text, err := os.ReadFile(path); err == nil && !ours(text) {
			return fmt.Errorf("%s is there, and not from narrow export: choose another folder or --name", path)
		}
	}
	for _, file := range p.Files {
		err := atomicfile.Write(filepath.Join(f.output, file.Name), func(w io.Writer) error {
			_, err := w.Write(file.Text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether a file begins as those do that export writes.
func ours(text []byte) bool {
	head := bytes.ToLower(text[:min(len(text), 1000)])
	return bytes.Contains(head, []byte("written by narrow export")) || bytes.Contains(head, []byte("written by `narrow export`"))
}

// parseSize reads a number of bytes: 65536, 64kB or 1MB.
func parseSize(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	number, unit := text, 1
	for suffix, size := range map[string]int{"kB": 1 << 10, "KB": 1 << 10, "k": 1 << 10, "MB": 1 << 20, "M": 1 << 20} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, size
		}
	}
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || n <= 0 || n > math.MaxInt/unit {
		return 0, usagef("--ram %q: it is a size, as in 65536 or 64kB", text)
	}
	return n * unit, nil
}
