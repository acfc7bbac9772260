package ptq

import (
	"context"
	"fmt"
	"sync"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
)

// picker picks places of values while the float network runs. What it picks does not depend on the
// number of threads.
type picker struct {
	byValue [][]*moments // by number of the observed value
	usual   int          // inputs that are expected
	inputs  int          // of this run
	first   int          // number of its first input
	run     int          // its number
	mu      sync.Mutex
	buffers []pickerBuffers // by worker
}

type pickerBuffers struct {
	pickBuffers
	places []float32
}

// Sample implements [engine.Sampler].
func (k *picker) Sample(worker, value, part int, x *engine.Sample) {
	b := &k.buffers[worker]
	for _, m := range k.byValue[value] {
		b.places = b.places[:0]
		rows := max(1, m.places()*k.inputs/k.usual/max(x.Parts, 1))
		m.pick(x, k.first+part, rows, &b.pickBuffers, func(at []float32) { b.places = append(b.places, at...) })
		places := m.pack(b.places)
		k.mu.Lock()
		for len(m.runs[k.run]) <= part {
			m.runs[k.run] = append(m.runs[k.run], pickedPlaces{})
		}
		m.runs[k.run][part] = places
		m.picked += places.count
		k.mu.Unlock()
	}
}

// pickPlaces runs the float network over some of the data and fills the moments.
func (j *Job) pickPlaces(ctx context.Context, all []*moments) error {
	o, err := j.floatNet(all)
	if err != nil {
		return err
	}
	inputs := inputsFor(all)
	k := &picker{byValue: make([][]*moments, len(o.index)), buffers: make([]pickerBuffers, o.net.Threads())}
	for _, m := range all {
		at, ok := o.index[m.input]
		if !ok {
			return nodeError(m.nodes[0], fmt.Errorf("its input %q is not observed", m.input.Name))
		}
		k.byValue[at] = append(k.byValue[at], m)
	}
	k.usual = min(max(j.data.Len(), 1), fewInputs)
	data, _ := o.net.Separate(j.data)
	for batch, err := range data.Batches(sampleBatch) {
		if err != nil {
			return fmt.Errorf("ptq: calibration data: %w", err)
		}
		k.inputs = dataset.Count(data, batch)
		for _, m := range all {
			m.runs = append(m.runs, nil)
		}
		if err := o.net.Sample(ctx, k, batch...); err != nil {
			return err
		}
		err := sideBySide(j.c.threads, len(all), func(_, i int) error {
			all[i].absorb(max(inputs, k.usual))
			return nil
		})
		if err != nil {
			return err
		}
		k.run++
		if k.first += k.inputs; k.first >= inputs || k.first >= fewInputs && enough(all) {
			break
		}
	}
	return nil
}

// enough reports whether all of them are matrices of which there are as many places as they should have.
func enough(all []*moments) bool {
	for _, m := range all {
		if len(m.kernel) > 0 || m.picked < m.places() {
			return false
		}
	}
	return true
}

// floatNet returns the float network ready to show the inputs of the moments: the one that was calibrated with, unless there
// was none or it is of another plan.
func (j *Job) floatNet(all []*moments) (*observer, error) {
	if o := j.observer; o != nil && o.plan.Graph == j.Plan.Graph {
		return o, nil
	}
	return j.Plan.newObserver(j.c.threads)
}

// layerInputs returns the values that layers read which may become integers, in the order of the graph.
func (p *Plan) layerInputs() []*graph.Value {
	var values []*graph.Value
	for _, np := range p.Nodes {
		if isLayer(p.Graph, np.Node) {
			values = append(values, np.Node.In(0))
		}
	}
	return values
}
