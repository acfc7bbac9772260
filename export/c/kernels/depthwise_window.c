/* Computes all channels of one window. */
INLINE void depthwise_window(const struct depthwise *d, const struct sum *s, const uint8_t *x, int row, int pixel, const uint8_t *residual, uint8_t *y)
{
	for (int c = 0; c < d->at.channels; c++)
		depthwise_channel(d, s, c, x, row, pixel, residual, y);
}
