package main

// nearest returns the candidate that is closest to word in edits, or "" if none is close enough to be a typo of it.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, candidate := range candidates {
		if d := editDistance(word, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance in bytes, which is enough for the ASCII names it compares.
func editDistance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		diagonal := previous[0]
		previous[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = previous[j+1]
			previous[j+1] = min(substitute, previous[j]+1, previous[j+1]+1)
		}
	}
	return previous[len(b)]
}
