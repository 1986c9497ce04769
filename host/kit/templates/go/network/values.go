package network

// Money and times out of texts, exactly: money never goes through a float. None is what can't be read.

import (
	"strconv"
	"strings"
	"time"

	columns "connector/bindings/imports/sluice_connector_0_1_0_columns"
	. "go.bytecodealliance.org/pkg/wit/types"
)

// moment is microseconds since 1970, and whether they are an instant, a wall-clock reading or a day.
type moment struct {
	micros int64
	basis  columns.TimeBasis
}

// parseMoney gives millionths of a decimal as JSON writes numbers: `-12.50`, `1e3`. Beyond the sixth place half goes to
// even. Up to 18 digits on each side of the point, and what `decimal(18, 6)` holds.
func parseMoney(text string) Option[int64] {
	sign, rest := cutSign(text)
	whole, rest := cutDigits(rest)
	fraction, power := "", 0
	if after, found := strings.CutPrefix(rest, "."); found {
		fraction, rest = cutDigits(after)
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		signOfPower, after := cutSign(rest[1:])
		digits, after := cutDigits(after)
		if digits == "" || len(digits) > 2 {
			return None[int64]()
		}
		number, _ := strconv.Atoi(signOfPower + digits)
		power, rest = number, after
	}
	if rest != "" || whole == "" || len(whole) > 18 || len(fraction) > 18 {
		return None[int64]()
	}
	micros, isInRange := scale(strings.TrimLeft(whole+fraction, "0"), 6+power-len(fraction))
	if !isInRange {
		return None[int64]()
	}
	if sign == "-" {
		micros = -micros
	}
	return Some(micros)
}

// scale gives digits × 10^power, if that has at most 18 digits. digits don't begin with 0.
func scale(digits string, power int) (int64, bool) {
	cut := ""
	if power < 0 {
		kept := max(len(digits)+power, 0)
		zeros := max(-power-len(digits), 0)
		digits, cut = digits[:kept], strings.Repeat("0", zeros)+digits[kept:]
	} else if digits != "" {
		digits += strings.Repeat("0", power)
	}
	if len(digits) > 18 {
		return 0, false
	}
	number, _ := strconv.ParseInt("0"+digits, 10, 64)
	isHalf := strings.TrimRight(cut, "0") == "5"
	if cut != "" && cut[0] >= '5' && !(isHalf && number%2 == 0) {
		number++
	}
	return number, number < 1_000_000_000_000_000_000
}

// parseTime reads an ISO 8601 time: with `Z` or an offset an instant, else a wall-clock reading or a day.
func parseTime(text string) Option[moment] {
	at := numbers{text: text}
	year, month, day := at.number(4, ""), at.number(2, "-"), at.number(2, "-")
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	// The calendar turns February 30 into March 2; the contract's times lie between 1900 and 2200.
	if at.failed || date.Day() != day || int(date.Month()) != month || year < 1901 || year > 2199 {
		return None[moment]()
	}
	if at.text == "" {
		return Some(moment{date.UnixMicro(), columns.TimeBasis_Date})
	}
	hour, minute, second, micros := at.number(2, "T "), at.number(2, ":"), 0, 0
	if strings.HasPrefix(at.text, ":") {
		second = at.number(2, ":")
		micros = at.micros()
	}
	local := date.UnixMicro() + int64((hour*60+minute)*60+second)*1_000_000 + int64(micros)
	basis := columns.TimeBasis_Instant
	switch {
	case at.text == "":
		basis = columns.TimeBasis_Local
	case at.text == "Z":
		at.text = ""
	default:
		local -= at.offset()
	}
	if at.failed || at.text != "" || hour > 23 || minute > 59 || second > 59 {
		return None[moment]()
	}
	return Some(moment{local, basis})
}

// numbers is a text that is read from its front.
type numbers struct {
	text   string
	failed bool
}

// number reads one of so many digits, behind one of these characters if there are any.
func (at *numbers) number(digits int, behind string) int {
	if behind != "" {
		if at.text == "" || !strings.Contains(behind, at.text[:1]) {
			at.failed = true
			return 0
		}
		at.text = at.text[1:]
	}
	found, _ := cutDigits(at.text[:min(digits, len(at.text))])
	if len(found) < digits {
		at.failed = true
		return 0
	}
	at.text = at.text[digits:]
	number, _ := strconv.Atoi(found)
	return number
}

// micros reads a fraction of a second, if there is one.
func (at *numbers) micros() int {
	after, found := strings.CutPrefix(at.text, ".")
	if !found {
		return 0
	}
	fraction, rest := cutDigits(after)
	at.text = rest
	if fraction == "" || len(fraction) > 9 {
		at.failed = true
		return 0
	}
	micros, _ := strconv.Atoi((fraction + "00000")[:6])
	return micros
}

// offset reads `+01:00` or `-0330`, in microseconds.
func (at *numbers) offset() int64 {
	sign := int64(1)
	if strings.HasPrefix(at.text, "-") {
		sign = -1
	}
	hours := at.number(2, "+-")
	at.text = strings.TrimPrefix(at.text, ":")
	minutes := at.number(2, "")
	if hours > 23 || minutes > 59 {
		at.failed = true
	}
	return sign * int64(hours*60+minutes) * 60 * 1_000_000
}

// formatTime gives `2026-03-01T00:00:00Z` of microseconds since 1970.
func formatTime(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05Z")
}

func cutSign(text string) (sign, rest string) {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		return text[:1], text[1:]
	}
	return "", text
}

func cutDigits(text string) (digits, rest string) {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return text[:end], text[end:]
}
