package main

import (
	"go/token"
	"go/types"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
)

// asmPackage stands for package asm, with the names of its types that kernels
// take pointers to. Their layout is known to the kernels only as offsets.
var asmPackage = func() *types.Package {
	p := types.NewPackage("asm", "asm")
	for _, name := range []string{
		"binning",
		"moments",
		"gridParams",
		"channelParams",
		"tileArgs",
		"winogradArgs",
		"tileArgsS8",
		"winogradArgsS8",
		"AddU8Spec",
		"requantArgs",
		"scaleSumsArgs",
		"depthwiseArgsS8",
		"blockArgs",
	} {
		obj := types.NewTypeName(token.NoPos, p, name, nil)
		types.NewNamed(obj, types.NewStruct(nil, nil), nil)
		p.Scope().Insert(obj)
	}
	return p
}()

// signature declares the current function's signature, which may name the
// types of asmPackage.
func signature(c *Context, expr string) {
	s, err := gotypes.ParseSignatureInPackage(asmPackage, expr)
	if err != nil {
		panic(err) // the generator is wrong
	}
	c.Signature(s)
}
