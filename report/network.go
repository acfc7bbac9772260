package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Node is a node of the network as it is drawn and listed. Effects are the SQNR of the outputs in dB with only this quantized, +Inf
// for none, NaN if it is not known.
type Node struct {
	Name, Op, Shape string
	Inputs          []int // the nodes that it reads, by their places in the list, which come before it
	Integer         bool
	Why             string  // it stays in float
	MACs            int64   // multiply-accumulates for one input
	Weights, Result float64 // effect of quantizing its weights, and its result
	Exclude         string  // the command that leaves it in float
}

// Effect returns the larger one of a node's effects, as the lower SQNR.
func (n Node) Effect() float64 {
	switch {
	case math.IsNaN(n.Weights):
		return n.Result
	case math.IsNaN(n.Result):
		return n.Weights
	}
	return math.Min(n.Weights, n.Result)
}

// effects are the bounds in dB of the colours, from the strongest effect to the weakest.
var effects = []float64{20, 27, 34, 41}

// Class returns the colour of a node on the page.
func (n Node) Class() string {
	if !n.Integer {
		return "float"
	}
	db := n.Effect()
	if math.IsNaN(db) {
		return "none"
	}
	for i, bound := range effects {
		if db < bound {
			return fmt.Sprint("e", i)
		}
	}
	return fmt.Sprint("e", len(effects))
}

// Sizes of the picture, in pixels.
const (
	boxWidth, boxHeight = 132, 34
	gapX, gapY          = 18, 22
	drawnNodes          = 1500
	boxLetters          = 20
)

// place is where a node is drawn.
type place struct{ layer, x, y int }

// layout puts every node a layer below the lowest of those it reads, and within a layer in the order of where these are.
func layout(nodes []Node) (places []place, width, height int) {
	places = make([]place, len(nodes))
	var layers [][]int
	for i, n := range nodes {
		for _, in := range n.Inputs {
			places[i].layer = max(places[i].layer, places[in].layer+1)
		}
		for len(layers) <= places[i].layer {
			layers = append(layers, nil)
		}
		layers[places[i].layer] = append(layers[places[i].layer], i)
	}
	middle := make([]float64, len(nodes))
	most := 1
	for _, layer := range layers {
		most = max(most, len(layer))
		for _, i := range layer {
			for _, in := range nodes[i].Inputs {
				middle[i] += middle[in] / float64(len(nodes[i].Inputs))
			}
		}
		slices.SortStableFunc(layer, func(a, b int) int {
			switch {
			case middle[a] < middle[b]:
				return -1
			case middle[a] > middle[b]:
				return 1
			}
			return 0
		})
		for k, i := range layer {
			middle[i] = float64(k) - float64(len(layer)-1)/2
		}
	}
	width, height = most*(boxWidth+gapX)+boxWidth, len(layers)*(boxHeight+gapY)+gapY // with room for lines on both sides
	for i := range places {
		places[i].x = width/2 + int(middle[i]*(boxWidth+gapX)) - boxWidth/2
		places[i].y = gapY + places[i].layer*(boxHeight+gapY)
	}
	return places, width, height
}

// networkSVG draws the network from its inputs down; "" if it is too large for that.
func networkSVG(nodes []Node) template.HTML {
	if len(nodes) == 0 || len(nodes) > drawnNodes {
		return ""
	}
	places, width, height := layout(nodes)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg id="picture" class="network" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="the network: %d nodes in %d layers">`,
		width, height, width, height, len(nodes), (height-gapY)/(boxHeight+gapY))
	for i, n := range nodes {
		for _, in := range n.Inputs {
			b.WriteString(edge(places[in], places[i]))
		}
	}
	for i, n := range nodes {
		p := places[i]
		fmt.Fprintf(&b, `<g class="node %s" data-node="%s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="5"/><text x="%d" y="%d">%s</text><text class="sub" x="%d" y="%d">%s</text></g>`,
			n.Class(), template.HTMLEscapeString(n.Name), template.HTMLEscapeString(n.tip()), p.x, p.y, boxWidth, boxHeight,
			p.x+boxWidth/2, p.y+14, template.HTMLEscapeString(n.Op), p.x+boxWidth/2, p.y+27, template.HTMLEscapeString(lastLetters(n.Name, boxLetters)))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// edge draws a line from one node down to another, aside of those between if there are any.
func edge(from, to place) string {
	x1, y1, x2, y2 := from.x+boxWidth/2, from.y+boxHeight, to.x+boxWidth/2, to.y
	if to.layer > from.layer+1 {
		side := max(x1, x2) + 2*boxWidth/3 + 2*gapX
		return fmt.Sprintf(`<path class="edge" d="M%d %dC%d %d %d %d %d %d"/>`, x1, y1, side, y1+gapY, side, y2-gapY, x2, y2)
	}
	return fmt.Sprintf(`<path class="edge" d="M%d %dC%d %d %d %d %d %d"/>`, x1, y1, x1, y1+gapY/2, x2, y2-gapY/2, x2, y2)
}

// tip is what is said of a node when it is pointed at.
func (n Node) tip() string {
	text := n.Name + "\n" + n.Op + " " + n.Shape
	if n.Why != "" {
		text += "\nin float: " + n.Why
	}
	if !math.IsNaN(n.Weights) {
		text += "\nweights alone on integers: " + decibelText(n.Weights)
	}
	if !math.IsNaN(n.Result) {
		text += "\nresult alone on integers: " + decibelText(n.Result)
	}
	return text
}

// lastLetters returns the end of a name, which tells it from others.
func lastLetters(name string, n int) string {
	r := []rune(name)
	if len(r) <= n {
		return name
	}
	return "…" + string(r[len(r)-n+1:])
}
