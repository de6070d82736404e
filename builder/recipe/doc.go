// Package recipe turns a recipe into outputs: what to fetch, what to run, what
// the package is called and needs. It reads recipe.yaml (CEP 13 and 14) and
// conda-build's meta.yaml, and its callers cannot tell which it was.
//
// It is pure: it reads the recipe's folder through an fs.FS and nothing else,
// so the same bytes always give the same outputs. Only git.head_rev and the like
// ask further, through a door of the caller's (Repositories). Whatever is wrong is a
// tree.Problem with line and column of the file as its author wrote it.
//
// # A recipe.yaml in five steps
//
// render.go is the entry, v1.go the list of the steps.
//
//  1. Read (render.go, package tree): the file becomes a tree whose every value
//     knows its place and how it was quoted. Sizes are bounded here.
//  2. Expand (expand.go, package variant): the variant keys that the recipe could
//     use, whatever branch names them, and the combinations of their values.
//  3. Evaluate (evaluate.go, context.go, package jinja): for each combination,
//     templates and conditions of a part when v1_*.go reads it. Whoever asks for
//     a variable is noted: a key that was never asked for is not in the hash.
//  4. Use (v1_name.go): the variant of each output, which is what was read, the
//     requirements without a version, and a few keys that always count; its hash
//     is the SHA-1 of that as Python's json writes it (hash.go).
//  5. Order (order.go): outputs behind those that they need; an exact pin puts
//     the other's build string into this one's variant, so the names are made in
//     this order. What several combinations give alike is one output.
//
// v1_*.go fill the model of output.go and dependency.go, a file a section;
// print.go and print_build.go write the model as a recipe again. check.go and
// reading.go hold the rules for values and keys that both formats share.
//
// # A meta.yaml
//
// v0_text.go cuts lines by their selectors, evaluates the text and keeps track
// of where each line came from, then tree and v0*.go read it.
package recipe
