package runtime

import (
	"fmt"
	"runtime"
	"unsafe"
)

type Handle struct {
	value int32
}

func (h *Handle) Use() int32 {
	if h.value == 0 {
		panic("nil handle")
	}
	return h.value
}

func (h *Handle) Take() int32 {
	if h.value == 0 {
		panic("nil handle")
	}
	value := h.value
	h.value = 0
	return value
}

func (h *Handle) Set(value int32) {
	if value == 0 {
		panic("nil handle")
	}
	if h.value != 0 {
		panic("handle already set")
	}
	h.value = value
}

func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

func MakeHandle(value int32) *Handle {
	if value == 0 {
		panic("nil handle")
	}
	return &Handle{value}
}

func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	pointer := allocateRaw(size, align)
	pinner.Pin(pointer)
	return pointer
}

func allocateRaw(size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}

	if size%align != 0 {
		panic(fmt.Sprintf("size %v is not compatible with alignment %v", size, align))
	}

	switch align {
	case 1:
		return unsafe.Pointer(unsafe.SliceData(make([]uint8, size)))
	case 2:
		return unsafe.Pointer(unsafe.SliceData(make([]uint16, size/align)))
	case 4:
		return unsafe.Pointer(unsafe.SliceData(make([]uint32, size/align)))
	case 8:
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, size/align)))
	default:
		panic(fmt.Sprintf("unsupported alignment: %v", align))
	}
}

// Changed for Sluice from here on. `cabi_realloc` takes memory beside Go's heap: while it runs, a component may not call
// out, and Go's collector reads the clock and may sleep. Nothing is freed, since every call of the host has an instance of
// its own. It may also be called before Go's runtime is initialized.

//go:linkname sbrk runtime.sbrk
func sbrk(n uintptr) unsafe.Pointer

// Bytes of memory that is taken at once, unless more is needed.
const chunk = 1 << 20

// What is left of the last chunk.
var free, end uintptr

func Unpin() {}

//nolint:unused
//go:wasmexport cabi_realloc
func cabiRealloc(oldPointer unsafe.Pointer, oldSize, align, newSize uintptr) unsafe.Pointer {
	if oldPointer != nil || oldSize != 0 {
		panic("todo")
	}

	start := (free + align - 1) &^ (align - 1)
	if start+newSize > end {
		size := max(chunk, newSize+align)
		// Whole pages of Go's own.
		size = (size + 0xffff) &^ 0xffff
		free = uintptr(sbrk(size))
		if free == 0 {
			panic("out of memory")
		}
		end = free + size
		start = (free + align - 1) &^ (align - 1)
	}
	free = start + newSize
	return unsafe.Pointer(start)
}
