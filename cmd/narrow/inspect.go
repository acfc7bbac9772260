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
)

// nodeInfo is what `narrow inspect --json` prints of a node.
type nodeInfo struct {
	Name       string `json:"name"`
	Op         string `json:"op"`
	Shape      []int  `json:"shape,omitempty"` // of the first output; -1 where it is free
	Parameters int    `json:"parameters"`
	Note       string `json:"note,omitempty"`
}

func newInspect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect MODEL.onnx",
		Short: "List a network's nodes: operator, shape, parameters, and what quantization does with each",
		Args:  exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := onnx.ReadFile(args[0])
			if err != nil {
				return err
			}
			nodes := inspect(g)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"nodes": nodes})
			}
			return printNodes(cmd.OutOrStdout(), g, nodes)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object and nothing else")
	return cmd
}

func inspect(g *graph.Graph) []nodeInfo {
	nodes := make([]nodeInfo, len(g.Nodes))
	for i, n := range g.Nodes {
		info := nodeInfo{Name: n.Name, Op: n.Op, Parameters: parameters(n)}
		if len(n.Outputs) > 0 && n.Outputs[0] != nil {
			if t := n.Outputs[0].Type; t.Known {
				info.Shape = t.Shape
			}
			if info.Name == "" {
				info.Name = n.Outputs[0].Name
			}
		}
		if _, err := op.Lookup(n.Domain, n.Op); err != nil {
			info.Note = "not supported"
		}
		nodes[i] = info
	}
	return nodes
}

// parameters counts the elements of a node's constant inputs.
func parameters(n *graph.Node) int {
	total := 0
	for _, v := range n.Inputs {
		if v.IsConst() && v.Const.DType().IsFloat() {
			total += v.Const.Len()
		}
	}
	return total
}

func printNodes(w io.Writer, g *graph.Graph, nodes []nodeInfo) error {
	t := &table{}
	t.add("NODE", "OPERATOR", "SHAPE", "PARAMETERS", "QUANTIZATION")
	total := 0
	for _, n := range nodes {
		t.add(shorten(n.Name, 48), n.Op, dimsText(n.Shape), n.Parameters, n.Note)
		total += n.Parameters
	}
	if err := t.write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d nodes, %d parameters, opset %d\n", len(nodes), total, g.Opset[""])
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
