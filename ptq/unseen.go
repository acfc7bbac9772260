package ptq

import "slices"

// leaveUnseen leaves in float what reads a tensor of which calibration saw no element, as of a cache that was empty:
// nothing tells its range.
func (j *Job) leaveUnseen() {
	for _, pl := range j.Plan.Places {
		h := j.Stats.Tensors[pl.Value.Name]
		if !pl.On || pl.reader != nil || h == nil || h.Count() > 0 {
			continue
		}
		var readers []string
		for _, np := range j.Plan.Nodes {
			if slices.Contains(np.Node.Inputs, pl.Value) {
				readers = append(readers, np.Node.Name)
			}
		}
		j.Plan.Exclude(Reason{Unseen, pl.Value.Name}, readers...)
	}
}
