// Package levenshtein measures how much two names differ, for "did you mean".
package levenshtein

// Distance is the Levenshtein distance of a and b in bytes, which is enough for the ASCII names it compares. Its time is
// the product of the lengths: bound them where the input is not trusted.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
