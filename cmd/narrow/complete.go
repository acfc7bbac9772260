package main

import (
	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/profile"
)

// completeOptions has the shell complete the values of the quantization flags: rules, formats, and the nodes and
// operators of the network that is named on the command line.
func completeOptions(cmd *cobra.Command) {
	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	for name, f := range map[string]cobra.CompletionFunc{
		"clip":       fixed("max", "mse", "kl", "aa", "auto", "lp3", "sigma4", "percentile:99.99"),
		"format":     fixed("qdq", "qoperator", "matmulnbits"),
		"asymmetric": fixed("auto", "true", "false"),
		"for":        fixed(profile.Names()...),
		"exclude":    completeFrom(func(node, _ string) string { return node }),
		"exclude-op": completeFrom(func(_, operator string) string { return operator }),
	} {
		if cmd.Flags().Lookup(name) == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
			panic(err) // the flag is there
		}
	}
}

// completeFrom completes by what choose returns of the nodes of the network that is the first argument.
func completeFrom(choose func(node, operator string) string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		g, err := onnx.ReadFile(args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		seen := make(map[string]bool)
		var all []cobra.Completion
		for _, n := range g.Nodes {
			if v := choose(n.Name, n.Op); v != "" && !seen[v] {
				seen[v] = true
				all = append(all, v)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}
