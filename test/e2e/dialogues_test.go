package e2e

import "github.com/twmb/franz-go/pkg/kmsg"

type dialogueScript struct {
	name string
	run  func(d *dialogue)
}

// dialogues are what TestTransactionProtocol says. A step that is added has to be recorded against Kafka.
func dialogues() []dialogueScript {
	return []dialogueScript{
		{"InitProducerId", dialogueInit},
		{"a transaction of version 2", dialogueV2},
		{"a transaction of version 1", dialogueV1},
		{"an end of nothing", dialogueNothing},
		{"a new instance while a transaction is open", dialogueFence},
		{"a transaction that times out", dialogueTimeout},
		{"offsets", dialogueOffsets},
		{"partitions", dialoguePartitions},
		{"descriptions", dialogueDescribe},
		{"markers of an administrator", dialogueMarkers},
	}
}

func dialogueInit(d *dialogue) {
	d.init(5, "", none)
	d.initTimeout(5, "a", none, 0)
	d.initTimeout(5, "a", none, 900_001)
	d.init(5, "a", pid{5, -1})
	d.init(5, "a", pid{-1, 5})
	d.init(5, "a", none)
	p := d.init(5, "a", none)
	q := d.init(5, "a", p)
	d.init(5, "a", p)
	d.init(5, "a", pid{p.id, 0})
	d.init(3, "a", pid{p.id, 0})
	d.init(4, "a", pid{p.id, 9})
	d.init(5, "a", pid{p.id + 100_000, 0})
	d.init(0, "a", none)
	d.init(5, "a", q)
	d.init(5, "b", pid{777_777, 3})
	d.add(3, "unknown", p, d.topic, 0)
	d.add(3, "a", pid{p.id + 100_000, 0}, d.topic, 0)
	d.end(4, "unknown", p, true)
	d.end(5, "unknown", p, true)
	d.end(5, "a", pid{p.id + 100_000, 0}, true)
}

func dialogueV2(d *dialogue) {
	p := d.init(5, "a", none)
	d.produce(12, "a", p, 0, 0)
	d.produce(12, "a", p, 0, 1)
	d.produce(12, "a", p, 1, 0)
	d.sayState("a")
	d.ends(0)
	q := d.end(5, "a", p, true)
	d.sayState("a")
	d.ends(0)
	d.ends(1)
	d.end(5, "a", p, true)
	d.end(5, "a", p, false)
	d.end(5, "a", q, true)
	d.produce(12, "a", p, 0, 2)
	d.produce(12, "a", q, 0, 3)
	d.produce(12, "a", q, 0, 0)
	d.end(5, "a", p, true)
	d.end(4, "a", p, true)
	r := d.end(5, "a", q, false)
	d.sayState("a")
	d.ends(0)
	d.end(5, "a", q, true)
	d.end(5, "a", q, false)
	d.end(5, "a", pid{r.id, r.epoch + 1}, false)
	s := d.end(5, "a", r, false)
	d.sayState("a")
	d.ends(0)
	d.produce(12, "a", s, 2, 0)
	d.produce(12, "", s, 2, 1)
	d.end(5, "a", s, true)
	d.ends(2)
}

func dialogueV1(d *dialogue) {
	p := d.init(4, "a", none)
	d.produce(11, "a", p, 0, 0)
	d.produce(10, "a", p, 0, 0)
	d.end(3, "a", p, true)
	d.add(3, "a", p, d.topic, 0, 1)
	d.sayState("a")
	d.produce(11, "a", p, 0, 0)
	d.produce(11, "a", p, 2, 0)
	d.produce(10, "a", p, 2, 0)
	d.end(3, "a", pid{p.id, p.epoch + 1}, true)
	d.end(1, "a", pid{p.id, p.epoch + 1}, true)
	d.end(3, "a", p, true)
	d.sayState("a")
	d.ends(0)
	d.ends(1)
	d.end(3, "a", p, true)
	d.end(3, "a", p, false)
	d.produce(11, "a", p, 0, 1)
	d.add(0, "a", p, d.topic, 0)
	d.produce(11, "a", p, 0, 1)
	d.end(3, "a", p, false)
	d.sayState("a")
	d.ends(0)
	d.end(3, "a", p, false)
	d.end(3, "a", p, true)
	d.add(3, "a", pid{p.id, p.epoch + 1}, d.topic, 0)
	d.add(1, "a", pid{p.id, p.epoch + 1}, d.topic, 0)
	d.init(4, "a", p)
	d.add(3, "a", p, d.topic, 0)
}

func dialogueNothing(d *dialogue) {
	p := d.init(5, "a", none)
	d.end(4, "a", p, true)
	d.end(4, "a", p, false)
	d.end(5, "a", p, true)
	q := d.end(5, "a", p, false)
	d.sayState("a")
	d.end(5, "a", p, false)
	d.end(5, "a", q, true)
	d.end(5, "a", q, false)
	d.sayState("a")
}

func dialogueFence(d *dialogue) {
	p := d.init(5, "a", none)
	d.produce(12, "a", p, 0, 0)
	d.init(5, "a", none)
	d.settled("a")
	d.sayState("a")
	d.ends(0)
	d.end(5, "a", p, true)
	d.end(5, "a", p, false)
	d.end(4, "a", p, true)
	d.end(4, "a", p, false)
	d.produce(12, "a", p, 0, 1)
	d.add(3, "a", p, d.topic, 1)
	q := d.init(5, "a", none)
	d.init(5, "a", p)
	d.end(5, "a", p, true)
	d.end(5, "a", p, false)
	d.produce(12, "a", q, 0, 0)
	d.end(5, "a", q, true)
	d.ends(0)
}

func dialogueTimeout(d *dialogue) {
	p := d.initTimeout(5, "a", none, 500)
	d.produce(12, "a", p, 0, 0)
	d.ended("a")
	d.sayState("a")
	d.ends(0)
	d.produce(12, "a", p, 0, 1)
	d.end(5, "a", p, true)
	d.end(5, "a", p, false)
	d.end(4, "a", p, true)
	q := d.init(5, "a", p)
	d.produce(12, "a", q, 0, 0)
	d.end(5, "a", q, true)
	d.ends(0)
}

func dialogueOffsets(d *dialogue) {
	p := d.init(5, "a", none)
	d.commitOffset(3, "a", p, "g", 5)
	d.commitOffset(4, "a", p, "g", 5)
	d.addOffsets(3, "a", p, "g")
	d.sayState("a")
	d.commitOffset(3, "a", p, "g", 6)
	d.offset("g", false)
	d.offset("g", true)
	d.end(4, "a", p, true)
	d.offset("g", true)
	d.commitOffset(5, "a", p, "g", 7)
	d.sayState("a")
	d.offset("g", true)
	q := d.end(5, "a", p, false)
	d.offset("g", true)
	d.commitOffset(5, "a", p, "g", 8)
	d.commitOffset(5, "a", q, "g", 9)
	q = d.end(5, "a", q, true)
	d.offset("g", true)
	d.addOffsets(3, "a", p, "g")
	d.addOffsets(1, "a", p, "g")
	d.addOffsets(3, "unknown", p, "g")
	d.commitOffset(5, "unknown", q, "g", 10)
}

func dialoguePartitions(d *dialogue) {
	p := d.init(5, "a", none)
	d.add(3, "a", p, "missing", 0)
	d.add(3, "a", p, d.topic, 0, 99)
	d.add(3, "a", p, d.topic, 0)
	d.add(3, "a", p, d.topic, 0, 1, 2)
	d.sayState("a")
	d.end(5, "a", p, true)
	for partition := range int32(3) {
		d.ends(partition)
	}
}

func dialogueDescribe(d *dialogue) {
	d.sayState("unknown")
	p := d.init(5, "a", none)
	d.sayState("a")
	d.produce(12, "a", p, 0, 0)
	d.init(5, "b", none)
	all := func(*kmsg.ListTransactionsRequest) {}
	for version := range int16(3) {
		d.list(version, "all", all)
	}
	states := func(names ...string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.StateFilters = names }
	}
	d.list(1, "ongoing", states("Ongoing"))
	d.list(1, "ongoing or empty", states("Ongoing", "Empty"))
	d.list(1, "dead", states("Dead"))
	d.list(1, "of no such state", states("Nonsense"))
	d.list(1, "ongoing or of no such state", states("Ongoing", "Nonsense"))
	d.list(1, "of one producer", func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{p.id} })
	d.list(1, "long", func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 3_600_000 })
	d.list(1, "any duration", func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 0 })
	pattern := func(s string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &s }
	}
	d.list(2, "by pattern", pattern("a"+d.unique))
	d.list(2, "by a part", pattern("a"))
	d.list(2, "by the empty pattern", pattern(""))
	d.list(2, "by a bad pattern", pattern("("))
	d.end(5, "a", p, true)
}

func dialogueMarkers(d *dialogue) {
	p := d.init(5, "a", none)
	d.produce(12, "a", p, 0, 0)
	d.ends(0)
	d.mark(pid{p.id, p.epoch}, 1000, false, 0)
	d.ends(0)
	d.mark(pid{p.id, p.epoch}, 1, false, 0)
	d.mark(pid{p.id, p.epoch}, 1000, false, 99)
	d.mark(pid{p.id + 100_000, 0}, 0, false, 1)
	d.ends(1)
}
