package install

import (
	"encoding/json"
	"slices"

	"github.com/condaworker/condaworker/store"
)

// asked is what the user asked for a package with, as a client recorded it; "" for a
// dependency.
func (i *installed) asked() string {
	var spec string
	var specs []string
	_ = json.Unmarshal(i.record["requested_spec"], &spec)   // of older clients
	_ = json.Unmarshal(i.record["requested_specs"], &specs) // of newer ones
	switch {
	case spec != "" && spec != "None": // which conda has written
		return spec
	case len(specs) > 0:
		return specs[0]
	}
	return ""
}

// recordAsked puts into a record what the user asked for the package with.
func recordAsked(record map[string]any, spec string) {
	delete(record, "requested_spec")
	delete(record, "requested_specs")
	if spec != "" {
		spec = store.WithoutSecrets(spec)
		record["requested_spec"], record["requested_specs"] = spec, []string{spec} // for older and newer clients
	}
}

// compareAsked finds out which packages that stay the user asks for otherwise than
// before, and which were asked for and are not any more.
func (p *plan) compareAsked(kept []*installed, o Options) {
	if o.Asked == nil {
		return
	}
	p.asked = o.Asked
	for _, i := range kept {
		if i.asked() != store.WithoutSecrets(o.Asked[i.name]) {
			p.reasked = append(p.reasked, i)
		}
	}
	for _, i := range slices.Concat(kept, p.leaving) {
		if i.asked() != "" && o.Asked[i.name] == "" {
			p.unasked = append(p.unasked, i.name)
		}
	}
}

// nothing reports whether the prefix is as it shall be.
func (p *plan) nothing() bool {
	return !p.Fresh && len(p.arriving)+len(p.leaving)+len(p.changed()) == 0
}
