package op

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/narrow-ml/narrow/tensor"
)

// schemaText is explained at its head.
//
//go:embed schema.txt
var schemaText string

// schema is what an operator takes from a version of its operator set on.
type schema struct {
	since  int
	attrs  map[string]attrKind
	inputs []inputKind
	types  map[string][]tensor.DType // by variable
}

type attrKind struct {
	kind     byte // of the notation of schema.txt
	required bool
}

type inputKind struct {
	variable string // or the name of a type, or "any"
	variadic bool
}

// schemas has every operator's, by its name and oldest first, and the newest operator set
// that is known.
var schemas = sync.OnceValues(func() (map[string][]*schema, int) {
	all, latest := make(map[string][]*schema), 0
	for line := range strings.Lines(schemaText) {
		line = strings.TrimSpace(line)
		if number, ok := strings.CutPrefix(line, "latest "); ok {
			latest, _ = strconv.Atoi(number)
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		name, s := parseSchema(line)
		all[name] = append(all[name], s)
	}
	return all, latest
})

func parseSchema(line string) (name string, s *schema) {
	fields := strings.Split(line, "|")
	name, version, _ := strings.Cut(strings.TrimSpace(fields[0]), " ")
	s = &schema{attrs: make(map[string]attrKind), types: make(map[string][]tensor.DType)}
	s.since, _ = strconv.Atoi(version)
	for _, a := range strings.Fields(fields[1]) {
		key, kind, _ := strings.Cut(a, ":")
		s.attrs[key] = attrKind{kind[0], len(kind) > 1}
	}
	for _, i := range strings.Fields(fields[2]) {
		s.inputs = append(s.inputs, inputKind{strings.TrimLeft(i, "?*"), i[0] == '*'})
	}
	for _, v := range strings.Fields(fields[3]) {
		key, list, _ := strings.Cut(v, "=")
		for _, d := range strings.Split(list, ",") {
			if t, ok := shortTypes[d]; ok {
				s.types[key] = append(s.types[key], t)
			}
		}
	}
	return name, s
}

// shortTypes are the types as schema.txt writes them.
var shortTypes = map[string]tensor.DType{
	"f32": tensor.Float32, "f64": tensor.Float64, "f16": tensor.Float16, "bf16": tensor.BFloat16, "i8": tensor.Int8, "u8": tensor.Uint8,
	"i16": tensor.Int16, "u16": tensor.Uint16, "i32": tensor.Int32, "u32": tensor.Uint32, "i64": tensor.Int64, "u64": tensor.Uint64,
	"bool": tensor.Bool, "str": tensor.String, "i4": tensor.Int4, "u4": tensor.Uint4, "i2": tensor.Int2, "u2": tensor.Uint2,
	"e4m3fn": tensor.Float8E4M3FN, "e4m3fnuz": tensor.Float8E4M3FNUZ, "e5m2": tensor.Float8E5M2, "e5m2fnuz": tensor.Float8E5M2FNUZ,
	"e8m0": tensor.Float8E8M0, "e2m1": tensor.Float4E2M1,
}

// schemaOf returns the schema for a version of the operator set, 0 being the
// newest: that of the oldest version if the operator came later, nil if there is none.
func schemaOf(domain, name string, version int) *schema {
	all, _ := schemas()
	list := all[strings.TrimPrefix(domain+"."+name, ".")]
	if len(list) == 0 {
		return nil
	}
	if version == 0 {
		return list[len(list)-1]
	}
	s := list[0]
	for _, next := range list {
		if next.since <= version {
			s = next
		}
	}
	return s
}

// Since returns the operator set that brought an operator of the default domain, 0 if
// it is not in the table.
func Since(name string) int {
	all, _ := schemas()
	if list := all[name]; len(list) > 0 {
		return list[0].since
	}
	return 0
}

// CheckNode returns an error unless a node of a file is one that its version of
// the operator set has, with attributes of the names and types that it takes. Operators that
// are not in the table are not looked at.
func CheckNode(domain, name string, version int, attrs Attrs) error {
	_, latest := schemas()
	if domain == "" && version > latest {
		return badInput("operator set %d is newer than the newest that is known, %d: export the model for that one", version, latest)
	}
	s := schemaOf(domain, name, version)
	if s == nil {
		return nil
	}
	if version > 0 && version < s.since {
		return badInput("the operator came with operator set %d, the model is for %d", s.since, version)
	}
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		want, ok := s.attrs[key]
		if !ok {
			return badAttr("%q is none that %s has in operator set %d; it has %s", key, name, version, listed(slices.Sorted(maps.Keys(s.attrs))))
		}
		if kind := kindOf(attrs[key]); kind != want.kind {
			return badAttr("%q is %s, not %s", key, attrKinds[kind], attrKinds[want.kind])
		}
	}
	for key, a := range s.attrs {
		if a.required && !attrs.Has(key) {
			return badAttr("%q is missing", key)
		}
	}
	return nil
}

var attrKinds = map[byte]string{'i': "an integer", 'f': "a float", 's': "a string", 't': "a tensor", 'g': "a graph",
	'I': "a list of integers", 'F': "a list of floats", 'S': "a list of strings", 'T': "a list of tensors", 'G': "a list of graphs"}

func kindOf(v any) byte {
	switch v.(type) {
	case int64:
		return 'i'
	case float32:
		return 'f'
	case string:
		return 's'
	case *tensor.Tensor:
		return 't'
	case []int64:
		return 'I'
	case []float32:
		return 'F'
	case []string:
		return 'S'
	case []*tensor.Tensor:
		return 'T'
	}
	return 'g' // the only one that this package does not know
}

// listed is "a, b and c", or "none".
func listed(words []string) string {
	switch n := len(words); n {
	case 0:
		return "none"
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// checkTypes returns an error unless the types of a call's inputs, as far as they are
// known, are among those that the operator takes in its version, the same where they
// must be.
func (s *schema) checkTypes(name string, types []Type) error {
	first := make(map[string]int) // the input that set a variable
	for i, t := range types {
		if t.DType == tensor.Undefined || len(s.inputs) == 0 {
			continue
		}
		in := s.inputs[min(i, len(s.inputs)-1)]
		if i >= len(s.inputs) && !in.variadic {
			return nil // counting them is not the matter here
		}
		allowed, isVariable := s.types[in.variable]
		if d, ok := shortTypes[in.variable]; ok && !isVariable {
			allowed = []tensor.DType{d}
		}
		if len(allowed) > 0 && !slices.Contains(allowed, t.DType) {
			return badInput("input %d is %s, which %s does not take in operator set %d: it may be %s", i, t.DType, name, s.since, listed(names(allowed)))
		}
		if !isVariable {
			continue
		}
		if at, ok := first[in.variable]; !ok {
			first[in.variable] = i
		} else if d := types[at].DType; d != t.DType {
			return badInput("input %d is %s and input %d %s, where %s wants one type", at, d, i, t.DType, name)
		}
	}
	return nil
}

func names(types []tensor.DType) []string {
	words := make([]string, len(types))
	for i, d := range types {
		words[i] = fmt.Sprint(d)
	}
	return words
}
