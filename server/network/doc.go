// Package network is how Kafka clients reach a broker: a Listener with its connections, which read requests, hand them to a
// handler.Dispatcher and write the answers in the order of the requests. What one connection, one address and all of them
// may have in memory is bounded (ListenerConfig); a client that is over its quota is not read from.
package network
