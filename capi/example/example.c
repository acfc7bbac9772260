/* Quantizes a model with the C library and runs the result:
 *
 *   example MODEL.onnx INPUTS.f32 OUT.onnx COUNT DIMENSION...
 *
 * INPUTS.f32 holds COUNT inputs of the given dimensions as plain float32.
 * Prints the output for the first of them before and after. */
#include <stdio.h>
#include <stdlib.h>

#include "narrow.h"

static void check(int code, const char *what) {
  if (code == NARROW_OK) return;
  fprintf(stderr, "%s: %s\n", what, narrow_error());
  exit(1);
}

static float *read_floats(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(1);
  }
  fseek(f, 0, SEEK_END);
  *n = (size_t)ftell(f) / sizeof(float);
  rewind(f);
  float *x = malloc(*n * sizeof(float));
  if (!x || fread(x, sizeof(float), *n, f) != *n) {
    fprintf(stderr, "%s: cannot be read\n", path);
    exit(1);
  }
  fclose(f);
  return x;
}

/* What the numbers are like, by the kernels alone. */
static void look_at(const float *x, size_t n) {
  float lo, hi;
  size_t nan;
  check(narrow_minmax(x, n, &lo, &hi, &nan), "minmax");
  printf("inputs: %zu numbers from %g to %g, %zu NaN\n", n, lo, hi, nan);

  narrow_handle range;
  double keep_lo, keep_hi;
  check(narrow_range_new(&range), "range");
  check(narrow_range_add(range, x, n), "range");
  check(narrow_range_clip(range, "mse", 8, 1, &keep_lo, &keep_hi), "clip");
  check(narrow_free(range), "free");
  float scale = (float)(keep_hi / 127), rounded;
  check(narrow_fake_quantize(x, &rounded, 1, 1, 1, &scale, NULL, -128, 127), "fake quantize");
  printf("8 bits keep %g to %g; %g becomes %g\n", keep_lo, keep_hi, x[0], rounded);
}

/* Runs a model whose one input is float32 and prints the start of its output. */
static void run(const char *path, narrow_tensor in) {
  narrow_handle session;
  check(narrow_session_open(path, 0, &session), path);

  size_t length;
  narrow_describe(session, NULL, 0, &length);
  char *json = malloc(length);
  check(narrow_describe(session, json, length, NULL), "describe");
  printf("%s: %s\n", path, json);
  free(json);

  /* The first run asks how large the output is. */
  narrow_tensor out = {0};
  int code = narrow_session_run(session, &in, 1, &out, 1);
  if (code != NARROW_SPACE) check(code == NARROW_OK ? NARROW_INTERNAL : code, path);
  size_t count = 1;
  for (int d = 0; d < out.rank; d++) count *= (size_t)out.shape[d];
  out.bytes = count * sizeof(float);
  float *y = malloc(out.bytes);
  out.data = y;
  check(narrow_session_run(session, &in, 1, &out, 1), path);
  for (size_t i = 0; i < count && i < 8; i++) printf("%s%.4f", i ? " " : "", y[i]);
  printf("\n");
  free(y);
  check(narrow_free(session), "free");
}

int main(int argc, char **argv) {
  if (argc < 6 || argc - 4 > NARROW_MAX_RANK) {
    fprintf(stderr, "usage: %s MODEL.onnx INPUTS.f32 OUT.onnx COUNT DIMENSION...\n", argv[0]);
    return 2;
  }
  size_t n, one = 1, count = strtoul(argv[4], NULL, 10);
  float *x = read_floats(argv[2], &n);
  narrow_tensor input = {.data = x, .dtype = NARROW_FLOAT32, .rank = argc - 4, .shape = {1}};
  for (int d = 1; d < input.rank; d++) one *= (size_t)(input.shape[d] = strtol(argv[4 + d], NULL, 10));
  input.bytes = one * sizeof(float);
  if (count == 0 || n != count * one) {
    fprintf(stderr, "%s: %zu numbers are not %zu inputs of %zu\n", argv[2], n, count, one);
    return 1;
  }
  printf("narrow %s\n", narrow_version());
  look_at(x, n);

  narrow_handle quantizer;
  check(narrow_quantizer_open(argv[1], "{\"clip\": \"mse\", \"threads\": 1}", &quantizer), argv[1]);
  size_t half = count / 2; /* as they come: in two parts */
  narrow_tensor part = input;
  part.shape[0] = (int64_t)half;
  part.bytes = half * one * sizeof(float);
  check(narrow_quantizer_feed(quantizer, &part, 1), "feed");
  part.data = x + half * one;
  part.shape[0] = (int64_t)(count - half);
  part.bytes = (count - half) * one * sizeof(float);
  check(narrow_quantizer_feed(quantizer, &part, 1), "feed");
  part.bytes--; /* what the shape does not say is refused, not read */
  if (narrow_quantizer_feed(quantizer, &part, 1) != NARROW_ARGUMENT) return 1;
  check(narrow_quantizer_finish(quantizer, argv[3]), argv[3]);
  char result[1 << 14];
  check(narrow_quantizer_result(quantizer, result, sizeof result, NULL), "result");
  printf("%s\n", result);
  check(narrow_free(quantizer), "free");

  run(argv[1], input);
  run(argv[3], input);

  /* Errors are codes with a sentence. */
  if (narrow_session_open("no such file.onnx", 0, &quantizer) != NARROW_FILE) return 1;
  printf("as it should be: %s\n", narrow_error());
  if (narrow_free(quantizer) != NARROW_ARGUMENT) return 1;
  printf("as it should be: %s\n", narrow_error());
  free(x);
  return 0;
}
