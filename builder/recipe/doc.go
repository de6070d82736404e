// Package recipe turns a recipe into outputs: what to fetch, what to run, what
// the package is called and needs. It reads recipe.yaml (CEP 13 and 14) and
// conda-build's meta.yaml, and its callers cannot tell which it was.
//
// It is pure: it reads the recipe's folder through an fs.FS and nothing else,
// so the same bytes always give the same outputs. Whatever is wrong is a
// tree.Problem with line and column of the file as its author wrote it.
//
// The way of a recipe.yaml: tree makes a tree with places, v1_context.go
// and v1_eval.go evaluate the templates of a part when v1*.go reads it, and
// hash.go names the build. The way of a meta.yaml: v0_text.go cuts lines by
// their selectors, evaluates the text and keeps track of where each line came
// from, then tree and v0*.go read it. Start with Render.
package recipe
