package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A helper is a goroutine that works for whoever asks. Helpers are kept: making
// a goroutine and letting it find a processor takes longer than a layer of a
// small network. An idle one looks for work for a moment, which the next run
// of a loop of runs comes in time for, then sleeps.
type helper struct {
	job   *job
	id    int // of the worker it is in the job
	state atomic.Int32
	wake  chan struct{}
}

// States of a helper.
const (
	looking int32 = iota
	called
	asleep
)

// spins is how often an idle helper looks before it sleeps: some 50 µs.
const spins = 30_000

var idle struct {
	sync.Mutex
	helpers []*helper
}

// help makes a helper do worker id's part of a job.
func help(j *job, id int) {
	idle.Lock()
	var h *helper
	if n := len(idle.helpers); n > 0 {
		h = idle.helpers[n-1]
		idle.helpers = idle.helpers[:n-1]
	}
	idle.Unlock()
	if h == nil {
		h = &helper{wake: make(chan struct{}, 1)}
		go h.serve()
	}
	h.job, h.id = j, id
	if h.state.Swap(called) == asleep {
		h.wake <- struct{}{}
	}
}

func (h *helper) serve() {
	for {
		h.wait()
		j := h.job
		j.work(h.id)
		h.job = nil
		h.state.Store(looking)
		idle.Lock()
		full := len(idle.helpers) >= runtime.GOMAXPROCS(0)
		if !full {
			idle.helpers = append(idle.helpers, h)
		}
		idle.Unlock()
		j.pending.Done()
		if full {
			return
		}
	}
}

// wait returns when the helper has been called.
func (h *helper) wait() {
	for i := 1; i <= spins; i++ {
		if h.state.Load() == called {
			return
		}
		if i%256 == 0 {
			runtime.Gosched()
		}
	}
	if h.state.CompareAndSwap(looking, asleep) {
		<-h.wake
	}
}
