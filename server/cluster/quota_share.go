package cluster

// QuotaShare is the quota that applies to a client, and who uses it together: all clients with the same User and ClientID here,
// of which an empty one stands for any.
type QuotaShare struct {
	Limit          float64
	User, ClientID string
}

// ClientQuota returns the share of a client of a quota, such as QuotaProduceRate; ok is false when it is not limited. The most
// specific entity that has this quota counts, users before client ids, names before defaults: Kafka's order (KIP-55). It
// runs for every request of a cluster with quotas, so it allocates nothing.
func (img *Image) ClientQuota(key, user, clientID string) (share QuotaShare, ok bool) {
	byUser, byDefaultUser := QuotaName{QuotaNamed, user}, QuotaName{Match: QuotaDefault}
	byClient, byDefaultClient := QuotaName{QuotaNamed, clientID}, QuotaName{Match: QuotaDefault}
	for _, e := range [...]QuotaEntity{
		{User: byUser, ClientID: byClient},
		{User: byUser, ClientID: byDefaultClient},
		{User: byUser},
		{User: byDefaultUser, ClientID: byClient},
		{User: byDefaultUser, ClientID: byDefaultClient},
		{User: byDefaultUser},
		{ClientID: byClient},
		{ClientID: byDefaultClient},
	} {
		limit, set := img.Quotas[e][key]
		if !set {
			continue
		}
		share.Limit = limit
		// A default is a share for each, not one for all.
		if e.User.Match != QuotaUnbound {
			share.User = user
		}
		if e.ClientID.Match != QuotaUnbound {
			share.ClientID = clientID
		}
		return share, true
	}
	return QuotaShare{}, false
}

// ConnectionQuota returns how many connections per second may be opened from an address; ok is false when it is not limited.
func (img *Image) ConnectionQuota(ip string) (limit float64, ok bool) {
	for _, name := range [...]QuotaName{{QuotaNamed, ip}, {Match: QuotaDefault}} {
		if limit, ok = img.Quotas[QuotaEntity{IP: name}][QuotaConnectionRate]; ok {
			return limit, true
		}
	}
	return 0, false
}
