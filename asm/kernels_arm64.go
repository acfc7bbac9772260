//go:build arm64 && !purego

package asm

var archKernels = []kernel{}
