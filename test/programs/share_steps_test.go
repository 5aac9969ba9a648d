//go:build programs

package programs

// shareSteps use share groups with Kafka's console tools, on a topic of their own.
var shareSteps = []step{
	{line: "kafka-topics B --create --topic jobs --partitions 2", want: []string{"Created topic jobs"}},
	{line: "kafka-configs B --alter --entity-type groups --entity-name crew --add-config share.auto.offset.reset=earliest,share.record.lock.duration.ms=20000", want: []string{"Completed updating config for group crew."}},
	{line: "kafka-configs B --describe --entity-type groups --entity-name crew", want: []string{"share.auto.offset.reset=earliest", "share.record.lock.duration.ms=20000"}},
	{line: "kafka-configs B --alter --entity-type groups --entity-name crew --add-config share.auto.offset.reset=soon", status: 1, want: []string{"share.auto.offset.reset"}},
	{line: "kafka-console-producer B --topic jobs --reader-property parse.key=true --reader-property key.separator=:", input: lines},
	{line: "kafka-console-share-consumer B --topic jobs --group crew --max-messages 4 --timeout-ms 60000 --formatter-property print.key=true --formatter-property key.separator== --formatter-property print.delivery=true", want: []string{"Delivery:1=k1=one$", "k2=two$", "k3=three$", "k1=four$", "Processed a total of 4 messages"}},
	{line: "kafka-share-groups B --list", want: []string{"^crew$"}},
	{line: "kafka-share-groups B --list --state", want: []string{`^crew\s+Empty`}},
	{line: "kafka-share-groups B --list --state Stable", never: "^crew"},
	{line: "kafka-groups B --list --share", want: []string{`^crew\s+Share\s+share`}},
	{line: "kafka-consumer-groups B --list", never: "^crew"},
	{line: "kafka-share-groups B --describe --group crew", want: []string{`^crew\s+jobs\s+0\s+\d`, `^crew\s+jobs\s+1\s+\d`}},
	{line: "kafka-share-groups B --describe --group crew --state --verbose", want: []string{`^crew\s+.*Empty\s+\d+\s+\d+\s+0`}},
	{line: "kafka-share-groups B --describe --group crew --members", want: []string{"has no active members"}},
	{line: "kafka-share-groups B --describe --group nobody", want: []string{"Group nobody not found"}},
	{line: "kafka-share-groups B --reset-offsets --group crew --topic jobs --to-earliest --dry-run", want: []string{`^crew\s+jobs\s+0\s+0`}},
	{line: "kafka-share-groups B --reset-offsets --group crew --topic jobs --to-earliest --execute", want: []string{`^crew\s+jobs\s+0\s+0`}},
	{line: "kafka-console-share-consumer B --topic jobs --group crew --max-messages 2 --timeout-ms 60000 --reject", want: []string{"Processed a total of 2 messages"}},
	{line: "kafka-share-groups B --reset-offsets --group crew --all-topics --to-latest --execute", want: []string{`^crew\s+jobs\s+\d\s+\d`}},
	{line: "kafka-producer-perf-test B --topic jobs --num-records 5000 --record-size 100 --throughput -1", want: []string{"5000 records sent"}},
	{line: "kafka-share-consumer-perf-test B --topic jobs --group crew --num-records 5000", want: []string{`, 5000, `}},
	{line: "kafka-verifiable-producer B --topic jobs --max-messages 100 --acks -1", want: []string{`"name":"tool_data".*"acked":100|"acked":100`}},
	{line: "kafka-verifiable-share-consumer B --topic jobs --group-id crew --max-messages 100 --acknowledgement-mode sync", want: []string{`"name":"records_consumed"`, `"name":"offsets_acknowledged"`, `"name":"shutdown_complete"`}},
	{line: "kafka-share-groups B --delete-offsets --group crew --topic jobs", want: []string{`jobs\s+Successful`}},
	{line: "kafka-share-groups B --delete --group crew", want: []string{"Deletion of requested share groups \\('crew'\\) was successful"}},
	{line: "kafka-share-groups B --list", never: "^crew"},
	{line: "kafka-topics B --delete --topic jobs"},
}
