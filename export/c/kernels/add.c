INLINE void add(const struct pixels *g, const struct sum *s, const uint8_t *a, const uint8_t *b, uint8_t *out)
{
	EACH_ELEMENT(g) {
		int32_t l = wide(a[y * g->row + x * g->pixel + c], s->a_signed), r = wide(b[y * g->other_row + x * g->other_pixel + c], s->b_signed);
		out[y * g->out_row + x * g->out_pixel + c] = (uint8_t)summed(s, l, r);
	}
}
