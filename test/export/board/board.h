#ifndef BOARD_H
#define BOARD_H
#include <stdint.h>
void board_print(const char *s);
void board_exit(int code);
uint32_t board_ticks(void); /* TICK_NS nanoseconds each: as many instructions under -icount shift=0 */
#endif
