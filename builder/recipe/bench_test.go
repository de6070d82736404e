package recipe

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkManyVariants renders a recipe that uses keys of 72 combinations, with
// variants of 13,824: only those that are used may cost something.
func BenchmarkManyVariants(b *testing.B) {
	var config strings.Builder
	key := func(name string, n int) {
		fmt.Fprintf(&config, "%s:\n", name)
		for i := range n {
			fmt.Fprintf(&config, "  - '%d.%d'\n", n, i)
		}
	}
	for i := range 1000 { // as in conda-forge's pinning
		key(fmt.Sprintf("pinned%d", i), 1)
	}
	for name, n := range map[string]int{"python": 6, "numpy": 4, "cuda_compiler_version": 3, "mpi": 4, "blas_impl": 4, "c_compiler_version": 12} {
		key(name, n)
	}
	text := head + "requirements:\n  build:\n    - tool {{ cuda_compiler_version }}\n  host:\n    - python\n    - numpy\n"
	o := Options{TargetPlatform: "linux-64", VariantFiles: []VariantFile{{Name: "conda_build_config.yaml", Text: config.String()}}}
	for b.Loop() {
		result, err := Render(folder("meta.yaml", text), "meta.yaml", o)
		if err != nil || len(result.Outputs) != 72 {
			b.Fatalf("%d outputs, %v", len(result.Outputs), err)
		}
	}
}
