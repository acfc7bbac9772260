INLINE void depthwise(const struct depthwise *d, const uint8_t *in, const struct sum *s, const uint8_t *residual, int residual_row, int residual_pixel, uint8_t *out, uint8_t *patch)
{
	const struct window *g = &d->at;
	for (int i = 0; i < g->out_height; i++) {
		int oy = place(g, i, g->out_height), y = oy * g->stride_h - g->pad_top;
		for (int j = 0; j < g->out_width; j++) {
			int ox = place(g, j, g->out_width), x = ox * g->stride_w - g->pad_left, row = g->row * g->dilation_h, pixel = g->pixel * g->dilation_w;
			const uint8_t *from, *r = NULL;
			uint8_t *to = out + (oy * g->out_row + ox * g->out_pixel);
			if (residual != NULL)
				r = residual + (oy * residual_row + ox * residual_pixel);
			if (inside(g, y, x)) {
				from = in + (y * g->row + x * g->pixel);
			} else {
				copy_window(g, in, y, x, g->channels, d->padding, patch);
				from = patch;
				pixel = g->channels;
				row = pixel * g->kernel_w;
			}
			depthwise_window(d, s, from, row, pixel, r, to);
		}
	}
}
