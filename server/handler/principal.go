package handler

// Without authentication every client is the same principal, User:ANONYMOUS, as in Kafka.
const (
	principalType = "User"
	anonymous     = "ANONYMOUS"
)
