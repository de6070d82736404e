package tree

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// Of makes a tree of plain data: nil, bool, int64, string, and lists and
// mappings of them. Mappings are sorted by key. An empty text is a text.
func Of(v any) *Node {
	switch v := v.(type) {
	case []string:
		n := &Node{Kind: List}
		for _, s := range v {
			n.Items = append(n.Items, &Node{Value: s})
		}
		return n
	case []any:
		n := &Node{Kind: List}
		for _, item := range v {
			n.Items = append(n.Items, Of(item))
		}
		return n
	case map[string]string:
		return mapOf(v)
	case map[string]any:
		return mapOf(v)
	case int:
		return &Node{Value: int64(v)}
	}
	return &Node{Value: v}
}

func mapOf[T any](m map[string]T) *Node {
	n := &Node{Kind: Map}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		n.Fields = append(n.Fields, Field{Key: key, Value: Of(m[key])})
	}
	return n
}

// MarshalJSON keeps the order of the keys, and writes <, > and & as they are:
// requirements are full of them.
func (n *Node) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := n.writeJSON(&b)
	return b.Bytes(), err
}

func (n *Node) writeJSON(b *bytes.Buffer) error {
	switch {
	case n.IsNull():
		b.WriteString("null")
		return nil
	case n.Kind == List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.writeJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case n.Kind == Map:
		b.WriteByte('{')
		for i, f := range n.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeScalar(b, f.Key); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := f.Value.writeJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	}
	return writeScalar(b, n.Value)
}

// writeScalar writes without the line end that the encoder adds.
func writeScalar(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	b.Truncate(b.Len() - 1)
	return err
}
