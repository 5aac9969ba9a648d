// Package harness runs brokers as real processes for the tests and benchmarks that need them: balsa's own binary, in one
// to five nodes on loopback, which can be killed, paused and started again, and whose cost /proc tells.
package harness
