package coordinator

// shardOf spreads keys over n shards. It is part of the data format: a key whose shard changed would lose its group. The
// hash is 32-bit FNV-1a.
func shardOf(key string, n int32) int32 {
	const offsetBasis, prime = 2166136261, 16777619
	h := uint32(offsetBasis)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * prime
	}
	return int32(h % uint32(n))
}
