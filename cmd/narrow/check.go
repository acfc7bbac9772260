package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/profile"
)

func newCheck() *cobra.Command {
	var target string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check MODEL.onnx --for TARGET",
		Short: "Check a quantized network, of whatever tool, against what a runtime takes",
		Long: `Says which rules of the target a network breaks, and of every node whether the target computes it on integers or in
float, and why. The exit code is 1 if a rule is broken.

` + targetsHelp(),
		Example: "  narrow check int8.onnx --for onnxruntime",
		Args:    exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "for"); err != nil {
				return err
			}
			p, err := profile.Find(target)
			if err != nil {
				return usageError{fmt.Errorf("--for: %w", err)}
			}
			g, err := onnx.ReadFile(args[0])
			if err != nil {
				return err
			}
			r, err := profile.Check(g, p)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = printCheck(cmd.OutOrStdout(), r)
			}
			if err != nil {
				return err
			}
			if err := r.Err(); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&target, "for", "", "the `TARGET` that is to run the network")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object and nothing else")
	completeOptions(cmd)
	return cmd
}

// checkFor returns an error if a network breaks a rule of a target, "" for none.
func checkFor(g *graph.Graph, target string) error {
	if target == "" {
		return nil
	}
	p, err := profile.Find(target)
	if err != nil {
		return usageError{fmt.Errorf("--for: %w", err)}
	}
	r, err := profile.Check(g, p)
	if err != nil {
		return err
	}
	return r.Err()
}

// targetsHelp lists the targets for help.
func targetsHelp() string {
	var b strings.Builder
	b.WriteString("Targets (docs/targets.md has their rules):\n")
	for _, name := range profile.Names() {
		p, err := profile.Find(name)
		if err == nil {
			fmt.Fprintf(&b, "  %-19s %s\n", name, p.About)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func printCheck(w io.Writer, r *profile.Report) error {
	t := &table{}
	t.add("NODE", "OPERATOR", "MACS", "RUNS ON")
	count := 0
	for _, n := range r.Nodes {
		runs := string(n.Runs)
		if n.Why != "" {
			runs += ": " + n.Why
		}
		if n.Runs == profile.Integer {
			count++
		}
		t.add(shorten(n.Name, 48), n.Op, n.MACs, runs)
	}
	if err := t.write(w); err != nil {
		return err
	}
	for _, p := range r.Problems {
		where := ""
		if p.Where != "" {
			where = shorten(p.Where, 48) + ": "
		}
		if _, err := fmt.Fprintf(w, "broken: %s\n", printable(where+p.What)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s: %d of %d nodes and %.1f %% of the MACs on integers, %d rules broken\n", r.Target, count, len(r.Nodes), r.Integer, len(r.Problems))
	return err
}
