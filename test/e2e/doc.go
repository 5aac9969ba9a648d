// Package e2e tests balsa's binary from outside, with franz-go and with bytes that no client would send.
package e2e
