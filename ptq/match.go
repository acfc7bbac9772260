package ptq

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pattern says which names are meant: one that is equal, or one that a pattern with wildcards
// describes: * stands for any characters but a slash, ** for any at all, ? for one.
type pattern struct {
	text string
	wild *regexp.Regexp // nil without wildcards
}

func newPattern(text string) *pattern {
	p := &pattern{text: text}
	if !strings.ContainsAny(text, "*?") {
		return p
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			rest = rest[2:]
			continue
		case rest[0] == '*':
			b.WriteString("[^/]*")
		case rest[0] == '?':
			b.WriteString("[^/]")
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
		}
		rest = rest[1:]
	}
	p.wild, _ = regexp.Compile("(?s)^" + b.String() + "$") // fails for names that are no text; they are compared as they are
	return p
}

// matches reports whether a name is meant.
func (p *pattern) matches(name string) bool {
	return name == p.text || p.wild != nil && p.wild.MatchString(name)
}

// unknown is the error for a name that nothing has: it suggests those that come near.
func unknown(what, name string, names []string) error {
	near := nearest(name, names)
	if len(near) == 0 {
		return fmt.Errorf("ptq: the network has no %s %q: narrow inspect lists what it has", what, name)
	}
	return fmt.Errorf("ptq: the network has no %s %q: did you mean %s?", what, name, strings.Join(near, " or "))
}

// nearest returns up to three names, quoted, that differ from name in few characters, the nearest first.
func nearest(name string, names []string) []string {
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
