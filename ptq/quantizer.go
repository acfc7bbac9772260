package ptq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrFinished reports inputs fed after the end.
var ErrFinished = errors.New("ptq: the quantizer is finished and takes no more inputs")

// Quantizer does what [Quantize] does with inputs that are handed to it as they
// come: the same network, byte for byte, as from a source that holds them all.
// Only the first few hundred, which steps after calibration look at again, are
// kept, so memory does not grow with the number of inputs. A Quantizer is for one goroutine at a
// time; [Quantizer.Close] must be called in the end.
type Quantizer struct {
	inputs   *fed
	stop     context.CancelFunc
	finished bool          // no more inputs will come
	done     chan struct{} // closed when result and err are there
	result   *Result
	err      error
}

// NewQuantizer begins to quantize g, which must not be changed until the end.
func NewQuantizer(ctx context.Context, g *graph.Graph, options ...Option) *Quantizer {
	ctx, stop := context.WithCancel(ctx)
	q := &Quantizer{inputs: newFed(ctx, g), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(q.done)
		defer func() { // on this goroutine nobody else could
			if r := recover(); r != nil {
				q.err = fmt.Errorf("ptq: internal error: %v", r)
			}
		}()
		q.result, q.err = Quantize(ctx, g, q.inputs, options...)
	}()
	return q
}

// Feed hands over a batch of any size: a tensor for each input of the network, with the batch on
// axis 0. The tensors are copied. They may wait for their turn when Feed returns, a limited
// number of them: what is wrong with them is reported then by a later call or by [Quantizer.Finish].
func (q *Quantizer) Feed(inputs ...*tensor.Tensor) error {
	if q.finished {
		return ErrFinished
	}
	select {
	case <-q.done:
		return q.err
	default:
	}
	if err := q.inputs.check(inputs); err != nil {
		return err
	}
	for i := range inputs[0].Shape()[0] {
		one := make([]*tensor.Tensor, len(inputs))
		for k, t := range inputs {
			one[k] = t.Rows(i, i+1).Clone()
		}
		select {
		case q.inputs.queue <- one:
		case <-q.done:
			return q.err
		}
	}
	return nil
}

// Finish returns the integer network made with what was fed. It may be called again, but nothing
// can be fed any more.
func (q *Quantizer) Finish() (*Result, error) {
	if !q.finished {
		q.finished = true
		close(q.inputs.queue)
	}
	<-q.done
	return q.result, q.err
}

// Seen returns how many inputs were taken in so far.
func (q *Quantizer) Seen() int { return q.inputs.Len() }

// Close ends the work, if it goes on, without a result.
func (q *Quantizer) Close() {
	q.stop()
	<-q.done
}

const (
	fedKept  = max(equalizeInputs, autoInputs, manyInputs) // at least so many inputs are kept
	fedQueue = 64                                          // inputs that wait to be read
)

// fed is a source whose inputs arrive while it is read. The first of them can be
// read any number of times, the others once.
type fed struct {
	ctx   context.Context
	want  int                   // inputs of the network
	batch int                   // the batch that it is fixed to, or 0
	queue chan []*tensor.Tensor // of batch 1; closed at the end
	like  []*tensor.Tensor      // of type and shape of what was handed over first, but empty
	keep  int                   // so many of the first inputs

	mu   sync.Mutex
	kept [][]*tensor.Tensor
	seen int // taken from the queue
}

func newFed(ctx context.Context, g *graph.Graph) *fed {
	f := &fed{ctx: ctx, want: len(g.Inputs), queue: make(chan []*tensor.Tensor, fedQueue), keep: fedKept}
	for _, v := range g.Inputs {
		if v.Type.Known && len(v.Type.Shape) > 0 && v.Type.Shape[0] > 0 {
			f.batch = v.Type.Shape[0]
			f.keep = (fedKept + f.batch - 1) / f.batch * f.batch
		}
	}
	return f
}

// check compares a batch with the network and with the first one.
func (f *fed) check(batch []*tensor.Tensor) error {
	if len(batch) != f.want || len(batch) == 0 {
		return fmt.Errorf("ptq: calibration data: %w: %d tensors for %d inputs", dataset.ErrShape, len(batch), f.want)
	}
	like := f.like
	for i, t := range batch {
		if t.Rank() == 0 || t.Shape()[0] != batch[0].Shape()[0] {
			return fmt.Errorf("ptq: calibration data: %w: %s for input %d, %s for the first: the batch is not the same", dataset.ErrShape, t, i, batch[0])
		}
		if len(like) == i {
			like = append(like, tensor.New(t.DType(), append([]int{0}, t.Shape()[1:]...)...))
		}
		if t.DType() != like[i].DType() || !slices.Equal(t.Shape()[1:], like[i].Shape()[1:]) {
			return fmt.Errorf("ptq: calibration data: %w: %s for input %d, in the first batch it was %s", dataset.ErrShape, t, i, like[i])
		}
	}
	f.like = like
	return nil
}

// Len implements [dataset.Source]: what has been read so far.
func (f *fed) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// Batches implements [dataset.Source].
func (f *fed) Batches(n int) iter.Seq2[[]*tensor.Tensor, error] {
	if f.batch > 0 {
		n = f.batch
	}
	return func(yield func([]*tensor.Tensor, error) bool) {
		for at := 0; ; at += n {
			rows, err := f.read(at, n)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(rows) == 0 || !yield(joined(rows), nil) || len(rows) < n {
				return
			}
		}
	}
}

// read returns n inputs from one on, less at the end.
func (f *fed) read(from, n int) ([][]*tensor.Tensor, error) {
	var rows [][]*tensor.Tensor
	for len(rows) < n {
		x, err := f.at(from + len(rows))
		if err != nil {
			return nil, err
		}
		if x == nil {
			break
		}
		rows = append(rows, x)
	}
	switch {
	case from == 0 && len(rows) == 0:
		return nil, fmt.Errorf("%w: none was fed", dataset.ErrEmpty)
	case f.batch > 0 && len(rows)%f.batch != 0:
		return nil, fmt.Errorf("%w: the network takes batches of %d and %d inputs are not a multiple of that", dataset.ErrShape, f.batch, from+len(rows))
	}
	return rows, nil
}

// at returns one input, nil after the last one.
func (f *fed) at(i int) ([]*tensor.Tensor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i < len(f.kept) {
		return f.kept[i], nil
	}
	if i < f.seen {
		return nil, fmt.Errorf("input %d is wanted again; of inputs that are fed, only the first %d are kept", i, len(f.kept))
	}
	select {
	case <-f.ctx.Done():
		return nil, f.ctx.Err()
	case x, more := <-f.queue:
		if !more {
			return nil, f.ctx.Err()
		}
		f.seen++
		if len(f.kept) < f.keep {
			f.kept = append(f.kept, x)
		}
		return x, nil
	}
}

// joined returns inputs as one batch.
func joined(rows [][]*tensor.Tensor) []*tensor.Tensor {
	batch := make([]*tensor.Tensor, len(rows[0]))
	for i, first := range rows[0] {
		batch[i] = tensor.New(first.DType(), append([]int{len(rows)}, first.Shape()[1:]...)...)
		for k, row := range rows {
			batch[i].Rows(k, k+1).CopyFrom(row[i])
		}
	}
	return batch
}
