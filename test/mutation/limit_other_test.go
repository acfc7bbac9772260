//go:build !linux

package mutation

func limitMemory(uint64) {}
