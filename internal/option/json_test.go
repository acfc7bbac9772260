package option

import (
	"reflect"
	"strings"
	"testing"
)

func TestFromJSON(t *testing.T) {
	for text, change := range map[string]func(*Set){
		`{}`:                                   func(*Set) {},
		`{"asymmetric": null}`:                 func(*Set) {},
		`{"clip": "kl", "weight_bits": 4}`:     func(o *Set) { o.Clip, o.WeightBits = "kl", 4 },
		`{"bits": {"b": [8, 16], "a": "4/8"}}`: func(o *Set) { o.Bits = []string{"a=4/8", "b=8/16"} },
		`{"exclude": ["x", "a,b"]}`:            func(o *Set) { o.Exclude = []string{"x", "a,b"} },
		`{"target": "30dB", "min_sqnr": 25.5}`: func(o *Set) { o.Target, o.MinSQNR = "30dB", 25.5 },
		`{"shift": "scales"}`:                  func(o *Set) { o.Shift, o.Powers = true, true },
		`{"asymmetric": true, "signs": false}`: func(o *Set) { o.Asymmetric, o.Signs = "true", false },
	} {
		var got, want Set
		flags := got.Flags()
		want.Flags()
		change(&want)
		if err := FromJSON(flags, text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v, error %v", text, got, want, err)
		}
		if _, err := got.Options(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFromJSONErrors(t *testing.T) {
	for text, says := range map[string]string{
		`{"clib": "kl"}`:          `did you mean "clip"`,
		`{"zzzzzzzzzzz": 1}`:      "there are act_bits, ",
		`{"weight-bits": 4}`:      `did you mean "weight_bits"`,
		`{"weight_bits": "x"}`:    "weight_bits: ",
		`{"weight_bits": [4, 8]}`: "it is one value",
		`{"exclude": [["a"]]}`:    "exclude: ",
		`{} {}`:                   "behind the object",
		`[1]`:                     "cannot unmarshal array",
	} {
		err := FromJSON(new(Set).Flags(), text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", text, err, says)
		}
	}
}
