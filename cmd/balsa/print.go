package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// output is embedded by every command that prints a result.
type output struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"Output format: table or json."`
}

func (o *output) json() bool { return o.Output == "json" }

// printJSON writes one indented document.
func printJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// grid is a table without lines: columns aligned, so that awk and a person both can read it. Numbers go right.
type grid struct {
	header []any
	rows   [][]any
}

func newGrid(header ...any) *grid { return &grid{header: header} }

func (g *grid) add(cells ...any) { g.rows = append(g.rows, cells) }

// print writes the table, followed by nothing.
func (g *grid) print(w io.Writer) {
	t := table.NewWriter()
	t.SetStyle(plainStyle())
	t.AppendHeader(table.Row(g.header))
	var columns []table.ColumnConfig
	for i := range g.header {
		if len(g.rows) > 0 && isNumber(g.rows[0][i]) {
			columns = append(columns, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	t.SetColumnConfigs(columns)
	for _, row := range g.rows {
		t.AppendRow(table.Row(row))
	}
	for line := range strings.Lines(t.Render()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

func isNumber(cell any) bool {
	switch cell.(type) {
	case int, int16, int32, int64, uint64, float64, number:
		return true
	}
	return false
}

// number is a cell that aligns as a number but may have no value.
type number string

// count is a number cell: value, or a dash when unknown (Kafka writes -1).
func count(value int64) number {
	if value < 0 {
		return "-"
	}
	return number(strconv.FormatInt(value, 10))
}

func plainStyle() table.Style {
	style := table.StyleDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatUpper
	return style
}

// nodeList writes node ids the way Kafka's tools do: 1,2,3.
func nodeList(ids []int32) string {
	if len(ids) == 0 {
		return "-"
	}
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(id)))
	}
	return b.String()
}

// byteSize writes a size with a binary unit, the unit that is spelled out.
func byteSize(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// plural writes "1 record" and "2 records".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}
