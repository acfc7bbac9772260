package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

// nodeInfo is what `narrow inspect --json` prints of a node.
type nodeInfo struct {
	Name         string `json:"name"`
	Op           string `json:"op"`
	Shape        []int  `json:"shape,omitempty"` // of the first output; -1 where it is free
	Parameters   int64  `json:"parameters"`
	MACs         int64  `json:"macs"`         // multiply-accumulates for one input
	Quantization string `json:"quantization"` // "int8", "float", "not supported"; in a network that is quantized already "integer", "float" or "" for what only moves elements
	Reason       string `json:"reason,omitempty"`

	Pairs *ptq.PairSums `json:"pairs,omitempty"` // of 8-bit weights
}

// networkInfo is what `narrow inspect --json` prints.
type networkInfo struct {
	Opset      int        `json:"opset"`
	Quantized  bool       `json:"quantized"` // the file holds integers already
	Parameters int64      `json:"parameters"`
	MACs       int64      `json:"macs"`
	Integer    float64    `json:"integer_macs"`              // percent of MACs that are on integers, or that quantization would bring there
	Safe       *bool      `json:"saturation_safe,omitempty"` // of a network with 8-bit weights
	Nodes      []nodeInfo `json:"nodes"`
}

func newInspect() *cobra.Command {
	var asJSON, asProgram bool
	var requant string
	cmd := &cobra.Command{
		Use:   "inspect MODEL.onnx",
		Short: "List a network's nodes: operator, shape, parameters, and what quantization would do with each",
		Long: `Lists every node as quantization sees it: after constants are folded, BatchNormalization is folded into the
convolution before it and so on. The last column says int8, float and why, or not supported;
of a network that is quantized already, what its plan computes on integers and what in float, and why.

With --program the steps that the engine runs instead, in their order: what was fused, where each tensor lies in memory
and in what layout, and how sums are rescaled.

Of a statistics file (.nrw) it lists the inputs that were seen and what was done to them.`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.EqualFold(filepath.Ext(args[0]), ".nrw") {
				s, err := readStatistics(args[0])
				if err != nil {
					return err
				}
				return inspectStatistics(cmd.OutOrStdout(), s, asJSON)
			}
			g, err := onnx.ReadFile(args[0])
			if err != nil {
				return err
			}
			if asProgram {
				return printProgram(cmd.OutOrStdout(), args[0], g, requant)
			}
			info, err := inspect(g)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), info)
			}
			return info.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object and nothing else")
	cmd.Flags().BoolVar(&asProgram, "program", false, "print the steps that the engine runs")
	cmd.Flags().StringVar(&requant, "requant", "auto", requantHelp)
	cmd.MarkFlagsMutuallyExclusive("json", "program")
	return cmd
}

// printProgram prints what the engine runs for one input, or as many as it takes at a time.
func printProgram(w io.Writer, path string, g *graph.Graph, requant string) error {
	mode, err := engine.ParseRequant(requant)
	if err != nil {
		return err
	}
	net, err := engine.Compile(g, engine.WithRequant(mode))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p, err := net.Program()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = io.WriteString(w, p.Text())
	return err
}

func inspect(g *graph.Graph) (*networkInfo, error) {
	info := &networkInfo{Opset: g.Opset[""], Quantized: isQuantized(g)}
	var float map[string]string
	if !info.Quantized && supported(g) {
		p, err := ptq.NewPlan(g)
		if err != nil {
			return nil, err
		}
		g, float = p.Graph, p.Float()
	} else if err := graph.Infer(g); err != nil {
		return nil, err
	}
	var steps map[string]engine.StepInfo
	if info.Quantized && supported(g) {
		var err error
		if steps, err = stepsByNode(g); err != nil {
			return nil, err
		}
	}
	pairs, err := ptq.Saturation(g)
	if err != nil {
		return nil, err
	}
	info.Safe = saturationSafe(pairs)
	var integer int64
	for _, n := range g.Nodes {
		node := describe(n)
		if p, ok := pairs[n]; ok {
			node.Pairs = &p
		}
		switch _, err := op.Lookup(n.Domain, n.Op); {
		case err != nil:
			node.Quantization = "not supported"
		case float == nil:
			if s, ok := steps[n.Name]; ok && s.Kind != engine.Move {
				node.Quantization, node.Reason = string(s.Kind), s.Why
			}
			if node.Quantization == string(engine.Integer) {
				integer += node.MACs
			}
		case float[n.Name] != "":
			node.Quantization, node.Reason = "float", float[n.Name]
		default:
			node.Quantization = "int8"
			integer += node.MACs
		}
		info.Parameters += node.Parameters
		info.MACs += node.MACs
		info.Nodes = append(info.Nodes, node)
	}
	if info.MACs > 0 {
		info.Integer = 100 * float64(integer) / float64(info.MACs)
	}
	return info, nil
}

// stepsByNode compiles a quantized network and returns the step that computes each node, by name.
func stepsByNode(g *graph.Graph) (map[string]engine.StepInfo, error) {
	net, err := engine.Compile(g)
	if err != nil {
		return nil, err
	}
	steps, err := net.Steps()
	if err != nil {
		return nil, err
	}
	byNode := make(map[string]engine.StepInfo)
	for _, s := range steps {
		for _, n := range s.Nodes {
			byNode[n.Name] = s
		}
	}
	return byNode, nil
}

// isQuantized reports whether a network has integer nodes already.
func isQuantized(g *graph.Graph) bool {
	for _, n := range g.Nodes {
		t := n.Traits()
		if slices.Contains(t.Inputs, op.ZeroPoint) {
			return true
		}
	}
	return false
}

func supported(g *graph.Graph) bool {
	for _, n := range g.Nodes {
		if _, err := op.Lookup(n.Domain, n.Op); err != nil {
			return false
		}
	}
	return true
}

func describe(n *graph.Node) nodeInfo {
	info := nodeInfo{Name: n.Name, Op: n.Op, Parameters: graph.Parameters(n), MACs: graph.MACs(n)}
	if len(n.Outputs) > 0 && n.Outputs[0] != nil {
		if t := n.Outputs[0].Type; t.Known {
			info.Shape = t.Shape
		}
		if info.Name == "" {
			info.Name = n.Outputs[0].Name
		}
	}
	return info
}

func (info *networkInfo) print(w io.Writer) error {
	t := &table{}
	t.add("NODE", "OPERATOR", "SHAPE", "PARAMETERS", "MACS", "QUANTIZATION")
	for _, n := range info.Nodes {
		what := n.Quantization
		if n.Reason != "" {
			what += ": " + n.Reason
		}
		t.add(shorten(n.Name, 48), n.Op, dimsText(n.Shape), n.Parameters, n.MACs, what)
	}
	if err := t.write(w); err != nil {
		return err
	}
	summary := fmt.Sprintf("%d nodes, %d parameters, %d MACs, opset %d", len(info.Nodes), info.Parameters, info.MACs, info.Opset)
	if info.Quantized {
		summary += fmt.Sprintf("; quantized already, %.1f %% of the MACs are on integers", info.Integer)
	} else {
		summary += fmt.Sprintf("; %.1f %% of the MACs would be int8", info.Integer)
	}
	_, err := fmt.Fprintf(w, "\n%s\n%s", summary, info.saturation())
	return err
}

// saturationSafe reports whether no machine can saturate on these weights, nil if there are none.
func saturationSafe(pairs map[*graph.Node]ptq.PairSums) *bool {
	if len(pairs) == 0 {
		return nil
	}
	safe := true
	for _, p := range pairs {
		safe = safe && p.Above == 0
	}
	return &safe
}

// saturation says in a line whether the weights are saturation-safe.
func (info *networkInfo) saturation() string {
	switch {
	case info.Safe == nil:
		return ""
	case *info.Safe:
		return "saturation-safe: the weights mean the same on processors that add two products in 16 bits (x86 without VNNI)\n"
	}
	pairs, above, nodes := 0, 0, 0
	for _, n := range info.Nodes {
		if n.Pairs != nil && n.Pairs.Above > 0 {
			nodes++
			above += n.Pairs.Above
		}
		if n.Pairs != nil {
			pairs += n.Pairs.Pairs
		}
	}
	return fmt.Sprintf("not saturation-safe: %d of %d pairs of neighbouring weights, in %d nodes, sum to more than %d; on processors that add two products in 16 bits (x86 without VNNI) results may differ: see narrow eval --saturating\n",
		above, pairs, nodes, op.PairLimit)
}

// dimsText writes a shape as 1x3x32x32, ? where a dimension is free.
func dimsText(shape []int) string {
	if shape == nil {
		return "-"
	}
	text := make([]string, len(shape))
	for i, d := range shape {
		if text[i] = strconv.Itoa(d); d < 0 {
			text[i] = "?"
		}
	}
	return strings.Join(text, "x")
}
