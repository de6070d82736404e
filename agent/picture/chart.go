package picture

import (
	"fmt"
	"math"
	"strings"
)

// chart is one figure over time. Its paths lie in a box that is wide and high
// units in size, with the origin in the upper left corner.
type chart struct {
	Class   string // of its colour
	Title   string
	Summary string // what it shows, in words
	Line    string // path of the curve
	Area    string // path of what is below it
	Grid    []tick // of the vertical axis
}

// tick is a place on an axis, in per cent of its length from the left or from
// the top.
type tick struct {
	At    float64
	Label string
}

const (
	wide = 1000.0
	high = 100.0
)

// charts are those whose figures the report has.
func charts(r Run, whole float64) []chart {
	s := r.Series
	if s == nil || len(s.CPU) == 0 {
		return nil
	}
	step := s.SecondsPerPoint
	cores := smooth(rates(s.CPU, step))
	mean := s.CPU[len(s.CPU)-1] / whole
	all := []chart{draw("cpu", "Processors in use", cores, step, whole, coreStep, func(v float64) string { return fmt.Sprintf("%g", v) })}
	all[0].Summary = fmt.Sprintf("%.1f on average, %.1f at most", mean, top(cores))
	for _, c := range []struct {
		class, title string
		values       []int64
	}{{"memory", "Memory", s.Memory}, {"disk", "Disk", s.Disk}} {
		values := floats(c.values)
		if most := top(values); most > 0 {
			one := draw(c.class, c.title, values, step, whole, byteStep, func(v float64) string { return shortSize(int64(v)) })
			one.Summary = size(int64(most)) + " at most"
			all = append(all, one)
		}
	}
	return all
}

// draw makes the curve of values, one for each step seconds.
func draw(class, title string, values []float64, step, whole float64, nice func(float64) float64, label func(float64) string) chart {
	unit := nice(top(values))
	scale := max(unit, unit*math.Ceil(top(values)/unit))
	var line strings.Builder
	x := 0.0
	for i, v := range values {
		x = wide * min(1, (float64(i)+0.5)*step/whole)
		if i == 0 {
			fmt.Fprintf(&line, "M0 %.1f", high*(1-v/scale))
		}
		fmt.Fprintf(&line, "L%.1f %.1f", x, high*(1-v/scale))
	}
	fmt.Fprintf(&line, "L%.1f %.1f", wide*min(1, float64(len(values))*step/whole), high*(1-values[len(values)-1]/scale))
	c := chart{Class: class, Title: title, Line: line.String()}
	c.Area = fmt.Sprintf("%sV%.0fH0Z", c.Line, high)
	for v := 0.0; v <= scale*1.001; v += unit {
		c.Grid = append(c.Grid, tick{100 * (1 - v/scale), label(v)})
	}
	return c
}

// rates are the differences of sums, for each second.
func rates(sums []float64, step float64) []float64 {
	out := make([]float64, len(sums))
	before := 0.0
	for i, sum := range sums {
		out[i] = max(0, sum-before) / step
		before = sum
	}
	return out
}

// smooth takes means of neighbours: processor time is seen in hundredths of a
// second, which shows in short steps.
func smooth(values []float64) []float64 {
	out := make([]float64, len(values))
	for i := range values {
		from, to := max(0, i-1), min(len(values), i+2)
		sum := 0.0
		for _, v := range values[from:to] {
			sum += v
		}
		out[i] = sum / float64(to-from)
	}
	return out
}

func floats(values []int64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func top(values []float64) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

// coreStep is the distance of grid lines for a number of processors: four or
// fewer fit.
func coreStep(most float64) float64 {
	for step := 0.25; ; step *= 2 {
		if most <= 4*step {
			return step
		}
	}
}

// byteStep is the same for bytes: a power of two.
func byteStep(most float64) float64 {
	for step := 1024.0; ; step *= 2 {
		if most <= 4*step {
			return step
		}
	}
}

// shortSize is a power of two, or a small multiple of one.
func shortSize(bytes int64) string {
	return strings.Replace(size(bytes), ".0 ", " ", 1)
}

// timeTicks are the labels of the time line: eight or fewer.
func timeTicks(whole float64) []tick {
	steps := []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600}
	step := steps[0]
	for i := 0; whole/step > 8; i++ {
		if i < len(steps) {
			step = steps[i]
		} else {
			step *= 2
		}
	}
	var ticks []tick
	for i := 0; float64(i)*step <= whole; i++ {
		at := math.Round(float64(i)*step*1000) / 1000
		ticks = append(ticks, tick{100 * at / whole, moment(at, whole)})
	}
	return ticks
}
