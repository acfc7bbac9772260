/* Computes four channels from c on of one window, or those that are left. */
INLINE void depthwise4(const struct depthwise *d, const struct sum *s, int c, const uint8_t *x, int row, int pixel, const uint8_t *residual, uint8_t *y)
{
	const struct window *g = &d->at;
	const int8_t *w = d->weights + c;
	mve_pred16_t p = vctp32q((uint32_t)(g->channels - c));
	int32x4_t acc = vldrwq_z_s32(d->bias + c, p);
	for (int i = 0; i < g->kernel_h; i++)
		for (int j = 0; j < g->kernel_w; j++, w += g->channels)
			acc = vaddq_s32(acc, vmulq_s32(wide4(x + (i * row + j * pixel + c), d->is_signed, p), vldrbq_z_s32(w, p)));
	finish4(&d->requant, s, acc, c, g->channels - c, residual == NULL ? NULL : residual + c, y + c);
}

/* Computes eight channels from c on: those of even and of odd number apart. */
INLINE void depthwise8(const struct depthwise *d, int c, const uint8_t *x, int row, int pixel, uint8_t *y)
{
	const struct window *g = &d->at;
	const struct requant *r = &d->requant;
	const int8_t *w = d->weights + c;
	int32x4x2_t bias = vld2q_s32(d->bias + c);
	int32x4_t even = bias.val[0], odd = bias.val[1];
	for (int i = 0; i < g->kernel_h; i++) {
		for (int j = 0; j < g->kernel_w; j++, w += g->channels) {
			const uint8_t *from = x + (i * row + j * pixel + c);
			int16x8_t v = d->is_signed ? vldrbq_s16((const int8_t *)from) : vreinterpretq_s16_u16(vldrbq_u16(from)), k = vldrbq_s16(w);
			even = vaddq_s32(even, vmullbq_int_s16(v, k));
			odd = vaddq_s32(odd, vmulltq_int_s16(v, k));
		}
	}
	if (r->how == BY_SHIFT) {
		even = vshlq_r_s32(even, -r->shift);
		odd = vshlq_r_s32(odd, -r->shift);
	} else {
		int16x8_t shifts = vnegq_s16(vreinterpretq_s16_u16(vldrbq_u16(r->shifts + c)));
		if (r->how == BY_SHIFTS) {
			even = vshlq_s32(even, vmovlbq_s16(shifts));
			odd = vshlq_s32(odd, vmovltq_s16(shifts));
		} else {
			int32x4x2_t mul = vld2q_s32(r->mul + c);
			even = vrshlq_s32(vmulhq_s32(even, mul.val[0]), vmovlbq_s16(shifts));
			odd = vrshlq_s32(vmulhq_s32(odd, mul.val[1]), vmovltq_s16(shifts));
		}
	}
	int16x8_t q = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), even), odd);
	q = vqaddq_n_s16(q, (int16_t)r->zero);
	q = vminq_s16(vmaxq_s16(q, vdupq_n_s16((int16_t)r->lo)), vdupq_n_s16((int16_t)r->hi));
	vstrbq_s16((int8_t *)y + c, q);
}

/* Computes all channels of one window. */
INLINE void depthwise_window(const struct depthwise *d, const struct sum *s, const uint8_t *x, int row, int pixel, const uint8_t *residual, uint8_t *y)
{
	int c = 0;
	if (d->requant.how == BY_PRODUCT) {
		for (; c < d->at.channels; c++)
			depthwise_channel(d, s, c, x, row, pixel, residual, y);
		return;
	}
	if (residual == NULL)
		for (; c + 8 <= d->at.channels; c += 8)
			depthwise8(d, c, x, row, pixel, y);
	for (; c < d->at.channels; c += 4)
		depthwise4(d, s, c, x, row, pixel, residual, y);
}
