/* The window of a convolution or pool: output (y, x) sees the input's rows
 * y * stride_h + i * dilation_h - pad_top, and columns likewise. */
struct window {
	int height, width, channels; /* of the input; channels of one group */
	int row, pixel;              /* bytes from row to row and from pixel to pixel */
	int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
	int out_height, out_width, out_row, out_pixel;
	bool backwards;              /* results from the last to the first: they lie behind what they are made from */
};

/* Which of n rows or columns comes after i others. */
INLINE int place(const struct window *g, int i, int n)
{
	return g->backwards ? n - 1 - i : i;
}

INLINE bool inside(const struct window *g, int y, int x)
{
	return y >= 0 && y + (g->kernel_h - 1) * g->dilation_h < g->height && x >= 0 && x + (g->kernel_w - 1) * g->dilation_w < g->width;
}

/* Copies what a window at row y and column x sees, of some channels, to patch;
 * outside of the input it sees padding. */
APART void copy_window(const struct window *g, const uint8_t *in, int y, int x, int channels, uint8_t padding, uint8_t *patch)
{
	for (int i = 0; i < g->kernel_h; i++) {
		int row = y + i * g->dilation_h;
		for (int j = 0; j < g->kernel_w; j++) {
			int column = x + j * g->dilation_w;
			if (row < 0 || row >= g->height || column < 0 || column >= g->width)
				memset(patch, padding, (size_t)channels);
			else
				memcpy(patch, in + (row * g->row + column * g->pixel), (size_t)channels);
			patch += channels;
		}
	}
}
