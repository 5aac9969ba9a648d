package txn

// Status is where a transactional id stands. The numbers are Kafka's, and on disk: never change one.
type Status uint8

// Dead and PrepareEpochFence are Kafka's names for moments between two records; no record has them, but clients may filter
// by them.
const (
	Empty             Status = 0 // a producer id was given out, no transaction since
	Ongoing           Status = 1
	PrepareCommit     Status = 2 // decided; markers are being written
	PrepareAbort      Status = 3
	CompleteCommit    Status = 4
	CompleteAbort     Status = 5
	Dead              Status = 6
	PrepareEpochFence Status = 7
)

var statusNames = [...]string{
	"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence",
}

// String is the name that ListTransactions and DescribeTransactions show.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "Unknown"
}

// statusNamed is the inverse of String.
func statusNamed(name string) (s Status, ok bool) {
	for i, n := range statusNames {
		if n == name {
			return Status(i), true
		}
	}
	return 0, false
}

// prepared says whether the outcome is decided and markers are still to be written.
func (s Status) prepared() bool { return s == PrepareCommit || s == PrepareAbort }

// open says whether there is a transaction that is not complete.
func (s Status) open() bool { return s == Ongoing || s.prepared() }

// stored says whether a record may have the status.
func (s Status) stored() bool { return s <= CompleteAbort }

// commits says whether the outcome is, or was, a commit.
func (s Status) commits() bool { return s == PrepareCommit || s == CompleteCommit }
