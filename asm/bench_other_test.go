//go:build !linux

package asm

import (
	"testing"
	"time"
)

// threadTime returns 0: it is not known here.
func threadTime() time.Duration { return 0 }

// benchSlice returns a slice of n elements.
func benchSlice[T any](b *testing.B, n int) []T { return make([]T, n) }
