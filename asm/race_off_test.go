//go:build !race

package asm

// raceDetector says that the tests run under the race detector.
const raceDetector = false
