// Package export_sluice_connector_0_2_0_connector is what the generated bindings call: the functions of package network.
// It gives
// borrowed bodies back, and leaves a panic's text in memory, where the host looks for it.
package export_sluice_connector_0_2_0_connector

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"

	columns "connector/bindings/imports/sluice_connector_0_1_0_columns"
	requests "connector/bindings/imports/sluice_connector_0_1_0_requests"
	responses "connector/bindings/imports/sluice_connector_0_1_0_responses"
	columns2 "connector/bindings/imports/sluice_connector_0_2_0_columns"
	manifests "connector/bindings/imports/sluice_connector_0_2_0_manifests"
	"connector/network"
	. "go.bytecodealliance.org/pkg/wit/types"
)

func Describe() manifests.Manifest {
	defer explain()
	return network.Describe()
}

func Plan(slice requests.Slice) Result[[]requests.Request, responses.Refusal] {
	defer explain()
	return network.Plan(slice)
}

func Follow(slice requests.Slice, request requests.Request, response responses.Response) Result[responses.Judgement, responses.Refusal] {
	defer explain()
	defer response.Body.Drop()
	return network.Follow(slice, request, response)
}

func MapResponse(slice requests.Slice, request requests.Request, response responses.Response, records []columns.TextColumn) Result[columns2.Mapped, responses.Refusal] {
	defer explain()
	defer response.Body.Drop()
	return network.MapResponse(slice, request, response, records)
}

var panicText []byte

// proc_raise traps; a panic that isn't recovered would only exit.
//
//go:wasmimport wasi_snapshot_preview1 proc_raise
func procRaise(signal int32) int32

// explain leaves a panic's text in memory and traps.
func explain() {
	problem := recover()
	if problem == nil {
		return
	}
	text := fmt.Sprintf("%s: %v", place(), problem)
	if len(text) > 4096 {
		text = strings.ToValidUTF8(text[:4096], "")
	}
	// Once and whole: the host takes the first place in memory that has the mark and a length.
	panicText = make([]byte, 0, len("sluice panicked:")+4+len(text))
	panicText = append(panicText, "sluice "...)
	panicText = append(panicText, "panicked:"...)
	panicText = binary.LittleEndian.AppendUint32(panicText, uint32(len(text)))
	panicText = append(panicText, text...)
	procRaise(6)
}

// place is where the code was that panicked.
func place() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "runtime.") || !more {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
	}
}
