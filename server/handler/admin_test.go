package handler

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/config"
)

// adminRequests has one request with two items for each API that the controller answers.
func adminRequests() []kmsg.Request {
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "a"}, {Topic: "b"}}
	deleteOld := kmsg.NewPtrDeleteTopicsRequest()
	deleteOld.TopicNames = []string{"a", "b"}
	a := "a"
	deleteNew := kmsg.NewPtrDeleteTopicsRequest()
	deleteNew.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &a}, {TopicID: [16]byte{1}}}
	partitions := kmsg.NewPtrCreatePartitionsRequest()
	partitions.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a"}, {Topic: "b"}}
	alter := kmsg.NewPtrAlterConfigsRequest()
	alter.Resources = []kmsg.AlterConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a"}, {ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"},
	}
	incremental := kmsg.NewPtrIncrementalAlterConfigsRequest()
	incremental.Resources = []kmsg.IncrementalAlterConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a"}, {ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"},
	}
	for req, version := range map[kmsg.Request]int16{create: 7, deleteOld: 5, deleteNew: 6, partitions: 3, alter: 2, incremental: 1} {
		req.SetVersion(version)
	}
	return []kmsg.Request{create, deleteOld, deleteNew, partitions, alter, incremental}
}

// items lists what a response says about each item: its name and code.
func items(resp kmsg.Response) (all []string) {
	add := func(name any, code int16, message *string) {
		if (code == 0) != (message == nil) {
			name = fmt.Sprintf("%v (code and message disagree)", name)
		}
		all = append(all, fmt.Sprintf("%v:%d", name, code))
	}
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			add(t.Topic, t.ErrorCode, t.ErrorMessage)
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range r.Topics {
			name := fmt.Sprint(t.TopicID[0])
			if t.Topic != nil {
				name = *t.Topic
			}
			add(name, t.ErrorCode, t.ErrorMessage)
		}
	case *kmsg.CreatePartitionsResponse:
		for _, t := range r.Topics {
			add(t.Topic, t.ErrorCode, t.ErrorMessage)
		}
	case *kmsg.AlterConfigsResponse:
		for _, t := range r.Resources {
			add(t.ResourceType.String()+t.ResourceName, t.ErrorCode, t.ErrorMessage)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, t := range r.Resources {
			add(t.ResourceType.String()+t.ResourceName, t.ErrorCode, t.ErrorMessage)
		}
	}
	return all
}

// TestAdminWithoutController: every item of the request is answered, with an error that makes clients try again.
func TestAdminWithoutController(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int16
	}{
		{fmt.Errorf("create: %w: no leader", kerr.NotController), kerr.NotController.Code},
		{fmt.Errorf("create: %w", context.DeadlineExceeded), kerr.RequestTimedOut.Code},
		{fmt.Errorf("something else"), kerr.RequestTimedOut.Code},
	} {
		for i, want := range []string{"[a:%d b:%d]", "[a:%d b:%d]", "[a:%d 1:%d]", "[a:%d b:%d]", "[TOPICa:%d BROKER1:%d]", "[TOPICa:%d BROKER1:%d]"} {
			w := newWorld(t)
			w.control = func(kmsg.Request) (kmsg.Response, error) { return nil, c.err }
			req := adminRequests()[i]
			got := fmt.Sprint(items(ask[kmsg.Response](w, req)))
			// DeleteTopics v5 and later carry messages; what an older version cannot say is not checked here.
			if want := fmt.Sprintf(want, c.code, c.code); got != want {
				t.Errorf("%T v%d, %v: %s, want %s", req, req.GetVersion(), c.err, got, want)
			}
		}
	}
}

// TestAdminPassesTheControllersAnswerOn, whatever it is.
func TestAdminPassesTheControllersAnswerOn(t *testing.T) {
	for _, req := range adminRequests() {
		w := newWorld(t)
		asked := false
		w.control = func(got kmsg.Request) (kmsg.Response, error) {
			asked = got.Key() == req.Key() && got.GetVersion() == req.GetVersion()
			return req.ResponseKind(), nil
		}
		if got := items(ask[kmsg.Response](w, req)); !asked || got != nil {
			t.Errorf("%T: asked %v, answered %v", req, asked, got)
		}
	}
}

func TestDescribeConfigs(t *testing.T) {
	w := newWorld(t)
	c := config.Default()
	w.broker.Configs = cluster.NewResolver(&c)
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t", ConfigNames: []string{"cleanup.policy"}},
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "nowhere"},
	}
	r := ask[*kmsg.DescribeConfigsResponse](w, req)
	if r.Resources[0].ErrorCode != 0 || len(r.Resources[0].Configs) != 1 || *r.Resources[0].Configs[0].Value != "delete" {
		t.Errorf("topic t: %+v", r.Resources[0])
	}
	if r.Resources[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("topic nowhere: %+v", r.Resources[1])
	}
}
