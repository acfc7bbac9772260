package op

import (
	"strings"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Einsum", min: 1, max: variadic, infer: inferEinsum, run: byNumber{f32: einsum[float32], f64: einsum[float64], i32: einsum[int32], i64: einsum[int64]}.run}.is(plain, inputs(Data), batch(einsumSamples), keepsPositive),
)

// equation is an Einstein summation: a letter for each dimension of each
// input and of the output.
type equation struct {
	in  []string
	out string
}

// parseEquation reads an equation; an ellipsis becomes letters of its own,
// aligned to the right.
func parseEquation(text string, shapes [][]int) (equation, error) {
	text = strings.ReplaceAll(text, " ", "")
	left, right, explicit := strings.Cut(text, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(shapes) {
		return equation{}, badAttr("equation %q for %d inputs", text, len(shapes))
	}
	const others = "0123456789" // letters that no equation holds
	widest := 0
	var e equation
	for i, term := range terms {
		extra := len(shapes[i]) - len(strings.Replace(term, "...", "", 1))
		if strings.Contains(term, "...") && (extra < 0 || extra > len(others)) || !strings.Contains(term, "...") && extra != 0 {
			return equation{}, badInput("term %q for shape %v", term, shapes[i])
		}
		if strings.Contains(term, "...") {
			widest = max(widest, extra)
			term = strings.Replace(term, "...", others[len(others)-extra:], 1)
		}
		e.in = append(e.in, term)
	}
	ellipsis := others[len(others)-widest:]
	if e.out = strings.Replace(right, "...", ellipsis, 1); !explicit {
		e.out = ellipsis + implicitOutput(left)
	}
	for _, l := range strings.Join(e.in, "") + e.out {
		if !(l >= 'a' && l <= 'z' || l >= 'A' && l <= 'Z' || l >= '0' && l <= '9') {
			return equation{}, badAttr("equation %q", text)
		}
	}
	for i, l := range e.out {
		if !strings.ContainsRune(strings.Join(e.in, ""), l) || strings.ContainsRune(e.out[:i], l) {
			return equation{}, badAttr("equation %q", text)
		}
	}
	return e, nil
}

// implicitOutput is every letter that comes once, in order of the alphabet.
func implicitOutput(left string) string {
	var out strings.Builder
	for l := 'A'; l <= 'z'; l++ {
		if (l <= 'Z' || l >= 'a') && strings.Count(left, string(l)) == 1 {
			out.WriteRune(l)
		}
	}
	return out.String()
}

// sizes returns the size of every letter.
func (e equation) sizes(shapes [][]int) (map[rune]int, error) {
	sizes := make(map[rune]int)
	for i, term := range e.in {
		for d, l := range []rune(term) {
			n := shapes[i][d]
			old, seen := sizes[l]
			switch {
			case !seen, old == 1, old == Unknown && n != 1:
				sizes[l] = n
			case n != 1 && n != Unknown && n != old:
				return nil, badInput("dimension %q is %d and %d", l, old, n)
			}
		}
	}
	return sizes, nil
}

func inferEinsum(c *Call) error {
	c.OutType[0] = Type{DType: c.Types[0].DType}
	shapes := make([][]int, len(c.Types))
	for i, t := range c.Types {
		if !t.Known {
			return nil
		}
		shapes[i] = t.Shape
	}
	e, err := parseEquation(c.Attrs.String("equation", ""), shapes)
	if err != nil {
		return err
	}
	sizes, err := e.sizes(shapes)
	if err != nil {
		return err
	}
	shape := []int{}
	for _, l := range e.out {
		shape = append(shape, sizes[l])
	}
	c.setType(c.Types[0].DType, shape)
	return nil
}

// einsum walks over all letters, those of the output first, and adds up the
// products of the inputs.
func einsum[T number](c *Call) error {
	if err := sameTypes(c.In); err != nil {
		return err
	}
	shapes := make([][]int, len(c.In))
	data := make([][]T, len(c.In))
	for i, t := range c.In {
		shapes[i], data[i] = t.Shape(), tensor.Data[T](t)
	}
	e, err := parseEquation(c.Attrs.String("equation", ""), shapes)
	if err != nil {
		return err
	}
	sizes, err := e.sizes(shapes)
	if err != nil {
		return err
	}
	letters := []rune(e.out)
	for _, term := range e.in {
		for _, l := range term {
			if !strings.ContainsRune(string(letters), l) {
				letters = append(letters, l)
			}
		}
	}
	shape := make([]int, len(letters))
	for d, l := range letters {
		shape[d] = sizes[l]
	}
	if _, ok := tensor.CheckedVolume(shape); !ok {
		return badInput("the product has shape %v", shape)
	}
	strides := [][]int{termStrides(e.out, c.OutType[0].Shape, letters)}
	for i, term := range e.in {
		strides = append(strides, termStrides(term, shapes[i], letters))
	}
	dst := tensor.Data[T](c.out(0))
	eachRow(shape, strides, func(off []int, n int, step []int) {
		for i := range n {
			product := T(1)
			for k, d := range data {
				product *= d[off[k+1]+i*step[k+1]]
			}
			dst[off[0]+i*step[0]] += product
		}
	})
	return nil
}

// termStrides returns the strides of a term along every letter; a letter that
// comes twice walks along the diagonal.
func termStrides(term string, shape []int, letters []rune) []int {
	out, s := make([]int, len(letters)), tensor.Strides(shape)
	for d, l := range []rune(term) {
		if shape[d] == 1 {
			continue
		}
		for i, m := range letters {
			if l == m {
				out[i] += s[d]
			}
		}
	}
	return out
}
