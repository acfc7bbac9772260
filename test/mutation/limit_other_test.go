//go:build !linux

package mutation

import "time"

func limitMemory(uint64) {}

func processorTime() time.Duration { return 0 }
