package dataset

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Preparation is everything that is done to inputs before a network sees them. It is
// a record as well: what a network was calibrated with is kept beside it as JSON, so that
// it is fed likewise later.
type Preparation struct {
	// Every value x of a float32 input becomes (x*Scale - Mean)/Std. Mean and Std have one value for each
	// channel, one for all, or none. Channels are on the axis that Layout says.
	Scale float32   `json:"scale"`
	Mean  []float32 `json:"mean,omitempty"`
	Std   []float32 `json:"std,omitempty"`

	Fit    Fit    `json:"fit,omitempty"`    // how a picture comes to the size of the network's input
	Resize int    `json:"resize,omitempty"` // pixels of a picture's shorter side before the middle is cut out, for FitCrop
	Order  Order  `json:"order,omitempty"`  // of the channels of a picture
	Layout Layout `json:"layout,omitempty"` // of an input with channels

	// IgnoreEXIF leaves pictures as their pixels lie in the file, whatever their EXIF record says
	// of the way up.
	IgnoreEXIF bool `json:"ignore_exif,omitempty"`
}

// Fit says how a picture comes to the size of the network's input.
type Fit string

const (
	// FitCover cuts the largest middle part with the aspect ratio of the input and scales that. It is the default.
	FitCover Fit = ""
	// FitCrop scales until the shorter side has Resize pixels and cuts the middle out: torchvision's Resize and
	// CenterCrop.
	FitCrop Fit = "crop"
	// FitLetterbox scales until the picture fits and pads evenly with grey (114), as YOLO networks are fed.
	FitLetterbox Fit = "letterbox"
	// FitLine scales to the height and pads on the right with grey (127), as text recognizers are fed; what is
	// wider than the input is squeezed.
	FitLine Fit = "line"
)

// Order is the order of a picture's channels: "" for RGB, or BGR.
type Order string

// BGR is the order of OpenCV.
const BGR Order = "bgr"

// Layout is where the channels are: "" for what the network's input shows, or NCHW or NHWC.
type Layout string

const (
	NCHW Layout = "nchw"
	NHWC Layout = "nhwc"
)

// presets are ways in which whole families of networks are fed, for an input so many pixels high.
var presets = map[string]func(height int) Preparation{
	"imagenet": func(height int) Preparation { // torchvision's classifiers
		return Preparation{Scale: 1.0 / 255, Mean: []float32{.485, .456, .406}, Std: []float32{.229, .224, .225}, Fit: FitCrop, Resize: margin(height)}
	},
	"imagenet-tf": func(height int) Preparation { // Keras's "tf" mode: -1 to 1
		return Preparation{Scale: 1 / 127.5, Mean: []float32{1}, Fit: FitCrop, Resize: margin(height)}
	},
	"yolo": func(int) Preparation { return Preparation{Scale: 1.0 / 255, Fit: FitLetterbox} },
	"ocr": func(int) Preparation { // PaddleOCR's recognizers
		return Preparation{Scale: 1.0 / 255, Mean: []float32{.5}, Std: []float32{.5}, Fit: FitLine, Order: BGR}
	},
	"raw": func(int) Preparation { return Preparation{Scale: 1} },
}

// margin is what the shorter side is scaled to for an input so high: 256 for 224, in proportion.
func margin(height int) int {
	if height <= 0 {
		height = 224
	}
	return int(math.Round(float64(height) * 256 / 224))
}

// Presets returns the names that [Preset] knows, sorted.
func Presets() []string {
	var names []string
	for name := range presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Preset returns how a family of networks is fed: "imagenet" (torchvision: shorter side 256, middle 224, mean and standard
// deviation), "imagenet-tf" (the same pixels, -1 to 1), "yolo" (letterbox, 0 to 1), "ocr" (PaddleOCR: lines of text, BGR,
// -1 to 1), "raw" (bytes as they are). height is that of the network's input, 0 where it is free.
func Preset(name string, height int) (Preparation, error) {
	p, ok := presets[name]
	if !ok {
		return Preparation{}, fmt.Errorf("dataset: no preset %q: there are %s", name, strings.Join(Presets(), ", "))
	}
	return p(height), nil
}

// String writes the preparation as JSON, which [ParsePreparation] reads.
func (p Preparation) String() string {
	text, err := json.Marshal(p)
	if err != nil { // an infinity, which no preparation that was opened has
		return err.Error()
	}
	return string(text)
}

// ParsePreparation reads what [Preparation.String] wrote.
func ParsePreparation(text string) (Preparation, error) {
	var p Preparation
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("dataset: record of a preparation %q: %w", text, err)
	}
	return p, p.check()
}

// Equal reports whether two preparations do the same.
func (p Preparation) Equal(q Preparation) bool { return p.String() == q.String() }

// check returns what no picture and no array could be prepared by.
func (p Preparation) check() error {
	for _, v := range slices.Concat([]float32{p.Scale}, p.Mean, p.Std) {
		if v-v != 0 {
			return fmt.Errorf("dataset: a scale, mean or std of %v", v)
		}
	}
	switch {
	case slices.Contains(p.Std, 0):
		return fmt.Errorf("dataset: std is 0: values would become infinite")
	case !slices.Contains([]Fit{FitCover, FitCrop, FitLetterbox, FitLine}, p.Fit):
		return fmt.Errorf("dataset: pictures fitted by %q: there are crop, letterbox and line", p.Fit)
	case p.Fit == FitCrop && p.Resize <= 0:
		return fmt.Errorf("dataset: pictures whose shorter side is scaled to %d pixels", p.Resize)
	case p.Order != "" && p.Order != BGR:
		return fmt.Errorf("dataset: channels in the order %q: there is bgr, and rgb without a word", p.Order)
	case p.Layout != "" && p.Layout != NCHW && p.Layout != NHWC:
		return fmt.Errorf("dataset: layout %q: there are nchw and nhwc", p.Layout)
	}
	return nil
}
