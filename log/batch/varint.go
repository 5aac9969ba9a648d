package batch

import "math"

// varint decodes the zigzag varint at p[i:] and returns its value and the position behind it, or -1 when there is none.
// The first branch is the common case and small enough to be inlined.
func varint(p []byte, i int) (int64, int) {
	if uint(i) < uint(len(p)) && p[i] < 0x80 {
		return int64(p[i]>>1) ^ -int64(p[i]&1), i + 1
	}
	return longVarint(p, i)
}

func longVarint(p []byte, i int) (int64, int) {
	if i < 0 {
		return 0, -1
	}
	var v uint64
	for shift := uint(0); shift < 64 && i < len(p); shift += 7 {
		c := p[i]
		i++
		if c < 0x80 {
			if shift == 63 && c > 1 {
				return 0, -1
			}
			v |= uint64(c) << shift
			return int64(v>>1) ^ -int64(v&1), i
		}
		v |= uint64(c&0x7f) << shift
	}
	return 0, -1
}

// skipBytes passes a length-prefixed field; nullable ones may have length -1.
func skipBytes(p []byte, i int, nullable bool) int {
	n, i := varint(p, i)
	if i < 0 || n > int64(len(p)-i) || n < -1 || n == -1 && !nullable {
		return -1
	}
	return i + int(max(n, 0))
}

// field returns a length-prefixed field as a sub-slice (nil when null) and the position behind it.
func field(p []byte, i int) ([]byte, int) {
	n, i := varint(p, i)
	if i < 0 || n > int64(len(p)-i) || n < -1 {
		return nil, -1
	}
	if n == -1 {
		return nil, i
	}
	return p[i : i+int(n) : i+int(n)], i + int(n)
}

func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func varintLen(v int64) int {
	n := 1
	for u := uint64(v<<1) ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func fitsInt32(v int64) bool { return v >= math.MinInt32 && v <= math.MaxInt32 }
