package group

import "balsa/internal/wire"

// encoder writes records and snapshots.
type encoder struct{ wire.Encoder }

// decoder reads what an encoder wrote.
type decoder struct{ wire.Decoder }
