package builder

import (
	"fmt"
	"maps"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// supported refuses what would otherwise be left out of the package in
// silence, and recipes with mistakes that only a build meets.
func (b *build) supported() error {
	if len(b.out.Blockers) > 0 {
		return tree.Problems(b.out.Blockers)
	}
	var list tree.Problems
	refuse := func(wanted bool, pos tree.Pos, what, instead string) {
		if wanted {
			list = append(list, tree.Problem{Pos: pos, Text: what + ", which this version does not do", Hint: instead})
		}
	}
	for _, s := range b.out.Sources {
		refuseSource(s, refuse)
	}
	out, at := b.out, b.out.Pos
	if at.File == "" {
		at.File = b.File
	}
	refuse(out.Staging != nil, at, "the output inherits from a staging output", "give the output a script of its own that builds it, or split it from one package with files:")
	refuse(len(out.Script.Steps) > 0, at, "the recipe builds in steps", "write them as one script")
	refuse(out.Noarch == "python", at, "the recipe is noarch: python", "use noarch: generic, or leave noarch out")
	refuse(len(out.Requirements.Extras) > 0, at, "the recipe has extras", "make them packages of their own")
	q, x := out.Requirements, out.Requirements.RunExports
	for _, d := range slices.Concat(q.Build, q.Host, q.Run, q.RunConstraints, x.Weak, x.Strong, x.Noarch, x.WeakConstraints, x.StrongConstraints) {
		before := b.NextBuildNumber != nil && d.Pin != nil && d.Pin.Exact && d.Pin.Kind == recipe.PinSubpackage && d.Pin.Name != out.Name
		refuse(before, d.Pos, "the build number is chosen by the channel, output by output, and "+d.String()+" needs it before", "give the build number")
	}
	refuseBuild(out.Build, at, refuse)
	if len(list) > 0 {
		return list
	}
	if !b.needsEnvironments() {
		_, err := b.runNeeds() // finds pins to packages that will not be there
		return err
	}
	return nil
}

// refuseSource refuses sources of other kinds than archives and folders.
func refuseSource(s recipe.Source, refuse func(bool, tree.Pos, string, string)) {
	refuse(s.Git != nil, s.Pos, "the source is a git repository", "use a url or a path")
	refuse(s.Other != nil, s.Pos, "the source is a repository", "use a url or a path")
	refuse(len(s.Patches) > 0, s.Pos, "the source has patches", "apply them in the script")
	refuse(len(s.Filter) > 0, s.Pos, "the source has a filter", "remove the files in the script")
	refuse(len(s.Attestation) > 0, s.Pos, "the source has an attestation", "remove it: the hash is checked")
	refuse(len(s.Hashes) > 0, s.Pos, "the source has a hash of another kind than sha256 and md5", "write the archive's sha256 instead")
}

// refuseBuild refuses ways to pack that would make another package.
func refuseBuild(build recipe.Build, at tree.Pos, refuse func(bool, tree.Pos, string, string)) {
	refuse(len(build.EntryPoints) > 0, at, fmt.Sprintf("the recipe has entry_points %q", build.EntryPoints), "write them in the script")
	refuse(build.VersionIndependent, at, "the recipe has python.version_independent", "build it for each Python")
	refuse(build.SitePackagesPath != "", at, "the recipe has python.site_packages_path", "remove it")
	refuse(build.DownPrioritize != nil && *build.DownPrioritize != 0, at, "the recipe has variant.down_prioritize_variant", "remove it")
	refuse(len(build.ForceText)+len(build.ForceBinary) > 0, at, "the recipe has prefix_detection.force_file_type", "remove it")
	refuse(len(build.AlwaysCopyFiles) > 0, at, "the recipe has always_copy_files", "remove it")
	refuse(len(build.PostProcess) > 0, at, "the recipe has post_process", "do its work in the script")
	refuse(len(build.Flags) > 0, at, "the recipe has flags", "remove it")
	refuse(len(build.LinkScripts) > 0, at, "the recipe has link scripts", "do their work in an etc/conda/activate.d script")
	refuse(len(build.TrackFeatures) > 0, at, "the recipe has track_features", "remove it")
	refuse(build.UsePythonApp, at, "the recipe has osx_is_app", "remove it")
	refuse(build.OmitRecipe, at, "the recipe has include_recipe: false, and its folder is packed", "remove it if the recipe may be read by everybody who gets the package")
	for _, key := range slices.Sorted(maps.Keys(build.Other)) {
		refuse(true, at, "the recipe has "+key, "remove it")
	}
}
