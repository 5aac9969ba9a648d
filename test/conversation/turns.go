package conversation

import "github.com/twmb/franz-go/pkg/kmsg"

// Turns returns the conversation. Later turns build on what earlier ones did, so new ones belong at the end of their part.
func Turns() []Turn {
	var all []Turn
	for _, part := range [][]Turn{
		versionTurns(), saslTurns(), aclTurns(), tokenTurns(), scramTurns(), telemetryTurns(), topicConfigTurns(), brokerConfigTurns(),
		otherConfigTurns(), quotaTurns(), featureTurns(), replicaTurns(), streamsTurns(),
	} {
		all = append(all, part...)
	}
	return all
}

func turn[R kmsg.Request](name string, version int16, req R, fill func(R)) Turn {
	if fill != nil {
		fill(req)
	}
	return Turn{Name: name, Request: req, Version: version}
}

func reconnect(t Turn) Turn {
	t.Reconnect = true
	return t
}

func ptr[T any](v T) *T { return &v }

func versionTurns() []Turn {
	named := func(r *kmsg.ApiVersionsRequest) {
		r.ClientSoftwareName, r.ClientSoftwareVersion = "conversation", "1.0"
	}
	var turns []Turn
	for v := int16(0); v <= 4; v++ {
		turns = append(turns, turn("ApiVersions", v, kmsg.NewPtrApiVersionsRequest(), named))
	}
	return append(turns,
		turn("ApiVersions, bad software name", 3, kmsg.NewPtrApiVersionsRequest(), func(r *kmsg.ApiVersionsRequest) {
			r.ClientSoftwareName, r.ClientSoftwareVersion = "not a name!", "1.0"
		}),
		turn("ApiVersions of the future", 5, kmsg.NewPtrApiVersionsRequest(), named),
	)
}

// Without SASL a broker refuses to begin, and does so without ending the connection.
func saslTurns() []Turn {
	plain := func(r *kmsg.SASLHandshakeRequest) { r.Mechanism = "PLAIN" }
	var turns []Turn
	for v := int16(0); v <= 1; v++ {
		turns = append(turns, reconnect(turn("SaslHandshake", v, kmsg.NewPtrSASLHandshakeRequest(), plain)))
	}
	for v := int16(0); v <= 2; v++ {
		turns = append(turns, reconnect(turn("SaslAuthenticate", v, kmsg.NewPtrSASLAuthenticateRequest(), func(r *kmsg.SASLAuthenticateRequest) {
			r.SASLAuthBytes = []byte("\x00user\x00password")
		})))
	}
	return turns
}

func aclTurns() []Turn {
	var turns []Turn
	for v := int16(1); v <= 3; v++ {
		turns = append(turns,
			turn("DescribeAcls", v, kmsg.NewPtrDescribeACLsRequest(), func(r *kmsg.DescribeACLsRequest) {
				r.ResourceType, r.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
				r.Operation, r.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
			}),
			turn("CreateAcls", v, kmsg.NewPtrCreateACLsRequest(), func(r *kmsg.CreateACLsRequest) {
				c := kmsg.NewCreateACLsRequestCreation()
				c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceTypeTopic, "t", kmsg.ACLResourcePatternTypeLiteral
				c.Principal, c.Host, c.Operation, c.PermissionType = "User:u", "*", kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
				r.Creations = append(r.Creations, c, c)
			}),
			turn("DeleteAcls", v, kmsg.NewPtrDeleteACLsRequest(), func(r *kmsg.DeleteACLsRequest) {
				f := kmsg.NewDeleteACLsRequestFilter()
				f.ResourceType, f.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
				f.Operation, f.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
				r.Filters = append(r.Filters, f, f)
			}),
		)
	}
	return turns
}

func tokenTurns() []Turn {
	var turns []Turn
	for v := int16(1); v <= 3; v++ {
		turns = append(turns,
			turn("CreateDelegationToken", v, kmsg.NewPtrCreateDelegationTokenRequest(), func(r *kmsg.CreateDelegationTokenRequest) {
				r.MaxLifetimeMillis = -1
			}),
			turn("DescribeDelegationToken", v, kmsg.NewPtrDescribeDelegationTokenRequest(), nil),
		)
		if v <= 2 {
			turns = append(turns,
				turn("RenewDelegationToken", v, kmsg.NewPtrRenewDelegationTokenRequest(), func(r *kmsg.RenewDelegationTokenRequest) {
					r.HMAC = []byte("none")
				}),
				turn("ExpireDelegationToken", v, kmsg.NewPtrExpireDelegationTokenRequest(), func(r *kmsg.ExpireDelegationTokenRequest) {
					r.HMAC = []byte("none")
				}),
			)
		}
	}
	return append(turns, turn("CreateDelegationToken for somebody else", 3, kmsg.NewPtrCreateDelegationTokenRequest(), func(r *kmsg.CreateDelegationTokenRequest) {
		r.OwnerPrincipalType, r.OwnerPrincipalName, r.MaxLifetimeMillis = ptr("User"), ptr("alice"), -1
	}))
}

func scramTurns() []Turn {
	describe := func(name string, users ...string) Turn {
		return turn(name, 0, kmsg.NewPtrDescribeUserSCRAMCredentialsRequest(), func(r *kmsg.DescribeUserSCRAMCredentialsRequest) {
			for _, u := range users {
				r.Users = append(r.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: u})
			}
		})
	}
	upsert := func(user string, mechanism int8, iterations int32) kmsg.AlterUserSCRAMCredentialsRequestUpsertion {
		u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		u.Name, u.Mechanism, u.Iterations, u.Salt, u.SaltedPassword = user, mechanism, iterations, []byte("salt"), make([]byte, 32)
		return u
	}
	return []Turn{
		describe("DescribeUserScramCredentials of all"),
		describe("DescribeUserScramCredentials of some", "alice", "bob", "alice"),
		describe("DescribeUserScramCredentials of nobody", ""),
		turn("AlterUserScramCredentials, refused", 0, kmsg.NewPtrAlterUserSCRAMCredentialsRequest(), func(r *kmsg.AlterUserSCRAMCredentialsRequest) {
			r.Upsertions = append(r.Upsertions, upsert("weak", 1, 100), upsert("strange", 9, 8192), upsert("", 1, 8192), upsert("strong", 1, 1<<20))
			r.Deletions = append(r.Deletions,
				kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: "nobody", Mechanism: 1},
				kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: "somebody", Mechanism: 0})
		}),
		turn("AlterUserScramCredentials, twice the same", 0, kmsg.NewPtrAlterUserSCRAMCredentialsRequest(), func(r *kmsg.AlterUserSCRAMCredentialsRequest) {
			r.Upsertions = append(r.Upsertions, upsert("alice", 1, 8192), upsert("alice", 1, 8192))
		}),
	}
}

func telemetryTurns() []Turn {
	return []Turn{
		turn("GetTelemetrySubscriptions", 0, kmsg.NewPtrGetTelemetrySubscriptionsRequest(), func(r *kmsg.GetTelemetrySubscriptionsRequest) {
			r.ClientInstanceID = [16]byte{1, 2, 3}
		}),
		turn("PushTelemetry with another subscription", 0, kmsg.NewPtrPushTelemetryRequest(), func(r *kmsg.PushTelemetryRequest) {
			r.ClientInstanceID, r.SubscriptionID = [16]byte{1, 2, 3}, 12345
		}),
		turn("PushTelemetry without an instance", 0, kmsg.NewPtrPushTelemetryRequest(), nil),
		turn("PushTelemetry of an unknown instance", 0, kmsg.NewPtrPushTelemetryRequest(), func(r *kmsg.PushTelemetryRequest) {
			r.ClientInstanceID = [16]byte{9, 9}
		}),
		turn("GetTelemetrySubscriptions too early", 0, kmsg.NewPtrGetTelemetrySubscriptionsRequest(), func(r *kmsg.GetTelemetrySubscriptionsRequest) {
			r.ClientInstanceID = [16]byte{1, 2, 3}
		}),
	}
}

func replicaTurns() []Turn {
	move := func(v int16) Turn {
		return turn("AlterReplicaLogDirs", v, kmsg.NewPtrAlterReplicaLogDirsRequest(), func(r *kmsg.AlterReplicaLogDirsRequest) {
			d := kmsg.NewAlterReplicaLogDirsRequestDir()
			d.Dir = "/elsewhere"
			for _, topic := range []string{"configured", "missing"} {
				t := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
				t.Topic, t.Partitions = topic, []int32{0, 7}
				d.Topics = append(d.Topics, t)
			}
			r.Dirs = append(r.Dirs, d)
		})
	}
	return []Turn{move(1), move(2)}
}

// Streams groups with the feature off, which is what balsa always has.
func streamsTurns() []Turn {
	off := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	off.Feature, off.MaxVersionLevel, off.UpgradeType = "streams.version", 0, 2
	return []Turn{
		turn("streams groups off", 1, kmsg.NewPtrUpdateFeaturesRequest(), func(r *kmsg.UpdateFeaturesRequest) {
			r.FeatureUpdates, r.TimeoutMillis = append(r.FeatureUpdates, off), 10_000
		}),
		turn("StreamsGroupDescribe", 0, kmsg.NewPtrStreamsGroupDescribeRequest(), func(r *kmsg.StreamsGroupDescribeRequest) {
			r.Groups = []string{"g", ""}
		}),
		turn("StreamsGroupHeartbeat", 0, kmsg.NewPtrStreamsGroupHeartbeatRequest(), func(r *kmsg.StreamsGroupHeartbeatRequest) {
			r.Group, r.MemberID, r.MemberEpoch = "g", "m", 3
		}),
	}
}
