package cluster

import "balsa/internal/wire"

// encoder writes records, see FORMAT.md.
type encoder struct{ wire.Encoder }

// decoder reads what an encoder wrote.
type decoder struct{ wire.Decoder }
