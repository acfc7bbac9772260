// Package style holds the code to what CONTRIBUTING.md says of its form.
package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const longest = 60 // lines of a function

// TestFunctionsAreShort: none is longer, but for tables and texts that they hold. Generators are modules of their own. make lint
// runs it.
func TestFunctionsAreShort(t *testing.T) {
	if os.Getenv("NARROW_LINT") == "" {
		t.Skip("NARROW_LINT is not set: make lint sets it")
	}
	functions := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") && name != ".." || name == "build" || name == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			functions++
			if lines := lines(files, f) - tableLines(files, f.Body); lines > longest {
				t.Errorf("%s: %s has %d lines", files.Position(f.Pos()), f.Name.Name, lines)
			}
		}
		return nil
	})
	if err != nil || functions < 1000 {
		t.Fatal(functions, err)
	}
}

func lines(files *token.FileSet, n ast.Node) int {
	return files.Position(n.End()).Line - files.Position(n.Pos()).Line + 1
}

// tableLines returns the lines that are elements of lists, or of a text.
func tableLines(files *token.FileSet, body ast.Node) int {
	count := 0
	ast.Inspect(body, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.CompositeLit, *ast.BasicLit:
			count += max(lines(files, n)-2, 0)
			return false
		}
		return true
	})
	return count
}
