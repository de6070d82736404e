package picture

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// size is bytes in powers of 1,024.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", max(0, bytes))
	}
	const units = "KMGTPE"
	value, unit := float64(bytes)/1024, 0
	for value >= 1023.95 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// duration is seconds in the units that people would use.
func duration(seconds float64) string {
	switch {
	case seconds < 0.0995:
		return fmt.Sprintf("%.0f ms", max(0, seconds)*1000)
	case seconds < 9.995:
		return fmt.Sprintf("%.2f s", seconds)
	case seconds < 59.95:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 3599.5:
		s := int(seconds + 0.5)
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	minutes := int(seconds/60 + 0.5)
	return fmt.Sprintf("%d h %02d min", minutes/60, minutes%60)
}

// moment is a place on the time line: seconds, m:ss or h:mm:ss.
func moment(seconds, whole float64) string {
	if whole < 120 {
		return strconv.FormatFloat(seconds, 'f', -1, 64) + " s"
	}
	s := int(seconds + 0.5)
	if whole < 2*3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// plain makes a foreign name visible as it is: what does not print, or would
// turn the text around it, is shown as its number.
func plain(name string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(name, string(utf8.RuneError)) {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// prose is a text of several lines.
func prose(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = plain(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// percent is how much of a whole a part is.
func percent(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole))
}

// Count is a number of things in words, e.g. 1 step or 2 steps; an English plural
// in s is all it knows.
func Count[N int | int64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
