package handler

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
)

// softwareName is what KIP-511 allows as a client's name and version: they end up in metrics and logs.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// apiVersions answers ApiVersions. No features are finalized: none of those that clients ask for is served yet, and
// with the epoch left at -1 they do not look.
func (b *Broker) apiVersions(_ context.Context, _ Client, req *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := newResponse[*kmsg.ApiVersionsResponse](req)
	resp.ApiKeys = make([]kmsg.ApiVersionsResponseApiKey, 0, 64)
	if req.Version >= 3 && (!softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	}
	for _, a := range apis() {
		resp.ApiKeys = append(resp.ApiKeys, apiVersionsKey(a))
	}
	return resp
}

// unsupportedApiVersions answers a version of ApiVersions that is not served, in version 0, which every client reads.
// The one entry tells the client what to ask with.
func unsupportedApiVersions(a api) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{apiVersionsKey(a)}
	return resp
}

func apiVersionsKey(a api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = int16(a.key), a.min, a.max
	return k
}

// newResponse returns the empty response to req, with defaults and the same version.
func newResponse[R kmsg.Response](req kmsg.Request) R {
	resp, ok := req.ResponseKind().(R)
	invariant.Check(ok, "%T is not answered with this type", req)
	return resp
}
