package op

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "MatMul", min: 2, infer: inferMatMul, run: byNumber{f32: runMatMul[float32], f64: runMatMul[float64],
		i32: runMatMul[int32], u32: runMatMul[uint32], i64: runMatMul[int64], u64: runMatMul[uint64]}.run}.is(plain, inputs(Data, Weights), tensors, batch(matMulSamples(0, 1)), flow(Affine, inQ(QOperands, "", "QLinearMatMul", false)), tensorScale, floatSums, channels(-1), products(1, 0, matMulSums), weightAxes(matMulWeightAxes), dynamicAs("MatMulInteger"), macs(matMulMACs(1))).where(matMulFlow),
	spec{name: "Gemm", min: 2, max: 3, infer: inferGemm, run: byNumber{f32: runGemm[float32], f64: runGemm[float64],
		i32: runGemm[int32], u32: runGemm[uint32], i64: runGemm[int64], u64: runGemm[uint64]}.run}.is(plain, inputs(Data, Weights, Bias), tensors, batch(gemmSamples), flow(Affine, inQ(QMatrix, microsoft, "QGemm", false)), tensorScale, floatSums, channels(-1), products(1, 0, gemmSums), weightAxes(gemmWeightAxes), dynamicAs("MatMulInteger"), macs(gemmMACs(1))).where(gemmFlow),
)

// matmulShape returns the shape of NumPy's matmul, and the shapes of both
// sides as stacks of matrices.
func matmulShape(a, b []int) (out, a2, b2 []int, err error) {
	if len(a) == 0 || len(b) == 0 {
		return nil, nil, nil, badInput("a scalar has no matrix product")
	}
	a2, b2 = a, b
	if len(a) == 1 {
		a2 = []int{1, a[0]}
	}
	if len(b) == 1 {
		b2 = []int{b[0], 1}
	}
	la, lb := len(a2), len(b2)
	if !compatible(a2[la-1], b2[lb-2]) {
		return nil, nil, nil, badInput("shapes %v and %v have no matrix product", a, b)
	}
	if out, err = broadcast(a2[:la-2], b2[:lb-2]); err != nil {
		return nil, nil, nil, err
	}
	if len(a) > 1 {
		out = append(out, a2[la-2])
	}
	if len(b) > 1 {
		out = append(out, b2[lb-1])
	}
	return out, a2, b2, nil
}

func inferMatMul(c *Call) error {
	a, b := c.Types[0], c.Types[1]
	if a.DType != tensor.Undefined && b.DType != tensor.Undefined && a.DType != b.DType {
		return badInput("inputs are %s and %s", a.DType, b.DType)
	}
	return matmulType(c, max(a.DType, b.DType), a, b)
}

func matmulType(c *Call, d tensor.DType, a, b Type) error {
	c.OutType[0] = Type{DType: d}
	if !a.Known || !b.Known {
		return nil
	}
	shape, _, _, err := matmulShape(a.Shape, b.Shape)
	c.OutType[0].Known, c.OutType[0].Shape = true, shape
	return err
}

func runMatMul[T number](c *Call) error {
	return matmul(tensor.Data[T](c.out(0)), tensor.Data[T](c.In[0]), tensor.Data[T](c.In[1]), c.Types[0].Shape, c.Types[1].Shape)
}

// matmul multiplies stacks of matrices that broadcast.
func matmul[T number](dst, a, b []T, aShape, bShape []int) error {
	_, as, bs, err := matmulShape(aShape, bShape)
	if err != nil {
		return err
	}
	la, lb := len(as), len(bs)
	m, k, n := as[la-2], as[la-1], bs[lb-1]
	stack, err := broadcast(as[:la-2], bs[:lb-2])
	if err != nil {
		return err
	}
	strides := [][]int{tensor.Strides(stack), broadcastStrides(as[:la-2], stack), broadcastStrides(bs[:lb-2], stack)}
	eachRow(stack, strides, func(off []int, count int, step []int) {
		for i := range count {
			mulAdd(dst[(off[0]+i*step[0])*m*n:][:m*n], a[(off[1]+i*step[1])*m*k:][:m*k], b[(off[2]+i*step[2])*k*n:][:k*n], m, k, n)
		}
	})
	return nil
}

// mulAdd adds the product of a [m,k] and b [k,n] to dst [m,n]. Each element
// gets its products in the order of k.
func mulAdd[T number](dst, a, b []T, m, k, n int) {
	if d, ok := any(dst).([]float32); ok && m*k*n > 0 {
		asm.SgemmF32(false, false, m, n, k, 1, any(a).([]float32), k, any(b).([]float32), n, 1, d, n)
		return
	}
	for i := range m {
		row := dst[i*n:][:n]
		for p := range k {
			v, src := a[i*k+p], b[p*n:][:n]
			for j := range row {
				row[j] += T(v * src[j])
			}
		}
	}
}

func inferGemm(c *Call) error {
	for i := range c.Types {
		if err := c.wantType(i, append(slices.Clone(floatTypes), tensor.Int32, tensor.Uint32, tensor.Int64, tensor.Uint64)...); err != nil {
			return err
		}
	}
	a, b := c.Types[0], c.Types[1]
	c.OutType[0] = Type{DType: a.DType}
	if !a.Known || !b.Known {
		return nil
	}
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return badInput("shapes %v and %v are not matrices", a.Shape, b.Shape)
	}
	m, k := a.Shape[0], a.Shape[1]
	if c.Attrs.Int("transA", 0) != 0 {
		m, k = k, m
	}
	k2, n := b.Shape[0], b.Shape[1]
	if c.Attrs.Int("transB", 0) != 0 {
		k2, n = n, k2
	}
	if !compatible(k, k2) {
		return badInput("shapes %v and %v have no product", a.Shape, b.Shape)
	}
	if bias := c.typ(2); bias.Known {
		s, err := broadcast([]int{m, n}, bias.Shape)
		if err != nil || len(s) != 2 || !compatible(s[0], m) || !compatible(s[1], n) {
			return badInput("C of shape %v for a product of %d x %d", bias.Shape, m, n)
		}
	}
	c.setType(a.DType, []int{m, n})
	return nil
}

func runGemm[T number](c *Call) error {
	if err := sameTypes(c.In); err != nil {
		return err
	}
	a, b, dst := tensor.Data[T](c.In[0]), tensor.Data[T](c.In[1]), tensor.Data[T](c.out(0))
	m, n, k := c.OutType[0].Shape[0], c.OutType[0].Shape[1], c.Types[0].Shape[1]
	if c.Attrs.Int("transA", 0) != 0 {
		k = c.Types[0].Shape[0]
		a = transposed(a, k, m)
	}
	if c.Attrs.Int("transB", 0) != 0 {
		b = transposed(b, n, k)
	}
	mulAdd(dst, a, b, m, k, n)
	if alpha := T(c.Attrs.Float("alpha", 1)); alpha != 1 {
		mapInto(dst, dst, func(v T) T { return v * alpha })
	}
	bias, beta := c.in(2), T(c.Attrs.Float("beta", 1))
	if bias == nil || beta == 0 {
		return nil
	}
	zipInto(dst, dst, tensor.Data[T](bias), []int{m, n}, []int{m, n}, bias.Shape(), func(v, b T) T { return v + T(b*beta) })
	return nil
}

// transposed returns the [rows,cols] matrix a as [cols,rows].
func transposed[T any](a []T, rows, cols int) []T {
	out := make([]T, len(a))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = a[i*cols+j]
		}
	}
	return out
}

// matMulFlow: of two activations it is a product.
func matMulFlow(c *Call, t *Traits) {
	if c.in(1) == nil || c.in(0) != nil {
		t.Flow, t.Scale, t.Inputs = Product, Bilinear, []Role{Data, Data}
	}
}

// gemmFlow: integers have no room for what it does to its operands beside.
func gemmFlow(c *Call, t *Traits) {
	if c.Attrs.Int("transA", 0) != 0 || c.Attrs.Float("alpha", 1) != 1 || c.Attrs.Float("beta", 1) != 1 {
		t.Flow, t.Integer, t.Why = FloatOnly, InFloat, "it transposes or scales its operands"
	}
}
