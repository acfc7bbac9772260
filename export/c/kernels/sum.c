/* How two bytes become one: clamp(zero + q, lo, hi), where q is
 * ((a - zero_a) * mul_a + (b - zero_b) * mul_b) / 2^shift, rounded half to even. With
 * `powers` the factors are 2^mul, so that nothing is multiplied. */
struct sum {
	bool powers, minus, a_signed, b_signed;
	int32_t mul_a, mul_b, start; /* start: what the zero points come to */
	int shift;
	int32_t zero, lo, hi;
};

INLINE int32_t times(int32_t v, int32_t mul, bool powers)
{
	return powers ? (int32_t)((uint32_t)v << mul) : v * mul;
}

INLINE int32_t summed(const struct sum *s, int32_t a, int32_t b)
{
	int32_t v = times(a, s->mul_a, s->powers) + s->start;
	b = times(b, s->mul_b, s->powers);
	v = s->minus ? v - b : v + b;
	if (s->shift > 0) /* a tie goes up from an odd number only */
		v = (v + ((1 << (s->shift - 1)) - 1) + (v >> s->shift & 1)) >> s->shift;
	return clamp(v + s->zero, s->lo, s->hi);
}
