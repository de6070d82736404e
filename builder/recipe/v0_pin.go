package recipe

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// applyV0 is the match spec that a pin of meta.yaml becomes. Its patterns count
// otherwise than recipe.yaml's: see pieces. A version before the lower bound, such as
// 5.0.0a1, is its own bound. A lower bound that is a version takes the place of the
// package's, and below an upper bound that is a version the whole version is the
// lower one.
func (p Pin) applyV0(version, build string) string {
	if p.Exact {
		return strings.TrimSpace(p.Name + " " + version + " " + build)
	}
	if p.Lower != "" && !pinPattern.MatchString(p.Lower) {
		version, p.Lower = p.Lower, defaultLower
	}
	epoch, all := pieces(version)
	var parts []string
	if p.Lower != "" {
		lower := epoch + joined(all[:kept(p.Lower, all)])
		if compareVersions(version, lower) < 0 || p.Upper != "" && !pinPattern.MatchString(p.Upper) {
			lower = version
		}
		parts = append(parts, ">="+lower)
	}
	switch {
	case p.Upper == "":
	case !pinPattern.MatchString(p.Upper):
		parts = append(parts, "<"+p.Upper)
	default:
		if upper := following(all, kept(p.Upper, all)); upper != "" {
			parts = append(parts, "<"+epoch+upper)
		}
	}
	return strings.TrimSpace(p.Name + " " + strings.Join(parts, ","))
}

// piece is a number or a run of letters of a version, or the 0 that conda sees before
// letters that a part begins with.
type piece struct {
	text  string // "" for that 0
	first bool   // of a part between dots
}

var pieceRule = regexp.MustCompile(`[0-9]+|[^0-9]+`)

// pieces are what an x of a meta.yaml's pin stands for: 1.1.1w has four, of which x.x.x
// keeps 1.1.1.
func pieces(version string) (epoch string, all []piece) {
	epoch, main, _ := versionTexts(version)
	for _, part := range partEnd.Split(strings.TrimRight(main, "_"), -1) {
		texts := pieceRule.FindAllString(part, -1)
		if !leadingNumber.MatchString(part) {
			texts = append([]string{""}, texts...)
		}
		for i, text := range texts {
			all = append(all, piece{text, i == 0})
		}
	}
	return epoch, all
}

// kept is how many pieces a pattern keeps.
func kept(pattern string, all []piece) int { return min(strings.Count(pattern, "x"), len(all)) }

// joined is the version that has these pieces alone.
func joined(all []piece) string {
	var b strings.Builder
	for i, p := range all {
		if p.first && i > 0 {
			b.WriteByte('.')
		}
		if p.text == "" && i == len(all)-1 {
			p.text = "0"
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// following is a bound above all versions that begin with the first n pieces: the last
// of these counted up, a number before letters to the one before all letters there, as
// 1.1.1w to 1.1.2a, a letter to the next. A word cannot be counted up: the piece before
// it is. "" where there is none.
func following(all []piece, n int) string {
	for ; n > 0; n-- {
		last := all[n-1].text
		number, err := strconv.ParseUint(cmp.Or(last, "0"), 10, 63)
		switch {
		case err == nil && n < len(all) && !all[n].first && !leadingNumber.MatchString(all[n].text):
			last = strconv.FormatUint(number+1, 10) + "a"
		case err == nil:
			last = strconv.FormatUint(number+1, 10) + ".0a0"
		case len(last) == 1 && last[0] >= 'a' && last[0] < 'z':
			last = string(last[0] + 1)
		default:
			continue
		}
		up := slices.Clone(all[:n])
		up[n-1].text = last
		return joined(up)
	}
	return ""
}
