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
	id    int          // of the worker it is in the job
	state atomic.Int64 // the number of calls so far, times four, plus one of the states
	wake  chan struct{}
}

// States of a helper. One that is looking is awake, or has been woken.
const (
	looking int64 = iota
	asleep
	called
	working
	states
)

// ticket is one call of a helper.
type ticket struct {
	*helper
	state int64 // while it is called
}

// spins is how often an idle helper looks before it sleeps: some 50 µs.
const spins = 30_000

var idle struct {
	sync.Mutex
	helpers []*helper
}

// callHelper makes a helper do worker id's part of a job.
func callHelper(j *job, id int) ticket {
	h := takeIdle()
	if h == nil {
		h = &helper{wake: make(chan struct{}, 1)}
		go h.serve()
	}
	h.job, h.id = j, id
	for { // it may be falling asleep
		old := h.state.Load()
		now := (old/states+1)*states + called
		if !h.state.CompareAndSwap(old, now) {
			continue
		}
		if old%states == asleep {
			h.wake <- struct{}{}
		}
		return ticket{h, now}
	}
}

// dismiss takes back a call that the helper has not come for: on a busy
// machine it may not get a processor before the others have done its part.
func (t ticket) dismiss() bool {
	if !t.helper.state.CompareAndSwap(t.state, t.state-called+looking) {
		return false
	}
	t.helper.job = nil // an idle helper keeps no network alive
	putIdle(t.helper)
	return true
}

func takeIdle() *helper {
	idle.Lock()
	defer idle.Unlock()
	n := len(idle.helpers)
	if n == 0 {
		return nil
	}
	h := idle.helpers[n-1]
	idle.helpers = idle.helpers[:n-1]
	return h
}

func putIdle(h *helper) {
	idle.Lock()
	defer idle.Unlock()
	idle.helpers = append(idle.helpers, h)
}

func (h *helper) serve() {
	for {
		h.wait()
		j := h.job
		j.work(h.id)
		h.job = nil
		h.state.Add(looking - working)
		putIdle(h)
		j.pending.Done()
	}
}

// wait returns when the helper is to work.
func (h *helper) wait() {
	for i := 1; ; i++ {
		now := h.state.Load()
		if now%states == called && h.state.CompareAndSwap(now, now-called+working) {
			return
		}
		if i%256 == 0 {
			runtime.Gosched()
		}
		if i%spins == 0 && now%states == looking && h.state.CompareAndSwap(now, now-looking+asleep) {
			<-h.wake
		}
	}
}
