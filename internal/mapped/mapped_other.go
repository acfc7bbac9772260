//go:build !unix

package mapped

import (
	"errors"
	"os"
)

// File reports that files cannot be mapped here.
func File(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func release([]byte, int, int) {}
