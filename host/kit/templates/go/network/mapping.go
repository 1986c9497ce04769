package network

// How Brightlink's sales become unified transactions.

import (
	"fmt"
	"slices"
	"strings"

	columns "connector/bindings/imports/sluice_connector_0_1_0_columns"
	words "connector/bindings/imports/sluice_connector_0_1_0_manifests"
	columns2 "connector/bindings/imports/sluice_connector_0_2_0_columns"
	. "go.bytecodealliance.org/pkg/wit/types"
)

// Paths of the fields that mapping wants, in the order in which the host gives them.
var inputs = []string{"id", "state", "shop.id", "shop.name", "sold_at", "amount", "commission", "currency", "ref"}

// Their places in inputs.
const (
	id = iota
	state
	shop
	shopName
	soldAt
	amount
	commission
	currency
	ref
)

// Native columns of money, which are exact.
var decimals = []string{"amount", "commission"}

// Status words and what they mean.
var statuses = []words.StatusWord{
	{Token: "open", Validation: words.ValidationStatus_Pending, Payment: words.PaymentStatus_Unpaid},
	{Token: "confirmed", Validation: words.ValidationStatus_Approved, Payment: words.PaymentStatus_Unpaid},
	{Token: "paid", Validation: words.ValidationStatus_Approved, Payment: words.PaymentStatus_Paid},
	{Token: "cancelled", Validation: words.ValidationStatus_Declined, Payment: words.PaymentStatus_Unpaid},
}

// What networks write where there is no date.
var noDates = []string{"0000-00-00", "1970-01-01", "0001-01-01"}

// Texts of which the host takes no more, in bytes.
var longest = []struct{ input, bytes int }{{id, 1024}, {currency, 100}}

// row is a record that could be read. Its fields are in the order of inputs; an empty one is none.
type row struct {
	record     uint32
	fields     []string
	status     words.StatusWord
	soldAt     Option[moment]
	amount     Option[int64]
	commission Option[int64]
}

// mapRecords is what `map-response` returns, of a list of texts per input.
func mapRecords(texts [][]string) columns2.Mapped {
	var mapped columns2.Mapped
	var rows []row
	for record := range texts[id] {
		fields := make([]string, len(texts))
		for input, values := range texts {
			fields[input] = strings.TrimSpace(values[record])
		}
		row, err := mapRow(fields)
		if err != nil {
			mapped.Rejects = append(mapped.Rejects, columns.Reject{Record: uint32(record), Reason: err.Error()})
			continue
		}
		row.record = uint32(record)
		rows = append(rows, row)
		if row.status.Token == "" && fields[state] != "" && !slices.Contains(mapped.UnknownStatuses, fields[state]) {
			mapped.UnknownStatuses = append(mapped.UnknownStatuses, fields[state])
		}
	}
	if len(rows) > 0 {
		mapped.Transactions = Some(batch(rows))
	}
	return mapped
}

// mapRow gives the reason if the record can't be mapped. Whatever panics is a fault of this connector, and the host shall
// see it.
func mapRow(fields []string) (row, error) {
	if slices.ContainsFunc(noDates, func(none string) bool { return strings.HasPrefix(fields[soldAt], none) }) {
		fields[soldAt] = ""
	}
	for _, input := range []int{id, soldAt} {
		if fields[input] == "" {
			return row{}, fmt.Errorf("`%s` is missing", inputs[input])
		}
	}
	for _, one := range longest {
		if len(fields[one.input]) > one.bytes {
			return row{}, fmt.Errorf("`%s` is longer than %d bytes", inputs[one.input], one.bytes)
		}
	}
	mapped := row{fields: fields, status: statusOf(fields[state])}
	var err error
	if mapped.soldAt, err = read(fields, soldAt, parseTime, "time"); err != nil {
		return row{}, err
	}
	if mapped.amount, err = read(fields, amount, parseMoney, "amount"); err != nil {
		return row{}, err
	}
	if mapped.commission, err = read(fields, commission, parseMoney, "amount"); err != nil {
		return row{}, err
	}
	return mapped, nil
}

func read[T any](fields []string, input int, parse func(string) Option[T], what string) (Option[T], error) {
	text := fields[input]
	if text == "" {
		return None[T](), nil
	}
	value := parse(text)
	if value.IsNone() {
		return value, fmt.Errorf("`%s`: `%.80s` is no %s", inputs[input], text, what)
	}
	return value, nil
}

// statusOf has no token if the word isn't known.
func statusOf(word string) words.StatusWord {
	for _, status := range statuses {
		if status.Token == word {
			return status
		}
	}
	return words.StatusWord{Validation: words.ValidationStatus_Unknown, Payment: words.PaymentStatus_Unknown}
}

// batch gives the contract's record; a column that isn't set is one that Brightlink doesn't offer.
func batch(rows []row) columns2.Transactions {
	field := func(input int) columns.TextColumn {
		return texts(each(rows, func(row row) string { return row.fields[input] }))
	}
	return columns2.Transactions{
		Records:            each(rows, func(row row) uint32 { return row.record }),
		Timezone:           "UTC",
		TimezoneBasis:      columns2.TimezoneBasis_Declared,
		TransactionId:      field(id),
		Kind:               ordinals(each(rows, func(row) uint8 { return columns.TransactionKind_Sale })),
		ValidationStatus:   ordinals(each(rows, func(row row) uint8 { return row.status.Validation })),
		PaymentStatus:      ordinals(each(rows, func(row row) uint8 { return row.status.Payment })),
		StatusRaw:          Some(field(state)),
		AdvertiserId:       Some(field(shop)),
		AdvertiserName:     Some(field(shopName)),
		TransactedAt:       times(each(rows, func(row row) Option[moment] { return row.soldAt })),
		SaleAmount:         Some(money(each(rows, func(row row) Option[int64] { return row.amount }))),
		SaleCurrency:       Some(field(currency)),
		CommissionAmount:   Some(money(each(rows, func(row row) Option[int64] { return row.commission }))),
		CommissionCurrency: Some(field(currency)),
		SubIds:             Some(pairs(each(rows, func(row row) []pair { return []pair{{"ref", row.fields[ref]}} }))),
	}
}

func each[T any](rows []row, of func(row) T) []T {
	values := make([]T, len(rows))
	for at, row := range rows {
		values[at] = of(row)
	}
	return values
}
