//go:build !unix

package main

// peakRSS returns the most memory this process has had resident, in bytes; 0
// if the system does not tell.
func peakRSS() int64 { return 0 }
