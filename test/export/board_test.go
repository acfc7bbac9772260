package export

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// board is a machine of qemu with its compiler.
type board struct {
	name     string
	cpu      string // what C is written for
	compiler []string
	qemu     []string
	memory   [4]string // where flash and RAM begin and how large they are; empty for RISC-V
	files    []string  // of board/
	tick     float64   // instructions, each a nanosecond, from one tick of its timer to the next
	unit     int       // bytes of its flash
}

func arm(name, cpu, machine string, memory [4]string, tick float64, flash int, flags ...string) board {
	return board{name: name, cpu: cpu, memory: memory, tick: tick, unit: flash, files: []string{"arm.c", "print.c"},
		compiler: append([]string{"arm-none-eabi-gcc", "-mthumb", "-mcpu=" + name, "-T", "board/arm.ld", "-Wl,--no-warn-rwx-segments"}, flags...),
		qemu:     []string{"qemu-system-arm", "-M", machine, "-serial", "none", "-semihosting-config", "enable=on,target=native"}}
}

var (
	mps2   = [4]string{"0", "4M", "0x20000000", "4M"}
	boards = []board{
		arm("cortex-m0", "generic", "mps2-an385", mps2, 40, 4<<20), // its instructions are a part of Cortex-M3's
		arm("cortex-m3", "generic", "mps2-an385", mps2, 40, 4<<20),
		arm("cortex-m4", "cortex-m4", "mps2-an386", mps2, 40, 4<<20),
		arm("cortex-m7", "cortex-m7", "mps2-an500", mps2, 40, 4<<20),
		arm("cortex-m33", "cortex-m33", "mps2-an505", [4]string{"0x10000000", "4M", "0x38000000", "4M"}, 50, 4<<20),
		arm("cortex-m55", "cortex-m55", "mps3-an547", [4]string{"0", "512K", "0x20000000", "512K"}, 31.25, 512<<10, "-mfloat-abi=hard", "-Wl,--defsym=DATA_AT=0x01000000"), // 2 MB for inputs and integers to compare with
		{name: "rv32imc", cpu: "rv32imc", tick: 1, unit: 32 << 20, files: []string{"riscv.c", "print.c"},
			compiler: []string{"riscv64-unknown-elf-gcc", "--specs=picolibc.specs", "-march=rv32imc", "-mabi=ilp32", "-T", "board/riscv.ld"},
			qemu:     []string{"qemu-system-riscv32", "-M", "virt", "-bios", "none", "-serial", "stdio"}},
	}
	// microbit has the memory of a real small board: 256 kB of flash, 16 of RAM.
	microbit = func() board {
		b := arm("cortex-m0", "generic", "microbit", [4]string{"0", "256K", "0x20000000", "16K"}, 62.5, 256<<10)
		b.name = "microbit"
		return b
	}()
)

// build compiles a program for the board; full says that its memory is too small.
func (b *board) build(dir, out string, flags []string, sources ...string) (full bool, err error) {
	args := append(append([]string{}, b.compiler[1:]...), "-std=gnu99", "-nostartfiles", "-Iboard", "-I"+dir)
	for i, name := range []string{"FLASH_AT", "FLASH_SIZE", "RAM_AT", "RAM_SIZE"} {
		if b.memory[0] != "" {
			args = append(args, "-Wl,--defsym="+name+"="+b.memory[i])
		}
	}
	args = append(args, flags...)
	args = append(args, "-o", out)
	for _, f := range b.files {
		args = append(args, filepath.Join("board", f))
	}
	text, err := exec.Command(b.compiler[0], append(args, sources...)...).CombinedOutput()
	if err != nil {
		full := strings.Contains(string(text), "is full") || strings.Contains(string(text), "overlaps")
		return full, fmt.Errorf("%s: %w\n%s", b.compiler[0], err, text)
	}
	return false, nil
}

// run runs a program and returns what it prints.
func (b *board) run(program string, flags ...string) (string, error) {
	args := append(append([]string{"300"}, b.qemu...), "-nographic", "-monitor", "none", "-kernel", program)
	out, err := exec.Command("timeout", append(args, flags...)...).CombinedOutput()
	return string(out), err
}

// instructions runs the network once and counts them.
func (b *board) instructions(t *testing.T, dir string) float64 {
	t.Helper()
	program := filepath.Join(dir, "count."+b.name)
	if _, err := b.build(dir, program, []string{"-O3"}, "board/count.c", filepath.Join(dir, "net.c"), filepath.Join(dir, "net_weights.c")); err != nil {
		t.Fatal(err)
	}
	out, err := b.run(program, "-icount", "shift=0")
	if err != nil {
		t.Fatalf("%s: %v: %s", b.name, err, out)
	}
	ticks, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatalf("%s: %s", b.name, out)
	}
	return float64(ticks) * b.tick
}

// code returns the bytes of code and constants of the network's own objects.
func (b *board) code(t *testing.T, dir string) int {
	t.Helper()
	size := 0
	for _, f := range []string{"net", "net_weights"} {
		object := filepath.Join(dir, f+"."+b.name+".o")
		flags := append(append([]string{}, b.compiler[1:]...), "-std=gnu99", "-O3", "-c", "-o", object, filepath.Join(dir, f+".c"))
		if out, err := exec.Command(b.compiler[0], flags...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		tool := strings.Replace(b.compiler[0], "-gcc", "-size", 1)
		out, err := exec.Command(tool, "-B", object).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		fields := strings.Fields(lines[len(lines)-1])
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatalf("%s", out)
		}
		size += n
	}
	return size
}
