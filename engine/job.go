package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/narrow-ml/narrow/tensor"
)

// job is one run: by several workers that take pieces of the batch one after
// the other or, for a single sample, share the work of every step.
type job struct {
	plan    *plan
	ctx     context.Context
	sampler Sampler // or nil
	in, out []*tensor.Tensor
	total   int // samples
	piece   int // samples of a piece; 0 when the workers share the steps
	next    atomic.Int64
	workers []worker

	shared   *call      // when the workers share the steps
	progress []progress // of each step, likewise

	helpers []ticket
	pending sync.WaitGroup // for the helpers
	failed  atomic.Bool
	once    sync.Mutex
	err     error
}

// progress counts the tiles of one step, alone on its cache line.
type progress struct {
	taken, done atomic.Int64
	_           [6]int64
}

func newJob(p *plan) *job {
	j := &job{plan: p, workers: make([]worker, p.net.threads), progress: make([]progress, len(p.steps))}
	for i := range j.workers {
		j.workers[i].id = i
	}
	return j
}

func (j *job) run(ctx context.Context, ins, outs []*tensor.Tensor, n int) error {
	j.ctx, j.in, j.out, j.total, j.err = ctx, ins, outs, n, nil
	j.failed.Store(false)
	defer func() { j.ctx, j.sampler, j.in, j.out = nil, nil, nil, nil }()
	threads := len(j.workers)
	if n > 1 || threads == 1 {
		j.piece = min(j.plan.piece, (n+threads-1)/threads)
		j.next.Store(0)
	} else {
		j.share(n)
		defer func() { j.release(j.shared); j.shared = nil }()
	}
	j.helpers = j.helpers[:0]
	for i := 1; i < threads; i++ {
		j.pending.Add(1)
		j.helpers = append(j.helpers, callHelper(j, i))
	}
	j.work(0)
	for _, h := range j.helpers {
		if h.dismiss() {
			j.pending.Done()
		}
	}
	j.pending.Wait()
	return j.err
}

// work is what worker id does: called once by each.
func (j *job) work(id int) {
	defer func() {
		if r := recover(); r != nil {
			j.fail(fmt.Errorf("engine: internal error: %v", r))
		}
	}()
	if j.piece == 0 {
		j.tiles(&j.workers[id])
		return
	}
	c := j.plan.calls.Get().(*call)
	for !j.failed.Load() {
		first := int(j.next.Add(int64(j.piece))) - j.piece
		if first >= j.total {
			break
		}
		j.setUp(c, first, min(j.piece, j.total-first))
		if err := j.plan.sequence(j.ctx, c, &j.workers[id]); err != nil {
			j.fail(err)
		}
	}
	j.release(c)
}

func (j *job) setUp(c *call, first, n int) {
	c.ctx, c.sampler, c.in, c.out, c.first, c.n, c.total = j.ctx, j.sampler, j.in, j.out, first, n, j.total
}

func (j *job) release(c *call) {
	c.ctx, c.sampler, c.in, c.out = nil, nil, nil, nil
	clear(c.slots)
	j.plan.calls.Put(c)
}

// share sets up a run whose workers share the steps.
func (j *job) share(n int) {
	j.piece = 0
	j.shared = j.plan.calls.Get().(*call)
	j.setUp(j.shared, 0, n)
	for i := range j.progress {
		j.progress[i].taken.Store(0)
		j.progress[i].done.Store(0)
	}
}

// tiles goes through the steps, taking what tiles of each are left, and
// waits for the others' before the next. Nobody waits for a worker that has
// not begun: those that are there do its part.
func (j *job) tiles(w *worker) {
	c, p := j.shared, j.plan
	for i, s := range p.steps {
		units, tiles := s.units(c.n), p.tiles[i]
		done := &j.progress[i].done
		for {
			t := int(j.progress[i].taken.Add(1)) - 1
			if t >= tiles {
				break
			}
			if err := j.tile(i, w, t*units/tiles, (t+1)*units/tiles); err != nil {
				j.fail(err)
			}
			done.Add(1)
		}
		for spins := 1; int(done.Load()) < tiles; spins++ {
			if spins%64 == 0 {
				runtime.Gosched()
			}
		}
		if j.failed.Load() {
			return
		}
	}
}

// tile computes part of step i. A tile always counts as done, whatever
// happened in it, or the other workers would wait for ever.
func (j *job) tile(i int, w *worker, lo, hi int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("engine: internal error: %v", r)
		}
	}()
	if err := j.ctx.Err(); err != nil {
		return err
	}
	return j.plan.part(i, j.shared, w, lo, hi)
}

// fail keeps the first error and makes the workers stop.
func (j *job) fail(err error) {
	j.once.Lock()
	if j.err == nil {
		j.err = err
	}
	j.once.Unlock()
	j.failed.Store(true)
}
