package coordinator

// shardOf spreads keys over n shards. It is part of the data format: a key whose shard changed would lose its group. The
// hash is 32-bit FNV-1a.
func shardOf(key string, n int32) int32 {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int32(h % uint32(n))
}
