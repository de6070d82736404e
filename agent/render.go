package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// recipeFlags say which recipe is meant, and for what. The verbs build and
// render share them.
type recipeFlags struct {
	recipe        string
	platform      string
	buildPlatform string
	baseVariants  []string
	variantFiles  []string
	variants      []string
	noLocal       bool
	meta          bool
	hashCompat    string
}

func (o *recipeFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.recipe, "recipe", "", "the recipe's folder or file (the same as the argument)")
	f.StringVar(&o.platform, "target-platform", "", "platform to build for (default: this machine's)")
	f.StringVar(&o.buildPlatform, "build-platform", "", "platform that builds (default: this machine's)")
	f.StringArrayVarP(&o.variantFiles, "variant-config", "m", nil, "file of variants; it wins over the one in the recipe's folder; repeatable, later ones win")
	f.StringArrayVarP(&o.baseVariants, "exclusive-config-file", "e", nil, "file of variants that the one in the recipe's folder wins over; repeatable, later ones win")
	f.StringArrayVar(&o.variants, "variant", nil, "KEY=VALUE or KEY=VALUE,VALUE… in place of what the files say; repeatable")
	f.BoolVar(&o.noLocal, "ignore-recipe-variants", false, "do not read variants.yaml or conda_build_config.yaml in the recipe's folder")
	f.BoolVar(&o.meta, "meta", false, "take the folder's meta.yaml, also when there is a recipe.yaml beside it")
	f.StringVar(&o.hashCompat, "hash-compat", "", "whose rule decides what a recipe.yaml's hash depends on: 0.57, 0.74 or 0.76, the default")
}

// named takes the recipe from the argument or the flag.
func (o *recipeFlags) named(args []string) error {
	if len(args) == 1 && o.recipe != "" {
		return usageError{errors.New("the recipe is named twice: by argument and by --recipe")}
	}
	if len(args) == 1 {
		o.recipe = args[0]
	}
	return nil
}

// platforms fills in this machine's.
func (o *recipeFlags) platforms() error {
	if o.platform != "" && o.buildPlatform != "" {
		return nil
	}
	host, err := builder.HostPlatform()
	if err != nil {
		return err
	}
	o.platform, o.buildPlatform = cmp.Or(o.platform, host), cmp.Or(o.buildPlatform, host)
	return nil
}

// request is what the builder gets. An empty flag counts as not given.
func (o *recipeFlags) request(env map[string]string) (builder.RenderRequest, error) {
	compat, err := recipe.ParseHashCompat(o.hashCompat)
	if err != nil {
		return builder.RenderRequest{}, usageError{fmt.Errorf("--hash-compat: %w", err)}
	}
	given := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
	}
	for _, assignment := range given(o.variants) {
		if _, err := (variant.Config{}).Override(assignment); err != nil {
			return builder.RenderRequest{}, usageError{fmt.Errorf("--variant: %w", err)}
		}
	}
	if err := errors.Join(checkFiles("--exclusive-config-file", given(o.baseVariants)...), checkFiles("--variant-config", given(o.variantFiles)...)); err != nil {
		return builder.RenderRequest{}, err
	}
	return builder.RenderRequest{
		Recipe: o.recipe, Platform: o.platform, BuildPlatform: o.buildPlatform,
		BaseVariants: given(o.baseVariants), VariantFiles: given(o.variantFiles), Variants: given(o.variants), NoLocal: o.noLocal, Meta: o.meta,
		HashCompat: compat, CallerEnv: env,
	}, nil
}

// renderOptions are the flags of the verb render.
type renderOptions struct {
	recipeFlags
	format      string
	withSkipped bool
	explain     bool
}

// renderCommand declares the verb and its flags.
func (d *desk) renderCommand() *cobra.Command {
	var o renderOptions
	c := &cobra.Command{
		Use:   "render RECIPE",
		Short: "Evaluate a recipe and show the packages that it would build, without building them",
		Example: `  condaworker render recipes/blender
  condaworker render recipes/blender --variant-config studio.yaml --variant python=3.11,3.12 --explain
  condaworker render recipes/blender --target-platform win-64 --format json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d.open(true)
			if err := o.named(args); err != nil {
				return err
			}
			return d.render(c.Context(), o)
		},
	}
	o.add(c)
	f := c.Flags()
	f.StringVar(&o.format, "format", "table", "table; json: a list with the evaluated recipe of each output; yaml: the same")
	f.BoolVar(&o.withSkipped, "with-skipped", false, "also show what is skipped, and why")
	f.BoolVar(&o.explain, "explain", false, "also show which variant key is used where, which is what a hash is made of")
	return c
}

// renderMemory makes the collector hurry when a recipe that is hostile, or
// enormous, makes much garbage. It refuses nothing.
const renderMemory = 56 << 20

// render is the verb. Only what was asked for goes to stdout; doubts are logged.
func (d *desk) render(ctx context.Context, o renderOptions) error {
	debug.SetMemoryLimit(renderMemory)
	if !slices.Contains([]string{"table", "json", "yaml"}, o.format) {
		return usageError{fmt.Errorf("--format %s: it is table, json or yaml", o.format)}
	}
	if o.recipe == "" {
		return usageError{errors.New("name a recipe: condaworker render RECIPE")}
	}
	if err := o.platforms(); err != nil {
		return err
	}
	request, err := o.request(d.env)
	if err != nil {
		return err
	}
	rendered, err := builder.Render(ctx, request)
	for _, w := range renderWarnings(rendered.Result) {
		d.out.Log().Warn(w.Error())
	}
	if err != nil {
		return err
	}
	text, err := o.print(rendered.Result)
	if err != nil {
		return err
	}
	return d.out.Print(text)
}

// renderWarnings are all doubts, each once.
func renderWarnings(r recipe.Result) []tree.Problem {
	all := slices.Clone(r.Warnings)
	for _, out := range r.Outputs {
		for _, w := range slices.Concat(out.Warnings, out.Blockers) {
			if !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// print writes the result in the chosen format.
func (o renderOptions) print(r recipe.Result) ([]byte, error) {
	if o.format == "table" {
		return o.table(r), nil
	}
	n := &tree.Node{Kind: tree.List}
	for _, out := range r.Outputs {
		n.Items = append(n.Items, o.output(out))
	}
	if o.withSkipped {
		for _, s := range r.Skipped {
			n.Items = append(n.Items, tree.Of(map[string]any{"skipped": map[string]any{
				"name": s.Name, "variant": s.Variant, "place": s.Pos.String(), "reason": s.Reason,
			}}))
		}
	}
	if o.format == "yaml" {
		return n.Dump()
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the rendered recipe: %w", err)
	}
	return text, nil
}

// output is one output for programs.
func (o renderOptions) output(out *recipe.Output) *tree.Node {
	n := &tree.Node{Kind: tree.Map}
	add := func(key string, v *tree.Node) { n.Fields = append(n.Fields, tree.Field{Key: key, Value: v}) }
	add("target_platform", tree.Of(cmp.Or(out.BuiltFor, out.Subdir)))
	if out.BuiltFor != "" {
		add("subdir", tree.Of(out.Subdir))
	}
	add("hash", tree.Of(out.Hash))
	add("variant", tree.Of(out.Variant))
	add("recipe", out.Document())
	if o.explain {
		reads := &tree.Node{Kind: tree.List}
		for _, r := range out.Reads {
			reads.Items = append(reads.Items, tree.Of(map[string]any{"key": r.Key, "place": r.Pos.String(), "why": r.Why}))
		}
		add("reads", reads)
	}
	return n
}

// table is for people: a line for each output.
func (o renderOptions) table(r recipe.Result) []byte {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(r.Outputs) == 0 {
		b.WriteString("nothing to build: the recipe skips this platform\n")
	} else {
		_, _ = fmt.Fprintln(w, "NAME\tVERSION\tBUILD\tSUBDIR\tVARIANT") // a strings.Builder takes everything
	}
	for _, out := range r.Outputs {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", out.Name, out.Version, out.BuildString, out.Subdir, assignments(out.Variant))
	}
	_ = w.Flush()
	if o.explain {
		for _, out := range r.Outputs {
			explain(&b, out)
		}
	}
	if o.withSkipped {
		for _, s := range r.Skipped {
			fmt.Fprintf(&b, "skipped %s: %s: %s [%s]\n", s.Name, s.Pos, s.Reason, assignments(s.Variant))
		}
	}
	return []byte(b.String())
}

// explain says of each key of an output's variant why it is in it.
func explain(b *strings.Builder, out *recipe.Output) {
	fmt.Fprintf(b, "\n%s %s: the hash %s is of %s\n", out.Name, out.BuildString, out.Hash, out.HashInput)
	for _, r := range out.Reads {
		place := ""
		if r.Pos.Line > 0 {
			place = r.Pos.String() + ": "
		}
		fmt.Fprintf(b, "  %s: %s%s\n", r.Key, place, r.Why)
	}
}

// assignments are a variant for people, in the keys' order.
func assignments(values map[string]any) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all = append(all, key+"="+tree.ScalarText(values[key]))
	}
	return strings.Join(all, ", ")
}
