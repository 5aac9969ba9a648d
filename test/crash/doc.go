// Package crash proves that acknowledged records survive faults. Idempotent producers write numbered, checksummed records
// to a cluster of real processes while its nodes are killed, paused or lose their unsynced writes; afterwards
// everything is read back and compared with the acknowledgements.
//
// The checker and its tests are ordinary ones. The faults take minutes and are behind the build tag "crash":
//
//	make crash
//	go test -tags crash ./test/crash -run TestKillOne -rounds 50 -v
package crash
