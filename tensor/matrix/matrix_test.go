package matrix_test

import (
	"errors"
	"fmt"
	"testing"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"

	"github.com/narrow-ml/narrow/tensor"
	"github.com/narrow-ml/narrow/tensor/matrix"
)

func TestDenseShares(t *testing.T) {
	x := tensor.From([]float64{1, 2, 3, 4, 5, 6}, 1, 2, 3)
	m, err := matrix.Dense(x)
	if err != nil {
		t.Fatal(err)
	}
	m.Set(1, 0, 40)
	if got := tensor.Data[float64](x)[3]; got != 40 {
		t.Errorf("the tensor has %v", got)
	}
	back := matrix.FromDense(m)
	tensor.Data[float64](back)[0] = 10
	if m.At(0, 0) != 10 {
		t.Error("FromDense copies a matrix without gaps")
	}
}

func TestFromDenseWithGaps(t *testing.T) {
	m := mat.NewDense(3, 3, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9})
	part := m.Slice(1, 3, 0, 2).(*mat.Dense)
	if got := fmt.Sprint(tensor.Data[float64](matrix.FromDense(part))); got != "[4 5 7 8]" {
		t.Error(got)
	}
}

func TestGeneralShares(t *testing.T) {
	x := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	m, err := matrix.General(x)
	if err != nil {
		t.Fatal(err)
	}
	m.Data[3] = 9
	if x.F32()[3] != 9 || m.Rows != 2 || m.Stride != 2 {
		t.Errorf("%v %+v", x.F32(), m)
	}
	gaps := blas32.General{Rows: 2, Cols: 1, Stride: 2, Data: x.F32()}
	if got := fmt.Sprint(matrix.FromGeneral(gaps).F32()); got != "[1 3]" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	for _, x := range []*tensor.Tensor{tensor.New(tensor.Float32, 3), tensor.New(tensor.Float32, 0, 3), tensor.New(tensor.Int8, 2, 2)} {
		if _, err := matrix.General(x); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("%s: %v", x, err)
		}
		if _, err := matrix.Dense(x); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("%s: %v", x, err)
		}
	}
}

func ExampleDense() {
	x := tensor.From([]float64{2, 0, 0, 4}, 2, 2)
	m, err := matrix.Dense(x)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mat.Trace(m))
	// Output: 6
}
