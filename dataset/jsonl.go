package dataset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/tensor"
)

// isLines reports whether a file holds an input a line.
func isLines(path string) bool { return strings.EqualFold(filepath.Ext(path), ".jsonl") }

// maxLine bounds the bytes of a line.
const maxLine = 64 << 20

// tokens is what a line holds for each input of the network.
type tokens [][]int64

// assignLines takes the inputs of a file of token numbers, one a line: {"input_ids": [...], ...} by the inputs' names, or a plain array for
// the first input. Lines of one length that follow each other are one column, so that they come in batches.
func assignLines(inputs []Input, parts [][]*column, path string) error {
	b, err := regular.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxLine)
	var group []tokens
	first := 0 // line of the group
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		t, err := parseTokens(inputs, lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		if len(group) > 0 && !sameLengths(group[0], t) {
			addTokens(parts, path, first, group)
			group = nil
		}
		if len(group) == 0 {
			first = n
		}
		group = append(group, t)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w: %v", path, ErrFormat, err)
	}
	if len(group) == 0 {
		return fmt.Errorf("%s: %w: no line in it", path, ErrEmpty)
	}
	addTokens(parts, path, first, group)
	return nil
}

func sameLengths(a, b tokens) bool {
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return false
		}
	}
	return true
}

// parseTokens reads a line. A mask that is not there is of ones, types of zeros, as tokenizers give them for one text; where the
// network fixes the length, zeros follow, which the mask leaves out.
func parseTokens(inputs []Input, line []byte) (tokens, error) {
	object := make(map[string][]int64)
	var plain []int64
	if err := json.Unmarshal(line, &plain); err == nil {
		object[inputs[0].Name] = plain
	} else if err := json.Unmarshal(line, &object); err != nil {
		return nil, fmt.Errorf("%w: it is neither an array of whole numbers nor an object of these", ErrFormat)
	}
	t := make(tokens, len(inputs))
	for i, in := range inputs {
		values, ok := object[in.Name]
		if !ok {
			length := len(object[inputs[0].Name])
			switch {
			case strings.HasSuffix(in.Name, "attention_mask") && length > 0:
				values = make([]int64, length)
				for k := range values {
					values[k] = 1
				}
			case strings.HasSuffix(in.Name, "token_type_ids") && length > 0:
				values = make([]int64, length)
			default:
				return nil, fmt.Errorf("%w: nothing for the network's input %q", ErrShape, in.Name)
			}
		}
		if len(in.Shape) == 2 && in.Shape[1] >= 0 {
			if len(values) > in.Shape[1] {
				return nil, fmt.Errorf("%w: %d tokens for input %q, which takes %d: cut the text", ErrShape, len(values), in.Name, in.Shape[1])
			}
			values = append(values, make([]int64, in.Shape[1]-len(values))...)
		}
		t[i] = values
	}
	return t, nil
}

// addTokens appends the column of each input for lines of one length.
func addTokens(parts [][]*column, path string, first int, group []tokens) {
	for i := range parts {
		var raw []byte
		for _, t := range group {
			for _, v := range t[i] {
				raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
			}
		}
		parts[i] = append(parts[i], &column{
			dtype: tensor.Int64, rows: len(group), shape: []int{len(group[0][i])},
			where: func(row int) string { return fmt.Sprintf("%s: line %d", path, first+row) },
			open:  func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
		})
	}
}
