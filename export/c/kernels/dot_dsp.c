/* Sums of products of a window with four filters, by the DSP instructions of
 * Cortex-M4, M7 and M33. The window is `rows` rows of `length` bytes (a multiple of 4),
 * row_step apart, from x on. Returns where the weights of the next four filters are.
 *
 * Two filters share a halfword, w1 * 256 + w0. A product of pairs with it is
 * taken as it is, and once more with w0 alone: two sums, s = 256 * b + a and a.
 * That saves one of two extractions; it is for sums whose b fits 24 bits. */
#define QUAD(extend) \
	"ldr %[e], [%[x]], #4\n\t" \
	"ldmia %[w]!, {r2, r3, r4, r5}\n\t" \
	extend " %[o], %[e], ror #8\n\t" \
	extend " %[e], %[e]\n\t" \
	"smlad %[s0], %[e], r2, %[s0]\n\t" \
	"sxtb16 r2, r2\n\t" \
	"smlad %[s2], %[e], r4, %[s2]\n\t" \
	"sxtb16 r4, r4\n\t" \
	"smlad %[a0], %[e], r2, %[a0]\n\t" \
	"smlad %[a2], %[e], r4, %[a2]\n\t" \
	"smlad %[s0], %[o], r3, %[s0]\n\t" \
	"sxtb16 r3, r3\n\t" \
	"smlad %[s2], %[o], r5, %[s2]\n\t" \
	"sxtb16 r5, r5\n\t" \
	"smlad %[a0], %[o], r3, %[a0]\n\t" \
	"smlad %[a2], %[o], r5, %[a2]\n\t"

#define QUADS(body, step) \
	for (; n >= (step); n -= (step)) \
		__asm__(body \
			: [x] "+r"(x), [w] "+r"(w), [a0] "+r"(a0), [s0] "+r"(s0), [a2] "+r"(a2), [s2] "+r"(s2), [e] "=&r"(e), [o] "=&r"(o) \
			: \
			: "r2", "r3", "r4", "r5", "memory")

#define ROWS(extend) \
	for (; rows > 0; rows--) { \
		int n = length; \
		QUADS(QUAD(extend) QUAD(extend) QUAD(extend) QUAD(extend), 16); \
		QUADS(QUAD(extend), 4); \
		x += row_step - length; \
	}

APART const int8_t *dot4_dsp(int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)
{
	uint32_t a0 = (uint32_t)acc[0], a2 = (uint32_t)acc[2], e, o;
	uint32_t s0 = a0 + ((uint32_t)acc[1] << 8), s2 = a2 + ((uint32_t)acc[3] << 8);
	if (is_signed)
		ROWS("sxtb16")
	else
		ROWS("uxtb16")
	acc[0] = (int32_t)a0;
	acc[1] = (int32_t)(s0 - a0) >> 8;
	acc[2] = (int32_t)a2;
	acc[3] = (int32_t)(s2 - a2) >> 8;
	return w;
}
