package cluster

import (
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configResourceClientMetrics is Kafka's resource type of subscriptions to clients' metrics.
const configResourceClientMetrics = kmsg.ConfigResourceType(ScopeClientMetrics)

// ListConfigResources answers ListConfigResources: the topics and brokers, and whatever else has configs. Version 0, which was called
// ListClientMetricsResources, is about subscriptions only.
func ListConfigResources(img *Image, req *kmsg.ListConfigResourcesRequest) *kmsg.ListConfigResourcesResponse {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	supported := []kmsg.ConfigResourceType{
		kmsg.ConfigResourceTypeGroupConfig, configResourceClientMetrics, kmsg.ConfigResourceTypeBrokerLogger,
		kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeTopic,
	}
	wanted := make([]kmsg.ConfigResourceType, 0, len(supported))
	for _, t := range req.ResourceTypes {
		wanted = append(wanted, kmsg.ConfigResourceType(t))
		if !slices.Contains(supported, kmsg.ConfigResourceType(t)) {
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			return resp
		}
	}
	if len(wanted) == 0 {
		wanted = supported
	}
	if req.Version == 0 {
		wanted = []kmsg.ConfigResourceType{configResourceClientMetrics}
	}
	for _, kind := range supported {
		if !slices.Contains(wanted, kind) {
			continue
		}
		for _, name := range img.configResources(kind) {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Name, r.Type = name, int8(kind)
			resp.ConfigResources = append(resp.ConfigResources, r)
		}
	}
	return resp
}

// configResources returns the names of all resources of a type.
func (img *Image) configResources(kind kmsg.ConfigResourceType) []string {
	switch kind {
	case kmsg.ConfigResourceTypeGroupConfig:
		return slices.Sorted(maps.Keys(img.GroupConfigs))
	case configResourceClientMetrics:
		return slices.Sorted(maps.Keys(img.ClientMetrics))
	case kmsg.ConfigResourceTypeTopic:
		return slices.Sorted(maps.Keys(img.TopicsByName))
	}
	var ids []string // brokers, and their loggers
	for _, b := range img.SortedBrokers() {
		ids = append(ids, strconv.Itoa(int(b.ID)))
	}
	return ids
}
