INLINE void look_up(const struct pixels *g, const uint8_t *table, const uint8_t *in, uint8_t *out)
{
	EACH_ELEMENT(g)
		out[y * g->out_row + x * g->out_pixel + c] = table[in[y * g->row + x * g->pixel + c]];
}
