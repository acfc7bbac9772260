package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

func TestLines(t *testing.T) {
	free := func(name string) Input { return Input{Name: name, DType: tensor.Int64, Shape: []int{-1, -1}} }
	bert := []Input{free("input_ids"), free("attention_mask"), free("token_type_ids")}
	fixed := []Input{{Name: "input_ids", DType: tensor.Int32, Shape: []int{-1, 4}}, {Name: "attention_mask", DType: tensor.Int64, Shape: []int{-1, 4}}}
	for _, c := range []struct {
		inputs []Input
		text   string
		want   string // the batches
		err    error
	}{
		{bert, "[1,2,3]\n[4,5,6]\n\n[7]\n", "[1 2 3 4 5 6] [1 1 1 1 1 1] [0 0 0 0 0 0]; [7] [1] [0]; ", nil},
		{bert, `{"input_ids":[1,2],"attention_mask":[1,0],"token_type_ids":[0,1]}`, "[1 2] [1 0] [0 1]; ", nil},
		{fixed, "[9,8]\n{\"input_ids\":[1,2,3,4]}", "[9 8 0 0 1 2 3 4] [1 1 0 0 1 1 1 1]; ", nil},
		{fixed, "[1,2,3,4,5]", "", ErrShape},
		{bert, "", "", ErrEmpty},
		{bert, "[1]\nhello", "", ErrFormat},
		{bert, `{"ids":[1]}`, "", ErrShape},
		{bert, "[1.5]", "", ErrFormat},
	} {
		path := filepath.Join(t.TempDir(), "t.jsonl")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		set, err := OpenFor(c.inputs, []string{path})
		if !errors.Is(err, c.err) {
			t.Errorf("%q: error %v, want %v", c.text, err, c.err)
		}
		if err != nil {
			continue
		}
		got := ""
		for batch, err := range set.Batches(10) {
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range batch {
				if x.DType() != c.inputs[i].DType {
					t.Errorf("%q: input %d is %s", c.text, i, x)
				}
				got += fmt.Sprint(x.Float64s(), " ")
			}
			got = got[:len(got)-1] + "; "
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}
