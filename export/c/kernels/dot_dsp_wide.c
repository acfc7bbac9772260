/* Sums of products of a window with four filters, as dot4_dsp has them, for sums
 * that may have more than 24 bits: both weights of a halfword are extracted. */
#define WIDE_PAIR(x, w, a, b) \
	"sxtb16 %[t], " w ", ror #8\n\t" \
	"sxtb16 " w ", " w "\n\t" \
	"smlad %[" b "], %[" x "], %[t], %[" b "]\n\t" \
	"smlad %[" a "], %[" x "], " w ", %[" a "]\n\t"

#define WIDE_QUAD(extend) \
	"ldr %[e], [%[x]], #4\n\t" \
	"ldmia %[w]!, {r2, r3, r4, r5}\n\t" \
	extend " %[o], %[e], ror #8\n\t" \
	extend " %[e], %[e]\n\t" \
	WIDE_PAIR("e", "r2", "a0", "a1") \
	WIDE_PAIR("e", "r4", "a2", "a3") \
	WIDE_PAIR("o", "r3", "a0", "a1") \
	WIDE_PAIR("o", "r5", "a2", "a3")

#define WIDE_QUADS(body, step) \
	for (; n >= (step); n -= (step)) \
		__asm__(body \
			: [x] "+r"(x), [w] "+r"(w), [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [e] "=&r"(e), [o] "=&r"(o), [t] "=&r"(t) \
			: \
			: "r2", "r3", "r4", "r5", "memory")

#define WIDE_ROWS(extend) \
	for (; rows > 0; rows--) { \
		int n = length; \
		WIDE_QUADS(WIDE_QUAD(extend) WIDE_QUAD(extend), 8); \
		WIDE_QUADS(WIDE_QUAD(extend), 4); \
		x += row_step - length; \
	}

APART const int8_t *dot4_dsp_wide(int32_t acc[4], const uint8_t *x, int rows, int row_step, int length, const int8_t *w, bool is_signed)
{
	uint32_t a0 = (uint32_t)acc[0], a1 = (uint32_t)acc[1], a2 = (uint32_t)acc[2], a3 = (uint32_t)acc[3], e, o, t;
	if (is_signed)
		WIDE_ROWS("sxtb16")
	else
		WIDE_ROWS("uxtb16")
	acc[0] = (int32_t)a0;
	acc[1] = (int32_t)a1;
	acc[2] = (int32_t)a2;
	acc[3] = (int32_t)a3;
	return w;
}
