package engine_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/internal/qdq"
)

// TestDroppedNetworkIsFreed checks that the goroutines that helped with its
// runs, idle now, keep no network.
func TestDroppedNetworkIsFreed(t *testing.T) {
	freed := make(chan bool, 8)
	for i := range 8 {
		net := compile(t, qdq.ShiftNetwork(), engine.WithThreads(4))
		run(t, net, qdq.RandomInput(1, 1+i%3, 3, 16, 16))
		runtime.AddCleanup(net, func(int) { freed <- true }, 0)
	}
	deadline := time.After(20 * time.Second)
	for range 8 {
		for waiting := true; waiting; {
			runtime.GC()
			select {
			case <-freed:
				waiting = false
			case <-deadline:
				t.Fatal("a network that nobody uses stays in memory")
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}
