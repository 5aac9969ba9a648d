package raft

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	hraft "github.com/hashicorp/raft"

	"balsa/log/batch"
)

func storedBatches() ([]byte, []batch.Batch) {
	data := batch.Build([][]byte{[]byte("one"), []byte("two")}, 1000)
	data.Stamp(40, 7)
	noop := batch.Internal(batch.KindNoop, nil)
	noop.Stamp(42, 7)
	conf := batch.Internal(batch.KindConfiguration, []byte("members"))
	conf.Stamp(42, 8)
	start := batch.Internal(batch.KindLogStart, []byte("12345678"))
	start.Stamp(42, 8)
	all := []batch.Batch{data, noop, conf, start}
	var b []byte
	for _, x := range all {
		b = append(b, x...)
	}
	return b, all
}

func TestDecodeAppendOfStoredBatches(t *testing.T) {
	records, all := storedBatches()
	group := GroupID{Topic: [16]byte{1, 2}, Partition: 3}
	h := appendHeader{group: group, term: 8, prevIndex: 10, prevTerm: 7, commitIndex: 9, count: 4, batches: true}
	id, req, err := decodeAppend(2, append(h.appendTo(nil), records...))
	if err != nil {
		t.Fatal(err)
	}
	if id != group || req.Term != 8 || req.PrevLogEntry != 10 || req.PrevLogTerm != 7 || req.LeaderCommitIndex != 9 {
		t.Errorf("header: %+v of %v", req, id)
	}
	want := []hraft.Log{
		{Index: 11, Term: 7, Type: hraft.LogCommand, Data: all[0], Extensions: stamped},
		{Index: 12, Term: 7, Type: hraft.LogNoop},
		{Index: 13, Term: 8, Type: hraft.LogConfiguration, Data: []byte("members")},
		{Index: 14, Term: 8, Type: hraft.LogCommand, Data: []byte("12345678"), Extensions: []byte{byte(batch.KindLogStart)}},
	}
	for i, l := range req.Entries {
		if !reflect.DeepEqual(*l, want[i]) {
			t.Errorf("entry %d:\n got %+v\nwant %+v", i, *l, want[i])
		}
		b, err := toBatch(l)
		if err != nil {
			t.Fatal(err)
		}
		b.Stamp(all[i].Header().BaseOffset, all[i].Header().Epoch)
		if !bytes.Equal(b, all[i]) {
			t.Errorf("entry %d is stored differently than on the leader", i)
		}
	}
}

func TestDecodeAppendRefusesDamage(t *testing.T) {
	records, _ := storedBatches()
	h := appendHeader{count: 4, batches: true}
	good := append(h.appendTo(nil), records...)
	damaged := bytes.Clone(good)
	damaged[appendHeaderLen+70] ^= 1
	for name, body := range map[string][]byte{
		"flipped bit":     damaged,
		"truncated":       good[:len(good)-1],
		"trailing bytes":  append(bytes.Clone(good), 0),
		"too many":        append(appendHeader{count: 5, batches: true}.appendTo(nil), records...),
		"count of 2^32-1": append(appendHeader{count: 1<<32 - 1, batches: true}.appendTo(nil), records...),
		"no header":       good[:appendHeaderLen-1],
	} {
		if _, _, err := decodeAppend(2, body); !errors.Is(err, errFrame) {
			t.Errorf("%s: err = %v, want a malformed frame", name, err)
		}
	}
}

func TestDecodeAppendOfMetadataEntries(t *testing.T) {
	entries := []*hraft.Log{
		{Index: 6, Term: 2, Type: hraft.LogCommand, Data: []byte("a"), Extensions: []byte{}},
		{Index: 7, Term: 3, Type: hraft.LogBarrier, Data: []byte{}, Extensions: []byte{9}},
	}
	body := appendHeader{prevIndex: 5, count: 2}.appendTo(nil)
	for _, l := range entries {
		body = appendEntry(body, l)
	}
	_, req, err := decodeAppend(1, body)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range req.Entries {
		if l.Index != entries[i].Index || l.Term != entries[i].Term || l.Type != entries[i].Type ||
			!bytes.Equal(l.Data, entries[i].Data) || !bytes.Equal(l.Extensions, entries[i].Extensions) {
			t.Errorf("entry %d: got %+v", i, *l)
		}
	}
}

func TestPositionRoundTrip(t *testing.T) {
	want := position{
		index: 77, term: 5, machineIndex: 80, baseOffset: 1234, configIndex: 3, machine: []byte("state"),
		config: hraft.Configuration{Servers: []hraft.Server{server(1, hraft.Voter), server(-1, hraft.Nonvoter), server(1<<31-1, hraft.Voter)}},
	}
	got, err := decodePosition(want.encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	b := want.encode()
	for n := range len(b) - len(want.machine) {
		if _, err := decodePosition(b[:n]); err == nil {
			t.Errorf("the first %d bytes were accepted", n)
		}
	}
}

func TestGroupIDRoundTrip(t *testing.T) {
	want := GroupID{Topic: [16]byte{0xde, 0xad, 15: 1}, Partition: 1<<31 - 1}
	if got := parseGroupID(want.appendTo(nil)); got != want {
		t.Errorf("binary: %v", got)
	}
	if got, ok := ParseGroupID(want.String()); !ok || got != want {
		t.Errorf("text: %v", got)
	}
	for _, s := range []string{"", "-1", "00-1", want.String() + "x", "zz" + want.String()[2:], want.String()[:33] + "-5"} {
		if _, ok := ParseGroupID(s); ok {
			t.Errorf("%q was accepted", s)
		}
	}
}
