package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/narrow-ml/narrow/internal/atomicfile"
)

// printJSON writes one object and a newline.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// stdoutPath is what stands for standard output where a file is to be written.
const stdoutPath = "-"

// writeOutput writes a file, or to standard output for "-".
func writeOutput(cmd *cobra.Command, path string, write func(io.Writer) error) error {
	if path != stdoutPath {
		return atomicfile.Write(path, write)
	}
	w := bufio.NewWriter(cmd.OutOrStdout())
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// messages is where a command that writes these files says what it did: not among their bytes.
func messages(cmd *cobra.Command, outputs ...string) io.Writer {
	if slices.Contains(outputs, stdoutPath) {
		return cmd.ErrOrStderr()
	}
	return cmd.OutOrStdout()
}

// checkOutputs fails early for what would fail after the work is done, and for an output that is another, or one of
// the inputs. An empty output is none.
func checkOutputs(outputs []string, inputs ...string) error {
	var before []string
	for _, o := range outputs {
		if o == "" {
			continue
		}
		if info, err := os.Stat(filepath.Dir(o)); err != nil || !info.IsDir() {
			return fmt.Errorf("%s: the folder %s does not exist: create it, or choose another name", o, filepath.Dir(o))
		}
		for _, in := range inputs {
			if samePlace(o, in) {
				return fmt.Errorf("%s: the output would replace what is read: choose another name", o)
			}
		}
		for _, other := range before {
			if samePlace(o, other) {
				return fmt.Errorf("%s: two outputs have this name: choose another for one of them", o)
			}
		}
		before = append(before, o)
	}
	return nil
}

// samePlace reports whether two paths name one file, there or to be made. Devices hold nothing that could be lost.
func samePlace(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if a != stdoutPath && errA == nil && errB == nil {
		return infoA.Mode().IsRegular() && os.SameFile(infoA, infoB)
	}
	return errA != nil && errB != nil && place(a) == place(b)
}

// place writes a path in one way.
func place(path string) string {
	if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(folder, filepath.Base(path))
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// table collects rows and writes them in aligned columns.
type table struct {
	rows [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = printable(fmt.Sprint(c))
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// newProgress returns a bar on w if that is a terminal and quiet is false,
// otherwise one that shows nothing.
func newProgress(w io.Writer, quiet bool, total int, what string) *progressbar.ProgressBar {
	f, isFile := w.(*os.File)
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetVisibility(!quiet && isFile && term.IsTerminal(int(f.Fd()))),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(),
	)
}

// bytesText writes a size for people: 1.1 MB.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// printable escapes characters that a terminal would act on: a file may name its nodes as it likes.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// shorten cuts the middle out of a text of more than n characters.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	tail := n / 2
	return string(r[:n-tail-1]) + "…" + string(r[len(r)-tail:])
}
