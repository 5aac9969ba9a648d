package kgo

import (
	"maps"
	"strings"
	"testing"
)

func TestParseExpected(t *testing.T) {
	got, err := ParseExpected("# comment\n\nTestA\nTestB/sub  skip: no TLS\nTestC fail: differs\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Expected{"TestA": {Outcome: Pass}, "TestB/sub": {Skip, "no TLS"}, "TestC": {Fail, "differs"}}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, bad := range []string{"", "# nothing\n", "TestA\nTestA\n", "TestA because\n", "TestA skip:\n", "TestA pass: no\n"} {
		if _, err := ParseExpected(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestList checks the list that is built in: that it is well formed, and that the tests which make it worth running
// are in it and not among the skipped ones.
func TestList(t *testing.T) {
	x, err := ParseExpected(testList)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"TestGroupETL/range", "TestGroupETL/sticky/848/static", "TestTxnEtl/cooperative-sticky", "TestTxnEtl/range/848",
		"TestGroupSimple/848", "TestShareGroup", "TestShareGroupETL", "TestShareGroupAckOnClose", "TestShareGroupOffsetsAdmin",
		"TestConsumeRegexShareSkipsInternal",
	} {
		if x[name].Outcome != Pass {
			t.Errorf("%s: %+v", name, x[name])
		}
	}
}

func TestReadResults(t *testing.T) {
	const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"x\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1.5}
{"Action":"run","Package":"p","Test":"TestB/sub"}
{"Action":"skip","Package":"p","Test":"TestB/sub","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p","Test":"FuzzD/seed#0"}
{"Action":"fail","Package":"p","Elapsed":2}`
	r, err := ReadResults(strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	if len(r) != 3 || r["TestA"].Outcome != Pass || r["TestB/sub"].Outcome != Skip || r["TestC"].Outcome != Unfinished {
		t.Errorf("got %v", r)
	}
	if a := r["TestA"]; a.Seconds != 1.5 || len(a.Output) != 1 || a.Output[0] != "x" {
		t.Errorf("TestA: %+v", a)
	}
	if _, err := ReadResults(strings.NewReader("# p\nfoo.go:1: syntax error\n")); err == nil {
		t.Error("a compiler's complaint passed for results")
	}
}

func TestCheck(t *testing.T) {
	x := Expected{"TestPass": {Outcome: Pass}, "TestSkip": {Skip, "no TLS"}}
	for _, tt := range []struct {
		name string
		got  Results
		want string // part of the only error; empty: none
	}{
		{"as listed", Results{"TestPass": {Outcome: Pass}, "TestSkip": {Outcome: Skip}}, ""},
		{"failed", Results{"TestPass": {Outcome: Fail}, "TestSkip": {Outcome: Skip}}, "TestPass: fail"},
		{"cut off", Results{"TestPass": {Outcome: Unfinished}, "TestSkip": {Outcome: Skip}}, "TestPass: unfinished"},
		{"skipped", Results{"TestPass": {Outcome: Skip}, "TestSkip": {Outcome: Skip}}, "TestPass: skip, must pass"},
		{"missing", Results{"TestSkip": {Outcome: Skip}}, "TestPass: did not run"},
		{"no longer skipped", Results{"TestPass": {Outcome: Pass}, "TestSkip": {Outcome: Pass}}, "TestSkip: pass, but"},
		{"new", Results{"TestPass": {Outcome: Pass}, "TestSkip": {Outcome: Skip}, "TestNew": {Outcome: Pass}}, "TestNew: pass, and"},
	} {
		errs := x.Check(tt.got)
		switch {
		case tt.want == "" && len(errs) > 0:
			t.Errorf("%s: %v", tt.name, errs)
		case tt.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.name, errs, tt.want)
		}
	}
}
