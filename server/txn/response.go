package txn

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrorResponse answers a whole request to a transaction coordinator with err. It returns nil for other requests, and for
// AddPartitionsToTxn, whose errors are per partition.
func ErrorResponse(req kmsg.Request, err *kerr.Error) kmsg.Response {
	resp := req.ResponseKind()
	switch r := resp.(type) {
	case *kmsg.InitProducerIDResponse:
		r.ProducerID, r.ProducerEpoch, r.ErrorCode = noID, noEpoch, err.Code
	case *kmsg.AddOffsetsToTxnResponse:
		r.ErrorCode = err.Code
	case *kmsg.EndTxnResponse:
		r.ProducerID, r.ProducerEpoch, r.ErrorCode = noID, noEpoch, err.Code
	case *kmsg.ListTransactionsResponse:
		r.ErrorCode = err.Code
	case *kmsg.DescribeTransactionsResponse:
		for _, id := range req.(*kmsg.DescribeTransactionsRequest).TransactionalIDs {
			s := kmsg.NewDescribeTransactionsResponseTransactionState()
			s.TransactionalID, s.ErrorCode = id, err.Code
			r.TransactionStates = append(r.TransactionStates, s)
		}
	default:
		return nil
	}
	return resp
}
