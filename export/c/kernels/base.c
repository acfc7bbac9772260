#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#else
#define INLINE static inline
#define APART static
#endif

/* The kernels below are written once and become code for each step: the
 * compiler puts the constants of a step's tables in. Bytes are kept as uint8_t
 * whatever they stand for; `wide` makes numbers of them. Integers are shifted to
 * the right with their sign, as every compiler for these machines does. */

INLINE int32_t wide(uint8_t v, bool is_signed)
{
	return is_signed ? (int32_t)(int8_t)v : (int32_t)v;
}

INLINE int32_t clamp(int32_t v, int32_t lo, int32_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}
