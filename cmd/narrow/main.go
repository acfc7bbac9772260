// Narrow quantizes ONNX networks after training and runs the result.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	var reserve []byte
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a third less memory for hardly any time
		// Never touched, so it takes no memory. The garbage collector, which goes by the size of the heap, runs
		// less often while that is small, and keeps what is wanted again at once.
		reserve = make([]byte, 16<<20)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	runtime.KeepAlive(reserve)
	os.Exit(code)
}
