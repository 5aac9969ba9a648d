package partition

import (
	"fmt"
	"testing"

	"balsa/log/batch"
)

// What compaction has taken out of a batch is nobody's to acknowledge.
func TestShareOfCompacted(t *testing.T) {
	f := newFixture(t, compacted())
	f.image.GroupConfigs[group] = map[string]string{"share.auto.offset.reset": "earliest"}
	f.put("a", "1", "b", "1", "c", "1")
	f.put("a", "2")
	producer := batch.BuildOptions{Producer: &batch.Producer{ID: 7}}
	if _, err := f.produce(keyedBatch(t, producer, "a", "3")); err != nil { // an empty batch stays of it
		t.Fatal(err)
	}
	f.put("a", "4", "c", "2")
	f.fillSegment()
	if !f.compact() {
		t.Fatal("nothing was compacted")
	}
	if got := f.visible(); fmt.Sprint(got) != "[1:b=1 4:empty 5:a=4 6:c=2]" {
		t.Fatalf("the log has %v", got)
	}
	f.initialize()
	a, err := f.partition().ShareAcquire(ShareAcquire{Group: group, Member: "m", MaxRecords: 9, MaxBytes: 1 << 20, MinOne: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Wait(t.Context())
	if err != nil || fmt.Sprint(got.Acquired) != "[{1 1 1} {5 8 1}]" {
		t.Errorf("acquired %v, %v", got.Acquired, err)
	}
}
