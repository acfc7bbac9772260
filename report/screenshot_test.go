package report

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	for _, width := range []int{1280, 390} {
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

// TestSectionsAreDrawn looks at each section that has pictures, alone: they show, in the
// colours of what is kept and what is lost.
func TestSectionsAreDrawn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs chromium")
	}
	html := write(t, samplePage())
	dir := t.TempDir()
	for _, c := range []struct {
		section      string
		accent, lost int // pixels of these colours, at least
	}{{"steps", 1000, 100}, {"channels", 500, 0}, {"tensors", 1000, 100}} {
		page := filepath.Join(dir, c.section+".html")
		if err := os.WriteFile(page, []byte(sectionOf(t, html, c.section)), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, look := range []struct {
			width        int
			dark         bool
			accent, lost color.RGBA // as in page.html
		}{
			{1280, false, color.RGBA{0x25, 0x63, 0xc9, 255}, color.RGBA{0xd4, 0x57, 0x2a, 255}},
			{390, true, color.RGBA{0x78, 0xa9, 0xff, 255}, color.RGBA{0xff, 0x8a, 0x5c, 255}},
		} {
			img := screenshot(t, browser, page, look.width, look.dark)
			if accent, lost := colored(img, look.accent), colored(img, look.lost); accent < c.accent || lost < c.lost {
				t.Errorf("%s, %d wide, dark %v: %d and %d pixels of the drawings' colours, want %d and %d", c.section, look.width, look.dark, accent, lost, c.accent, c.lost)
			}
		}
	}
}

// TestPageWorks opens the page with a script that looks at it from within: nothing is wider than the window but what scrolls, and
// tables can be searched and sorted.
func TestPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs chromium")
	}
	html := write(t, samplePage())
	_, html, _ = strings.Cut(html, "<meta http-equiv") // the policy would not let the test's own script run
	_, html, _ = strings.Cut(html, ">")
	const look = `<script>
window.addEventListener("load", () => {
  const said = [document.documentElement.className], width = document.documentElement.clientWidth;
  for (const e of document.querySelectorAll("body *"))
    if (!e.closest(".frame svg") && e.getBoundingClientRect().right > width + 1) said.push("wide: " + e.tagName + "." + e.className + " " + e.textContent.slice(0, 30));
  if (document.documentElement.scrollWidth > width) said.push("the page scrolls sideways");
  const box = document.querySelector("#layers .listed"), visible = () => [...box.querySelectorAll("tbody tr")].filter(r => !r.hidden);
  said.push("rows " + visible().length);
  box.querySelector("button.more").click();
  said.push("all " + visible().length);
  box.querySelectorAll("th")[4].click();
  said.push("least " + visible()[0].cells[4].textContent);
  document.querySelector("#picture .node").dispatchEvent(new Event("click"));
  said.push("found " + visible().length + " " + visible()[0].cells[0].textContent);
  const before = document.getElementById("picture").clientWidth;
  document.querySelector("[data-zoom=in]").click();
  said.push("larger " + (document.getElementById("picture").clientWidth > before));
  said.push("commands " + document.querySelectorAll(".command button").length);
  document.title = said.join("|");
});
</script>`
	page := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(page, []byte("<!doctype html><html><head><meta charset=utf-8>"+html+look), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{1280, 390} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
			fmt.Sprintf("--window-size=%d,1600", width), "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=2000", "--dump-dom", "file://"+page).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, title, _ := strings.Cut(string(out), "<title>")
		title, _, _ = strings.Cut(title, "</title>")
		if want := "js|rows 20|all 49|least 0|found 1 /in/Conv|larger true|commands 6"; title != want {
			t.Errorf("%d wide: the page says %q, want %q", width, title, want)
		}
	}
}

// sectionOf returns the page with one section only.
func sectionOf(t *testing.T, html, id string) string {
	t.Helper()
	head, _, foundHead := strings.Cut(html, "<header>")
	_, section, foundSection := strings.Cut(html, `<section id="`+id+`">`)
	if !foundHead || !foundSection {
		t.Fatalf("the page has no section %q", id)
	}
	section, _, _ = strings.Cut(section, "</section>")
	return head + "<section>" + section + "</section></body></html>"
}

// colored returns how many pixels have almost the colour.
func colored(img image.Image, want color.RGBA) int {
	n, size := 0, img.Bounds().Size()
	near := func(a uint32, b uint8) bool { d := int(a>>8) - int(b); return -8 < d && d < 8 }
	for y := range size.Y {
		for x := range size.X {
			if r, g, b, _ := img.At(x, y).RGBA(); near(r, want.R) && near(g, want.G) && near(b, want.B) {
				n++
			}
		}
	}
	return n
}

func screenshot(t *testing.T, browser, page string, width int, dark bool) image.Image {
	t.Helper()
	picture := filepath.Join(t.TempDir(), "page.png")
	args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
		fmt.Sprintf("--window-size=%d,1600", width), "--screenshot=" + picture}
	scheme := 1
	if dark {
		scheme = 0
	}
	args = append(args, fmt.Sprintf("--blink-settings=preferredColorScheme=%d", scheme), "--host-resolver-rules=MAP * ~NOTFOUND") // there is no network
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
