/* The maximum under a window, channel by channel; padding takes no part. */
INLINE void max_pool(const struct window *g, bool is_signed, const uint8_t *in, uint8_t *out)
{
	for (int py = 0; py < g->out_height; py++) {
		for (int px = 0; px < g->out_width; px++) {
			int oy = place(g, py, g->out_height), ox = place(g, px, g->out_width);
			int y = oy * g->stride_h - g->pad_top, x = ox * g->stride_w - g->pad_left;
			uint8_t *to = out + (oy * g->out_row + ox * g->out_pixel);
			memset(to, is_signed ? 0x80 : 0, (size_t)g->channels);
			for (int i = 0; i < g->kernel_h; i++) {
				for (int j = 0; j < g->kernel_w; j++) {
					int row = y + i * g->dilation_h, column = x + j * g->dilation_w;
					if (row < 0 || row >= g->height || column < 0 || column >= g->width)
						continue;
					const uint8_t *from = in + (row * g->row + column * g->pixel);
					for (int c = 0; c < g->channels; c++)
						if (wide(from[c], is_signed) > wide(to[c], is_signed))
							to[c] = from[c];
				}
			}
		}
	}
}
