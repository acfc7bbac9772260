package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpTemplate prints examples before everything else, and flags by what they are about.
const helpTemplate = `{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}

{{end}}{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage:
  {{if .Runnable}}{{.UseLine}}{{else}}{{.CommandPath}} COMMAND{{end}}
{{if .HasAvailableSubCommands}}
Commands:
{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name .NamePadding}} {{.Short}}
{{end}}{{end}}
Use "{{.CommandPath}} COMMAND --help" for more about a command.
{{else}}{{flagGroups .}}{{end}}`

// groupAnnotation is where a flag says what it is about.
const groupAnnotation = "group"

// inGroup calls register, which adds flags to cmd, and notes that they are about one thing.
func inGroup(cmd *cobra.Command, group string, register func()) {
	before := make(map[string]bool)
	cmd.Flags().VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	register()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !before[f.Name] {
			f.Annotations = map[string][]string{groupAnnotation: {group}}
		}
	})
}

// flagGroups prints the flags of a command, those without a group first.
func flagGroups(cmd *cobra.Command) string {
	groups := make(map[string]*pflag.FlagSet)
	var order []string
	cmd.Flags().SortFlags = false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := ""
		if g := f.Annotations[groupAnnotation]; len(g) > 0 {
			name = g[0]
		}
		if groups[name] == nil {
			groups[name] = pflag.NewFlagSet(name, pflag.ContinueOnError)
			groups[name].SortFlags = false
			if name != "" {
				order = append(order, name)
			}
		}
		groups[name].AddFlag(f)
	})
	var b strings.Builder
	for _, name := range append([]string{""}, order...) {
		if groups[name] == nil {
			continue
		}
		title := "Flags"
		if name != "" {
			title = name
		}
		b.WriteString("\n" + title + ":\n" + kindOfValue.ReplaceAllString(groups[name].FlagUsagesWrapped(helpWidth), "$1"))
	}
	return b.String()
}

// helpWidth is what help is wrapped to.
const helpWidth = 130

// kindOfValue finds what a usage text says only to name its value, "(PATH)" at its end.
var kindOfValue = regexp.MustCompile(`(?m) \([A-Z]+\)((?: \(default [^)]*\))?)$`)
