package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
)

// mutation is one change: the bytes [from, to) of a file become other ones.
type mutation struct {
	file     string
	line     int
	from, to int
	old, new string
	quick    [][]string
	whole    [][]string
}

func (m mutation) String() string {
	return fmt.Sprintf("%s:%d: %s -> %s", m.file, m.line, m.old, m.new)
}

// apply returns the changed file.
func (m mutation) apply() []byte {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return nil
	}
	return []byte(string(text[:m.from]) + m.new + string(text[m.to:]))
}

// otherwise is what an operator becomes: a bound moves by one, a condition is turned, a sign changes.
var otherwise = map[token.Token]string{
	token.EQL: "!=", token.NEQ: "==", token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
	token.LAND: "||", token.LOR: "&&", token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*",
}

// mutationsOf returns the changes that can be made to functions in a file.
func mutationsOf(file string) ([]mutation, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, text, 0)
	if err != nil {
		return nil, err
	}
	var all []mutation
	add := func(pos token.Pos, old, new string) {
		p := files.Position(pos)
		all = append(all, mutation{file: file, line: p.Line, from: p.Offset, to: p.Offset + len(old), old: old, new: new})
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || f.Name.Name == "String" || strings.HasSuffix(f.Name.Name, "Error") {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch e := n.(type) {
			case *ast.CallExpr:
				return !isMessage(e)
			case *ast.BinaryExpr:
				if new, ok := otherwise[e.Op]; ok && !isString(e.X) && !isString(e.Y) {
					add(e.OpPos, e.Op.String(), new)
				}
			case *ast.IfStmt:
				old := string(text[files.Position(e.Cond.Pos()).Offset:files.Position(e.Cond.End()).Offset])
				if !strings.Contains(old, "err") {
					add(e.Cond.Pos(), old, "!("+old+")")
				}
			case *ast.UnaryExpr:
				if e.Op == token.SUB {
					add(e.OpPos, "-", "+")
				}
			case *ast.BasicLit:
				if v, err := strconv.Atoi(e.Value); err == nil && e.Kind == token.INT {
					add(e.Pos(), e.Value, strconv.Itoa(v+1))
				}
			}
			return true
		})
	}
	return all, nil
}

// isMessage reports whether a call only makes a text for people.
func isMessage(c *ast.CallExpr) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && (x.Name == "fmt" || x.Name == "errors" || x.Name == "strings")
}

func isString(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && l.Kind == token.STRING
}
