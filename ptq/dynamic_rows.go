package ptq

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// leastMagnitude is what a row of nothing but zeros, or nearly so, is divided by.
const leastMagnitude = 1e-30

// dynamicRows are a tensor's rows divided by their largest magnitudes.
type dynamicRows struct{ data, magnitude *graph.Value }

// rowsOf divides every row of v by its largest magnitude, once for all who read it. DynamicQuantizeLinear has one scale for a
// tensor: without this a large row, as of a padded place, takes the steps from all others. Products multiply it back in behind the sums, and
// runtimes still see the operators that they have fast forms for.
func (d *dynamic) rowsOf(v *graph.Value) *dynamicRows {
	if d.rows[v] == nil {
		l, name := d.lowering, v.Name+"_rows"
		most := d.alongRows(name+"_max", "ReduceMax", l.add(name+"_abs", "Abs", nil, v))
		magnitude := l.add(name+"_magnitude", "Max", nil, most, graph.NewConst(l.name(name+"_least"), tensor.Scalar(float32(leastMagnitude))))
		d.rows[v] = &dynamicRows{data: l.add(name+"_divided", "Div", nil, v, magnitude), magnitude: magnitude}
	}
	return d.rows[v]
}

// alongRows adds a reduction over the last axis: its axes are an attribute before operator set 18, then an input.
func (d *dynamic) alongRows(name, operator string, v *graph.Value) *graph.Value {
	l, last := d.lowering, []int64{-1}
	attrs := op.Attrs{"keepdims": int64(1)}
	if l.g.Opset[""] < 18 {
		attrs["axes"] = last
		return l.add(name, operator, attrs, v)
	}
	return l.add(name, operator, attrs, v, graph.NewConst(l.name(name+"_axes"), tensor.From(last, 1)))
}
