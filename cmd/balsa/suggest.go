package main

import "balsa/internal/levenshtein"

// nearest returns the candidate that is closest to word in edits, or "" if none is close enough to be a typo of it.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, candidate := range candidates {
		if d := levenshtein.Distance(word, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}
