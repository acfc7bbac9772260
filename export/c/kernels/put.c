/* Writes what becomes of the sums of up to four filters. */
INLINE void put4(const struct requant *r, const struct sum *s, const int32_t acc[4], int filter, int filters, const uint8_t *residual, uint8_t *y)
{
	for (int k = 0; k < 4 && k < filters; k++) {
		if (r->how == AS_SUM) {
			memcpy(y + 4 * k, &acc[k], 4);
			continue;
		}
		int32_t q = requantized(r, acc[k], filter + k);
		if (residual != NULL)
			q = summed(s, q, wide(residual[k], s->b_signed));
		y[k] = (uint8_t)q;
	}
}
