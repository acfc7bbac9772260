package c

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// test returns a C program that runs the network on the vectors and compares the integers of every step.
func (w *source) test(o Options) string {
	var b strings.Builder
	b.WriteString(o.from("A test of the network"))
	fmt.Fprintf(&b, "/* Compile it with %s.c and %s_weights.c, all with NET_TRACE defined. It needs stdio. */\n", w.name, w.name)
	fmt.Fprintf(&b, "#include \"%s.h\"\n\n#include <stdio.h>\n#include <string.h>\n\n", w.name)
	steps := len(w.net.steps)
	fmt.Fprintf(&b, "#define INPUTS %d\n#define STEPS %d\n", len(o.Tests), steps)
	if len(o.Tests) == 0 {
		b.WriteString("\nint main(void)\n{\n\tputs(\"no inputs: narrow export --test-vectors writes some\");\n\treturn 0;\n}\n")
		return b.String()
	}
	for i, p := range w.net.inputs {
		fmt.Fprintf(&b, "\nstatic const %s %s[INPUTS][%d] = {\n", p.ctype(), p.arg, p.size())
		for _, v := range o.Tests {
			t := table{ctype: p.ctype()}
			for _, q := range v.Inputs[i] {
				t.data = append(t.data, int64(number(q, p.ctype() == "int8_t")))
			}
			b.WriteString("\t{")
			list(&b, t)
			b.WriteString("\t},\n")
		}
		b.WriteString("};\n")
	}
	b.WriteString("\n/* What each step makes of the first input. */\n")
	for i, data := range o.Tests[0].Steps {
		fmt.Fprintf(&b, "static const uint8_t step_%d[%d] = {", i, len(data))
		list(&b, numbers("uint8_t", data))
		b.WriteString("};\n")
	}
	b.WriteString("\nstatic const uint8_t *const first[STEPS] = {")
	for i := range steps {
		fmt.Fprintf(&b, "step_%d, ", i)
	}
	b.WriteString("};\n\n/* Checksums (CRC-32) of what each step makes of each input. */\nstatic const uint32_t checksums[INPUTS][STEPS] = {\n")
	for _, v := range o.Tests {
		t := table{ctype: "uint32_t", hex: true}
		for _, data := range v.Steps {
			t.data = append(t.data, int64(crc32.ChecksumIEEE(data)))
		}
		b.WriteString("\t{")
		list(&b, t)
		b.WriteString("\t},\n")
	}
	b.WriteString("};\n")
	var args, results []string
	for _, p := range w.net.inputs {
		args = append(args, p.arg+"[input]")
	}
	for _, p := range w.net.outputs {
		results = append(results, fmt.Sprintf("\tstatic %s %s[%d];\n", p.ctype(), p.arg, p.size()))
		args = append(args, p.arg)
	}
	fmt.Fprintf(&b, testProgram, w.name, strings.Join(results, ""), strings.Join(args, ", "))
	return b.String()
}

const testProgram = `
static int input, failures, seen;

static uint32_t checksum(uint32_t sum, const uint8_t *data, int size)
{
	for (int i = 0; i < size; i++) {
		sum ^= data[i];
		for (int k = 0; k < 8; k++)
			sum = sum >> 1 ^ (0xEDB88320u & (0u - (sum & 1u)));
	}
	return sum;
}

/* Compares what a step has made: %[1]s_run calls it after each. */
void %[1]s_trace(int step, const void *data, int height, int width, int row, int pixel, int bytes);
void %[1]s_trace(int step, const void *data, int height, int width, int row, int pixel, int bytes)
{
	uint32_t sum = 0xFFFFFFFFu;

	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			const uint8_t *p = (const uint8_t *)data + (y * row + x * pixel);
			sum = checksum(sum, p, bytes);
			if (input > 0)
				continue;
			const uint8_t *want = first[step] + (y * width + x) * bytes;
			for (int i = 0; i < bytes; i++) {
				if (p[i] != want[i] && failures++ < 10)
					printf("step %%d, row %%d, column %%d, byte %%d: %%d, not %%d\n", step, y, x, i, p[i], want[i]);
			}
		}
	}
	seen++;
	if ((sum ^ 0xFFFFFFFFu) != checksums[input][step] && failures++ < 10)
		printf("input %%d: step %%d differs\n", input, step);
}

int main(void)
{
%[2]s
	for (input = 0; input < INPUTS; input++)
		%[1]s_run(%[3]s);
	if (seen != INPUTS * STEPS) {
		puts("not every step was seen: define NET_TRACE for all files");
		return 1;
	}
	printf("%%s: %%d inputs, %%d steps\n", failures > 0 ? "FAILED" : "ok", INPUTS, STEPS);
	return failures > 0;
}
`
