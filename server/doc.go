// Package server is the broker process: it wires everything by hand, serves Kafka clients, and stops in order.
package server
