package option

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/narrow-ml/narrow/internal/suggest"
)

// FromJSON sets flags by a JSON object whose names are theirs with _ in place of -. A flag that may be repeated takes an
// array, or an object {"NAME": VALUE} for NAME=VALUE; a value of several numbers, like the bits 4/8, may be an array of
// them; null is the default.
func FromJSON(flags *pflag.FlagSet, text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the object")
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		f := flags.Lookup(strings.ReplaceAll(name, "_", "-"))
		if f == nil || strings.Contains(name, "-") {
			return unknown(flags, name)
		}
		values, err := texts(object[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, several := f.Value.(pflag.SliceValue); !several && len(values) > 1 {
			return fmt.Errorf("%s: it is one value", name)
		}
		for _, v := range values {
			if err := f.Value.Set(v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			f.Changed = true
		}
	}
	return nil
}

// unknown returns the error for a name that no flag has.
func unknown(flags *pflag.FlagSet, name string) error {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, strings.ReplaceAll(f.Name, "-", "_")) })
	if near := suggest.Nearest(name, names); len(near) > 0 {
		return fmt.Errorf("there is no option %q: did you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no option %q: there are %s", name, strings.Join(names, ", "))
}

// texts returns what a JSON value is on a command line.
func texts(v any) ([]string, error) {
	var all []string
	switch v := v.(type) {
	case nil:
	case []any:
		for _, e := range v {
			t, err := plain(e)
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts, err := texts(v[key])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			all = append(all, key+"="+strings.Join(parts, "/"))
		}
	default:
		t, err := plain(v)
		if err != nil {
			return nil, err
		}
		all = []string{t}
	}
	return all, nil
}

// plain returns the text of a string, a number or a truth value.
func plain(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("%v is no value for it", v)
}
