package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeUserSCRAMCredentials answers DescribeUserScramCredentials. No user has any.
func (b *Broker) describeUserSCRAMCredentials(_ context.Context, _ Client, req *kmsg.DescribeUserSCRAMCredentialsRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeUserSCRAMCredentialsResponse](req)
	resp.ErrorMessage = kmsg.StringPtr("") // as Kafka, which some clients show
	times := make(map[string]int, len(req.Users))
	for _, u := range req.Users {
		times[u.Name]++
	}
	for _, u := range req.Users {
		n := times[u.Name]
		if n == 0 {
			continue // answered already
		}
		times[u.Name] = 0
		r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		r.User = u.Name
		if n > 1 {
			r.ErrorCode = kerr.DuplicateResource.Code
			r.ErrorMessage = kmsg.StringPtr("Cannot describe SCRAM credentials for the same user twice in a single request: " + u.Name)
		} else {
			r.ErrorCode = kerr.ResourceNotFound.Code
			r.ErrorMessage = kmsg.StringPtr("Attempt to describe a user credential that does not exist: " + u.Name)
		}
		resp.Results = append(resp.Results, r)
	}
	return resp
}
