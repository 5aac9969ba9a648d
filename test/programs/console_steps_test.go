//go:build programs

package programs

// consoleFiles are read by steps, as $DIR/NAME.
var consoleFiles = map[string]string{
	"delete.json":   `{"version":1,"partitions":[{"topic":"perf","partition":0,"offset":10}]}`,
	"topics.json":   `{"version":1,"topics":[{"topic":"orders"}]}`,
	"elect.json":    `{"partitions":[{"topic":"orders","partition":0}]}`,
	"reassign.json": `{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[1]}]}`,
	"reset.csv":     "orders,0,1\n",
}

// lines are orders for the console producer.
const lines = "k1:one\nk2:two\nk3:three\nk1:four\n"

var consoleSteps = []step{
	// kafka-topics
	{line: "kafka-topics B --create --topic orders --partitions 3 --replication-factor R --config retention.ms=86400000", want: []string{"Created topic orders"}},
	{line: "kafka-topics B --create --topic orders --partitions 3", status: 1, want: []string{"Topic 'orders' already exists"}},
	{line: "kafka-topics B --create --if-not-exists --topic orders", status: 0},
	{line: "kafka-topics B --create --topic perf --partitions 1 --config nonsense=1", status: 1, want: []string{"Unknown topic config name: nonsense"}},
	{line: "kafka-topics B --create --topic perf --partitions 1 --replication-factor 99", status: 1, want: []string{"InvalidReplicationFactorException"}},
	{line: "kafka-topics B --create --topic bad*name --partitions 1", status: 1, want: []string{"InvalidTopicException|illegal"}},
	{line: "kafka-topics B --create --topic perf --partitions 1", want: []string{"Created topic perf"}},
	{line: "kafka-topics B --list", want: []string{"^orders$", "^perf$"}},
	{line: "kafka-topics B --list --exclude-internal", want: []string{"^orders$"}, never: "^__"},
	{line: "kafka-topics B --describe --topic orders", want: []string{`PartitionCount: 3\s+ReplicationFactor: R\s+Configs: .*retention.ms=86400000`, `Partition: 2\s+Leader: \d+\s+Replicas: \S+\s+Isr: \S+\s+Elr:\s+LastKnownElr:`}},
	{line: "kafka-topics B --describe --topic missing", status: 1, want: []string{"Topic 'missing' does not exist as expected"}},
	{line: "kafka-topics B --describe --under-replicated-partitions", never: "Topic:"},
	{line: "kafka-topics B --describe --unavailable-partitions", never: "Topic:"},
	{line: "kafka-topics B --describe --topics-with-overrides", want: []string{"Topic: orders"}},
	{line: "kafka-topics B --alter --topic orders --partitions 4"},
	{line: "kafka-topics B --alter --topic orders --partitions 2", status: 1, want: []string{"InvalidPartitionsException"}},
	{line: "kafka-topics B --describe --topic orders", want: []string{"PartitionCount: 4"}},

	// kafka-configs
	{line: "kafka-configs B --alter --entity-type topics --entity-name orders --add-config max.message.bytes=2097152", want: []string{"Completed updating config for topic orders."}},
	{line: "kafka-configs B --describe --entity-type topics --entity-name orders", want: []string{"max.message.bytes=2097152 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:max.message.bytes=2097152, DEFAULT_CONFIG:message.max.bytes=1048588}"}},
	{line: "kafka-configs B --describe --entity-type topics --entity-name orders --all", want: []string{"cleanup.policy=delete sensitive=false", "segment.bytes=1073741824"}},
	{line: "kafka-configs B --alter --entity-type topics --entity-name orders --add-config retention.ms=abc", status: 1, want: []string{"Invalid value abc for configuration retention.ms"}},
	{line: "kafka-configs B --alter --entity-type topics --entity-name orders --delete-config max.message.bytes", want: []string{"Completed updating"}},
	{line: "kafka-configs B --describe --entity-type topics --entity-name orders", never: "max.message.bytes"},
	{line: "kafka-configs B --describe --entity-type brokers --entity-name 1 --all", want: []string{"log.segment.bytes=1073741824", "log.retention.hours=168"}},
	{line: "kafka-configs B --alter --entity-type brokers --entity-default --add-config log.cleaner.threads=2", want: []string{"Completed updating default config for brokers in the cluster."}},
	{line: "kafka-configs B --describe --entity-type brokers --entity-default", want: []string{"log.cleaner.threads=2"}},
	{line: "kafka-configs B --alter --entity-type brokers --entity-default --delete-config log.cleaner.threads", want: []string{"Completed updating"}},
	{line: "kafka-configs B --alter --entity-type clients --entity-name loader --add-config producer_byte_rate=104857600", want: []string{"Completed updating config for client loader."}},
	{line: "kafka-configs B --describe --entity-type clients --entity-name loader", want: []string{`Quota configs for client-id 'loader' are producer_byte_rate=1.048576E8`}},
	{line: "kafka-configs B --alter --entity-type clients --entity-name loader --delete-config producer_byte_rate", want: []string{"Completed updating"}},
	{line: "kafka-configs B --alter --entity-type groups --entity-name shoppers --add-config consumer.session.timeout.ms=50000", want: []string{"Completed updating config for group shoppers."}},
	{line: "kafka-configs B --describe --entity-type groups --entity-name shoppers", want: []string{"consumer.session.timeout.ms=50000"}},

	// Producing and consuming
	{line: "kafka-console-producer B --topic orders --reader-property parse.key=true --reader-property key.separator=:", input: lines},
	{line: "kafka-console-consumer B --topic orders --from-beginning --max-messages 4 --group shoppers --formatter-property print.key=true --formatter-property key.separator==", want: []string{"^k1=one$", "^k2=two$", "^k3=three$", "^k1=four$", "Processed a total of 4 messages"}},
	{line: "kafka-console-consumer B --topic orders --from-beginning --max-messages 4 --isolation-level read_committed --group newgroup --command-property group.protocol=consumer", want: []string{"^one$", "Processed a total of 4 messages"}},
	{line: "kafka-console-consumer B --include ord.* --from-beginning --max-messages 4", want: []string{"Processed a total of 4 messages"}},

	// kafka-consumer-groups, kafka-groups
	{line: "kafka-consumer-groups B --list", want: []string{"^shoppers$", "^newgroup$"}},
	{line: "kafka-consumer-groups B --list --state", want: []string{`^shoppers\s+Empty`}},
	{line: "kafka-consumer-groups B --list --type consumer", want: []string{"^newgroup"}, never: "^shoppers"},
	{line: "kafka-groups B --list", want: []string{`^newgroup\s+Consumer\s+consumer`, `^shoppers\s+Classic\s+consumer`}},
	{line: "kafka-consumer-groups B --describe --group shoppers", want: []string{`Consumer group 'shoppers' has no active members.`, `^shoppers\s+orders\s+\d\s+\d+\s+\d+\s+0\s+-\s+-\s+-`}},
	{line: "kafka-consumer-groups B --describe --group shoppers --state", want: []string{`^shoppers\s+.*Empty\s+0`}},
	{line: "kafka-consumer-groups B --describe --group newgroup --members --verbose", want: []string{"has no active members"}},
	{line: "kafka-consumer-groups B --describe --group nobody", want: []string{"Group nobody not found"}},
	{line: "kafka-consumer-groups B --describe --all-groups", want: []string{"shoppers", "newgroup"}},
	{line: "kafka-consumer-groups B --group shoppers --reset-offsets --topic orders --to-earliest --dry-run", want: []string{`^shoppers\s+orders\s+0\s+0`}},
	{line: "kafka-consumer-groups B --group shoppers --reset-offsets --topic orders --to-earliest --execute", want: []string{`^shoppers\s+orders\s+0\s+0`}},
	{line: "kafka-consumer-groups B --group shoppers --reset-offsets --topic orders --shift-by 1 --execute", want: []string{`^shoppers\s+orders`}},
	{line: "kafka-consumer-groups B --group shoppers --reset-offsets --topic orders --to-datetime 2020-01-01T00:00:00.000 --execute", want: []string{`^shoppers\s+orders\s+0\s+0`}},
	{line: "kafka-consumer-groups B --group shoppers --reset-offsets --topic orders --by-duration PT1H --execute", want: []string{`^shoppers\s+orders\s+0\s+0`}},
	{line: "kafka-consumer-groups B --group shoppers --reset-offsets --from-file $DIR/reset.csv --execute", want: []string{`^shoppers\s+orders\s+0\s+\d`}},
	{line: "kafka-consumer-groups B --group shoppers --delete-offsets --topic orders:0", want: []string{`Request succeed|orders\s+0\s+Successful`}},
	{line: "kafka-consumer-groups B --delete --group shoppers --group newgroup", want: []string{"Deletion of requested consumer groups .* was successful"}},
	{line: "kafka-consumer-groups B --list", never: "shoppers"},

	// Measuring
	{line: "kafka-producer-perf-test B --topic perf --num-records 20000 --record-size 100 --throughput -1", want: []string{"20000 records sent, .* 99.9th"}},
	{line: "kafka-producer-perf-test B --topic perf --num-records 5000 --record-size 100 --throughput 5000 --transaction-duration-ms 200 --command-property acks=all", want: []string{"5000 records sent"}},
	{line: "kafka-consumer-perf-test B --topic perf --num-records 25000", want: []string{`, 25\d{3}, `}},
	{line: "kafka-e2e-latency B --topic e2e --num-records 50 --producer-acks all --record-size 100", want: []string{"Avg latency: [0-9.]+ ms", "Percentiles: 50th = "}},
	{line: "kafka-verifiable-producer B --topic verified --max-messages 100 --acks -1", want: []string{`"name":"tool_data".*"acked":100|"acked":100`}},
	{line: "kafka-verifiable-consumer B --topic verified --group-id verifiers --max-messages 100", want: []string{`"name":"records_consumed"`, `"name":"shutdown_complete"`}},

	// Offsets, records, log directories
	{line: "kafka-get-offsets B --topic perf --time earliest", want: []string{"^perf:0:0$"}},
	{line: "kafka-get-offsets B --topic perf --time max-timestamp", want: []string{`^perf:0:\d+$`}},
	{line: "kafka-get-offsets B --topic-partitions perf:0 --time latest", want: []string{`^perf:0:25\d{3}$`}},
	{line: "kafka-delete-records B --offset-json-file $DIR/delete.json", want: []string{`partition: perf-0\s+low_watermark: 10`}},
	{line: "kafka-get-offsets B --topic perf --time -2", want: []string{"^perf:0:10$"}},
	{line: "kafka-log-dirs B --describe --topic-list perf", want: []string{`"partition":"perf-0","size":[1-9]`}},

	// The cluster
	{line: "kafka-broker-api-versions B", want: []string{`Produce\(0\): 0 to 13`, `Fetch\(1\): 4 to 18`}},
	{line: "kafka-cluster cluster-id B", want: []string{`Cluster ID: \S+`}},
	{line: "kafka-cluster list-endpoints B", want: []string{`127.0.0.1`}},
	{line: "kafka-features B describe", want: []string{`Feature: group.version.*FinalizedVersionLevel: 1`, `Feature: transaction.version.*FinalizedVersionLevel: 2`}},
	{line: "kafka-metadata-quorum B describe --status", want: []string{`LeaderId:\s+\d`, "CurrentVoters:"}},
	{line: "kafka-metadata-quorum B describe --replication", want: []string{"Leader"}},
	{line: "kafka-leader-election B --election-type preferred --all-topic-partitions"},
	{line: "kafka-leader-election B --election-type preferred --path-to-json-file $DIR/elect.json", want: []string{"Valid replica already elected for partitions orders-0|Successfully completed leader election .*orders-0"}},
	{line: "kafka-reassign-partitions B --generate --topics-to-move-json-file $DIR/topics.json --broker-list N", want: []string{"Proposed partition reassignment configuration", `"partition":3,"replicas":\[\d`}},
	{line: "kafka-reassign-partitions B --execute --reassignment-json-file $DIR/reassign.json", want: []string{"Successfully started partition reassignment for orders-0"}},
	{line: "kafka-reassign-partitions B --list", want: []string{"Current partition reassignments|No partition reassignments found"}},
	{line: "kafka-reassign-partitions B --verify --reassignment-json-file $DIR/reassign.json", want: []string{"Reassignment of partition orders-0 is (completed|still in progress)"}},
	{line: "kafka-transactions B list", want: []string{"TransactionalId", "performance-producer"}},
	{line: "kafka-transactions B describe-producers --topic perf --partition 0", want: []string{"ProducerId\\s+ProducerEpoch"}},
	{line: "kafka-transactions B find-hanging --broker-id 1"},
	{line: "kafka-client-metrics B --alter --name every --metrics org.apache.kafka.producer. --interval 30000", want: []string{"Altered client metrics config for every."}},
	{line: "kafka-client-metrics B --list", want: []string{"^every$"}},
	{line: "kafka-client-metrics B --describe --name every", want: []string{"interval.ms=30000"}},

	// What a cluster without security answers
	{line: "kafka-acls B --list", status: 1, want: []string{"SecurityDisabledException"}},
	{line: "kafka-delegation-tokens B --describe --command-config $DIR/empty", status: 1, want: []string{"Delegation Token feature|DELEGATION_TOKEN|DelegationToken"}},

	{line: "kafka-topics B --delete --topic orders"},
	{line: "kafka-topics B --list", never: "^orders$"},
}
