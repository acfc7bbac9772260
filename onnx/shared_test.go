package onnx

import (
	"testing"

	"github.com/narrow-ml/narrow/internal/shared"
)

func glob(t testing.TB, pattern string) []string { return shared.Glob(t, pattern) }
