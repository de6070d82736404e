package conda

import "testing"

func TestWithEdits(t *testing.T) {
	const own, patched = `{"a":[1],"b":"own","c":"x","depends":[]}`, `{"a":[1],"b":"new","depends":["p"],"more":1}`
	for seen, want := range map[string][2]string{ // what is missing was taken out, or was not
		patched: {own, own},
		`{"a": [ 1.0 ], "b":"\u006eew","depends":["p"], "more":1}`: {own, own},
		`{"a":[2],"b":"hand","d":{"e":1},"depends":["p"],"more":1}`: {
			`{"a":[2],"b":"hand","c":"x","d":{"e":1},"depends":[]}`, `{"a":[2],"b":"hand","c":"x","d":{"e":1},"depends":[]}`,
		},
		`{"b":"new","more":1}`: {`{"b":"own","c":"x"}`, own},
		own:                    {`{"a":[1],"b":"own","c":"x","depends":[]}`, own}, // instructions that nobody has followed
	} {
		for i, dropped := range []bool{true, false} {
			got, err := WithEdits([]byte(own), []byte(patched), []byte(seen), dropped)
			if err != nil || string(got) != want[i] {
				t.Errorf("%s: %s, %v, want %s", seen, got, err, want[i])
			}
		}
	}
	if got, _ := WithEdits([]byte(`{"indexed_timestamp":5}`), []byte(`{"indexed_timestamp":5}`), []byte(`{}`), true); string(got) != `{"indexed_timestamp":5}` {
		t.Errorf("%s", got)
	}
	for _, text := range []string{`1`, `[]`} {
		if got, err := WithEdits([]byte(own), []byte(patched), []byte(text), true); err == nil {
			t.Errorf("%s: %s", text, got)
		}
	}
}
