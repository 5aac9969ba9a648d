//go:build programs

package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"balsa/test/harness"
)

// kafka is a cluster of Apache Kafka itself (KRaft, combined roles) under dir/NAME.
func (s *suite) kafka(name string, nodes int) harness.Options {
	s.Helper()
	dir := filepath.Join(s.Dir, name)
	tool := s.java("256m", "kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qg")
	broker := s.java("640m", "kafka.Kafka")
	return harness.Options{Dir: dir, Nodes: nodes, Command: func(n *harness.Node) []string {
		config := s.write(filepath.Join(name, fmt.Sprintf("node-%d.properties", n.ID)), kafkaConfig(n, nodes))
		s.Must(os.MkdirAll(n.DataDir, 0o700))
		return []string{"sh", "-c", quote(append(tool, "--config", config)) + " && exec " + quote(append(broker, config))}
	}}
}

func quote(argv []string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// kafkaConfig is server.properties of a node. Its controller listens where balsa's peer port would be.
func kafkaConfig(n *harness.Node, nodes int) string {
	var port int
	if _, err := fmt.Sscanf(n.Address, "127.0.0.1:%d", &port); err != nil {
		panic(err)
	}
	base := port - int(n.ID) + 1 // of the first node; the controllers' ports follow the clients'
	var voters []string
	for i := range nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, base+nodes+i))
	}
	return properties(
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.ID),
		"controller.quorum.voters="+strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", n.Address, base+nodes+int(n.ID)-1),
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs="+n.DataDir,
		fmt.Sprintf("default.replication.factor=%d", nodes),
		fmt.Sprintf("min.insync.replicas=%d", nodes/2+1),
		fmt.Sprintf("offsets.topic.replication.factor=%d", nodes),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", nodes),
		fmt.Sprintf("transaction.state.log.min.isr=%d", nodes/2+1),
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", nodes),
		fmt.Sprintf("share.coordinator.state.topic.min.isr=%d", nodes/2+1),
		"group.initial.rebalance.delay.ms=0",
	)
}
