package conversation

// difference is why balsa answers a turn otherwise than Kafka, and in which lines: those that match a pattern; all, without one.
type difference struct{ why, lines string }

const (
	apiLines = `"ApiKey":(71|72|8[0-7]),`
	apiWhy   = "client telemetry (71, 72) is served, and what KRaft's controllers and the coordinators of share groups say to each other does not exist here"

	topicLines = `"(flush\.(messages|ms)|log\.flush\..*|min\.insync\.replicas|(log\.)?segment\.(bytes|ms|jitter\.ms)|` +
		`(log\.)?retention\.(ms|hours)|log\.roll\..*)","Value"|^\],"ConfigType"`
	offsetsLines = `"Name":"__consumer_offsets"`
	offsetsWhy   = "Kafka creates its topic of offsets when the first group needs it, here it is there from the start"

	topicWhy = "records are fsynced before they are acknowledged by default; Kafka counts some values in hours, too; it was recorded with static configs"
)

// differences are the turns that balsa answers otherwise than Kafka.
func differences() map[string]difference {
	const featureLines = `"(eligible\.leader\.replicas|kraft|streams)\.version"`
	d := map[string]difference{
		"ApiVersions v0: ApiVersions":                              {apiWhy, apiLines},
		"ApiVersions v1: ApiVersions":                              {apiWhy, apiLines},
		"ApiVersions v2: ApiVersions":                              {apiWhy, apiLines},
		"ApiVersions v3: ApiVersions":                              {apiWhy, apiLines + "|" + featureLines},
		"ApiVersions v4: ApiVersions":                              {apiWhy, apiLines + "|" + featureLines},
		"ApiVersions v4: features after a change":                  {apiWhy, apiLines + "|" + featureLines},
		"UpdateFeatures v2: kraft.version":                         {"there is no KRaft", ""},
		"UpdateFeatures v2: streams.version off":                   {"streams groups are not a feature", ""},
		"UpdateFeatures v1: streams groups off":                    {"streams groups are not a feature", ""},
		"AlterClientQuotas v1: not a number":                       {"Kafka accepts it, and cannot measure by it", ""},
		"AlterClientQuotas v1: address and user":                   {"a space that Kafka forgot", ""},
		"ListConfigResources v1: ListConfigResources of all types": {offsetsWhy, offsetsLines},
		"ListConfigResources v1: ListConfigResources of topics":    {offsetsWhy, offsetsLines},
		"CreateTopics v7: with configs":                            {topicWhy, `"Name":"(flush\.|min\.insync\.replicas|segment\.bytes)`},
		"DescribeConfigs v4: DescribeConfigs of a topic":           {topicWhy, topicLines},
		"DescribeConfigs v4: after IncrementalAlterConfigs":        {topicWhy, topicLines},
		"DescribeConfigs v4: topic after changes of brokers":       {topicWhy, topicLines},
		"DescribeConfigs v4: DescribeConfigs of a missing topic":   {"Kafka's message is empty", ""},
		"DescribeConfigs v4: DescribeConfigs of an unknown type":   {"Kafka's message is about its log", ""},
		"IncrementalAlterConfigs v1: set cleanup.policy=shred":     {"a topic may be a queue here", ""},
		"IncrementalAlterConfigs v1: unknown operation":            {"Kafka answers UNKNOWN_SERVER_ERROR", ""},
		"IncrementalAlterConfigs v1: unknown broker config":        {"Kafka keeps configs that nobody knows, for plugins", ""},
		"IncrementalAlterConfigs v1: unregistered broker":          {"here any broker can be asked about any broker's configs", ""},
		"IncrementalAlterConfigs v1: group config, out of bounds":  {"bounds of groups are wider and not configurable", ""},
		"DescribeConfigs v4: DescribeConfigs of a group":           {"dead letters come with Kafka 4.4, and the order by key is ours", `"(errors\.deadletterqueue\..*|share\.ordering)"|^\],"ConfigType"`},
		"DescribeConfigs v4: DescribeConfigs of a broker":          {"Kafka has 340 configs of brokers; here are those that mean something, and those that programs set", ""},
		"DescribeConfigs v4: DescribeConfigs of all brokers":       {"Kafka sets min.insync.replicas because of its eligible leader replicas", ""},
		"DescribeConfigs v4: all brokers after changes":            {"as before", `"min\.insync\.replicas"|^\],"ConfigType"`},
		"AlterConfigs v2: AlterConfigs of all brokers":             {"as before", ""},
		"AlterConfigs v2: AlterConfigs of all brokers, back":       {"as before", ""},
		"DescribeConfigs v4: broker after changes":                 {"other defaults", `"(max\.connections(\.per\.ip)?|log\.retention\.(ms|minutes|hours))"`},
		"DescribeConfigs v4: broker after AlterConfigs":            {"other defaults, and with them other synonyms", ""},
	}
	return d
}
