/* How a sum becomes a byte: clamp(q + zero, lo, hi). */
enum { BY_SHIFT, BY_SHIFTS, BY_HIGH, BY_PRODUCT, AS_SUM };

struct requant {
	int how;
	int shift;             /* BY_SHIFT: of all channels */
	const uint8_t *shifts; /* otherwise by channel; BY_HIGH: less 32 */
	const int32_t *mul;    /* BY_HIGH, BY_PRODUCT */
	int32_t zero, lo, hi;  /* BY_SHIFT and BY_SHIFTS have zero and rounding in the bias */
};

INLINE int32_t product_shifted(int32_t v, int32_t mul, int shift)
{
	int64_t p = (int64_t)v * mul;
	if (shift > 0)
		p = (p + ((int64_t)1 << (shift - 1))) >> shift;
	return p < -4096 ? -4096 : p > 4096 ? 4096 : (int32_t)p;
}

INLINE int32_t requantized(const struct requant *r, int32_t v, int channel)
{
	switch (r->how) {
	case BY_SHIFT:
		return clamp(v >> r->shift, r->lo, r->hi);
	case BY_SHIFTS:
		return clamp(v >> r->shifts[channel], r->lo, r->hi);
	case BY_HIGH: {
		int32_t high = (int32_t)(((int64_t)v * r->mul[channel]) >> 32);
		int shift = r->shifts[channel];
		return clamp(((high + (1 << (shift - 1))) >> shift) + r->zero, r->lo, r->hi);
	}
	default:
		return clamp(product_shifted(v, r->mul[channel], r->shifts[channel]) + r->zero, r->lo, r->hi);
	}
}
