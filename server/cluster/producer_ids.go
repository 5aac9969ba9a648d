package cluster

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ProducerIDBlock is how many producer ids a broker gets at a time, as in Kafka.
const ProducerIDBlock = 1000

// allocateProducerIDs answers AllocateProducerIDs: the next block, which no broker ever gets again.
func (d *Decider) allocateProducerIDs(img *Image, req *kmsg.AllocateProducerIDsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	if img.NextProducer > math.MaxInt64-ProducerIDBlock {
		resp.ErrorCode = kerr.UnknownServerError.Code // exhausted; Kafka answers the same
		return Decision{Response: resp}
	}
	resp.ProducerIDStart, resp.ProducerIDLen = img.NextProducer, ProducerIDBlock
	return Decision{
		Records:  []Record{ProducerIDsAllocated{Next: img.NextProducer + ProducerIDBlock}},
		Response: resp,
	}
}
