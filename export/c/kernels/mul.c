INLINE void mul(const struct pixels *g, bool a_signed, int32_t zero_a, bool b_signed, int32_t zero_b, int32_t bias, const struct requant *r, const uint8_t *a, const uint8_t *b, uint8_t *out)
{
	EACH_ELEMENT(g) {
		int32_t left = wide(a[y * g->row + x * g->pixel + c], a_signed) - zero_a;
		int32_t right = wide(b[y * g->other_row + x * g->other_pixel + c], b_signed) - zero_b;
		out[y * g->out_row + x * g->out_pixel + c] = (uint8_t)requantized(r, left * right + bias, 0);
	}
}
