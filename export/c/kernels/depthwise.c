/* A depthwise convolution: one filter for each channel. */
struct depthwise {
	struct window at;
	bool is_signed;
	uint8_t padding;
	const int8_t *weights; /* by kernel element, then by channel */
	const int32_t *bias;
	struct requant requant;
};

INLINE void depthwise_channel(const struct depthwise *d, const struct sum *s, int c, const uint8_t *x, int row, int pixel, const uint8_t *residual, uint8_t *y)
{
	const struct window *g = &d->at;
	const int8_t *w = d->weights + c;
	int32_t acc = d->bias[c];
	for (int i = 0; i < g->kernel_h; i++)
		for (int j = 0; j < g->kernel_w; j++, w += g->channels)
			acc += wide(x[i * row + j * pixel + c], d->is_signed) * *w;
	acc = requantized(&d->requant, acc, c);
	if (residual != NULL)
		acc = summed(s, acc, wide(residual[c], s->b_signed));
	y[c] = (uint8_t)acc;
}
