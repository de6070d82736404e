package tree

import "go.yaml.in/yaml/v4"

// Dump writes the tree as YAML and never folds long lines: the text is for
// people who compare two packages' recipes.
func (n *Node) Dump() ([]byte, error) {
	return yaml.Dump(n.toYAML(), yaml.WithLineWidth(-1))
}

// toYAML gives text the tag of text: what looks like a number is then quoted,
// and every reader gets what the recipe said.
func (n *Node) toYAML() *yaml.Node {
	switch {
	case n.IsNull():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case n.Kind == List:
		y := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range n.Items {
			y.Content = append(y.Content, item.toYAML())
		}
		return y
	case n.Kind == Map:
		y := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, f := range n.Fields {
			y.Content = append(y.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.Key}, f.Value.toYAML())
		}
		return y
	}
	tag := "!!str"
	switch n.Value.(type) {
	case bool:
		tag = "!!bool"
	case int64:
		tag = "!!int"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: ScalarText(n.Value)}
}
