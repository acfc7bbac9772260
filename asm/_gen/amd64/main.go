// Command amd64 writes the amd64 assembly of package asm with avo: for each
// file in the list below, NAME_amd64.s and its Go stub NAME_amd64.go.
//
//	go run ./amd64 -dir ..
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// files maps each generated file's base name to the function that declares
// its kernels.
var files = []struct {
	name  string
	build func(*build.Context)
}{
	{"minmax", minmax},
	{"tile_f32", tileF32},
	{"depthwise_f32", depthwiseF32},
	{"winograd_f32", winogradF32},
	{"elementwise_f32", elementwiseF32},
	{"math_f32", mathF32},
	{"sums_f32", sumsF32},
	{"pool_f32", poolF32},
	{"interleave", interleaves},
	{"transpose", transposes},
	{"peak", peaks},
	{"histogram", histogram},
	{"moments", moments},
	{"tile_s8", tilesS8},
	{"winograd_s8", winogradS8s},
	{"requant", requants},
	{"scale_sums", scaleSums},
	{"block_s8", blocksS8},
	{"pack_quads", packQuads},
	{"depthwise_s8", depthwiseS8s},
	{"elementwise_u8", elementwiseU8},
	{"sweeps", sweeps},
	{"sweep_error", sweepError},
	{"peak_memory", peakMemory},
}

func main() {
	out := flag.String("dir", "..", "folder to write to")
	flag.Parse()
	var t tables
	for _, f := range files {
		if err := generate(*out, f.name, f.build, &t); err != nil {
			fmt.Fprintf(os.Stderr, "gen: %s: %v\n", f.name, err)
			os.Exit(1)
		}
	}
	if err := t.write(*out); err != nil {
		fmt.Fprintf(os.Stderr, "gen: %v\n", err)
		os.Exit(1)
	}
}

// generate runs avo's passes over the kernels that declare makes, writes
// the assembly and the stubs and enters the kernels in the tables.
func generate(out, name string, declare func(*build.Context), t *tables) error {
	ctx := build.NewContext()
	ctx.Constraint(buildtags.Not("purego"))
	declare(ctx)
	file, err := ctx.Result()
	if err != nil {
		return err
	}
	cfg := printer.Config{Name: "avo", Argv: []string{"make gen"}, Pkg: "asm"}
	var asm, stubs bytes.Buffer
	passes := pass.Concat(
		pass.Compile,
		pass.Func(avxVNNI),
		&pass.Output{Writer: nopCloser{&asm}, Printer: printer.NewGoAsm(cfg)},
		&pass.Output{Writer: nopCloser{&stubs}, Printer: printer.NewStubs(cfg)},
	)
	if err := passes.Execute(file); err != nil {
		return err
	}
	for _, f := range file.Functions() {
		if err := t.add(f.Name, f.Stub()); err != nil {
			return err
		}
	}
	base := filepath.Join(out, name+"_amd64")
	if err := os.WriteFile(base+".s", asm.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".go", stubs.Bytes(), 0o644)
}

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }
