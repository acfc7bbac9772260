/* Quantizes a model with inputs that are read as they are fed, and says how much
 * memory the process took at its peak:
 *
 *   stream MODEL.onnx INPUTS.f32 OUT.onnx COUNT DIMENSION...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "narrow.h"

enum { BATCH = 7, MAX_ELEMENTS = 3 * 64 * 64 };
static float batch[BATCH * MAX_ELEMENTS];

static void check(int code) {
  if (code == NARROW_OK) return;
  fprintf(stderr, "%s\n", narrow_error());
  exit(1);
}

/* Not by getrusage, which counts what the process was before it became this program. */
static int print_peak(void) {
  char line[256];
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f)) {
    if (strncmp(line, "VmHWM:", 6) == 0) return printf("%ld\n", strtol(line + 6, NULL, 10)) < 0;
  }
  return 4;
}

int main(int argc, char **argv) {
  narrow_handle quantizer, abandoned;
  narrow_tensor in = {.data = batch, .dtype = NARROW_FLOAT32};
  size_t one = 1, left;
  FILE *f = argc > 5 ? fopen(argv[2], "rb") : NULL;
  if (!f) return 2;
  if (argc - 4 > NARROW_MAX_RANK) return 2;
  in.rank = argc - 4;
  for (int d = 5; d < argc; d++) one *= (size_t)(in.shape[d - 4] = strtol(argv[d], NULL, 10));
  if (one > MAX_ELEMENTS) return 2;
  check(narrow_quantizer_open(argv[1], NULL, &quantizer));
  check(narrow_quantizer_open(argv[1], NULL, &abandoned));
  for (left = strtoul(argv[4], NULL, 10); left > 0;) {
    size_t n = left < BATCH ? left : BATCH;
    if (fread(batch, sizeof(float) * one, n, f) != n) return 2;
    in.shape[0] = (int64_t)n;
    in.bytes = n * one * sizeof(float);
    check(narrow_quantizer_feed(quantizer, &in, 1));
    left -= n;
  }
  fclose(f);
  check(narrow_quantizer_feed(abandoned, &in, 1));
  check(narrow_free(abandoned));
  check(narrow_quantizer_finish(quantizer, argv[3]));
  check(narrow_quantizer_finish(quantizer, argv[3]));
  if (narrow_quantizer_feed(quantizer, &in, 1) != NARROW_ARGUMENT) return 3;
  check(narrow_free(quantizer));
  return print_peak();
}
