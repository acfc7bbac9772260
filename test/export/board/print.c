/* What test_net.c needs of stdio, on a board: printf with %d and %s, and puts. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "board.h"

static void print_number(int value)
{
	char text[13], *p = text + 12;
	uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;

	*p = 0;
	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--p = '-';
	board_print(p);
}

int(printf)(const char *format, ...)
{
	char text[2] = {0, 0};
	va_list args;

	va_start(args, format);
	for (; *format != 0; format++) {
		text[0] = *format;
		if (*format != '%')
			board_print(text);
		else if (*++format == 'd')
			print_number(va_arg(args, int));
		else
			board_print(va_arg(args, const char *));
	}
	va_end(args);
	return 0;
}

int(puts)(const char *s)
{
	board_print(s);
	board_print("\n");
	return 0;
}

int(putchar)(int c)
{
	char text[2] = {(char)c, 0};

	board_print(text);
	return c;
}
