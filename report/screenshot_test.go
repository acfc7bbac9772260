package report

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestScreenshot looks at the page in a browser, wide and narrow, light and
// dark: the ground has its colour, and enough stands on it.
func TestScreenshot(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs chromium")
	}
	page := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(page, []byte(write(t, samplePage())), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{1280, 400} {
		for _, dark := range []bool{false, true} {
			t.Run(fmt.Sprintf("width %d dark %v", width, dark), func(t *testing.T) {
				img := screenshot(t, browser, page, width, dark)
				if img.Bounds().Dx() != width {
					t.Fatalf("%d pixels wide", img.Bounds().Dx())
				}
				ground := brightness(img, 1, 1)
				if dark && ground > 0x50 || !dark && ground < 0xe0 {
					t.Errorf("the ground has a brightness of %d", ground)
				}
				if share := marked(img, ground); share < 0.01 || share > 0.5 {
					t.Errorf("%.3f of the picture is text or drawing", share)
				}
				for y := range img.Bounds().Dy() {
					if brightness(img, width-2, y) != ground {
						t.Fatalf("the page is wider than the window at line %d", y)
					}
				}
			})
		}
	}
}

func screenshot(t *testing.T, browser, page string, width int, dark bool) image.Image {
	t.Helper()
	picture := filepath.Join(t.TempDir(), "page.png")
	args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
		fmt.Sprintf("--window-size=%d,1600", width), "--screenshot=" + picture}
	if dark {
		args = append(args, "--blink-settings=preferredColorScheme=0")
	} else {
		args = append(args, "--blink-settings=preferredColorScheme=1")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, browser, append(args, "file://"+page)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// brightness returns the mean of a pixel's colours, 0..255.
func brightness(img image.Image, x, y int) int {
	r, g, b, _ := img.At(x, y).RGBA()
	return int(r>>8+g>>8+b>>8) / 3
}

// marked returns the share of pixels that differ clearly from the ground.
func marked(img image.Image, ground int) float64 {
	n, size := 0, img.Bounds().Size()
	for y := range size.Y {
		for x := range size.X {
			if d := brightness(img, x, y) - ground; d > 40 || d < -40 {
				n++
			}
		}
	}
	return float64(n) / float64(size.X*size.Y)
}
