//go:build !linux

package asm

import "testing"

// benchSlice returns a slice of n elements.
func benchSlice[T any](b *testing.B, n int) []T { return make([]T, n) }
