package dataset

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/tensor"
)

// Set is a [Source] over files.
type Set struct {
	columns []*column
	placed  []*placed // what stands for a column whose batch is not on axis 0, else nil
	parts   []*Set    // one for each file where lengths differ; then there are no columns
	inputs  []Input   // what the network takes, one for each column
	prep    Preparation
	skipped []string // files that were left out, and why
	paths   []string // what was opened, without the names of inputs
	rows    int
	total   int // rows before First
	batch   int // the batch that the network is fixed to, or 0
}

// Input describes one input of a network.
type Input struct {
	Name  string
	DType tensor.DType // Undefined is taken as Float32
	Shape []int        // a negative dimension is free, nil is any shape
	Axis  int          // of the batch, or [NoBatch]
}

type config struct {
	prep        Preparation
	first       int
	size        [2]int
	skipCorrupt bool
	skipped     []string
	paths       []string
}

// Option changes how data is read.
type Option func(*config)

// Normalize makes every value (x*scale - mean)/std. Mean and std have one
// value for each channel, one for all, or none.
func Normalize(scale float32, mean, std []float32) Option {
	return func(c *config) { c.prep.Scale, c.prep.Mean, c.prep.Std = scale, mean, std }
}

// Prepare sets everything that is done to inputs, [Normalize] included.
func Prepare(p Preparation) Option { return func(c *config) { c.prep = p } }

// SkipCorrupt leaves out pictures that cannot be read, in place of an error; [Set.Skipped] names them. They are
// all decoded once more for it.
func SkipCorrupt() Option { return func(c *config) { c.skipCorrupt = true } }

// First takes only the first n inputs, all of them for n <= 0.
func First(n int) Option { return func(c *config) { c.first = n } }

// PictureSize brings pictures to this size where the network leaves it free.
func PictureSize(height, width int) Option {
	return func(c *config) { c.size = [2]int{height, width} }
}

// Open reads the data of a network with one input: a .npy array or a .npz
// archive with one array (batch on axis 0; float, integer or bool elements), a
// picture, a folder of pictures, or a .txt list of them. Pictures come as RGB planes
// unless the network has its channels last or the [Preparation] says otherwise.
func Open(path string, opts ...Option) (*Set, error) {
	return OpenFor([]Input{{}}, []string{path}, opts...)
}

// OpenFor reads the data for the given inputs of a network. With one input all
// paths are read one after the other. With several inputs each path is written
// NAME=PATH, or is an archive whose arrays are named as the inputs, or there
// is one path for each input, in their order.
func OpenFor(inputs []Input, paths []string, opts ...Option) (*Set, error) {
	c := config{prep: Preparation{Scale: 1}}
	for _, o := range opts {
		o(&c)
	}
	if err := c.prep.check(); err != nil {
		return nil, err
	}
	assigned, err := assign(inputs, paths, &c)
	if err != nil {
		return nil, err
	}
	s := &Set{inputs: inputs, prep: c.prep, skipped: c.skipped, paths: c.paths}
	if varying(assigned) {
		err = s.fillParts(assigned)
	} else {
		err = s.fill(assigned)
	}
	if err != nil {
		return nil, err
	}
	s.total = s.rows
	if c.first > 0 {
		s.rows = min(s.rows, c.first)
	}
	if s.batch > 0 && s.rows%s.batch != 0 {
		return nil, fmt.Errorf("%s: %w: the network takes batches of %d and %d inputs are not a multiple of that: use the first %d",
			s.columns[0].where(0), ErrShape, s.batch, s.rows, s.rows/s.batch*s.batch)
	}
	return s, nil
}

// fill takes the files of each input as one column.
func (s *Set) fill(assigned [][]*column) error {
	for i, parts := range assigned {
		col, err := concat(parts)
		if err != nil {
			return err
		}
		if err := s.add(s.inputs[i], col); err != nil {
			return err
		}
	}
	if s.rows < 0 { // no input has a batch
		s.rows = 1
	}
	return nil
}

// varying reports whether the rows of an input's files have different shapes.
func varying(assigned [][]*column) bool {
	for _, parts := range assigned {
		for _, p := range parts[1:] {
			if !slices.Equal(p.shape, parts[0].shape) {
				return true
			}
		}
	}
	return false
}

// fillParts takes the files one after the other: batches hold inputs of one file only.
func (s *Set) fillParts(assigned [][]*column) error {
	for _, parts := range assigned {
		if len(parts) != len(assigned[0]) {
			return fmt.Errorf("%s: %w: %d files of inputs of different lengths here, %d for %q: give each input as many", parts[0].where(0), ErrShape,
				len(parts), len(assigned[0]), s.inputs[0].Name)
		}
	}
	for k := range assigned[0] {
		part := &Set{inputs: s.inputs, prep: s.prep}
		one := make([][]*column, len(assigned))
		for i := range assigned {
			one[i] = assigned[i][k : k+1]
		}
		if err := part.fill(one); err != nil {
			return err
		}
		if part.batch > 0 && part.rows%part.batch != 0 {
			return fmt.Errorf("%s: %w: the network takes batches of %d, and there are %d inputs", one[0][0].where(0), ErrShape, part.batch, part.rows)
		}
		s.parts = append(s.parts, part)
		s.rows += part.rows
	}
	return nil
}

// add appends the column of the next input.
func (s *Set) add(in Input, col *column) error {
	if in.DType == tensor.Undefined || in.DType == tensor.Float32 {
		if _, err := s.prep.axisOf(col.shape); err != nil {
			return fmt.Errorf("%s: %w", col.where(0), err)
		}
	} else if !col.dtype.IsInteger() && col.dtype != tensor.Bool && !in.DType.IsFloat() {
		return fmt.Errorf("%s: %w: %s for input %q, which takes %s", col.where(0), ErrShape, col.dtype, in.Name, in.DType)
	}
	p, err := s.place(len(s.columns), col)
	if err != nil {
		return err
	}
	rows := col.rows
	if p != nil {
		if rows = p.count(); p.rows {
			s.batch = 1
		}
	} else if col.scalar {
		return fmt.Errorf("%s: %w: a single number; the first axis counts the inputs", col.where(0), ErrShape)
	} else if err := checkShape(in, col); err != nil {
		return fmt.Errorf("%s: %w", col.where(0), err)
	}
	if len(s.columns) == 0 {
		s.rows = -1
	}
	if rows >= 0 && s.rows >= 0 && rows != s.rows {
		return fmt.Errorf("%s: %w: %d inputs here, %d for the inputs before", col.where(0), ErrShape, rows, s.rows)
	}
	if p == nil && len(in.Shape) > 0 && in.Shape[0] > 0 {
		s.batch = in.Shape[0]
	}
	s.rows = max(s.rows, rows)
	s.columns, s.placed = append(s.columns, col), append(s.placed, p)
	return nil
}

// checkShape compares the rows of a column with what the network takes.
func checkShape(in Input, col *column) error {
	if in.Shape == nil || fits(in.Shape, col.rows, col.shape) {
		return nil
	}
	have, want := slices.Concat([]int{col.rows}, col.shape), shapeText(in.Shape)
	hint := "convert the data, batch on axis 0"
	switch {
	case len(have) == len(in.Shape)-1 && fits(in.Shape, 1, have):
		hint = "it is one input without a batch axis: save x[None]"
	case len(have) == 4 && fits(in.Shape, have[0], []int{have[3], have[1], have[2]}):
		hint = "channels come last: save x.transpose(0, 3, 1, 2)"
	}
	return fmt.Errorf("%w: shape %v, the network takes %s: %s", ErrShape, have, want, hint)
}

// fits reports whether rows of the given shape can be an input.
func fits(want []int, rows int, shape []int) bool {
	if len(want) != len(shape)+1 || rows == 0 {
		return false
	}
	for i, d := range shape {
		if want[i+1] >= 0 && want[i+1] != d {
			return false
		}
	}
	return true
}

// shapeText writes a shape with N for the batch and ? for what is free.
func shapeText(shape []int) string {
	text := make([]string, len(shape))
	for i, d := range shape {
		switch {
		case d >= 0:
			text[i] = fmt.Sprint(d)
		case i == 0:
			text[i] = "N"
		default:
			text[i] = "?"
		}
	}
	return "[" + strings.Join(text, " ") + "]"
}

// Len returns the number of inputs.
func (s *Set) Len() int { return s.rows }

// Total returns the number of inputs that the files hold, whatever [First] says.
func (s *Set) Total() int { return s.total }

// Preparation returns what is done to the inputs.
func (s *Set) Preparation() Preparation { return s.prep }

// Skipped returns the files in folders that are no pictures and, with [SkipCorrupt], those that cannot be read, each
// with the reason.
func (s *Set) Skipped() []string { return s.skipped }

// Count implements [Counter].
func (s *Set) Count(batch []*tensor.Tensor) int {
	if len(s.parts) > 0 {
		return s.parts[0].Count(batch)
	}
	for i, p := range s.placed {
		switch {
		case p == nil:
			return batch[i].Shape()[0]
		case p.rows:
			return 1
		case p.axis > 0:
			return batch[i].Shape()[p.axis]
		}
	}
	return 1
}

// Batches yields the inputs; see [Source]. Inputs of different shapes are never in one batch.
func (s *Set) Batches(n int) iter.Seq2[[]*tensor.Tensor, error] {
	return func(yield func([]*tensor.Tensor, error) bool) {
		left := s.rows
		for _, part := range s.parts {
			for batch, err := range part.batches(n, min(left, part.rows)) {
				if !yield(batch, err) || err != nil {
					return
				}
			}
			if left -= part.rows; left <= 0 {
				return
			}
		}
		if s.parts == nil {
			s.batches(n, s.rows)(yield)
		}
	}
}

// batches yields the first rows inputs of the columns.
func (s *Set) batches(n, rows int) iter.Seq2[[]*tensor.Tensor, error] {
	if s.batch > 0 {
		n = s.batch
	}
	n = max(1, min(n, rows))
	return func(yield func([]*tensor.Tensor, error) bool) {
		readers := make([]io.ReadCloser, len(s.columns))
		defer func() {
			for _, r := range readers {
				if r != nil {
					r.Close()
				}
			}
		}()
		for i, c := range s.columns {
			if s.placed[i] != nil {
				continue
			}
			r, err := c.open()
			if err != nil {
				yield(nil, err)
				return
			}
			readers[i] = r
		}
		buffers := make([][]byte, len(s.columns))
		for start := 0; start < rows; start += n {
			batch, err := s.read(readers, buffers, start, min(n, rows-start))
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// read reads rows [start, start+n) of every column. It keeps the raw bytes in
// buffers, to be used again.
func (s *Set) read(readers []io.ReadCloser, buffers [][]byte, start, n int) ([]*tensor.Tensor, error) {
	batch := make([]*tensor.Tensor, len(s.columns))
	for i, c := range s.columns {
		if p := s.placed[i]; p != nil {
			batch[i] = p.part(start, n)
			continue
		}
		if need := n * c.rowBytes(); cap(buffers[i]) < need {
			buffers[i] = make([]byte, need)
		}
		raw := buffers[i][:n*c.rowBytes()]
		if got, err := io.ReadFull(readers[i], raw); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = fmt.Errorf("%w: truncated", ErrFormat)
			}
			return nil, wrap(c.where(start+got/max(c.rowBytes(), 1)), err)
		}
		var err error
		if batch[i], err = s.convert(i, c, raw, start, n); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// convert makes the tensor of column i from n raw rows.
func (s *Set) convert(i int, c *column, raw []byte, start, n int) (*tensor.Tensor, error) {
	dtype := s.inputs[i].DType
	shape := slices.Concat([]int{n}, c.shape)
	if dtype != tensor.Undefined && dtype != tensor.Float32 {
		return convertTo(dtype, shape, raw, c.dtype)
	}
	row := tensor.Volume(c.shape)
	out := make([]float32, n*row)
	for k := range n {
		bad := s.prep.apply(out[k*row:(k+1)*row], raw[k*c.rowBytes():(k+1)*c.rowBytes()], c.dtype, c.shape)
		if bad >= 0 {
			return nil, fmt.Errorf("%s: %w (element %d is %v): remove that input or mend its source", c.where(start+k), ErrValue, bad, out[k*row+bad])
		}
	}
	return tensor.From(out, shape...), nil
}

// convertTo makes a tensor for an input that is not float32, such as token
// numbers; preprocessing does not apply to it.
func convertTo(dtype tensor.DType, shape []int, raw []byte, from tensor.DType) (*tensor.Tensor, error) {
	t := tensor.New(dtype, shape...)
	if dtype == from {
		copy(t.Bytes(), littleEndian(raw, dtype.Size()))
		return t, nil
	}
	at := func(i int) float64 { return element(raw, from, i) }
	switch dtype {
	case tensor.Int64:
		fill[int64](t, at)
	case tensor.Int32:
		fill[int32](t, at)
	case tensor.Uint8:
		fill[uint8](t, at)
	case tensor.Int8:
		fill[int8](t, at)
	case tensor.Float64:
		fill[float64](t, at)
	default:
		return nil, fmt.Errorf("%w: %s data for a network input of type %s: save it in that type", ErrShape, from, dtype)
	}
	return t, nil
}

func fill[T int8 | uint8 | int32 | int64 | float64](t *tensor.Tensor, at func(int) float64) {
	d := tensor.Data[T](t)
	for i := range d {
		d[i] = T(at(i))
	}
}
