package ptq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/profile"
)

// ErrContradiction reports an option that the target does not allow.
var ErrContradiction = errors.New("ptq: the target does not allow it")

// WithProfile quantizes for a target: what it needs is done, what it does not compute on integers stays in float, and options
// that it does not allow are an error, [ErrContradiction]. The result keeps every rule of the target, or is an error that
// wraps [profile.ErrBroken].
func WithProfile(p *profile.Profile) Option { return func(c *config) { c.profile = p } }

// follow chooses what the target wants; options may say otherwise and are then found to contradict.
func (c *config) follow(p *profile.Profile) {
	c.profile = p
	if p.Middle {
		c.signs, c.zeros = false, ZeroPointsNone
	}
	if p.Powers {
		c.shift, c.powers = true, true
	}
	if len(p.PerChannel) == 0 {
		c.perChannel = false
	}
	if p.Complete {
		c.places = PlacesAll
	}
}

// contradiction returns an error for an option that the target does not allow.
func (c *config) contradiction() error {
	p := c.profile
	if p == nil {
		return nil
	}
	bits := c.actBits
	for _, r := range c.bits {
		bits = max(bits, r.bits[1])
	}
	for _, rule := range []struct {
		broken bool
		option string
		why    string
	}{
		{c.noRound, "a network without rounding", "it runs integers"},
		{p.Middle && c.signs, "unsigned activations (--signs)", "its zero points are in the middle of the type"},
		{p.Middle && c.zeros != ZeroPointsNone, "zero points (--asymmetric)", "its zero points are in the middle of the type"},
		{p.Powers && !c.powers, "other scales than powers of two", "it rescales by shifts (--shift=scales)"},
		{len(p.PerChannel) == 0 && c.perChannel, "a scale for each channel (--per-channel)", "it takes one scale for the weights of a layer"},
		{p.Complete && c.places != PlacesAll, "other places than all (--places)", "it wants everything quantized"},
		{p.Safe && !c.safe, "weights that are not saturation-safe (--saturation-safe=false)", "it may run on x86 without VNNI"},
		{!p.QOperator && c.qoperator, "operators on integers (--format qoperator)", "it takes QuantizeLinear and DequantizeLinear"},
		{len(p.Types) > 0 && !p.Takes(bits), fmt.Sprintf("%d-bit activations (--act-bits)", bits), "it takes 8 bits"},
	} {
		if rule.broken {
			return fmt.Errorf("%w: %s takes no %s: %s", ErrContradiction, p.Name, rule.option, rule.why)
		}
	}
	return nil
}

// leaveToTarget leaves the nodes in float that the target computes so.
func (p *Plan) leaveToTarget() {
	if p.target == nil {
		return
	}
	for _, np := range p.Nodes { // what is clamped comes before what clamps it
		if np.clamps = p.clampedBy(np); np.able == op.FloatOnly || np.clamps != nil {
			continue
		}
		if _, ok := p.target.Wants(np.Node.Domain, np.Node.Op); !ok {
			np.able, np.unable = op.FloatOnly, Reason{NotOnTarget, p.target.Name}
		}
	}
}

// whole reports whether the target computes what makes v on integers only if v itself becomes integers, and whoever
// reads it takes these.
func (p *Plan) whole(v *graph.Value) bool {
	if p.target == nil || v.Node == nil || p.node(v.Node) == nil || p.node(v.Node).kind == op.FloatOnly {
		return false
	}
	for _, n := range p.uses[v] { // what clamps it makes the result
		if p.node(n) != nil && p.node(n).clamps == v.Node && p.node(n).kind != op.FloatOnly {
			return false
		}
	}
	maker := p.node(p.maker(v))
	if maker.carries() {
		return p.target.Complete && p.integral(v)
	}
	wants, _ := p.target.Wants(maker.Node.Domain, maker.Node.Op)
	return wants&profile.Result != 0
}

// unshifted reports whether a node reads a place that the target wants without a zero point there.
func (p *Plan) unshifted(pl *Place) bool {
	if p.target == nil {
		return false
	}
	return slices.ContainsFunc(p.uses[pl.Value], func(n *graph.Node) bool {
		wants, _ := p.target.Wants(n.Domain, n.Op)
		np := p.node(n)
		return np != nil && np.able != op.FloatOnly && (wants&profile.Unshifted != 0 || wants&profile.UnshiftedPair != 0 && np.able == op.Product)
	})
}

// channels reports whether the weights of a node have a scale for each output channel.
func (c *config) channels(n *graph.Node) bool {
	return c.perChannel && (c.profile == nil || c.profile.Channels(n.Op))
}

// storeAs moves the integers of activations to the types that the target takes, which changes no value.
func (c *config) storeAs(net *network) {
	switch {
	case c.profile == nil || c.profile.Middle:
	case c.profile.Store == profile.Unsigned:
		storeUnsigned(net)
	case c.profile.Store == profile.Signed:
		storeSigned(net)
	}
}

// storeSigned moves the integers of unsigned activations to the same number of signed ones.
func storeSigned(net *network) {
	for _, n := range net.Nodes {
		if sc := scalingOf(n); sc != nil && !sc.Signed && net.place[n] != nil {
			sc.Zero -= 1 << (sc.Bits - 1)
			sc.Signed = true
		}
	}
}

// floatBias reports whether biases are written as they are.
func (c *config) floatBias() bool { return c.profile != nil && c.profile.FloatBias }

// targetStep makes sure that the network keeps the rules of the target.
var targetStep = Step{Name: "check target", Needs: Lowered, run: func(_ context.Context, j *Job) (err error) {
	if j.report.Target, err = profile.Check(j.net.Graph, j.c.profile); err != nil {
		return err
	}
	return j.report.Target.Err()
}}
