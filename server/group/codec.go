package group

import (
	"fmt"

	"balsa/internal/wire"
)

// encoder writes records and snapshots.
type encoder struct{ wire.Encoder }

// decoder reads what an encoder wrote.
type decoder struct{ wire.Decoder }

func (e *encoder) flag(v bool) {
	if v {
		e.U8(1)
		return
	}
	e.U8(0)
}

func (d *decoder) flag() bool {
	v := d.U8()
	if v > 1 {
		d.Fail(fmt.Errorf("flag is %d", v))
	}
	return v == 1
}

// i16 takes a signed varint that fits in 16 bits.
func (d *decoder) i16() int16 {
	v := d.Varint()
	if v != int64(int16(v)) {
		d.Fail(fmt.Errorf("number %d does not fit in 16 bits", v))
		return 0
	}
	return int16(v)
}
