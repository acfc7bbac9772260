package suggest

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"conv1", "conv2", "dense", "/encoder/Add", "", "convolution"}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"conv3", []string{`"conv1"`, `"conv2"`}},
		{"DENSE", []string{`"dense"`}},
		{"/encodr/Add", []string{`"/encoder/Add"`}},
		{"softmax", nil},
		{"", nil},
	} {
		if got := Nearest(c.name, names); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "axc", 1}, {"kitten", "sitting", 3}, {"ab", "b", 1}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != got {
			t.Errorf("from %q to %q: %d", c.a, c.b, got)
		}
	}
}
