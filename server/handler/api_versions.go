package handler

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
	"balsa/server/cluster"
)

// softwareName is what KIP-511 allows as a client's name and version: they end up in metrics and logs.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// apiVersions answers ApiVersions.
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
	if req.Version >= 3 {
		addFeatures(resp, b.Metadata.Image())
	}
	return resp
}

// addFeatures adds the features that are supported and those that are finalized (KIP-584), which is what clients go by. Up to version
// 3, a supported feature must not have level 0 as its minimum: Java clients of that time take it for an error (KAFKA-17011).
func addFeatures(resp *kmsg.ApiVersionsResponse, img *cluster.Image) {
	for _, f := range cluster.SupportedFeatures() {
		if f.Min > 0 || resp.Version >= 4 {
			s := kmsg.NewApiVersionsResponseSupportedFeature()
			s.Name, s.MinVersion, s.MaxVersion = f.Name, f.Min, f.Max
			resp.SupportedFeatures = append(resp.SupportedFeatures, s)
		}
		if level := img.Feature(f.Name); level > 0 {
			s := kmsg.NewApiVersionsResponseFinalizedFeature()
			s.Name, s.MinVersionLevel, s.MaxVersionLevel = f.Name, level, level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, s)
		}
	}
	resp.FinalizedFeaturesEpoch = int64(img.Version)
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
