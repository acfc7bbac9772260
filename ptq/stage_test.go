package ptq

import (
	"context"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
)

// TestStages: every step is told once, in its order, with its number.
func TestStages(t *testing.T) {
	data, err := dataset.FromTensors(selectInputs(20))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	j, err := NewJob(selectNetwork(), data, WithStage(func(step string, number, of int) {
		if told = append(told, step); number != len(told) || of < number {
			t.Errorf("%s is told as %d of %d, it is the %d.", step, number, of, len(told))
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range j.Steps() {
		want = append(want, s.Name)
	}
	if err := j.Run(context.Background()); err != nil || !slices.Equal(told, want) {
		t.Errorf("told %v, want %v, error %v", told, want, err)
	}
}
