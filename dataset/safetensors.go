package dataset

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/tensor"
)

// maxSafetensorsHeader is the longest header that the format allows.
const maxSafetensorsHeader = 100 << 20

var safetensorsTypes = map[string]tensor.DType{
	"F64": tensor.Float64, "F32": tensor.Float32, "F16": tensor.Float16, "BOOL": tensor.Bool,
	"I8": tensor.Int8, "U8": tensor.Uint8, "I16": tensor.Int16, "U16": tensor.Uint16,
	"I32": tensor.Int32, "U32": tensor.Uint32, "I64": tensor.Int64, "U64": tensor.Uint64,
}

// safetensorsEntry is what the header says of one array; its bytes are at these offsets behind the header.
type safetensorsEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// openSafetensors returns the arrays of a .safetensors file by their names' order: the length of the header in 8
// bytes, the header as JSON, the elements.
func openSafetensors(path string) ([]namedColumn, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var size uint64
	if err := binary.Read(f, binary.LittleEndian, &size); err != nil || size > maxSafetensorsHeader || int64(size) > info.Size()-8 {
		return nil, fmt.Errorf("%s: %w: not a .safetensors archive", path, ErrFormat)
	}
	header := make([]byte, size)
	if _, err := io.ReadFull(f, header); err != nil {
		return nil, wrap(path, err)
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(header, &fields); err != nil {
		return nil, fmt.Errorf("%s: %w: its header is damaged (%v)", path, ErrFormat, err)
	}
	delete(fields, "__metadata__")
	var all []namedColumn
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		c, err := safetensorsColumn(path, name, fields[name], 8+int64(size), info.Size())
		if err != nil {
			return nil, err
		}
		all = append(all, namedColumn{name, c})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w: no array in it", path, ErrEmpty)
	}
	return all, nil
}

// safetensorsColumn makes an array readable whose elements lie behind start in a file that is total bytes long.
func safetensorsColumn(path, name string, field json.RawMessage, start, total int64) (*column, error) {
	label := path + ": " + name
	var e safetensorsEntry
	if err := json.Unmarshal(field, &e); err != nil {
		return nil, fmt.Errorf("%s: %w: its entry is damaged (%v)", label, ErrFormat, err)
	}
	dtype, known := safetensorsTypes[e.DType]
	if !known {
		return nil, fmt.Errorf("%s: %w: elements of type %q; convert them to F32", label, ErrFormat, e.DType)
	}
	volume, ok := tensor.CheckedVolume(e.Shape)
	from, to := e.Offsets[0], e.Offsets[1]
	if !ok || from < 0 || to < from || to > total-start || (to-from)/int64(dtype.Size()) != int64(volume) || (to-from)%int64(dtype.Size()) != 0 {
		return nil, fmt.Errorf("%s: %w: its shape %v and place in the file do not fit", label, ErrFormat, e.Shape)
	}
	h := npyHeader{dtype: dtype, shape: e.Shape}
	return newColumn(label, h, func() (io.ReadCloser, error) {
		f, err := regular.Open(path)
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(start+from, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	})
}
