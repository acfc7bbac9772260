package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
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
	MACs         int64  `json:"macs"`         // multiply-accumulates; a free dimension counts as 1
	Quantization string `json:"quantization"` // "int8", "float", "not supported"; in a network that is quantized already "integer", "float" or "" for what only moves elements
	Reason       string `json:"reason,omitempty"`

	Pairs *graph.PairSums `json:"pairs,omitempty"` // of 8-bit weights
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

	Inputs   []portInfo          `json:"inputs"`
	Outputs  []portInfo          `json:"outputs"`
	Free     map[string][]string `json:"free_dimensions,omitempty"` // of the inputs, by name, but for that of the batch: MACs count them as 1
	Unknown  []string            `json:"macs_unknown,omitempty"`    // nodes whose MACs are not known: what runs inside an If, Loop or Scan
	Bytes    map[string]int64    `json:"bytes"`                     // of constants, by element type
	External map[string]int64    `json:"external,omitempty"`        // sizes of the files beside the network's that hold some of them
}

// portInfo is an input or output of a network.
type portInfo struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"` // -1 where it is free; null if it is not known
}

func portsOf(values []*graph.Value) []portInfo {
	var all []portInfo
	for _, v := range values {
		p := portInfo{Name: v.Name, Type: v.Type.DType.String(), Shape: v.Type.Shape}
		if v.Type.Known && p.Shape == nil {
			p.Shape = []int{}
		}
		all = append(all, p)
	}
	return all
}

func newInspect() *cobra.Command {
	var asJSON, asProgram bool
	var requant string
	var shapes []string
	cmd := &cobra.Command{
		Use:   "inspect MODEL.onnx",
		Short: "List a network's nodes: operator, shape, parameters, and what quantization would do with each",
		Long: `Lists every node as quantization sees it: after constants are folded, BatchNormalization is folded into the
convolution before it and so on. The last column says int8, float and why, or not supported;
of a network that is quantized already, what its plan computes on integers and what in float, and why.

With --program the steps that the engine runs instead, in their order: what was fused, where each tensor lies in memory
and in what layout, and how sums are rescaled.

Multiply-accumulates are those of one input. Where the network leaves more than the batch free, say how large inputs are.

Of a statistics file (.nrw) it lists the inputs that were seen and what was done to them.`,
		Example: `  narrow inspect resnet.onnx
  narrow inspect detector.onnx --shape images=1x3x640x640`,
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
			if err := setShapes(g, shapes); err != nil {
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
	cmd.Flags().StringArrayVar(&shapes, "shape", nil, "how large an input is where the network leaves that free: `NAME=1x3x640x640`, or without the name for the only one; may be repeated")
	cmd.MarkFlagsMutuallyExclusive("json", "program")
	return cmd
}

// setShapes fixes the free dimensions of inputs.
func setShapes(g *graph.Graph, texts []string) error {
	for _, text := range texts {
		name, dims, named := strings.Cut(text, "=")
		if !named {
			if dims = name; len(g.Inputs) != 1 {
				return usagef("--shape %s: the network has %d inputs: say which, as in %s=%s", text, len(g.Inputs), g.Inputs[0].Name, text)
			}
			name = g.Inputs[0].Name
		}
		i := slices.IndexFunc(g.Inputs, func(v *graph.Value) bool { return v.Name == name })
		if i < 0 {
			var names []string
			for _, v := range g.Inputs {
				names = append(names, strconv.Quote(v.Name))
			}
			return usagef("--shape %s: the network has no input %q, but %s", text, name, strings.Join(names, ", "))
		}
		shape, err := parseShape(dims)
		v := g.Inputs[i]
		if err != nil || v.Type.Known && !fixes(shape, v.Type.Shape) {
			return usagef("--shape %s: input %q is %s", text, name, dimsText(v.Type.Shape))
		}
		v.Type.Shape, v.Type.Known, v.Dims = shape, true, nil
	}
	return nil
}

// parseShape reads 1x3x640x640.
func parseShape(text string) ([]int, error) {
	var shape []int
	for part := range strings.SplitSeq(text, "x") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no dimension", part)
		}
		shape = append(shape, n)
	}
	return shape, nil
}

// fixes reports whether a shape is another with its free dimensions fixed.
func fixes(shape, free []int) bool {
	return slices.EqualFunc(shape, free, func(n, want int) bool { return want < 0 || n == want })
}

// freeDimensions returns the dimensions of inputs, but for that of the batch, that are free.
func freeDimensions(g *graph.Graph) map[string][]string {
	free := make(map[string][]string)
	for _, v := range g.Inputs {
		for d, n := range v.Type.Shape {
			if n >= 0 || d == batchAxis(g, v) {
				continue
			}
			name := strconv.Itoa(d)
			if d < len(v.Dims) && v.Dims[d] != "" {
				name = v.Dims[d]
			}
			free[v.Name] = append(free[v.Name], name)
		}
	}
	return free
}

// constantBytes returns how many bytes the constants of a network have, by element type.
func constantBytes(g *graph.Graph) map[string]int64 {
	bytes, seen := make(map[string]int64), make(map[*graph.Value]bool)
	var walk func(g *graph.Graph)
	walk = func(g *graph.Graph) {
		for _, n := range g.Nodes {
			for _, v := range n.Inputs {
				if v.IsConst() && !seen[v] {
					seen[v] = true
					bytes[v.Const.DType().String()] += int64(v.Const.Len() * v.Const.DType().Size())
				}
			}
			for _, sub := range n.Subgraphs() {
				walk(sub)
			}
		}
	}
	walk(g)
	return bytes
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
	info := &networkInfo{Opset: g.Opset[""], Quantized: isQuantized(g), Inputs: portsOf(g.Inputs), Outputs: portsOf(g.Outputs), Free: freeDimensions(g), Bytes: constantBytes(g), External: g.External}
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
	pairs, err := graph.Saturation(g)
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
		if !graph.CountsMACs(n) {
			info.Unknown = append(info.Unknown, node.Name)
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
		macs := strconv.FormatInt(n.MACs, 10)
		if slices.Contains(info.Unknown, n.Name) {
			macs = "?"
		}
		t.add(shorten(n.Name, 48), n.Op, dimsText(n.Shape), n.Parameters, macs, what)
	}
	if err := t.write(w); err != nil {
		return err
	}
	summary := fmt.Sprintf("%d nodes, %d parameters, %d MACs, opset %d", len(info.Nodes), info.Parameters, info.MACs, info.Opset)
	switch {
	case info.MACs == 0 && info.Quantized:
		summary += "; quantized already"
	case info.MACs == 0:
	case info.Quantized:
		summary += fmt.Sprintf("; quantized already, %.1f %% of the MACs are on integers", info.Integer)
	default:
		summary += fmt.Sprintf("; %.1f %% of the MACs would be int8", info.Integer)
	}
	_, err := fmt.Fprintf(w, "\n%s\n%s%s%s", summary, info.freeText(), info.bytesText(), info.saturation())
	return err
}

// freeText says what the counts do not know.
func (info *networkInfo) freeText() string {
	var b strings.Builder
	if n := len(info.Unknown); n > 0 {
		fmt.Fprintf(&b, "MACs of %d nodes are not known and not counted: %s\n", n, printable(shorten(strings.Join(info.Unknown, ", "), 100)))
	}
	for _, name := range slices.Sorted(maps.Keys(info.Free)) {
		fmt.Fprintf(&b, "input %s has free dimensions (%s) that count as 1 in MACs: give --shape %s=...\n", printable(name), printable(strings.Join(info.Free[name], ", ")), printable(name))
	}
	return b.String()
}

// bytesText says how large the constants are and where they lie.
func (info *networkInfo) bytesText() string {
	var parts []string
	for _, t := range slices.SortedFunc(maps.Keys(info.Bytes), func(a, b string) int { return cmp.Or(cmp.Compare(info.Bytes[b], info.Bytes[a]), cmp.Compare(a, b)) }) {
		parts = append(parts, t+" "+bytesText(info.Bytes[t]))
	}
	text := "constants: " + strings.Join(parts, ", ") + "\n"
	for _, name := range slices.Sorted(maps.Keys(info.External)) {
		text += fmt.Sprintf("external data: %s, %s\n", printable(name), bytesText(info.External[name]))
	}
	return text
}

// saturationSafe reports whether no machine can saturate on these weights, nil if there are none.
func saturationSafe(pairs map[*graph.Node]graph.PairSums) *bool {
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
