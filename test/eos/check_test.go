package eos

import "testing"

// output is an output record for the tests below: the value of an input at an offset of an output partition.
type output struct {
	partition int32
	value     []byte
}

func out(partition int32, seq int64) output {
	return output{partition, Transform(Input{partition, seq}.Value())}
}

func TestChecker(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outputs []output
		want    Kind // the only violation; empty: none
	}{
		{"each once, in order", []output{out(0, 0), out(1, 0), out(0, 1)}, ""},
		{"missing", []output{out(0, 0), out(1, 0)}, Missing},
		{"duplicate", []output{out(0, 0), out(1, 0), out(0, 1), out(0, 0)}, Duplicate},
		{"reordered", []output{out(0, 1), out(0, 0), out(1, 0)}, Reordered},
		{"phantom", []output{out(0, 0), out(0, 1), out(0, 2), out(1, 0)}, Phantom},
		{"phantom partition", []output{out(0, 0), out(0, 1), out(1, 0), out(2, 0)}, Phantom},
		{"other partition", []output{out(0, 0), out(0, 1), out(1, 0), {1, Transform(Input{0, 1}.Value())}}, Corrupt},
		{"bit flip", []output{out(0, 0), out(0, 1), out(1, 0), {1, []byte("1/0 00000000")}}, Corrupt},
		{"trailing bytes", []output{out(0, 0), out(0, 1), out(1, 0), {0, append(Transform(Input{0, 1}.Value()), '!')}}, Corrupt},
	} {
		c := NewChecker([]int64{2, 1})
		for i, o := range tt.outputs {
			c.Add(o.partition, int64(i), o.value)
		}
		n, err := c.Finish()
		if n != int64(len(tt.outputs)) {
			t.Errorf("%s: %d outputs counted, want %d", tt.name, n, len(tt.outputs))
		}
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || c.Count[tt.want] != 1 || len(c.Count) != 1):
			t.Errorf("%s: got %v, want one %s", tt.name, err, tt.want)
		}
	}
}

func FuzzParseOutput(f *testing.F) {
	f.Add(Transform(Input{3, 17}.Value()))
	f.Add([]byte("1/0 00000000"))
	f.Add([]byte("-1/-1"))
	f.Fuzz(func(t *testing.T, value []byte) {
		in, err := ParseOutput(value)
		if err == nil && string(Transform(in.Value())) != string(value) {
			t.Errorf("%q was taken for the output of %v", value, in)
		}
	})
}
