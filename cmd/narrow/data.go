package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
)

// dataFlags say where a network's inputs are and how they are prepared.
type dataFlags struct {
	paths            []string
	scale, mean, std string
	size             string
	limit            int
}

const dataHelp = `Data is one or more of: a .npy array or .npz archive with the batch first (uint8, float32, ...; [N,C,H,W] for
pictures), a picture, a folder of pictures, a .txt list of pictures. A network with several inputs takes
NAME=PATH for each, or an archive with arrays of these names.`

// register adds the flags; the one that takes the paths is called name.
func (d *dataFlags) register(cmd *cobra.Command, name, usage string) {
	f := cmd.Flags()
	f.StringArrayVar(&d.paths, name, nil, usage)
	f.IntVar(&d.limit, "limit", 0, "use the first `N` inputs only")
	f.StringVar(&d.scale, "scale", "1", "inputs become (x*`SCALE` - mean)/std; may be a fraction: 1/255")
	f.StringVar(&d.mean, "mean", "", "mean to subtract: one number, or one for each channel (`a,b,c`)")
	f.StringVar(&d.std, "std", "", "standard deviation to divide by: one number, or one for each channel (`a,b,c`)")
	f.StringVar(&d.size, "size", "", "`HxW` to bring pictures to where the network leaves it free")
}

// options translates the flags.
func (d *dataFlags) options() ([]dataset.Option, error) {
	if d.limit < 0 {
		return nil, usagef("--limit %d: it is a number of inputs", d.limit)
	}
	opts := []dataset.Option{dataset.First(d.limit)}
	scale, err := parseNumbers("scale", d.scale)
	if err != nil {
		return nil, err
	}
	if len(scale) != 1 {
		return nil, usagef("--scale %q: it is one number", d.scale)
	}
	mean, err := parseNumbers("mean", d.mean)
	if err != nil {
		return nil, err
	}
	std, err := parseNumbers("std", d.std)
	if err != nil {
		return nil, err
	}
	if slices.Contains(std, 0) {
		return nil, usagef("--std %q: 0 would make every value infinite", d.std)
	}
	opts = append(opts, dataset.Normalize(scale[0], mean, std))
	if d.size == "" {
		return opts, nil
	}
	h, w, _ := strings.Cut(d.size, "x")
	height, errH := strconv.Atoi(h)
	width, errW := strconv.Atoi(w)
	if errH != nil || errW != nil || height <= 0 || width <= 0 {
		return nil, usagef("--size %q: it is height x width, as in 224x224", d.size)
	}
	return append(opts, dataset.PictureSize(height, width)), nil
}

// files returns the paths of the data, without the names of the inputs they are for.
func (d *dataFlags) files() []string {
	var all []string
	for _, path := range d.paths {
		all = append(all, path)
		if _, rest, named := strings.Cut(path, "="); named {
			all = append(all, rest)
		}
	}
	return all
}

// open opens the data for the inputs of g.
func (d *dataFlags) open(g *graph.Graph) (*dataset.Set, error) {
	opts, err := d.options()
	if err != nil {
		return nil, err
	}
	inputs := make([]dataset.Input, len(g.Inputs))
	for i, v := range g.Inputs {
		inputs[i] = dataset.Input{Name: v.Name, DType: v.Type.DType}
		if v.Type.Known {
			inputs[i].Shape = v.Type.Shape
		}
	}
	return dataset.OpenFor(inputs, d.paths, opts...)
}

// parseNumbers reads numbers and fractions separated by commas.
func parseNumbers(flag, text string) ([]float32, error) {
	if text == "" {
		return nil, nil
	}
	var all []float32
	for field := range strings.SplitSeq(text, ",") {
		over, under, isFraction := strings.Cut(strings.TrimSpace(field), "/")
		v, err := strconv.ParseFloat(over, 64)
		if err == nil && isFraction {
			var d float64
			d, err = strconv.ParseFloat(under, 64)
			v /= d
		}
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, usagef("--%s %q: %q is not a finite number or fraction", flag, text, field)
		}
		all = append(all, float32(v))
	}
	return all, nil
}

// runFlags say how a network is run.
type runFlags struct {
	batch, threads  int
	engine, requant string
}

// register adds the flags of everything that runs a network.
func (r *runFlags) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&r.batch, "batch", 64, "inputs to run at once; no result depends on it")
	cmd.Flags().IntVar(&r.threads, "threads", 0, "goroutines to use, by default one for each processor; no result depends on it")
}

// registerEngine adds the flags that say how a quantized network is computed.
func (r *runFlags) registerEngine(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.engine, "engine", "int8", "how a quantized network is computed: int8, or float for its literal meaning")
	cmd.Flags().StringVar(&r.requant, "requant", "auto", "how integers are rescaled: auto (shift if all scales allow, else float), float, multiplier or shift")
}

// options returns what the flags mean to the engine.
func (r *runFlags) options() ([]engine.Option, error) {
	requant, err := engine.ParseRequant(r.requant)
	if err != nil {
		return nil, usagef("--requant %s: use auto, float, multiplier or shift", r.requant)
	}
	options := []engine.Option{engine.WithThreads(r.threads), engine.WithRequant(requant)}
	switch r.engine {
	case "int8":
	case "float":
		options = append(options, engine.WithFloat())
	default:
		return nil, usagef("--engine %s: use int8 or float", r.engine)
	}
	return options, nil
}

func (r *runFlags) check() error {
	if r.batch <= 0 {
		return usagef("--batch %d: it is a number of inputs", r.batch)
	}
	if r.threads < 0 {
		return usagef("--threads %d: it is a number of goroutines", r.threads)
	}
	return nil
}
