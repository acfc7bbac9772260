/* Steps element by element. */
struct pixels {
	int height, width, channels;
	int row, pixel; /* of the first operand: bytes from row to row and from pixel to pixel */
	int other_row, other_pixel, out_row, out_pixel;
};

#define EACH_ELEMENT(g) \
	for (int y = 0; y < (g)->height; y++) \
		for (int x = 0; x < (g)->width; x++) \
			for (int c = 0; c < (g)->channels; c++)
