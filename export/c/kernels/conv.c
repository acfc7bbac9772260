/* A convolution, or a product of rows by a matrix. */
struct conv {
	struct window at;
	int kernel;
	int groups, filters;      /* filters of one group */
	int patch;                /* bytes of a window, rounded up for the kernel */
	int group_weights;        /* bytes of the weights of a group */
	bool is_signed;
	bool together, direct;    /* the rows of a window lie together in memory; they are read there */
	uint8_t padding;
	const int8_t *weights;
	const int32_t *bias;      /* of each filter, filled up to a multiple of four in each group */
	struct requant requant;
};

/* Where the rows of a window are, and how far apart: in the input, or copied to patch. */
INLINE const uint8_t *window_rows(const struct conv *c, const uint8_t *in, int y, int x, uint8_t *patch, int *step)
{
	const struct window *g = &c->at;
	*step = c->direct ? g->kernel_w * g->channels : c->patch;
	if (!inside(g, y, x)) {
		copy_window(g, in, y, x, g->channels, c->padding, patch);
		return patch;
	}
	if (c->direct) {
		*step = g->row * g->dilation_h;
		return in + (y * g->row + x * g->pixel);
	}
	if (!c->together) {
		copy_window(g, in, y, x, g->channels, c->padding, patch);
		return patch;
	}
	for (int i = 0, n = g->kernel_w * g->channels; i < g->kernel_h; i++)
		memcpy(patch + i * n, in + ((y + i * g->dilation_h) * g->row + x * g->pixel), (size_t)n);
	return patch;
}

/* Computes all filters for one pixel of the result, or for two next to each other. */
INLINE void conv_pixels(const struct conv *c, int pixels, int oy, int ox, const uint8_t *in, const struct sum *s, const uint8_t *residual, int residual_pixel, uint8_t *out, uint8_t *patch)
{
	const struct window *g = &c->at;
	int rows = c->direct ? g->kernel_h : 1, length = c->patch / rows, size = c->requant.how == AS_SUM ? 4 : 1;
	int padded = (c->filters + 3) / 4 * 4;
	for (int group = 0; group < c->groups; group++) {
		const uint8_t *x[2];
		int step[2];
		for (int i = 0; i < pixels; i++)
			x[i] = window_rows(c, in + group * g->channels, oy * g->stride_h - g->pad_top, (ox + i) * g->stride_w - g->pad_left, patch + i * c->patch, &step[i]);
		const int8_t *w = c->weights + group * c->group_weights;
		for (int f = 0; f < c->filters; f += 4) {
			const int32_t *b = c->bias + (group * padded + f);
			int32_t acc[8] = {b[0], b[1], b[2], b[3], b[0], b[1], b[2], b[3]};
			int first = group * c->filters + f;
			if (pixels == 2)
				w = dot_pair(acc, x[0], x[1], rows, step, length, w, c->is_signed);
			else
				w = dot(c->kernel, acc, x[0], rows, step[0], length, w, c->is_signed);
			for (int i = 0; i < pixels; i++)
				put4(&c->requant, s, acc + 4 * i, first, c->filters - f, residual == NULL ? NULL : residual + (i * residual_pixel + first), out + (i * g->out_pixel + first) * size);
		}
	}
}

INLINE void conv(const struct conv *c, const uint8_t *in, const struct sum *s, const uint8_t *residual, int residual_row, int residual_pixel, uint8_t *out, uint8_t *patch)
{
	const struct window *g = &c->at;
	const int size = c->requant.how == AS_SUM ? 4 : 1;
	for (int i = 0; i < g->out_height; i++) {
		int oy = place(g, i, g->out_height);
		for (int left = g->out_width; left > 0;) {
			int pixels = c->kernel == IN_PAIRS && left > 1 ? 2 : 1, ox = g->backwards ? left - pixels : g->out_width - left;
			uint8_t *to = out + (oy * g->out_row + ox * g->out_pixel) * size;
			const uint8_t *r = residual == NULL ? NULL : residual + (oy * residual_row + ox * residual_pixel);
			if (pixels == 2)
				conv_pixels(c, 2, oy, ox, in, s, r, residual_pixel, to, patch);
			else
				conv_pixels(c, 1, oy, ox, in, s, r, residual_pixel, to, patch);
			left -= pixels;
		}
	}
}
