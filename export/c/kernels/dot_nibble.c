/* Sums of products of a window with four filters of 4-bit weights, two of which
 * share a byte. The window is `rows` rows of `length` bytes, row_step apart, from x on.
 * Returns where the weights of the next four filters are. */
INLINE int32_t low_nibble(int8_t w)
{
	return (int32_t)((w & 15) ^ 8) - 8;
}

APART const int8_t *dot4_nibble(int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)
{
	int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
	for (; rows > 0; rows--) {
		for (int n = 0; n < length; n++) {
			int32_t v = wide(x[n], is_signed);
			a0 += v * low_nibble(w[0]);
			a1 += v * (w[0] >> 4);
			a2 += v * low_nibble(w[1]);
			a3 += v * (w[1] >> 4);
			w += 2;
		}
		x += row_step;
	}
	acc[0] = a0;
	acc[1] = a1;
	acc[2] = a2;
	acc[3] = a3;
	return w;
}
