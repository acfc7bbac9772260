package c

import (
	"fmt"
	"strings"
)

func (w *source) makefile(o Options) string {
	n := w.name
	flags := ""
	if w.cpu.Flags != "" {
		flags = "\n# for a board: make CC=... ARCH='" + w.cpu.Flags + "' " + n + ".o " + n + "_weights.o"
	}
	return fmt.Sprintf(`# %[1]s, written by narrow export: the network as objects to link with a program, and its test.%[2]s
CFLAGS ?= -O3 -Wall -Wextra
ARCH ?=

objects: %[1]s.o %[1]s_weights.o

%%.o: %%.c %[1]s.h
	$(CC) -std=c99 $(CFLAGS) $(ARCH) -c -o $@ $<

test: test_%[1]s
	./test_%[1]s

test_%[1]s: test_%[1]s.c %[1]s.c %[1]s_weights.c %[1]s.h
	$(CC) -std=c99 $(CFLAGS) $(ARCH) -DNET_TRACE -o $@ test_%[1]s.c %[1]s.c %[1]s_weights.c

clean:
	rm -f %[1]s.o %[1]s_weights.o test_%[1]s

.PHONY: objects test clean
`, n, flags)
}

func (w *source) cmake(Options) string {
	return fmt.Sprintf(`# Written by narrow export.
cmake_minimum_required(VERSION 3.13)
project(%[1]s C)

add_library(%[1]s STATIC %[1]s.c %[1]s_weights.c)
target_include_directories(%[1]s PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
set_property(TARGET %[1]s PROPERTY C_STANDARD 99)

add_executable(test_%[1]s EXCLUDE_FROM_ALL test_%[1]s.c %[1]s.c %[1]s_weights.c)
target_compile_definitions(test_%[1]s PRIVATE NET_TRACE)
set_property(TARGET test_%[1]s PROPERTY C_STANDARD 99)
`, w.name)
}

// readme returns a page about the project: how to use it, what it takes, and the steps.
func (w *source) readme(o Options, p *Project) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nWritten by `narrow export`", w.name)
	if o.From != "" {
		fmt.Fprintf(&b, " from %s", comment(o.From))
	}
	fmt.Fprintf(&b, " for %s (%s). `%s.h` says how it is called.\n\n| | |\n|---|---|\n", w.cpu.Name, w.cpu.about, w.name)
	fmt.Fprintf(&b, "| flash: weights, biases and tables | %d bytes, and the code |\n", p.Flash)
	fmt.Fprintf(&b, "| RAM: arena | %d bytes; no plan needs less than %d |\n", w.plan.Arena, w.plan.Lower)
	fmt.Fprintf(&b, "| RAM: input and output, the caller's | %d bytes |\n", p.Ports)
	fmt.Fprintf(&b, "| multiply-accumulates of an inference | %d |\n", p.MACs)
	if w.cpu.Flags != "" {
		fmt.Fprintf(&b, "| flags for gcc | `-O3 %s` |\n", w.cpu.Flags)
	}
	fmt.Fprintf(&b, "\n`make test` runs the network on the machine at hand and compares the integers of every step with those of narrow.\n\n| step | | makes | |\n|---|---|---|---|\n")
	for i, s := range w.net.steps {
		t := s.Action.Writes()[0]
		fmt.Fprintf(&b, "| %d | %s | %dx%dx%d | %s |\n", i, s.Label, t.H, t.W, t.C, strings.ReplaceAll(comment(s.Name), "|", "/"))
	}
	return b.String()
}
