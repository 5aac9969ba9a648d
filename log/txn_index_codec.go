package log

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"path"
)

const (
	txnSuffix    = ".txnindex"
	txnMagic     = "balsatxn"
	txnVersion   = 1
	txnHeaderLen = 8 + 4 + 4 + 4
	txnEntryLen  = 4*8 + 4
)

func (n segmentName) txnFile(dir string) string { return path.Join(dir, n.String()+txnSuffix) }

// encodeTxns makes the content of the file of a segment with base offset base.
func encodeTxns(base Offset, txns []AbortedTxn) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, txnHeaderLen+len(txns)*txnEntryLen)
	b = append(b, txnMagic...)
	b = be.AppendUint32(b, txnVersion)
	b = be.AppendUint32(b, uint32(len(txns)))
	b = be.AppendUint32(b, crc32.Update(placeSeed(base, 0), castagnoli, b))
	for k, t := range txns {
		at := len(b)
		b = be.AppendUint64(b, uint64(t.ProducerID))
		b = be.AppendUint64(b, uint64(t.First))
		b = be.AppendUint64(b, uint64(t.Last))
		b = be.AppendUint64(b, uint64(t.LastStable))
		b = be.AppendUint32(b, crc32.Update(placeSeed(base, k), castagnoli, b[at:]))
	}
	return b
}

// readTxnHeader returns the number of entries, which is that of the file's size.
func readTxnHeader(r *handle, name string, base Offset) (int, error) {
	be := binary.BigEndian
	b := make([]byte, txnHeaderLen)
	if err := readFull(r, b, 0); err != nil {
		return 0, txnError(name, 0, err)
	}
	size, err := r.Size()
	if err != nil {
		return 0, err
	}
	n := int64(be.Uint32(b[12:]))
	switch {
	case string(b[:8]) != txnMagic:
		return 0, corrupt(name, 0, "not a transaction index")
	case be.Uint32(b[16:]) != crc32.Update(placeSeed(base, 0), castagnoli, b[:16]):
		return 0, corrupt(name, 0, "header with a wrong checksum")
	case be.Uint32(b[8:]) != txnVersion:
		return 0, corrupt(name, 0, "version %d is unknown", be.Uint32(b[8:]))
	case size != txnHeaderLen+n*txnEntryLen:
		return 0, corrupt(name, size, "%d entries do not make %d bytes", n, size)
	}
	return int(n), nil
}

// readTxns reads entries from k on.
func readTxns(r io.ReaderAt, name string, base Offset, out []AbortedTxn, k int) error {
	be := binary.BigEndian
	b := make([]byte, len(out)*txnEntryLen)
	at := txnHeaderLen + int64(k)*txnEntryLen
	if err := readFull(r, b, at); err != nil {
		return txnError(name, at, err)
	}
	for i := range out {
		e := b[i*txnEntryLen:][:txnEntryLen]
		if be.Uint32(e[32:]) != crc32.Update(placeSeed(base, k+i), castagnoli, e[:32]) {
			return corrupt(name, at+int64(i)*txnEntryLen, "entry with a wrong checksum")
		}
		out[i] = AbortedTxn{
			ProducerID: int64(be.Uint64(e)), First: Offset(be.Uint64(e[8:])), Last: Offset(be.Uint64(e[16:])),
			LastStable: Offset(be.Uint64(e[24:])),
		}
	}
	return nil
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	if n, err := r.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}

func txnError(name string, at int64, err error) error {
	if errors.Is(err, io.EOF) {
		return corrupt(name, at, "file ends early")
	}
	return err
}
