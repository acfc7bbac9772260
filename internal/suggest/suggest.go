// Package suggest finds what a misspelt name may have meant.
package suggest

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns up to three names, quoted, that differ from name in few characters, the nearest first.
func Nearest(name string, names []string) []string {
	limit := max(2, len(name)/3)
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	for _, n := range names {
		if n == "" || abs(len(n)-len(name)) > limit {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d <= limit {
			all = append(all, candidate{n, d})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.distance - b.distance })
	var near []string
	for _, c := range all[:min(3, len(all))] {
		near = append(near, fmt.Sprintf("%q", c.name))
	}
	return near
}

func abs(x int) int { return max(x, -x) }

// distance returns how many characters must be put in, taken out or changed to make b of a
// (Levenshtein's distance).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
