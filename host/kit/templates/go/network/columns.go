package network

// Columns as the contract has them (wit/deps/v0.1/connector.wit, interface `columns`): a reader of those that the host
// gives, and writers of those that it is given. Nothing here is particular to a network. An empty text is none.

import (
	columns "connector/bindings/imports/sluice_connector_0_1_0_columns"
	. "go.bytecodealliance.org/pkg/wit/types"
)

// readTexts gives the texts of a column.
func readTexts(column columns.TextColumn) []string {
	if len(column.Offsets) == 0 {
		return nil
	}
	all := string(column.Bytes)
	texts := make([]string, len(column.Offsets)-1)
	for row := range texts {
		// Bitmaps: least significant bit first; an empty one says that all rows are valid.
		if len(column.Valid) == 0 || column.Valid[row>>3]>>(row&7)&1 == 1 {
			texts[row] = all[column.Offsets[row]:column.Offsets[row+1]]
		}
	}
	return texts
}

// bitmapOf says which of n rows are there.
func bitmapOf(n int, isThere func(row int) bool) []uint8 {
	bits := make([]uint8, (n+7)/8)
	missing := false
	for row := range n {
		if isThere(row) {
			bits[row>>3] |= 1 << (row & 7)
		} else {
			missing = true
		}
	}
	if !missing {
		return nil
	}
	return bits
}

func texts(values []string) columns.TextColumn {
	offsets := make([]uint32, 1, len(values)+1)
	var bytes []uint8
	for _, value := range values {
		bytes = append(bytes, value...)
		offsets = append(offsets, uint32(len(bytes)))
	}
	valid := bitmapOf(len(values), func(row int) bool { return values[row] != "" })
	return columns.TextColumn{Offsets: offsets, Bytes: bytes, Valid: valid}
}

// ordinals is a column of cases of one of the contract's enums.
func ordinals(values []uint8) columns.ByteColumn {
	return columns.ByteColumn{Values: values}
}

// money is a column of millionths.
func money(values []Option[int64]) columns.MoneyColumn {
	column := columns.MoneyColumn{Values: make([]int64, len(values)), Valid: validOf(values)}
	for row, value := range values {
		column.Values[row] = value.SomeOr(0)
	}
	return column
}

func times(values []Option[moment]) columns.TimeColumn {
	column := columns.TimeColumn{Values: make([]int64, len(values)), Bases: make([]uint8, len(values)), Valid: validOf(values)}
	for row, value := range values {
		moment := value.SomeOr(moment{})
		column.Values[row], column.Bases[row] = moment.micros, moment.basis
	}
	return column
}

func validOf[T any](values []Option[T]) []uint8 {
	return bitmapOf(len(values), func(row int) bool { return values[row].IsSome() })
}

// pair is a named value.
type pair struct{ name, value string }

// pairs is a column of some named values a row; an empty value is left out.
func pairs(rows [][]pair) columns.MapColumn {
	offsets := make([]uint32, 1, len(rows)+1)
	var names, values []string
	for _, row := range rows {
		for _, entry := range row {
			if entry.value != "" {
				names, values = append(names, entry.name), append(values, entry.value)
			}
		}
		offsets = append(offsets, uint32(len(names)))
	}
	return columns.MapColumn{Offsets: offsets, Keys: texts(names), Values: texts(values)}
}
