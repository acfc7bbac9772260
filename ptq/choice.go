package ptq

// Choice is how a place's integers are chosen from what calibration saw there. Every place has its own;
// places that share a scale have the most bits of any of them, and the zero points of the first.
type Choice struct {
	Bits  int
	Clip  Clip
	Zeros ZeroPoints
}

// choosePlaces gives every place the choice that the options say, and the bits of the node that makes
// it, of an input of the network those of the first node that reads it.
func (p *Plan) choosePlaces(c *config) {
	for _, pl := range p.Places {
		of := pl.maker
		if of == nil {
			of = pl.reader
		}
		if readers := p.uses[pl.Value]; of == nil && len(readers) > 0 {
			of = readers[0]
		}
		pl.Choice = Choice{Bits: c.actBits, Clip: c.clip, Zeros: c.zeroPoints()}
		if p.unshifted(pl) {
			pl.Choice.Zeros = ZeroPointsNone
		}
		if of != nil {
			pl.Choice.Bits = p.node(of).ActBits
		}
	}
}

// clip gives every place a rule.
func (p *Plan) clip(rule Clip) {
	for _, pl := range p.Places {
		pl.Choice.Clip = rule
	}
}
