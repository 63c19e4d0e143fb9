package compare

// JaroWinkler is the likeness of two folded words, from 0 to 1: Jaro's, raised
// by a tenth of what is missing for each of up to four letters they share in
// front, where Jaro's is above 0.7 (Winkler 1990).
func JaroWinkler(a, b string) float64 {
	var roomX, roomY [maxWord]rune // names are short: nothing is allocated
	x, y := letters(roomX[:0], a), letters(roomY[:0], b)
	j := jaro(x, y)
	if j <= 0.7 {
		return j
	}
	prefix := 0
	for prefix < min(4, len(x), len(y)) && x[prefix] == y[prefix] {
		prefix++
	}
	return j + float64(prefix)*0.1*(1-j)
}

// maxWord is how many letters of a word are compared.
const maxWord = 64

func letters(into []rune, word string) []rune {
	for _, r := range word {
		if len(into) == maxWord {
			break
		}
		into = append(into, r)
	}
	return into
}

func jaro(x, y []rune) float64 {
	if len(x) == 0 || len(y) == 0 {
		return 0
	}
	window := max(max(len(x), len(y))/2-1, 0)
	var inX, inY [maxWord]bool
	matches := 0
	for i, r := range x {
		for j := max(0, i-window); j < min(len(y), i+window+1); j++ {
			if !inY[j] && y[j] == r {
				inX[i], inY[j] = true, true
				matches++
				break
			}
		}
	}
	if matches == 0 {
		return 0
	}
	moved, j := 0, 0
	for i, r := range x {
		if !inX[i] {
			continue
		}
		for !inY[j] {
			j++
		}
		if y[j] != r {
			moved++
		}
		j++
	}
	m := float64(matches)
	return (m/float64(len(x)) + m/float64(len(y)) + (m-float64(moved)/2)/m) / 3
}

// Edits is the least number of letters to put in, take out, change, or swap
// with the next, that turns one word into the other; no letter is touched twice
// (optimal string alignment).
func Edits(a, b string) int {
	var roomX, roomY [maxWord]rune
	x, y := letters(roomX[:0], a), letters(roomY[:0], b)
	var rows [3][maxWord + 1]int
	before, last, row := rows[0][:len(y)+1], rows[1][:len(y)+1], rows[2][:len(y)+1]
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			change := 1
			if x[i] == y[j] {
				change = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+change)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// Soundex is the American code of a folded word, one letter and three digits,
// as the National Archives define it; empty where the word does not begin with
// a Latin letter.
func Soundex(word string) string {
	if word == "" || word[0] < 'a' || word[0] > 'z' {
		return ""
	}
	code := []byte{word[0] - 'a' + 'A'}
	last := soundexDigit(word[0])
	for i := 1; i < len(word) && len(code) < 4; i++ {
		c := word[i]
		d := soundexDigit(c)
		switch {
		case c == 'h' || c == 'w': // letters on both sides of them still count as one
			continue
		case d != 0 && d != last:
			code = append(code, d)
		}
		last = d
	}
	for len(code) < 4 {
		code = append(code, '0')
	}
	return string(code)
}

func soundexDigit(c byte) byte {
	switch c {
	case 'b', 'f', 'p', 'v':
		return '1'
	case 'c', 'g', 'j', 'k', 'q', 's', 'x', 'z':
		return '2'
	case 'd', 't':
		return '3'
	case 'l':
		return '4'
	case 'm', 'n':
		return '5'
	case 'r':
		return '6'
	}
	return 0
}
