/* Sums of products of a window with four filters, whose weights lie side by
 * side. The window is `rows` rows of `length` bytes, row_step apart, from x on. Returns
 * where the weights of the next four filters are. */
#define TAP(i) do { \
	int32_t v = wide(x[i], is_signed); \
	a0 += v * w[4 * (i)]; \
	a1 += v * w[4 * (i) + 1]; \
	a2 += v * w[4 * (i) + 2]; \
	a3 += v * w[4 * (i) + 3]; \
} while (0)

INLINE const int8_t *dot4_as(int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)
{
	int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
	for (; rows > 0; rows--) {
		int n = length;
		for (; n >= 4; n -= 4) {
			TAP(0);
			TAP(1);
			TAP(2);
			TAP(3);
			x += 4;
			w += 16;
		}
		for (; n > 0; n--) {
			TAP(0);
			x++;
			w += 4;
		}
		x += row_step - length;
	}
	acc[0] = a0;
	acc[1] = a1;
	acc[2] = a2;
	acc[3] = a3;
	return w;
}

APART const int8_t *dot4(int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)
{
	if (is_signed)
		return dot4_as(acc, x, rows, row_step, length, w, true);
	return dot4_as(acc, x, rows, row_step, length, w, false);
}

/* The same for two windows at once, which need each weight only once. */
#define TAPS(i) do { \
	int32_t u = wide(x[i], is_signed), v = wide(y[i], is_signed), k; \
	k = w[4 * (i)]; \
	a0 += u * k; \
	b0 += v * k; \
	k = w[4 * (i) + 1]; \
	a1 += u * k; \
	b1 += v * k; \
	k = w[4 * (i) + 2]; \
	a2 += u * k; \
	b2 += v * k; \
	k = w[4 * (i) + 3]; \
	a3 += u * k; \
	b3 += v * k; \
} while (0)

INLINE const int8_t *dot4_pair_as(int32_t acc[8], const uint8_t *x, const uint8_t *y, int rows, const int step[2], int length, const int8_t *w, bool is_signed)
{
	int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3], b0 = acc[4], b1 = acc[5], b2 = acc[6], b3 = acc[7];
	for (; rows > 0; rows--) {
		const int8_t *end = w + length / 4 * 16;
		while (w != end) {
			TAPS(0);
			TAPS(1);
			TAPS(2);
			TAPS(3);
			x += 4;
			y += 4;
			w += 16;
		}
		for (int n = length % 4; n > 0; n--) {
			TAPS(0);
			x++;
			y++;
			w += 4;
		}
		x += step[0] - length;
		y += step[1] - length;
	}
	acc[0] = a0;
	acc[1] = a1;
	acc[2] = a2;
	acc[3] = a3;
	acc[4] = b0;
	acc[5] = b1;
	acc[6] = b2;
	acc[7] = b3;
	return w;
}

APART const int8_t *dot4_pair(int32_t acc[8], const uint8_t *x, const uint8_t *y, int rows, const int step[2], int length, const int8_t *w, bool is_signed)
{
	if (is_signed)
		return dot4_pair_as(acc, x, y, rows, step, length, w, true);
	return dot4_pair_as(acc, x, y, rows, step, length, w, false);
}
