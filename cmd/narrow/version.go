package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/asm"
)

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version and the processor features that kernels are chosen for",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				System  string `json:"system"`
				CPU     string `json:"cpu"`
			}{moduleVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, asm.Active().String()}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "narrow %s (%s %s, kernels for %s)\n", v.Version, v.Go, v.System, v.CPU)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// version is set by the linker, in builds by the Makefile.
var version string

// moduleVersion returns the version that the command was built at.
func moduleVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
