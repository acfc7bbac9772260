#include <arm_mve.h>

/* Four bytes of neighbouring channels at once, as requantized and summed make them;
 * BY_PRODUCT is not here. Only the first channels are stored where there are less than four. */
INLINE int32x4_t clamp4(int32x4_t v, int32_t lo, int32_t hi)
{
	return vminq_s32(vmaxq_s32(v, vdupq_n_s32(lo)), vdupq_n_s32(hi));
}

INLINE int32x4_t requantized4(const struct requant *r, int32x4_t v, int channel, mve_pred16_t p)
{
	if (r->how == BY_SHIFT)
		return clamp4(vshlq_r_s32(v, -r->shift), r->lo, r->hi);
	int32x4_t shifts = vnegq_s32(vreinterpretq_s32_u32(vldrbq_z_u32(r->shifts + channel, p)));
	if (r->how == BY_SHIFTS)
		return clamp4(vshlq_s32(v, shifts), r->lo, r->hi);
	v = vrshlq_s32(vmulhq_s32(v, vldrwq_z_s32(r->mul + channel, p)), shifts);
	return clamp4(vaddq_n_s32(v, r->zero), r->lo, r->hi);
}

INLINE int32x4_t times4(int32x4_t v, int32_t mul, bool powers)
{
	return powers ? vshlq_r_s32(v, mul) : vmulq_n_s32(v, mul);
}

INLINE int32x4_t summed4(const struct sum *s, int32x4_t a, int32x4_t b)
{
	int32x4_t v = vaddq_n_s32(times4(a, s->mul_a, s->powers), s->start);
	b = times4(b, s->mul_b, s->powers);
	v = s->minus ? vsubq_s32(v, b) : vaddq_s32(v, b);
	if (s->shift > 0) {
		int32x4_t odd = vandq_s32(vshlq_r_s32(v, -s->shift), vdupq_n_s32(1));
		v = vaddq_s32(vaddq_n_s32(v, (1 << (s->shift - 1)) - 1), odd);
		v = vshlq_r_s32(v, -s->shift);
	}
	return clamp4(vaddq_n_s32(v, s->zero), s->lo, s->hi);
}

INLINE int32x4_t wide4(const uint8_t *x, bool is_signed, mve_pred16_t p)
{
	return is_signed ? vldrbq_z_s32((const int8_t *)x, p) : vreinterpretq_s32_u32(vldrbq_z_u32(x, p));
}

INLINE int32x4_t four(const int32_t acc[4])
{
	int32x4_t v = vdupq_n_s32(acc[0]);
	v = vsetq_lane_s32(acc[1], v, 1);
	v = vsetq_lane_s32(acc[2], v, 2);
	return vsetq_lane_s32(acc[3], v, 3);
}

INLINE void finish4(const struct requant *r, const struct sum *s, int32x4_t acc, int channel, int count, const uint8_t *residual, uint8_t *y)
{
	mve_pred16_t p = vctp32q((uint32_t)count);
	acc = requantized4(r, acc, channel, p);
	if (residual != NULL)
		acc = summed4(s, acc, wide4(residual, s->b_signed, p));
	vstrbq_p_s32((int8_t *)y, acc, p);
}
