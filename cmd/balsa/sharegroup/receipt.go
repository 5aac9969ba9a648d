package sharegroup

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strings"
)

// Receipt names one message in the hands of one member. Who has it may decide about the message while the lock lasts.
type Receipt struct {
	Topic     string
	Partition int32
	Offset    int64
	Group     string
	Member    string // begins with DetachedPrefix
}

// ErrReceipt is what a text that is no receipt, or not all of one, is refused with.
var ErrReceipt = errors.New("not a receipt")

// receiptVersion begins every receipt, and makes its first character a letter: a dash would be taken for a flag.
const receiptVersion = 1

// receiptEncoding refuses what it would not have written, so that a message has one receipt.
var receiptEncoding = base64.RawURLEncoding.Strict()

// String writes the receipt as one word that needs no quotes in a shell. The group is left out where it has the name of
// the topic, as the first group of a queue does.
func (r Receipt) String() string {
	b := []byte{receiptVersion}
	b = binary.AppendUvarint(b, uint64(r.Partition))
	b = binary.AppendUvarint(b, uint64(r.Offset))
	group := r.Group
	if group == r.Topic {
		group = ""
	}
	for _, text := range []string{strings.TrimPrefix(r.Member, DetachedPrefix), r.Topic, group} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return receiptEncoding.EncodeToString(b)
}

// ParseReceipt reads what String wrote.
func ParseReceipt(text string) (Receipt, error) {
	b, err := receiptEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != receiptVersion {
		return Receipt{}, ErrReceipt
	}
	p := receiptParser{rest: b[1:]}
	partition, offset := p.number(math.MaxInt32), p.number(math.MaxInt64)
	member, topic, group := p.text(), p.text(), p.text()
	if p.failed || len(p.rest) > 0 || member == "" || topic == "" || group == topic {
		return Receipt{}, ErrReceipt
	}
	if group == "" {
		group = topic
	}
	r := Receipt{Topic: topic, Partition: int32(partition), Offset: int64(offset), Group: group, Member: DetachedPrefix + member}
	if r.String() != text { // a number that was not written in the shortest way
		return Receipt{}, ErrReceipt
	}
	return r, nil
}

type receiptParser struct {
	rest   []byte
	failed bool
}

func (p *receiptParser) number(limit uint64) uint64 {
	n, used := binary.Uvarint(p.rest)
	if p.failed || used <= 0 || n > limit {
		p.failed = true
		return 0
	}
	p.rest = p.rest[used:]
	return n
}

func (p *receiptParser) text() string {
	size := p.number(math.MaxInt16)
	if p.failed || size > uint64(len(p.rest)) {
		p.failed = true
		return ""
	}
	text := string(p.rest[:size])
	p.rest = p.rest[size:]
	return text
}
