/* Runs a network once and prints how many instructions that took. */
#include "board.h"
#include "net.h"

static uint8_t in[NET_IN_SIZE];
static uint32_t out[NET_OUT_SIZE];

int main(void)
{
	uint32_t random = 1, ticks;
	char text[12], *p = text + 11;

	for (int i = 0; i < NET_IN_SIZE; i++) {
		random = random * 1664525u + 1013904223u;
		in[i] = (uint8_t)(random >> 24);
	}
	ticks = board_ticks();
	net_run((const void *)in, (void *)out);
	ticks = board_ticks() - ticks;
	*p = 0;
	do
		*--p = (char)('0' + ticks % 10);
	while (ticks /= 10);
	board_print(p);
	return 0;
}
