package op

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// TestDefinitions pins what the standard says where kernels are easily otherwise.
func TestDefinitions(t *testing.T) {
	ints := func(v ...int64) *tensor.Tensor { return tensor.From(v, len(v)) }
	x := tensor.From([]float32{1, -2, 3}, 3)
	for _, c := range []struct {
		what, op string
		attrs    Attrs
		in       []*tensor.Tensor
		want     []float64
	}{
		{"no axes and noop: squares are still squares", "ReduceSumSquare", Attrs{"noop_with_empty_axes": int64(1)}, []*tensor.Tensor{x}, []float64{1, 4, 9}},
		{"no axes and noop: magnitudes", "ReduceL1", Attrs{"noop_with_empty_axes": int64(1)}, []*tensor.Tensor{x}, []float64{1, 2, 3}},
		{"no axes and noop: a sum of one", "ReduceSum", Attrs{"noop_with_empty_axes": int64(1)}, []*tensor.Tensor{x}, []float64{1, -2, 3}},
		{"the largest of no bools is false", "ReduceMax", Attrs{"keepdims": int64(0)}, []*tensor.Tensor{tensor.New(tensor.Bool, 0, 2), ints(0)}, []float64{0, 0}},
		{"the least of no bools is true", "ReduceMin", Attrs{"keepdims": int64(0)}, []*tensor.Tensor{tensor.New(tensor.Bool, 0, 2), ints(0)}, []float64{1, 1}},
		{"a start far below 0 is the first element, backwards too", "Slice", nil, []*tensor.Tensor{x, ints(-100), ints(-1 << 40), ints(0), ints(-1)}, []float64{1}},
		{"depth goes first", "SpaceToDepth", Attrs{"blocksize": int64(2)}, []*tensor.Tensor{tensor.From([]float32{0, 1, 2, 3, 4, 5, 6, 7}, 1, 2, 2, 2)}, []float64{0, 4, 1, 5, 2, 6, 3, 7}},
		{"depth goes last", "SpaceToDepth", Attrs{"blocksize": int64(2), "mode": "CRD"}, []*tensor.Tensor{tensor.From([]float32{0, 1, 2, 3, 4, 5, 6, 7}, 1, 2, 2, 2)}, []float64{0, 1, 2, 3, 4, 5, 6, 7}},
		{"4 bits wrap", "Cast", Attrs{"to": int64(22)}, []*tensor.Tensor{tensor.From([]float32{7.9, 8, -9, 17}, 4)}, []float64{7, -8, 7, 1}},
		{"a modulo has the sign of the divisor", "Mod", nil, []*tensor.Tensor{tensor.From([]float32{-5, 5}, 2), tensor.From([]float32{3, -3}, 2)}, []float64{1, -1}},
		{"shifts of the whole width leave the sign", "BitShift", Attrs{"direction": "RIGHT"}, []*tensor.Tensor{tensor.From([]int8{-3, 3}, 2), tensor.From([]int8{8, 9}, 2)}, []float64{-1, 0}},
	} {
		o, err := Lookup("", c.op)
		if err != nil {
			t.Fatal(err)
		}
		call := &Call{Attrs: c.attrs, In: c.in, Out: make([]*tensor.Tensor, 1)}
		if err := o.Run(call); err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got := call.Out[0].Float64s(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// TestSchema refuses what an operator set does not have, and takes what it has.
func TestSchema(t *testing.T) {
	for _, c := range []struct {
		op      string
		version int
		attrs   Attrs
		ok      bool
	}{
		{"Conv", 17, Attrs{"dilations": []int64{1, 1}}, true},
		{"Conv", 17, Attrs{"dilation": []int64{1, 1}}, false},
		{"Conv", 17, Attrs{"group": float32(1)}, false},
		{"Clip", 6, Attrs{"min": float32(0)}, true},
		{"Clip", 11, Attrs{"min": float32(0)}, false},
		{"Cast", 13, nil, false},
		{"Gelu", 17, nil, false},
		{"Gelu", 20, Attrs{"approximate": "tanh"}, true},
		{"Relu", 1000, nil, false},
		{"NoSuchOperator", 17, Attrs{"any": int64(1)}, true},
	} {
		if err := CheckNode("", c.op, c.version, c.attrs); (err == nil) != c.ok {
			t.Errorf("%s of %d with %v: %v", c.op, c.version, c.attrs, err)
		}
	}
	f32, f64 := Type{DType: tensor.Float32}, Type{DType: tensor.Float64}
	for _, c := range []struct {
		op      string
		version int
		types   []Type
		ok      bool
	}{
		{"Conv", 17, []Type{f32, f32, f32}, true},
		{"Conv", 17, []Type{f32, f32, f64}, false},
		{"Conv", 17, []Type{f32, f64}, false},
		{"BatchNormalization", 9, []Type{f32, f32, f32, f64, f64}, false},
		{"BatchNormalization", 15, []Type{f32, f32, f32, f64, f64}, true},
		{"Clip", 11, []Type{{DType: tensor.Int64}}, false},
		{"Clip", 12, []Type{{DType: tensor.Int64}}, true},
	} {
		if err := schemaOf("", c.op, c.version).checkTypes(c.op, c.types); (err == nil) != c.ok {
			t.Errorf("%s of %d with %v: %v", c.op, c.version, c.types, err)
		}
	}
}

// TestSchemaOfEveryRow: a row without a schema would take anything.
func TestSchemaOfEveryRow(t *testing.T) {
	for _, name := range Names() {
		if strings.HasPrefix(name, Narrow+".") {
			continue // these are in no file
		}
		if schemas, _ := schemas(); len(schemas[name]) == 0 {
			t.Errorf("schema.txt has nothing of %s: make schema writes it anew", name)
		}
	}
}

// TestOperatorNames prints the names that make schema writes the schemas of.
func TestOperatorNames(t *testing.T) {
	for _, name := range Names() {
		if !strings.HasPrefix(name, Narrow+".") {
			fmt.Println("operator", name)
		}
	}
}
