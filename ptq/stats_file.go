package ptq

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
)

// Errors of statistics files, wrapped with what is wrong.
var (
	// ErrStatistics reports bytes that are no statistics, or damaged ones.
	ErrStatistics = errors.New("ptq: not a valid statistics file")
	// ErrStatisticsVersion reports a file of a later version of the format.
	ErrStatisticsVersion = errors.New("ptq: the statistics file was written by a later version")
	// ErrOtherNetwork reports statistics that were gathered of another network.
	ErrOtherNetwork = errors.New("ptq: the statistics are of another network")
)

// A statistics file is the magic, the version, the network, the number of inputs, their origins as
// JSON with its length before it (since version 2), the number of tensors, and for each tensor, sorted by name, its histogram with the empty bins left out;
// then the CRC-32 of all before. Numbers are unsigned varints, floats their bits,
// little endian.
const (
	statsMagic   = "narrow statistics\n"
	statsVersion = 2
)

// Write writes s to w. The same statistics give the same bytes.
func (s *Statistics) Write(w io.Writer) error {
	b := []byte(statsMagic)
	b = binary.AppendUvarint(b, statsVersion)
	b = binary.AppendUvarint(b, uint64(s.Network))
	b = binary.AppendUvarint(b, uint64(s.Inputs))
	origins, err := json.Marshal(s.Origins)
	if err != nil {
		return fmt.Errorf("ptq: %w", err)
	}
	b = binary.AppendUvarint(b, uint64(len(origins)))
	b = append(b, origins...)
	b = binary.AppendUvarint(b, uint64(len(s.Tensors)))
	for _, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = s.Tensors[name].append(b)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	_, err = w.Write(b)
	return err
}

func (h *Histogram) append(b []byte) []byte {
	pos, neg := h.Sides()
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(h.min))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(h.max))
	b = binary.AppendUvarint(b, h.count)
	b = binary.AppendUvarint(b, h.zeros)
	b = binary.AppendUvarint(b, uint64(h.exp-minExp))
	for _, side := range [][]uint64{pos, neg} {
		used := 0
		for _, n := range side {
			if n != 0 {
				used++
			}
		}
		b = binary.AppendUvarint(b, uint64(used))
		last := 0
		for i, n := range side {
			if n != 0 {
				b = binary.AppendUvarint(b, uint64(i-last))
				b = binary.AppendUvarint(b, n)
				last = i
			}
		}
	}
	return b
}

// ReadStatistics reads what [Statistics.Write] wrote.
func ReadStatistics(b []byte) (*Statistics, error) {
	if !bytes.HasPrefix(b, []byte(statsMagic)) {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrStatistics)
	}
	r := &statsReader{b: b[len(statsMagic):]}
	version := r.number()
	if r.err == nil && version > statsVersion {
		return nil, fmt.Errorf("%w: %d, the last known is %d", ErrStatisticsVersion, version, statsVersion)
	}
	if len(b) < 4 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, fmt.Errorf("%w: the checksum is wrong, the file is damaged or cut off", ErrStatistics)
	}
	r.b = r.b[:len(r.b)-4]
	s := &Statistics{Network: uint32(r.number()), Inputs: int(r.number()), Tensors: make(map[string]*Histogram)}
	if version > 1 {
		if err := json.Unmarshal(r.take(r.number()), &s.Origins); r.err == nil && err != nil {
			r.fail("its origins are no JSON")
		}
	}
	for n := r.number(); n > 0 && r.err == nil; n-- {
		name := string(r.take(r.number()))
		s.Tensors[name] = r.histogram()
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%w: %d bytes too many", ErrStatistics, len(r.b))
	}
	return s, r.err
}

// statsReader reads from b until something is wrong.
type statsReader struct {
	b   []byte
	err error
}

func (r *statsReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrStatistics, what)
	}
	r.b = nil
}

func (r *statsReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("it ends in a number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *statsReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("it ends too early")
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *statsReader) float() float32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(b))
	if v != v || math.IsInf(float64(v), 0) {
		r.fail("a range is not finite")
	}
	return v
}

func (r *statsReader) histogram() *Histogram {
	h := &Histogram{min: r.float(), max: r.float(), count: r.number(), zeros: r.number()}
	exp := r.number()
	if h.min > h.max || h.zeros > h.count || exp > maxExp-minExp {
		r.fail("a histogram contradicts itself")
		return h
	}
	h.exp = int(exp) + minExp
	left := h.count - h.zeros
	if left > 0 {
		h.pos, h.neg = make([]uint64, Bins), make([]uint64, Bins)
	}
	for _, side := range [][]uint64{h.pos, h.neg} {
		at := uint64(0)
		for n := r.number(); n > 0 && r.err == nil; n-- {
			at += r.number()
			count := r.number()
			if at >= uint64(len(side)) || count > left {
				r.fail("a histogram contradicts itself")
				return h
			}
			side[at] += count
			left -= count
		}
	}
	if left != 0 {
		r.fail("a histogram contradicts itself")
	}
	return h
}
