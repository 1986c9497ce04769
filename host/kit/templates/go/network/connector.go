// Package network is Brightlink, publisher side: sales by their date. Describe, Plan, Follow and MapResponse are the
// interface `connector` of wit/connector.wit: pure functions, with WIT's kebab-case names in CamelCase.
package network

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	columns "connector/bindings/imports/sluice_connector_0_1_0_columns"
	words "connector/bindings/imports/sluice_connector_0_1_0_manifests"
	requests "connector/bindings/imports/sluice_connector_0_1_0_requests"
	responses "connector/bindings/imports/sluice_connector_0_1_0_responses"
	columns2 "connector/bindings/imports/sluice_connector_0_2_0_columns"
	manifests "connector/bindings/imports/sluice_connector_0_2_0_manifests"
	. "go.bytecodealliance.org/pkg/wit/types"
)

const (
	host    = "api.brightlink.example"
	daySecs = 86_400
)

func Describe() manifests.Manifest {
	var pins []words.Pin
	for _, path := range decimals {
		pins = append(pins, words.Pin{Path: path, Kind: words.Kind_Decimal})
	}
	sales := manifests.Stream{
		Name:          "sales",
		Unified:       true,
		Axes:          []words.Axis{words.Axis_Transaction},
		MaxWindowSecs: Some[uint32](31 * daySecs),
		Grain:         words.Grain_Second,
		Timezone:      "UTC",
		Layout:        words.Layout{Format: words.MakeFormatJson("/sales"), Pins: pins, Inputs: inputs, Key: []string{"id"}},
	}
	return manifests.Manifest{
		Network:  "brightlink",
		Title:    "Brightlink",
		Version:  "0.1.0",
		Hosts:    []string{host},
		Streams:  []manifests.Stream{sales},
		Settings: []words.Setting{{Name: "site", Meaning: "the site's number", Required: true}},
		Secrets:  []words.SecretSlot{{Name: "token", Meaning: "API token, from your profile's page", Required: true}},
		Rate:     Some(words.Rate{Requests: 60, PerSecs: 60, Concurrency: 2}),
		Schedule: "0 * * * *",
		LookBack: []words.LookBack{
			{EverySecs: 3_600, Days: 3, Axis: words.Axis_Transaction},
			{EverySecs: daySecs, Days: 45, Axis: words.Axis_Transaction},
		},
		Statuses: statuses,
	}
}

func Plan(slice requests.Slice) Result[[]requests.Request, responses.Refusal] {
	return Ok[[]requests.Request, responses.Refusal]([]requests.Request{page(slice, 1)})
}

func Follow(slice requests.Slice, request requests.Request, response responses.Response) Result[responses.Judgement, responses.Refusal] {
	if response.Status == 401 || response.Status == 403 {
		return retry(fmt.Sprintf("the network answers %d", response.Status))
	}
	if response.Status != 200 {
		return retry(fmt.Sprintf("status %d", response.Status))
	}
	if response.Problem.IsSome() {
		return retry(response.Problem.Some())
	}
	if response.Body.ValueAt("/next_page").IsNone() {
		return judged(responses.MakeVerdictDone())
	}
	number, err := strconv.Atoi(request.State)
	if err != nil {
		refusal := responses.Refusal{Kind: responses.RefusalKind_Request, Text: "its state is no page: " + request.State}
		return Err[responses.Judgement, responses.Refusal](refusal)
	}
	return judged(responses.MakeVerdictMore([]requests.Request{page(slice, number+1)}))
}

func MapResponse(_ requests.Slice, _ requests.Request, _ responses.Response, records []columns.TextColumn) Result[columns2.Mapped, responses.Refusal] {
	fields := make([][]string, len(records))
	for input, column := range records {
		fields[input] = readTexts(column)
	}
	return Ok[columns2.Mapped, responses.Refusal](mapRecords(fields))
}

func judged(verdict responses.Verdict) Result[responses.Judgement, responses.Refusal] {
	return Ok[responses.Judgement, responses.Refusal](responses.Judgement{Verdict: verdict})
}

func retry(reason string) Result[responses.Judgement, responses.Refusal] {
	return judged(responses.MakeVerdictRetry(responses.Retry{Reason: reason}))
}

// page is the request of a page.
func page(slice requests.Slice, number int) requests.Request {
	site := ""
	for _, setting := range slice.Settings {
		if setting.F0 == "site" {
			site = strings.ReplaceAll(url.QueryEscape(setting.F1), "+", "%20")
		}
	}
	since, until := formatTime(slice.Window.Since), formatTime(slice.Window.Until)
	address := fmt.Sprintf("https://%s/v1/sales?site=%s&from=%s&to=%s&page=%d", host, site, since, until, number)
	// The host puts the secret in: the connector never sees it.
	token := []requests.Op{requests.MakeOpText("Bearer "), requests.MakeOpSecret("token")}
	return requests.Request{
		Key:           fmt.Sprintf("page-%d", number),
		Method:        requests.Method_Get,
		Url:           []requests.Op{requests.MakeOpText(address)},
		Headers:       []Tuple2[string, []requests.Op]{{F0: "authorization", F1: token}},
		State:         strconv.Itoa(number),
		YieldsRecords: true,
	}
}
