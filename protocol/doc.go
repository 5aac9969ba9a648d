// Package protocol is Kafka's wire format around the messages of kmsg: size-prefixed frames, request and response
// headers, the check that a request is what its lengths claim, the Fetch response as header bytes with holes for file
// ranges, and the mapping of errors to Kafka's codes.
//
// Nothing that a peer sends is believed before it has arrived: a frame's buffer grows with its bytes, and arrays are
// counted against the bytes that hold them before kmsg allocates for them.
package protocol
