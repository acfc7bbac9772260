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

/* Computes all filters of one group for one window. */
INLINE void conv_window(const struct conv *c, const struct sum *s, int group, const uint8_t *x, int rows, int row_step, int length, const uint8_t *residual, uint8_t *y)
{
	int padded = (c->filters + 3) / 4 * 4, size = c->requant.how == AS_SUM ? 4 : 1;
	const int8_t *w = c->weights + group * c->group_weights;
	const int32_t *bias = c->bias + group * padded;
	for (int f = 0; f < c->filters; f += 4) {
		int32_t acc[4] = {bias[f], bias[f + 1], bias[f + 2], bias[f + 3]};
		w = dot(c->kernel, acc, x, rows, row_step, length, w, c->is_signed);
		put4(&c->requant, s, acc, group * c->filters + f, c->filters - f, residual == NULL ? NULL : residual + f, y + f * size);
	}
}

INLINE void conv(const struct conv *c, const uint8_t *in, const struct sum *s, const uint8_t *residual, int residual_row, int residual_pixel, uint8_t *out, uint8_t *patch)
{
	const struct window *g = &c->at;
	int rows = c->direct ? g->kernel_h : 1, length = c->patch / rows, size = c->requant.how == AS_SUM ? 4 : 1;
	for (int oy = 0; oy < g->out_height; oy++) {
		int y = oy * g->stride_h - g->pad_top;
		for (int ox = 0; ox < g->out_width; ox++) {
			int x = ox * g->stride_w - g->pad_left;
			for (int group = 0; group < c->groups; group++) {
				int first = group * c->filters, row_step = length;
				const uint8_t *from = patch, *r = NULL;
				if (residual != NULL)
					r = residual + (oy * residual_row + ox * residual_pixel + first);
				if (c->direct && inside(g, y, x)) {
					from = in + (y * g->row + x * g->pixel + group * g->channels);
					row_step = g->row * g->dilation_h;
				} else if (c->together && inside(g, y, x)) {
					for (int i = 0, n = g->kernel_w * g->channels; i < g->kernel_h; i++)
						memcpy(patch + i * n, in + ((y + i * g->dilation_h) * g->row + x * g->pixel + group * g->channels), (size_t)n);
				} else {
					copy_window(g, in + group * g->channels, y, x, g->channels, c->padding, patch);
				}
				conv_window(c, s, group, from, rows, row_step, length, r, out + (oy * g->out_row + ox * g->out_pixel + first) * size);
			}
		}
	}
}
