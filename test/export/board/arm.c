/* Start of a bare Cortex-M under qemu: vectors, memory, semihosting. */
#include <stdint.h>
#include <stddef.h>
#include "board.h"

extern uint32_t image_data[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);

static int semihost(int op, const void *arg)
{
	register int r0 __asm__("r0") = op;
	register const void *r1 __asm__("r1") = arg;
	__asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
	return r0;
}

void board_print(const char *s) { semihost(0x04, s); }

void board_exit(int code)
{
	uint32_t block[2] = {0x20026, (uint32_t)code};
	if (code == 0)
		semihost(0x18, (void *)0x20026);
	semihost(0x20, block);
	for (;;) {
	}
}

#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)
#define CCR (*(volatile uint32_t *)0xE000ED14)

/* Every 2^24 ticks the timer starts again, which wraps counts shorter than that rightly. */
static uint32_t last, total;

uint32_t board_ticks(void)
{
	uint32_t now = 0xFFFFFFu - SYST_CVR;

	total += (now - last) & 0xFFFFFFu;
	last = now;
	return total;
}

void reset(void)
{
	uint32_t *from = image_data;
	for (uint32_t *to = data_start; to < data_end;)
		*to++ = *from++;
	for (uint32_t *to = bss_start; to < bss_end;)
		*to++ = 0;
#if defined(__ARM_FEATURE_MVE)
	CPACR |= 0xFu << 20;
	CCR |= 1u << 19;
	__asm__ volatile("dsb\n isb");
#endif
	SYST_RVR = 0xFFFFFF;
	SYST_CVR = 0;
	SYST_CSR = 5;
	board_exit(main());
}

void fault(void)
{
	board_print("fault\n");
	board_exit(3);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
	stack_top, reset, fault, fault, fault, fault, fault, fault, NULL, NULL, NULL, fault, fault, NULL, fault, fault,
};
