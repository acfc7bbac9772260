package dataset

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scene is a picture in which every pixel tells where it is: smooth, with an edge in it.
func scene(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			edge := 0.0
			if x > w/3 && y > h/4 {
				edge = 60
			}
			wave := func(f, p float64) uint8 {
				return uint8(95 + edge + 80*math.Sin(f*float64(x)/float64(w)+p)*math.Cos(f*float64(y)/float64(h)))
			}
			img.Set(x, y, color.RGBA{wave(9, 0), wave(5, 1), wave(7, 2), 255})
		}
	}
	return img
}

// writePicture writes a picture as its ending says; orientation above 0 goes into an EXIF record.
func writePicture(t *testing.T, path string, img image.Image, orientation byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if filepath.Ext(path) == ".png" {
		err = png.Encode(f, img)
	} else {
		err = jpeg.Encode(f, img, &jpeg.Options{Quality: 92})
	}
	if err != nil {
		t.Fatal(err)
	}
	if orientation == 0 {
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tiff := []byte{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0}
	record := append([]byte("Exif\x00\x00"), tiff...)
	segment := append([]byte{0xFF, 0xE1, 0, byte(len(record) + 2)}, record...)
	if err := os.WriteFile(path, slices.Concat(b[:2], segment, b[2:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pillow prepares a picture as torchvision's transforms do on a Pillow picture, and prints its bytes.
const pillow = `
import sys
from PIL import Image, ImageOps
path, fit, resize, h, w, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
im = ImageOps.exif_transpose(Image.open(path)).convert(mode)
W, H = im.size
if fit == "crop":
    sw, sh = (resize, int(resize * H / W)) if W < H else (int(resize * W / H), resize)
    im = im.resize((sw, sh), Image.BILINEAR)
    t, l = int(round((sh - h) / 2.0)), int(round((sw - w) / 2.0))
    im = im.crop((l, t, l + w, t + h))
elif fit == "letterbox":
    r = min(h / H, w / W)
    sw, sh = round(W * r), round(H * r)
    out = Image.new(mode, (w, h), (114, 114, 114) if mode == "RGB" else 114)
    out.paste(im.resize((sw, sh), Image.BILINEAR), ((w - sw) // 2, (h - sh) // 2))
    im = out
sys.stdout.buffer.write(im.tobytes())
`

// TestPillow holds what is done to pictures to Pillow, within one grey level: the way up of all EXIF records, scaling up
// and down, cutting and padding. A JPEG may be three off where the two decoders' inverse cosine transforms round a value of
// chroma to either side.
func TestPillow(t *testing.T) {
	python := os.Getenv("NARROW_PYTHON")
	if python == "" {
		t.Skip("NARROW_PYTHON names no Python with Pillow")
	}
	dir := t.TempDir()
	type picture struct {
		name        string
		w, h        int
		orientation byte
	}
	pictures := []picture{{"a.png", 301, 233, 0}, {"b.png", 40, 97, 0}, {"c.jpg", 500, 375, 0}, {"d.jpg", 333, 501, 0}}
	for o := range byte(9) {
		pictures = append(pictures, picture{fmt.Sprintf("e%d.jpg", o), 121, 80, o})
	}
	worst := make(map[int]int)
	sum, count := 0.0, 0.0
	for _, p := range pictures {
		path := filepath.Join(dir, p.name)
		writePicture(t, path, scene(p.w, p.h), p.orientation)
		for _, c := range []struct {
			prep Preparation
			h, w int
		}{
			{Preparation{Scale: 1, Fit: FitCrop, Resize: 256}, 224, 224},
			{Preparation{Scale: 1, Fit: FitCrop, Resize: 73}, 64, 61},
			{Preparation{Scale: 1, Fit: FitLetterbox}, 160, 192},
		} {
			for channels, mode := range map[int]string{1: "L", 3: "RGB"} {
				got, err := pictureForm{c: channels, h: c.h, w: c.w, last: true, prep: c.prep}.read(path)
				if err != nil {
					t.Fatal(err)
				}
				want, err := exec.Command(python, "-c", pillow, path, string(c.prep.Fit), fmt.Sprint(c.prep.Resize), fmt.Sprint(c.h), fmt.Sprint(c.w), mode).Output()
				if err != nil || len(want) != len(got) {
					t.Fatalf("%s: %d bytes by Pillow, %d here, error %v", path, len(want), len(got), err)
				}
				most := 1
				if strings.HasSuffix(path, ".jpg") {
					most = 3
				}
				for i := range got {
					d := int(got[i]) - int(want[i])
					worst[most] = max(worst[most], d, -d)
					sum, count = sum+math.Abs(float64(d)), count+1
					if d > most || d < -most {
						t.Fatalf("%s, %+v, %s: byte %d is %d, by Pillow %d", p.name, c.prep, mode, i, got[i], want[i])
					}
				}
			}
		}
	}
	t.Logf("largest differences %v, on the mean %.4f", worst, sum/count)
	if sum/count > 0.1 {
		t.Errorf("%.3f grey levels apart on the mean", sum/count)
	}
}

func TestScaled(t *testing.T) {
	p := &pixels{1, 1, 4, []byte{0, 100, 200, 40}}
	for _, c := range []struct {
		w    int
		want []byte
	}{
		{4, []byte{0, 100, 200, 40}},
		{2, []byte{71, 117}}, // (0*.75 + 100*.75 + 200*.25)/1.75, (100*.25 + 200*.75 + 40*.75)/1.75
		{1, []byte{96}},      // weights 5 7 7 5
		{8, []byte{0, 25, 75, 125, 175, 160, 80, 40}},
	} {
		if got := p.scaled(1, c.w).pix; !slices.Equal(got, c.want) {
			t.Errorf("to %d: %v, want %v", c.w, got, c.want)
		}
	}
	flat := newPixels(3, 17, 23).fill(201).scaled(31, 5)
	if slices.ContainsFunc(flat.pix, func(b byte) bool { return b != 201 }) {
		t.Error("one colour does not stay one colour")
	}
}

// TestTurned turns a picture by every EXIF orientation.
func TestTurned(t *testing.T) {
	p := &pixels{1, 2, 3, []byte{1, 2, 3, 4, 5, 6}}
	for o, want := range map[orientation]string{
		1: "3 [1 2 3 4 5 6]", 2: "3 [3 2 1 6 5 4]", 3: "3 [6 5 4 3 2 1]", 4: "3 [4 5 6 1 2 3]",
		5: "2 [1 4 2 5 3 6]", 6: "2 [4 1 5 2 6 3]", 7: "2 [6 3 5 2 4 1]", 8: "2 [3 6 2 5 1 4]",
	} {
		q := p.turned(o)
		if got := fmt.Sprint(q.w, q.pix); got != want {
			t.Errorf("orientation %d: width and pixels %s, want %s", o, got, want)
		}
	}
}

func TestFits(t *testing.T) {
	wide := &pixels{1, 2, 4, []byte{10, 20, 30, 40, 10, 20, 30, 40}}
	for _, c := range []struct {
		prep Preparation
		h, w int
		want []byte
	}{
		{Preparation{}, 2, 2, []byte{20, 30, 20, 30}},
		{Preparation{Fit: FitCrop, Resize: 2}, 2, 2, []byte{20, 30, 20, 30}},
		{Preparation{Fit: FitCrop, Resize: 2}, 4, 4, []byte{0, 0, 0, 0, 10, 20, 30, 40, 10, 20, 30, 40, 0, 0, 0, 0}},
		{Preparation{Fit: FitLetterbox}, 4, 4, []byte{114, 114, 114, 114, 10, 20, 30, 40, 10, 20, 30, 40, 114, 114, 114, 114}},
		{Preparation{Fit: FitLine}, 2, 6, []byte{10, 20, 30, 40, 127, 127, 10, 20, 30, 40, 127, 127}},
	} {
		if got := wide.fitted(c.prep, c.h, c.w).pix; !slices.Equal(got, c.want) {
			t.Errorf("%+v to %dx%d: %v, want %v", c.prep, c.h, c.w, got, c.want)
		}
	}
}

// TestPictureForms reads one picture in all orders of channels.
func TestPictureForms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.png")
	img := image.NewRGBA(image.Rect(0, 0, 2, 1))
	img.Set(0, 0, color.RGBA{1, 2, 3, 255})
	img.Set(1, 0, color.RGBA{4, 5, 6, 255})
	writePicture(t, path, img, 0)
	for _, c := range []struct {
		shape []int
		prep  Preparation
		want  []float64
	}{
		{[]int{-1, 3, 1, 2}, Preparation{Scale: 1}, []float64{1, 4, 2, 5, 3, 6}},
		{[]int{-1, 1, 2, 3}, Preparation{Scale: 1, Layout: NHWC}, []float64{1, 2, 3, 4, 5, 6}},
		{[]int{-1, -1, 2, 3}, Preparation{Scale: 2, Order: BGR, Mean: []float32{3, 2, 1}, Std: []float32{1, 2, 1}}, []float64{3, 1, 1, 9, 4, 7}},
		{[]int{-1, 3, 1, 2}, Preparation{Scale: 1, Mean: []float32{1, 2, 3}}, []float64{0, 3, 0, 3, 0, 3}},
	} {
		s, err := OpenFor([]Input{{Shape: c.shape}}, []string{path}, Prepare(c.prep), PictureSize(1, 2))
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, s)[0]; !slices.Equal(got, c.want) {
			t.Errorf("%v %s: %v, want %v", c.shape, c.prep, got, c.want)
		}
	}
}

func TestPresets(t *testing.T) {
	for _, name := range Presets() {
		p, err := Preset(name, 224)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParsePreparation(p.String())
		if err != nil || !back.Equal(p) {
			t.Errorf("%s: %s became %s, error %v", name, p, back, err)
		}
		if p.Fit == FitCrop && p.Resize != 256 {
			t.Errorf("%s: shorter side %d for 224", name, p.Resize)
		}
	}
	if _, err := Preset("imagnet", 0); err == nil || !strings.Contains(err.Error(), "imagenet-tf") {
		t.Errorf("unknown preset: error %v", err)
	}
	for _, text := range []string{"", "{", `{"scale":1,"std":[0]}`, `{"scale":1,"fit":"x"}`, `{"scale":1,"fit":"crop"}`, `{"scale":1,"x":2}`, `{"scale":1,"order":"rgb"}`} {
		if _, err := ParsePreparation(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestSkipCorrupt leaves a damaged picture out if told to, and names it.
func TestSkipCorrupt(t *testing.T) {
	dir := t.TempDir()
	writePicture(t, filepath.Join(dir, "a.png"), scene(9, 9), 0)
	writePicture(t, filepath.Join(dir, "c.png"), scene(9, 9), 0)
	whole, _ := os.ReadFile(filepath.Join(dir, "a.png"))
	os.WriteFile(filepath.Join(dir, "b.png"), whole[:len(whole)/2], 0o644)
	os.WriteFile(filepath.Join(dir, "notes.md"), nil, 0o644)
	s, err := Open(dir, PictureSize(4, 4))
	if err != nil || s.Len() != 3 || len(s.Skipped()) != 1 {
		t.Fatalf("%d pictures, skipped %q, error %v", s.Len(), s.Skipped(), err)
	}
	s, err = Open(dir, PictureSize(4, 4), SkipCorrupt())
	if err != nil || s.Len() != 2 || len(s.Skipped()) != 2 || !strings.Contains(s.Skipped()[1], "b.png") {
		t.Fatalf("%d pictures, skipped %q, error %v", s.Len(), s.Skipped(), err)
	}
	all(t, s)
}

func TestSafetensorsAndPatterns(t *testing.T) {
	dir := t.TempDir()
	write := func(name, header string, body ...byte) string {
		path := filepath.Join(dir, name)
		b := append([]byte{byte(len(header)), byte(len(header) >> 8), 0, 0, 0, 0, 0, 0}, header...)
		if err := os.WriteFile(path, append(b, body...), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a1.safetensors", `{"__metadata__":{"k":"v"},"x":{"dtype":"U8","shape":[2,2],"data_offsets":[1,5]}}`, 9, 1, 2, 3, 4)
	write("a2.safetensors", `{"x":{"dtype":"U8","shape":[1,2],"data_offsets":[0,2]}}`, 5, 6)
	s, err := Open(filepath.Join(dir, "a?.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, s)[0]; !slices.Equal(got, []float64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("%v", got)
	}
	if _, err := Open(filepath.Join(dir, "z*.npy")); !errors.Is(err, ErrEmpty) {
		t.Errorf("a pattern of nothing: error %v", err)
	}
	for i, header := range []string{"", "{", "{}", `{"x":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, `{"x":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}}`,
		`{"x":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, `{"x":{"dtype":"U8","shape":[-1,-2],"data_offsets":[0,2]}}`, `{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,1]}}`} {
		if _, err := Open(write(fmt.Sprintf("bad%d.safetensors", i), header, 1, 2)); err == nil {
			t.Errorf("%q was taken", header)
		}
	}
}
