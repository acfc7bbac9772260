// Narrow quantizes ONNX networks after training and runs the result.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// reserve is never touched, so it takes no memory. It makes the garbage collector, which goes by the size of
// the heap, run less often while that is small, and keep what is wanted again at once.
var reserve []byte

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a third less memory for hardly any time
		reserve = make([]byte, 16<<20)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
