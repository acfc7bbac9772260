//go:build !race

package asm

func readRange[T any]([]T) {}

func writeRange[T any]([]T) {}

func readImage[T any](Image[T]) {}

func writeRows[T any](m Image[T], y0, y1, c0, c1 int) {}
