package ptq

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/onnx"
)

func collect(t testing.TB, start *Statistics, save func(*Statistics) error, first, count int) *Statistics {
	t.Helper()
	data := rest{images(t, 60, 3, 8, 8), first, count}
	s, err := Collect(context.Background(), residualNet(), data, start, save)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func statsBytes(t testing.TB, s *Statistics) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestShardsMergeToTheSameBytes(t *testing.T) {
	want := statsBytes(t, collect(t, nil, nil, 0, 60))
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		var shards [][]byte
		for i := range 10 {
			shards = append(shards, statsBytes(t, collect(t, nil, nil, 6*i, 6)))
		}
		rng.Shuffle(len(shards), func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
		total, err := ReadStatistics(shards[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range shards[1:] {
			s, err := ReadStatistics(b)
			if err != nil {
				t.Fatal(err)
			}
			total.Merge(s)
		}
		if !bytes.Equal(statsBytes(t, total), want) {
			t.Fatal("merged shards differ from one run")
		}
	}
}

// TestCollectGoesOn interrupts after a save and goes on from what was saved.
func TestCollectGoesOn(t *testing.T) {
	want := statsBytes(t, collect(t, nil, nil, 0, 60))
	for _, n := range []int{1, 7, 59, 60} {
		saved, err := ReadStatistics(statsBytes(t, collect(t, nil, nil, 0, n)))
		if err != nil {
			t.Fatal(err)
		}
		saves := 0
		s := collect(t, saved, func(*Statistics) error { saves++; return nil }, 0, 60)
		if !bytes.Equal(statsBytes(t, s), want) || saves == 0 && n < 60 {
			t.Errorf("from %d inputs on: another result, or none of %d saves", n, saves)
		}
	}
}

func TestQuantizeFromStatistics(t *testing.T) {
	data := images(t, 60, 3, 8, 8)
	var direct, fromFile bytes.Buffer
	q := mustQuantize(t, residualNet(), data, WithEqualize(false), WithHoldout(0))
	if err := onnx.Write(&direct, q.Graph); err != nil {
		t.Fatal(err)
	}
	s := collect(t, nil, nil, 0, 60)
	q = mustQuantize(t, residualNet(), data, WithStatistics(s))
	if err := onnx.Write(&fromFile, q.Graph); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(direct.Bytes(), fromFile.Bytes()) {
		t.Error("statistics from a file give another network than calibrating")
	}
	mustQuantize(t, residualNet(), nil, WithStatistics(s)) // without data
	other := residualNet()
	other.Nodes[0].Inputs[1].Const.F32()[0]++
	if _, err := Quantize(context.Background(), other, nil, WithStatistics(s)); !errors.Is(err, ErrOtherNetwork) {
		t.Errorf("statistics of another network: %v", err)
	}
}

func TestDamagedStatistics(t *testing.T) {
	good := statsBytes(t, collect(t, nil, nil, 0, 10))
	for n := range good {
		if _, err := ReadStatistics(good[:n]); err == nil {
			t.Fatalf("%d of %d bytes are accepted", n, len(good))
		}
		bad := bytes.Clone(good)
		bad[n] ^= 4
		if _, err := ReadStatistics(bad); err == nil {
			t.Fatalf("with byte %d changed it is accepted", n)
		}
	}
	later := bytes.Clone(good)
	later[len(statsMagic)] = statsVersion + 1
	if _, err := ReadStatistics(later); !errors.Is(err, ErrStatisticsVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func FuzzReadStatistics(f *testing.F) {
	f.Add([]byte(statsMagic))
	f.Add(statsBytes(f, collect(f, nil, nil, 0, 3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum would stop nearly everything: read what is behind it as well.
		r := &statsReader{b: b}
		r.histogram()
		if s, err := ReadStatistics(b); err == nil {
			statsBytes(t, s)
		}
	})
}
