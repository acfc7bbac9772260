package main

import (
	"fmt"
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
	paths []string
	limit int

	preset           string
	scale, mean, std string
	size, crop       string
	resize           int
	letterbox        string
	order, layout    string
	exif             bool
	skipCorrupt      bool
	anyPreparation   bool

	cmd *cobra.Command // that the flags are of
}

const dataHelp = `Data is one or more of: a .npy array, .npz or .safetensors archive with the batch first (uint8, float32, ...; [N,C,H,W] for
pictures), a picture, a folder of pictures, a .txt list of pictures. A network with several inputs takes
NAME=PATH for each, or an archive with arrays of these names.

How inputs are prepared (--preset, --scale, --mean, --std and what is done to pictures) is kept in the network that
narrow writes: later commands do the same when they are told nothing, and refuse to do something else.`

// preparing are the flags that say how inputs are prepared.
var preparing = []string{"preset", "scale", "mean", "std", "resize", "crop", "letterbox", "order", "layout", "exif"}

// register adds the flags; the one that takes the paths is called name.
func (d *dataFlags) register(cmd *cobra.Command, name, usage string) {
	f := cmd.Flags()
	d.cmd = cmd
	f.StringArrayVar(&d.paths, name, nil, usage)
	f.IntVar(&d.limit, "limit", 0, "use the first `N` inputs only")
	f.StringVar(&d.preset, "preset", "", "prepare inputs as for a family of networks: `NAME` is "+strings.Join(dataset.Presets(), ", ")+"; other flags change parts of it")
	f.StringVar(&d.scale, "scale", "1", "inputs become (x*`SCALE` - mean)/std; may be a fraction: 1/255")
	f.StringVar(&d.mean, "mean", "", "mean to subtract: one number, or one for each channel (`a,b,c`)")
	f.StringVar(&d.std, "std", "", "standard deviation to divide by: one number, or one for each channel (`a,b,c`)")
	f.StringVar(&d.size, "size", "", "`HxW` to bring pictures to where the network leaves it free")
	f.IntVar(&d.resize, "resize", 0, "scale pictures until the shorter side has `N` pixels, then cut the middle out")
	f.StringVar(&d.crop, "crop", "", "size of the middle that is cut out, where the network leaves it free: `N` or HxW")
	f.StringVar(&d.letterbox, "letterbox", "", "scale pictures until they fit and pad them with grey: to `N` or HxW where the network leaves it free")
	f.StringVar(&d.order, "order", "rgb", "order of the channels of pictures: `ORDER` is rgb or bgr")
	f.StringVar(&d.layout, "layout", "", "where the channels of the network's input are, if its shape does not show it: `LAYOUT` is nchw or nhwc")
	f.BoolVar(&d.exif, "exif", true, "turn pictures the way up that their EXIF record says")
	f.BoolVar(&d.skipCorrupt, "skip-corrupt", false, "leave out pictures that cannot be read")
	f.BoolVar(&d.anyPreparation, "any-preparation", false, "prepare inputs otherwise than the network was calibrated with")
	for name, values := range map[string][]string{"preset": dataset.Presets(), "order": {"rgb", "bgr"}, "layout": {"nchw", "nhwc"}} {
		if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // the flag is registered above
		}
	}
}

// said reports whether any flag says how inputs are prepared.
func (d *dataFlags) said() bool { return slices.ContainsFunc(preparing, d.cmd.Flags().Changed) }

// preparation returns what the flags say, for inputs so many pixels high, 0 if that is free.
func (d *dataFlags) preparation(height int) (dataset.Preparation, error) {
	p := dataset.Preparation{Scale: 1}
	if d.preset != "" {
		var err error
		if p, err = dataset.Preset(d.preset, height); err != nil {
			return p, usagef("--preset %s: there are %s", d.preset, strings.Join(dataset.Presets(), ", "))
		}
	}
	if err := d.numbers(&p); err != nil {
		return p, err
	}
	switch {
	case d.resize < 0:
		return p, usagef("--resize %d: it is a number of pixels", d.resize)
	case d.resize > 0 && d.letterbox != "":
		return p, usagef("--resize and --letterbox are two ways to bring pictures to the network's size: choose one")
	case d.resize > 0:
		p.Fit, p.Resize = dataset.FitCrop, d.resize
	case d.letterbox != "":
		p.Fit, p.Resize = dataset.FitLetterbox, 0
	}
	if d.cmd.Flags().Changed("order") {
		p.Order = dataset.Order(strings.TrimPrefix(d.order, "rgb"))
	}
	if d.layout != "" {
		p.Layout = dataset.Layout(d.layout)
	}
	if d.cmd.Flags().Changed("exif") {
		p.IgnoreEXIF = !d.exif
	}
	if p.Order != "" && p.Order != dataset.BGR {
		return p, usagef("--order %s: it is rgb or bgr", d.order)
	}
	if p.Layout != "" && p.Layout != dataset.NCHW && p.Layout != dataset.NHWC {
		return p, usagef("--layout %s: it is nchw or nhwc", d.layout)
	}
	return p, nil
}

// numbers sets the scale, mean and standard deviation that the flags give.
func (d *dataFlags) numbers(p *dataset.Preparation) error {
	for _, f := range []struct {
		name, text string
		set        func(v []float32)
	}{
		{"scale", d.scale, func(v []float32) { p.Scale = v[0] }},
		{"mean", d.mean, func(v []float32) { p.Mean = v }},
		{"std", d.std, func(v []float32) { p.Std = v }},
	} {
		if !d.cmd.Flags().Changed(f.name) {
			continue
		}
		v, err := parseNumbers(f.name, f.text)
		if err != nil {
			return err
		}
		if f.name == "scale" && len(v) != 1 {
			return usagef("--scale %q: it is one number", f.text)
		}
		f.set(v)
	}
	if slices.Contains(p.Std, 0) {
		return usagef("--std %q: 0 would make every value infinite", d.std)
	}
	return nil
}

// pictureSize returns what pictures are brought to where the network leaves it free, zeros if the
// flags do not say.
func (d *dataFlags) pictureSize() (height, width int, err error) {
	for _, f := range []struct{ name, text string }{{"size", d.size}, {"crop", d.crop}, {"letterbox", d.letterbox}} {
		if f.text == "" {
			continue
		}
		h, w, two := strings.Cut(f.text, "x")
		if !two && f.name != "size" {
			w = h
		}
		var errH, errW error
		height, errH = strconv.Atoi(h)
		width, errW = strconv.Atoi(w)
		if errH != nil || errW != nil || height <= 0 || width <= 0 {
			return 0, 0, usagef("--%s %q: it is height x width, as in 224x224", f.name, f.text)
		}
	}
	return height, width, nil
}

// preparationKey is where a network's metadata says how its calibration inputs were prepared.
const preparationKey = "narrow.preparation"

// batchAxis returns the axis of the batch of one of g's inputs or outputs: the one with the name that the first free first
// dimension of an input has, else the first.
func batchAxis(g *graph.Graph, v *graph.Value) int {
	if !v.Type.Known {
		return 0
	}
	if len(v.Type.Shape) == 0 {
		return dataset.NoBatch
	}
	if len(v.Dims) > 0 && isLength(v.Dims[0]) && v.Type.Shape[0] < 0 {
		return slices.IndexFunc(v.Dims, isBatch) // NoBatch if it has none
	}
	name := ""
	for _, in := range g.Inputs {
		if len(in.Dims) > 0 && in.Dims[0] != "" && name == "" && !isLength(in.Dims[0]) {
			name = in.Dims[0]
		}
	}
	if v.Type.Shape[0] < 0 || name == "" {
		return 0
	}
	return slices.Index(v.Dims, name) // NoBatch if it has none
}

// isLength and isBatch read the names that exporters give to dimensions.
func isLength(name string) bool {
	name = strings.ToLower(name)
	return name == "t" || slices.ContainsFunc([]string{"time", "seq", "len", "frame", "step"}, func(part string) bool { return strings.Contains(name, part) })
}

func isBatch(name string) bool {
	name = strings.ToLower(name)
	return name == "n" || name == "b" || strings.Contains(name, "batch")
}

// open opens the data for the inputs of g, prepared as the flags say or else as it is
// recorded in g, or in others that run on the same inputs.
func (d *dataFlags) open(g *graph.Graph, others ...*graph.Graph) (*dataset.Set, error) {
	if d.limit < 0 {
		return nil, usagef("--limit %d: it is a number of inputs", d.limit)
	}
	h, w, err := d.pictureSize()
	if err != nil {
		return nil, err
	}
	inputs := make([]dataset.Input, len(g.Inputs))
	for i, v := range g.Inputs {
		inputs[i] = dataset.Input{Name: v.Name, DType: v.Type.DType, Axis: batchAxis(g, v)}
		if v.Type.Known {
			inputs[i].Shape = v.Type.Shape
		}
	}
	if err := checkCrop(d.crop, inputs, h, w); err != nil {
		return nil, err
	}
	prep, err := d.preparation(heightOf(inputs, h))
	if err != nil {
		return nil, err
	}
	if prep, err = d.reconciled(prep, append(others, g)); err != nil {
		return nil, err
	}
	options := []dataset.Option{dataset.First(d.limit), dataset.Prepare(prep), dataset.PictureSize(h, w)}
	if d.skipCorrupt {
		options = append(options, dataset.SkipCorrupt())
	}
	data, err := dataset.OpenFor(inputs, d.paths, options...)
	if err == nil {
		d.tellSkipped(data.Skipped())
	}
	return data, err
}

// tellSkipped says which files were left out.
func (d *dataFlags) tellSkipped(files []string) {
	const shown = 3
	for i, f := range files[:min(len(files), shown)] {
		if i == shown-1 && len(files) > shown {
			f += fmt.Sprintf(" (and %d more)", len(files)-shown)
		}
		fmt.Fprintf(d.cmd.ErrOrStderr(), "skipped %s\n", f)
	}
}

// record keeps in a network that was calibrated on data how that was prepared, if anything was done to it.
func record(g *graph.Graph, data *dataset.Set) {
	if data.Preparation().Equal(dataset.Preparation{Scale: 1}) {
		return
	}
	if g.Meta == nil {
		g.Meta = make(map[string]string)
	}
	g.Meta[preparationKey] = data.Preparation().String()
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

// heightOf returns the height of the network's pictures, otherwise if it is free.
func heightOf(inputs []dataset.Input, otherwise int) int {
	for _, in := range inputs {
		if len(in.Shape) == 4 {
			if _, h, _ := in.Picture(""); h > 0 {
				return h
			}
		}
	}
	return otherwise
}

// checkCrop refuses a --crop that the network does not take.
func checkCrop(crop string, inputs []dataset.Input, h, w int) error {
	if crop == "" {
		return nil
	}
	for _, in := range inputs {
		if _, ih, iw := in.Picture(""); ih > 0 && iw > 0 && (ih != h || iw != w) {
			return usagef("--crop %s: the network takes pictures of %dx%d", crop, ih, iw)
		}
	}
	return nil
}

// reconciled returns the preparation that is recorded in one of the networks if the flags say nothing, and an error if
// they say something else.
func (d *dataFlags) reconciled(p dataset.Preparation, networks []*graph.Graph) (dataset.Preparation, error) {
	for _, g := range networks {
		text, recorded := g.Meta[preparationKey]
		if !recorded || d.anyPreparation {
			continue
		}
		was, err := dataset.ParsePreparation(text)
		if err != nil {
			return p, fmt.Errorf("%w: say how inputs are prepared and add --any-preparation", err)
		}
		if !d.said() {
			if !was.Equal(p) {
				fmt.Fprintf(d.cmd.ErrOrStderr(), "inputs are prepared as when the network was calibrated: %s\n", was)
			}
			return was, nil
		}
		if !was.Equal(p) {
			return p, fmt.Errorf("the network was calibrated on inputs prepared as %s, these would be as %s: leave the flags away to prepare them alike, or add --any-preparation", was, p)
		}
	}
	return p, nil
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

const requantHelp = "how integers are rescaled: auto (shift if all scales allow, else float), float, multiplier or shift"

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
	cmd.Flags().StringVar(&r.requant, "requant", "auto", requantHelp)
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
