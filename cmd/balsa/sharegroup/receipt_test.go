package sharegroup

import (
	"errors"
	"math"
	"strings"
	"testing"
)

var receipts = []Receipt{
	{Topic: "orders", Partition: 3, Offset: 42, Group: "orders", Member: "detached-AAAAAAAAAAAAAAAA"},
	{Topic: "t", Group: "a group/with ümlauts", Member: "detached-x"},
	{Topic: strings.Repeat("t", 249), Partition: math.MaxInt32, Offset: math.MaxInt64, Group: strings.Repeat("g", 1000), Member: "detached-y"},
}

func TestReceipts(t *testing.T) {
	for _, want := range receipts {
		text := want.String()
		got, err := ParseReceipt(text)
		if err != nil || got != want {
			t.Errorf("parsed %s as %+v, %v; want %+v", text, got, err, want)
		}
		if strings.ContainsAny(text, " /+='\"$") || text[0] == '-' {
			t.Errorf("receipt %s needs quotes", text)
		}
		for cut := range len(text) {
			if _, err := ParseReceipt(text[:cut]); !errors.Is(err, ErrReceipt) {
				t.Errorf("the first %d of %d characters are a receipt: %v", cut, len(text), err)
				break
			}
		}
		if _, err := ParseReceipt(text + "A"); err == nil {
			t.Errorf("a receipt with a character more is one")
		}
	}
	if length := len(receipts[0].String()); length > 42 {
		t.Errorf("a receipt of an ordinary queue has %d characters", length)
	}
}

func FuzzParseReceipt(f *testing.F) {
	for _, receipt := range receipts {
		f.Add(receipt.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		receipt, err := ParseReceipt(text)
		if err == nil && receipt.String() != text {
			t.Errorf("%q is the receipt %+v, which is written %q", text, receipt, receipt)
		}
	})
}
