package ptq

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/suggest"
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

// named returns the nodes of g that names and patterns mean. One that means none is an error.
func named(g *graph.Graph, texts []string) (map[*graph.Node]bool, error) {
	found := make(map[*graph.Node]bool)
	for _, text := range texts {
		p, before := newPattern(text), len(found)
		var names []string
		again := false
		for _, n := range g.Nodes {
			names = append(names, n.Name)
			if p.matches(n.Name) {
				again = again || found[n]
				found[n] = true
			}
		}
		if len(found) == before && !again {
			return nil, unknown("node", text, names)
		}
	}
	return found, nil
}

// unknown is the error for a name that nothing has: it suggests those that come near.
func unknown(what, name string, names []string) error {
	near := suggest.Nearest(name, names)
	if len(near) == 0 {
		return fmt.Errorf("ptq: the network has no %s %q: narrow inspect lists what it has", what, name)
	}
	return fmt.Errorf("ptq: the network has no %s %q: did you mean %s?", what, name, strings.Join(near, " or "))
}
