package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeACLs answers DescribeAcls. There is no authorizer: everybody may do everything, and no ACLs are kept.
func (b *Broker) describeACLs(_ context.Context, _ Client, req *kmsg.DescribeACLsRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeACLsResponse](req)
	resp.ErrorCode = kerr.SecurityDisabled.Code
	resp.ErrorMessage = kmsg.StringPtr("No Authorizer is configured on the broker")
	return resp
}
