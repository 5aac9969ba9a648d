package txn

import (
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// list answers ListTransactions for this shard.
func (l *Leader) list(now time.Time, req *kmsg.ListTransactionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	var wanted []Status
	for _, name := range req.StateFilters {
		if s, ok := statusNamed(name); ok {
			wanted = append(wanted, s)
		} else if !slices.Contains(resp.UnknownStateFilters, name) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	var pattern *regexp.Regexp
	if req.TransactionalIDPattern != nil && *req.TransactionalIDPattern != "" {
		var err error
		if pattern, err = regexp.Compile(`^(?:` + *req.TransactionalIDPattern + `)$`); err != nil {
			resp.ErrorCode = kerr.InvalidRegularExpression.Code
			return resp
		}
	}
	for id, t := range sorted(l.state.transactions) {
		switch {
		case len(req.StateFilters) > 0 && !slices.Contains(wanted, t.Status),
			len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, t.ProducerID),
			req.DurationFilterMillis >= 0 && now.UnixMilli()-t.StartTime <= req.DurationFilterMillis,
			pattern != nil && !pattern.MatchString(id):
			continue
		}
		s := kmsg.NewListTransactionsResponseTransactionState()
		s.TransactionalID, s.ProducerID, s.TransactionState = id, t.ProducerID, t.Status.String()
		resp.TransactionStates = append(resp.TransactionStates, s)
	}
	return resp
}

// describe answers DescribeTransactions for one transactional id.
func (l *Leader) describe(req *kmsg.DescribeTransactionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	s := kmsg.NewDescribeTransactionsResponseTransactionState()
	s.TransactionalID = req.TransactionalIDs[0]
	s.Topics = []kmsg.DescribeTransactionsResponseTransactionStateTopic{}
	t := l.state.transactions[s.TransactionalID]
	switch {
	case s.TransactionalID == "":
		s.ErrorCode = kerr.InvalidRequest.Code
	case t == nil:
		s.ErrorCode = kerr.TransactionalIDNotFound.Code
	default:
		s.State, s.TimeoutMillis, s.StartTimestamp = t.Status.String(), t.Timeout, t.StartTime
		s.ProducerID, s.ProducerEpoch = t.ProducerID, t.Epoch
		s.Topics = l.describeTopics(t)
	}
	resp.TransactionStates = append(resp.TransactionStates, s)
	return resp
}

// describeTopics returns a transaction's partitions; those of topics that no longer exist have no name to be shown by.
func (l *Leader) describeTopics(t *stored) []kmsg.DescribeTransactionsResponseTransactionStateTopic {
	topics := []kmsg.DescribeTransactionsResponseTransactionStateTopic{}
	var last [16]byte
	for _, p := range t.sortedPartitions() {
		name, ok := l.env.TopicName(p.Topic)
		if !ok {
			continue
		}
		if len(topics) == 0 || p.Topic != last {
			topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			topic.Topic = name
			topics = append(topics, topic)
			last = p.Topic
		}
		of := &topics[len(topics)-1]
		of.Partitions = append(of.Partitions, p.Partition)
	}
	return topics
}
