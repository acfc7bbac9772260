/* Checks the kernels of the C library against plain loops, their errors, and
 * their use from many threads. Prints what fails; 0 if nothing does. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "narrow.h"

static int failures;

#define EXPECT(condition)                                                              \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      printf("%s:%d: %s does not hold (%s)\n", __FILE__, __LINE__, #condition, narrow_error()); \
      __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);                              \
    }                                                                                  \
  } while (0)

static uint32_t state = 1;

static uint32_t next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }

/* memory is a buffer of exactly n bytes: the address sanitizer sees its ends. */
static void *memory(size_t n) {
  uint8_t *p = malloc(n);
  for (size_t i = 0; i < n; i++) p[i] = (uint8_t)next();
  return p;
}

/* One sum of a convolution, by definition. */
static int32_t sum_at(const uint8_t *x, const int8_t *w, const int32_t *bias, uint8_t zero, int c, int cg, int h, int wd, const narrow_conv_spec *s,
                      int m, int per, int oy, int ox) {
  int32_t sum = bias[m];
  for (int ky = 0; ky < s->kernel_h; ky++)
    for (int kx = 0; kx < s->kernel_w; kx++) {
      int y = oy * s->stride_h + ky * s->dilation_h - s->pad_top, xx = ox * s->stride_w + kx * s->dilation_w - s->pad_left;
      if (y < 0 || y >= h || xx < 0 || xx >= wd) continue;
      for (int k = 0; k < cg; k++)
        sum += ((int32_t)x[(y * wd + xx) * c + m / per * cg + k] - zero) * w[((m * cg + k) * s->kernel_h + ky) * s->kernel_w + kx];
    }
  return sum;
}

static void convolution(void) {
  for (int round = 0; round < 40; round++) {
    int groups = 1 + next() % 3, cg = 1 + next() % 9, per = 1 + next() % 9, c = groups * cg, m = groups * per;
    narrow_conv_spec s = {1 + next() % 3, 1 + next() % 3, 1 + next() % 2, 1 + next() % 2, 1 + next() % 2, 1 + next() % 2, groups,
                          next() % 2,     next() % 3,     next() % 2,     next() % 2};
    size_t h = 5 + next() % 5, wd = 5 + next() % 9, batch = 1 + next() % 2, oh, ow;
    uint8_t zero = (uint8_t)next();
    int8_t *w = memory((size_t)m * cg * s.kernel_h * s.kernel_w);
    int32_t *bias = malloc((size_t)m * sizeof *bias);
    int8_t *shift = malloc((size_t)m);
    for (int i = 0; i < m; i++) bias[i] = (int32_t)(next() % 2000) - 1000, shift[i] = (int8_t)(4 + next() % 6);
    uint8_t *x = memory(batch * h * wd * c);
    narrow_handle conv, requant;
    EXPECT(narrow_conv_new(w, bias, zero, m, c, &s, &conv) == NARROW_OK);
    EXPECT(narrow_requant_by_shift(shift, m, 7, 3, 250, &requant) == NARROW_OK);
    EXPECT(narrow_conv_size(conv, h, wd, &oh, &ow) == NARROW_OK);
    size_t n = batch * oh * ow * m;
    int32_t *sums = malloc(n * sizeof *sums);
    uint8_t *q = malloc(n), *apart = malloc(n);
    EXPECT(narrow_conv_run(conv, 0, x, batch, h, wd, sums) == NARROW_OK);
    EXPECT(narrow_conv_run(conv, requant, x, batch, h, wd, q) == NARROW_OK);
    EXPECT(narrow_requantize(requant, sums, apart, batch * oh * ow) == NARROW_OK);
    EXPECT(memcmp(q, apart, n) == 0);
    for (size_t i = 0; i < n; i++) {
      int ch = (int)(i % m), ox = (int)(i / m % ow), oy = (int)(i / m / ow % oh);
      int32_t want = sum_at(x + i / m / ow / oh * h * wd * c, w, bias, zero, c, cg, (int)h, (int)wd, &s, ch, per, oy, ox);
      int64_t r = (((int64_t)want + (1 << (shift[ch] - 1))) >> shift[ch]) + 7;
      uint8_t byte = (uint8_t)(r < 3 ? 3 : r > 250 ? 250 : r);
      if (sums[i] != want || q[i] != byte) {
        EXPECT(sums[i] == want && q[i] == byte);
        break;
      }
    }
    EXPECT(narrow_free(conv) == NARROW_OK && narrow_free(requant) == NARROW_OK);
    free(w), free(bias), free(shift), free(x), free(sums), free(q), free(apart);
  }
}

static void product(void) {
  size_t m = 5, k = 33, n = 7;
  uint8_t *a = memory(m * k);
  int8_t *b = memory(k * n);
  int32_t *y = malloc(m * n * sizeof *y);
  narrow_handle gemm;
  EXPECT(narrow_gemm_new(b, NULL, 128, k, n, &gemm) == NARROW_OK);
  EXPECT(narrow_conv_run(gemm, 0, a, 1, 1, m, y) == NARROW_OK);
  for (size_t i = 0; i < m * n; i++) {
    int32_t want = 0;
    for (size_t p = 0; p < k; p++) want += ((int32_t)a[i / n * k + p] - 128) * b[p * n + i % n];
    EXPECT(y[i] == want);
  }
  narrow_free(gemm);
  free(a), free(b), free(y);
}

static void requantizations(void) {
  int32_t sums[] = {100, -7, 5, 2000000}, mul[] = {3, 1 << 30};
  uint8_t shift[] = {1, 31}, q[4];
  float scale[] = {0.5f, 0.5f};
  narrow_handle r;
  EXPECT(narrow_requant_by_multiplier(mul, shift, 2, 10, 0, 255, &r) == NARROW_OK);
  EXPECT(narrow_requantize(r, sums, q, 2) == NARROW_OK);
  EXPECT(q[0] == 160 && q[1] == 7 && q[2] == 18 && q[3] == 255); /* -3.5 and 7.5 round up */
  EXPECT(narrow_free(r) == NARROW_OK);
  EXPECT(narrow_requant_by_scale(scale, 2, 10, 0, 255, &r) == NARROW_OK);
  EXPECT(narrow_requantize(r, sums, q, 2) == NARROW_OK);
  EXPECT(q[0] == 60 && q[1] == 6 && q[2] == 12 && q[3] == 255); /* -3.5 and 2.5 round to even */
  EXPECT(narrow_free(r) == NARROW_OK);
}

static void errors(void) {
  narrow_handle h = 0;
  float x[4] = {1, 2, NAN, 4}, lo, hi, scale = 1;
  size_t nan;
  uint64_t others[4], counts[4];
  narrow_conv_spec spec = {3, 3, 1, 1, 1, 1, 1, 0, 0, 0, 0};
  int8_t w[9] = {0};
  EXPECT(narrow_minmax(x, 4, &lo, &hi, &nan) == NARROW_OK && lo == 1 && hi == 4 && nan == 1);
  EXPECT(narrow_minmax(NULL, 4, &lo, &hi, &nan) == NARROW_ARGUMENT && strstr(narrow_error(), "null"));
  EXPECT(narrow_minmax(NULL, 0, &lo, &hi, &nan) == NARROW_OK && lo > hi);
  EXPECT(narrow_minmax(x, 4, NULL, &hi, &nan) == NARROW_ARGUMENT);
  EXPECT(narrow_histogram_new(1, 0, 4, &h) == NARROW_ARGUMENT && h == 0);
  EXPECT(narrow_histogram_new(0, 1, 4, NULL) == NARROW_ARGUMENT);
  EXPECT(narrow_histogram_new(0, 8, 4, &h) == NARROW_OK && h != 0);
  EXPECT(narrow_histogram_add(h, x, 4) == NARROW_OK);
  EXPECT(narrow_histogram_counts(h, counts, 3, others) == NARROW_ARGUMENT);
  EXPECT(narrow_histogram_counts(h, counts, 4, others) == NARROW_OK && counts[0] == 1 && counts[1] == 1 && counts[2] == 1 && others[2] == 1);
  EXPECT(narrow_conv_run(h, 0, (uint8_t *)x, 1, 1, 1, x) == NARROW_ARGUMENT && strstr(narrow_error(), "kind"));
  EXPECT(narrow_histogram_add(12345, x, 4) == NARROW_ARGUMENT);
  EXPECT(narrow_free(h) == NARROW_OK && narrow_free(h) == NARROW_ARGUMENT && narrow_free(0) == NARROW_OK);
  EXPECT(narrow_range_new(&h) == NARROW_OK);
  EXPECT(narrow_range_add(h, x, 4) == NARROW_DATA && narrow_free(h) == NARROW_OK);
  EXPECT(narrow_quantize(x, w, 99, 1, 1, 4, &scale, NULL) == NARROW_ARGUMENT);
  EXPECT(narrow_quantize(x, w, NARROW_INT8, (size_t)-1, 2, 2, &scale, NULL) == NARROW_ARGUMENT);
  EXPECT(narrow_fake_quantize(x, x, 1, 1, 4, &scale, NULL, 65536, 65537) == NARROW_ARGUMENT);
  EXPECT(narrow_conv_new(w, NULL, 0, 1, 1, &spec, &h) == NARROW_OK);
  EXPECT(narrow_conv_size(h, 2, 2, &nan, &nan) == NARROW_ARGUMENT && strstr(narrow_error(), "smaller"));
  EXPECT(narrow_free(h) == NARROW_OK);
  spec.groups = 0;
  EXPECT(narrow_conv_new(w, NULL, 0, 1, 1, &spec, &h) == NARROW_ARGUMENT);
  EXPECT(narrow_quantizer_open("x.onnx", "{\"clip\": 3}", &h) == NARROW_ARGUMENT);
  EXPECT(narrow_session_open(NULL, 0, &h) == NARROW_ARGUMENT);
}

/* Each thread has its own errors and handles. */
static void *work(void *argument) {
  float x[1000];
  int mine = (int)(intptr_t)argument;
  for (int i = 0; i < 1000; i++) x[i] = (float)mine;
  for (int i = 0; i < 200; i++) {
    narrow_handle h;
    uint64_t counts[64] = {0}, others[4];
    char bins[32];
    EXPECT(narrow_histogram_new(0.5f, 64.5f, 64, &h) == NARROW_OK);
    EXPECT(narrow_histogram_add(h, x, 1000) == NARROW_OK);
    EXPECT(narrow_histogram_counts(h, counts, 64, others) == NARROW_OK && counts[mine - 1] == 1000);
    snprintf(bins, sizeof bins, " %d counts", mine);
    EXPECT(narrow_histogram_counts(h, counts, mine, others) == NARROW_ARGUMENT && strstr(narrow_error(), bins));
    EXPECT(narrow_free(h) == NARROW_OK);
  }
  return NULL;
}

int main(void) {
  convolution();
  product();
  requantizations();
  errors();
  pthread_t threads[16];
  for (intptr_t i = 0; i < 16; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
  for (int i = 0; i < 16; i++) pthread_join(threads[i], NULL);
  return failures != 0;
}
