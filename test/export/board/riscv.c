/* Start of a bare 32-bit RISC-V under qemu (machine virt): memory and UART. */
#include <stdint.h>

#include "board.h"

extern uint32_t bss_start[], bss_end[];
int main(void);

#define UART (*(volatile uint8_t *)0x10000000)
#define FINISHER (*(volatile uint32_t *)0x100000)

void board_print(const char *s)
{
	while (*s != 0)
		UART = (uint8_t)*s++;
}

void board_exit(int code)
{
	FINISHER = code == 0 ? 0x5555u : ((uint32_t)code << 16 | 0x3333u);
	for (;;) {
	}
}

uint32_t board_ticks(void)
{
	uint32_t cycles;

	__asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, mcycle\n\t.option pop" : "=r"(cycles));
	return cycles;
}

void begin(void);
void begin(void)
{
	for (uint32_t *p = bss_start; p < bss_end; p++)
		*p = 0;
	board_exit(main());
}

__asm__(".option arch, +zicsr\n"
	".section .start, \"ax\"\n"
	".globl reset\n"
	"reset:\n"
	"\tla sp, stack_top\n"
	"\tla t0, trap\n"
	"\tcsrw mtvec, t0\n"
	"\tj begin\n"
	".align 2\n"
	"trap:\n"
	"\tli a0, 3\n"
	"\tj board_exit\n");
