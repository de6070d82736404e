package recipe

import "go.yaml.in/yaml/v4"

// dump writes the evaluated sections as YAML, in the order of the format's
// documentation, so that the same recipe always gives the same bytes.
func (r *v1Recipe) dump() []byte {
	root := &node{kind: mapNode}
	for _, key := range []string{"package", "source", "build", "requirements", "tests", "about", "extra"} {
		for _, f := range r.done {
			if f.key == key {
				root.fields = append(root.fields, f)
			}
		}
	}
	return r.dumpYAML(root)
}

// dumpYAML never folds long lines: the text is for people who compare two
// packages' recipes.
func (j *job) dumpYAML(root *node) []byte {
	text, err := yaml.Dump(root.toYAML(), yaml.WithLineWidth(-1))
	if err != nil {
		j.report.fail(root.pos, "", "cannot write the evaluated recipe: %v", err)
	}
	return text
}

// toYAML gives text the tag of text: what looks like a number is then quoted,
// and every reader gets what the recipe said.
func (n *node) toYAML() *yaml.Node {
	switch {
	case n.isNull():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case n.kind == listNode:
		y := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range n.items {
			y.Content = append(y.Content, item.toYAML())
		}
		return y
	case n.kind == mapNode:
		y := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, f := range n.fields {
			y.Content = append(y.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.key}, f.value.toYAML())
		}
		return y
	}
	tag := "!!str"
	switch n.value.(type) {
	case bool:
		tag = "!!bool"
	case int64:
		tag = "!!int"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: scalarText(n.value)}
}
