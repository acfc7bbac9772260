/* Means under a window, channel by channel: the rescaling of their sum divides
 * it, and padding counts as the zero point. */
INLINE void mean_pool(const struct window *g, bool is_signed, int32_t zero_in, int32_t bias, const struct requant *r, const uint8_t *in, uint8_t *out)
{
	for (int py = 0; py < g->out_height; py++) {
		for (int px = 0; px < g->out_width; px++) {
			int oy = place(g, py, g->out_height), ox = place(g, px, g->out_width);
			int y = oy * g->stride_h - g->pad_top, x = ox * g->stride_w - g->pad_left;
			uint8_t *to = out + (oy * g->out_row + ox * g->out_pixel);
			for (int c = 0; c < g->channels; c++) {
				int32_t acc = bias;
				for (int i = 0; i < g->kernel_h; i++) {
					for (int j = 0; j < g->kernel_w; j++) {
						int row = y + i * g->dilation_h, column = x + j * g->dilation_w;
						if (row < 0 || row >= g->height || column < 0 || column >= g->width)
							continue;
						acc += wide(in[row * g->row + column * g->pixel + c], is_signed) - zero_in;
					}
				}
				to[c] = (uint8_t)requantized(r, acc, 0);
			}
		}
	}
}
