//go:build race

package engine_test

// raceEnabled: the race detector makes pools forget at random.
const raceEnabled = true
