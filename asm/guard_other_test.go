//go:build !unix

package asm

import "testing"

// guarded returns two zeroed slices of n elements; this system has no page
// protection that the standard library offers.
func guarded[T any](t testing.TB, n int) (atEnd, atStart []T) {
	t.Helper()
	return make([]T, n), make([]T, n)
}

// guardedCopies returns copies of x made by guarded.
func guardedCopies[T any](t testing.TB, x []T) (atEnd, atStart []T) {
	t.Helper()
	return append([]T(nil), x...), append([]T(nil), x...)
}
