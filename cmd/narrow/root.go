package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narrow-ml/narrow/internal/suggest"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a wrong command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// execute runs one command line and returns the exit code. It is the only
// place that turns errors into messages and codes.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "narrow: %s\nRun '%s --help' for what it takes.\n", oneLine(err), cmd.CommandPath())
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "narrow: interrupted; nothing was written")
	default:
		fmt.Fprintf(stderr, "narrow: %s\n", oneLine(err))
	}
	return exitFailure
}

// oneLine keeps a message, which may quote a damaged file, on one line.
func oneLine(err error) string {
	return printable(strings.Join(strings.Fields(err.Error()), " "))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "narrow",
		Short: "Quantize ONNX networks after training, and run the result",
		Long: `narrow turns a trained fp32 ONNX network and a few hundred of its inputs into an
int8 (or narrower) network: plain ONNX that runs here and in ONNX Runtime.

  narrow demo                                          see it work on a built-in network
  narrow inspect model.onnx                            what would be quantized, and what not
  narrow quantize model.onnx --calib x.npy -o int8.onnx
  narrow eval int8.onnx --data x.npy --against model.onnx`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("; did you mean %q?", near[0])
			}
			return usagef("there is no command %q%s", args[0], hint)
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.Version = moduleVersion()
	root.SetVersionTemplate("narrow {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	cobra.AddTemplateFunc("flagGroups", flagGroups)
	root.SetHelpTemplate(helpTemplate)
	root.AddCommand(newQuantize(), newCalibrate(), newMerge(), newRanges(), newCompare(), newSensitivity(), newSelect(), newDrift(), newEval(), newRun(), newExport(), newInspect(), newCheck(), newBench(), newDemo(), newVersion())
	return root
}

// flagError suggests flags for one that a command does not have.
func flagError(cmd *cobra.Command, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return usageError{err}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	near := suggest.Nearest("--"+name, names)
	if len(near) == 0 {
		return usageError{err}
	}
	return usagef("there is no flag --%s; did you mean %s?", name, strings.Join(near, " or "))
}

// exactArgs wants these arguments and nothing else.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// required fails if one of the flags was not given.
func required(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if !cmd.Flags().Changed(name) {
			return usagef("--%s is missing: %s", name, cmd.Flags().Lookup(name).Usage)
		}
	}
	return nil
}
