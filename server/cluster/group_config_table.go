package cluster

// groupConfigs is every group config of Kafka 4 (resource type GROUP, 32), those of dead letters (KIP-1191, where records are
// not copied by default), and share.ordering, which is ours. The bounds of share groups are wider than Kafka's, so that queues can
// have visibility timeouts of up to 12 hours and many records in flight.
var groupConfigs = newConfigTable([]ConfigDef{
	{
		Name: "consumer.assignment.interval.ms", Type: typeInt, Default: "1000", Broker: "group.consumer.assignment.interval.ms", check: atLeast(0),
		Doc: "Kept for tools. How long, in ms, an assignment of a consumer group of the new protocol is kept at least; here a new one is made as soon as it is due.",
	},
	{
		Name: "consumer.heartbeat.interval.ms", Type: typeInt, Default: "5000", Broker: "group.consumer.heartbeat.interval.ms", check: between(1000, 300_000),
		Doc: "How often, in ms, a member of a consumer group of the new protocol sends a heartbeat.",
	},
	{
		Name: "consumer.session.timeout.ms", Type: typeInt, Default: "45000", Broker: "group.consumer.session.timeout.ms", check: between(1000, 1_800_000),
		Doc: "After how long without a heartbeat, in ms, a member of a consumer group of the new protocol is removed.",
	},
	{
		Name: "errors.deadletterqueue.copy.record.enable", Type: typeBool, Default: "true",
		Doc: "Whether the dead letter of a record holds its key, value and headers, besides where it was and why it is there.",
	},
	{
		Name: "errors.deadletterqueue.topic.name", Type: typeString, Default: "", check: deadLetterTopic,
		Doc: "The topic that gets the records which a share group rejected, could not process in share.delivery.count.limit deliveries, or let expire. Empty: they are dropped.",
	},
	{
		Name: "share.assignment.interval.ms", Type: typeInt, Default: "1000", Broker: "group.share.assignment.interval.ms", check: atLeast(0),
		Doc: "Kept for tools. How long, in ms, an assignment of a share group is kept at least; here a new one is made as soon as it is due.",
	},
	{
		Name: "share.auto.offset.reset", Type: typeString, Default: "latest", check: shareOffsetReset,
		Doc: "Where a share group starts in a partition that it reads for the first time: latest, earliest, or by_duration: followed by an ISO 8601 duration.",
	},
	{
		Name: "share.delivery.count.limit", Type: typeInt, Default: "5", Broker: "group.share.delivery.count.limit", check: between(1, 1_000_000),
		Doc: "How many times a record is delivered to a share group before it is given up.",
	},
	{
		Name: "share.heartbeat.interval.ms", Type: typeInt, Default: "5000", Broker: "group.share.heartbeat.interval.ms", check: between(1000, 300_000),
		Doc: "How often, in ms, a member of a share group sends a heartbeat.",
	},
	{
		Name: "share.isolation.level", Type: typeString, Default: "read_uncommitted", check: oneOf("read_committed", "read_uncommitted"),
		Doc: "Whether a share group sees records of transactions that are open or were aborted.",
	},
	{
		Name: "share.ordering", Type: typeString, Default: OrderingNone, check: oneOf(OrderingNone, OrderingKey),
		Doc: "With key, records with the same key are delivered one after the other, in the order of their offsets: the next when the one before is acknowledged.",
	},
	{
		Name: "share.partition.max.record.locks", Type: typeInt, Default: "2000", Broker: "group.share.partition.max.record.locks", check: between(1, 1_000_000),
		Doc: "How many records of one partition may be delivered and not yet acknowledged.",
	},
	{
		Name: "share.record.lock.duration.ms", Type: typeInt, Default: "30000", Broker: "group.share.record.lock.duration.ms", check: between(1000, 12*3600*1000),
		Doc: "How long, in ms, a consumer has to acknowledge a record before it is delivered again (the visibility timeout).",
	},
	{
		Name: "share.renew.acknowledge.enable", Type: typeBool, Default: "true",
		Doc: "Whether a consumer may extend the time that it has for a record.",
	},
	{
		Name: "share.session.timeout.ms", Type: typeInt, Default: "45000", Broker: "group.share.session.timeout.ms", check: between(1000, 1_800_000),
		Doc: "After how long without a heartbeat, in ms, a member of a share group is removed.",
	},
	{
		Name: "streams.assignment.interval.ms", Type: typeInt, Default: "1000", Broker: "group.streams.assignment.interval.ms", check: atLeast(0),
		Doc: "Kept for tools. How long, in ms, an assignment of a streams group is kept at least; here a new one is made as soon as it is due.",
	},
	{
		Name: "streams.heartbeat.interval.ms", Type: typeInt, Default: "5000", Broker: "group.streams.heartbeat.interval.ms", check: between(1000, 300_000),
		Doc: "How often, in ms, a member of a streams group sends a heartbeat.",
	},
	{
		Name: "streams.initial.rebalance.delay.ms", Type: typeInt, Default: "3000", Broker: "group.streams.initial.rebalance.delay.ms", check: atLeast(0),
		Doc: "How long, in ms, a new streams group waits for more members before its first assignment.",
	},
	{
		Name: "streams.num.standby.replicas", Type: typeInt, Default: "0", Broker: "group.streams.num.standby.replicas", check: between(0, 2),
		Doc: "How many standby copies of each task a streams group keeps.",
	},
	{
		Name: "streams.session.timeout.ms", Type: typeInt, Default: "45000", Broker: "group.streams.session.timeout.ms", check: between(1000, 1_800_000),
		Doc: "After how long without a heartbeat, in ms, a member of a streams group is removed.",
	},
})
