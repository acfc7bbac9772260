/* Sums of products of a window with four filters, by the vectors of
 * Cortex-M55. The window is `rows` rows of `length` bytes, row_step apart, from x on. The
 * weights of the four filters come one after the other for each 16 bytes of a row, the
 * last of which is filled up; the loop's predicate keeps what fills it up out. Returns
 * where the weights of the next four filters are. Bytes without a sign get one
 * by taking 128 away, which the bias makes up for. */
#define ROW(flip) \
	__asm__("wlstp.8 lr, %[n], 2f\n" \
		"1:\n\t" \
		"vldrb.8 q0, [%[x]], #16\n\t" \
		"vldrb.8 q1, [%[w]], #16\n\t" \
		flip \
		"vldrb.8 q2, [%[w]], #16\n\t" \
		"vmladava.s8 %[a0], q0, q1\n\t" \
		"vldrb.8 q1, [%[w]], #16\n\t" \
		"vmladava.s8 %[a1], q0, q2\n\t" \
		"vldrb.8 q2, [%[w]], #16\n\t" \
		"vmladava.s8 %[a2], q0, q1\n\t" \
		"vmladava.s8 %[a3], q0, q2\n\t" \
		"letp lr, 1b\n" \
		"2:" \
		: [x] "+r"(x), [w] "+r"(w), [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3) \
		: [n] "r"(length), [top] "w"(top) \
		: "q0", "q1", "q2", "lr", "cc", "memory")

INLINE const int8_t *dot4_mve(int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)
{
	int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
	const uint8x16_t top = vdupq_n_u8(0x80);
	row_step -= (length + 15) / 16 * 16;
	if (is_signed) {
		for (; rows > 0; rows--, x += row_step)
			ROW("");
	} else {
		for (; rows > 0; rows--, x += row_step)
			ROW("veor q0, q0, %q[top]\n\t");
	}
	acc[0] = a0;
	acc[1] = a1;
	acc[2] = a2;
	acc[3] = a3;
	return w;
}
