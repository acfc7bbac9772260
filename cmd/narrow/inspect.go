package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

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
	Quantization string `json:"quantization"` // "int8", "float", "not supported", or "" in a network that is quantized already
	Reason       string `json:"reason,omitempty"`
}

// networkInfo is what `narrow inspect --json` prints.
type networkInfo struct {
	Opset      int        `json:"opset"`
	Quantized  bool       `json:"quantized"` // the file holds integers already
	Parameters int64      `json:"parameters"`
	MACs       int64      `json:"macs"`
	Integer    float64    `json:"integer_macs"` // percent of MACs that are on integers, or that quantization would bring there
	Nodes      []nodeInfo `json:"nodes"`
}

func newInspect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect MODEL.onnx",
		Short: "List a network's nodes: operator, shape, parameters, and what quantization would do with each",
		Long: `Lists every node as quantization sees it: after constants are folded, BatchNormalization is folded into the
convolution before it and so on. The last column says int8, float and why, or not supported.`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := onnx.ReadFile(args[0])
			if err != nil {
				return err
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
	return cmd
}

func inspect(g *graph.Graph) (*networkInfo, error) {
	info := &networkInfo{Opset: g.Opset[""], Quantized: isQuantized(g)}
	var float map[string]string
	if !info.Quantized && supported(g) {
		var err error
		if g, float, err = ptq.Preview(g); err != nil {
			return nil, err
		}
	} else if err := graph.Infer(g); err != nil {
		return nil, err
	}
	var integer int64
	for _, n := range g.Nodes {
		node := describe(n)
		switch _, err := op.Lookup(n.Domain, n.Op); {
		case err != nil:
			node.Quantization = "not supported"
		case float == nil:
			if onIntegers(n) {
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

// onIntegers reports whether a node of a quantized network multiplies integers:
// by its operator, or because a DequantizeLinear makes what it multiplies.
func onIntegers(n *graph.Node) bool {
	if strings.HasPrefix(n.Op, "QLinear") || strings.HasSuffix(n.Op, "Integer") || n.Op == "QGemm" {
		return true
	}
	dequantized := func(v *graph.Value) bool { return v != nil && v.Node != nil && v.Node.Op == "DequantizeLinear" }
	return dequantized(n.In(0)) && dequantized(n.In(1))
}

// isQuantized reports whether a network has integer nodes already.
func isQuantized(g *graph.Graph) bool {
	for _, n := range g.Nodes {
		if n.Op == "QuantizeLinear" || strings.HasPrefix(n.Op, "QLinear") || strings.HasSuffix(n.Op, "Integer") {
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
	_, err := fmt.Fprintf(w, "\n%s\n", summary)
	return err
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
