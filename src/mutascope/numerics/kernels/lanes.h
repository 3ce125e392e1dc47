/* Vectors of the processor's own width.

   No result depends on LANES: whatever is added up across a vector is added up in SUMS partial sums, on every machine.
   Nothing is fused but what says so: compiled with -ffp-contract=off, and fused() where docs/numerics.md has fma. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define SUMS 16

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
typedef __m512 lanes;
INLINE lanes fused(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
INLINE lanes all(float value) { return _mm512_set1_ps(value); }
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES 8
typedef __m256 lanes;
INLINE lanes fused(lanes a, lanes b, lanes c) { return _mm256_fmadd_ps(a, b, c); }
INLINE lanes all(float value) { return _mm256_set1_ps(value); }
#elif defined(__aarch64__)
#include <arm_neon.h>
#define LANES 4
typedef float32x4_t lanes;
INLINE lanes fused(lanes a, lanes b, lanes c) { return vfmaq_f32(c, a, b); }
INLINE lanes all(float value) { return vdupq_n_f32(value); }
#else /* the library's fmaf: slow, and as exact */
#define LANES 4
typedef float lanes __attribute__((vector_size(16)));
INLINE lanes fused(lanes a, lanes b, lanes c) {
  for (int n = 0; n < LANES; n++) c[n] = __builtin_fmaf(a[n], b[n], c[n]);
  return c;
}
INLINE lanes all(float value) { return (lanes){value, value, value, value}; }
#endif

#define PARTS (SUMS / LANES)

typedef float unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t mask __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long most(long a, long b) { return a > b ? a : b; }
INLINE long parts(long whole, long part) { return (whole + part - 1) / part; }

INLINE lanes load(const float *from) { return (lanes) * (const unaligned *)from; }
INLINE void store(float *to, lanes value) { *(unaligned *)to = (unaligned)value; }

/* The first `width` lanes of memory, which may be none, and zeros. */
INLINE lanes load_some(const float *from, long width) {
  if (width >= LANES) return load(from);
  float some[LANES] = {0};
  for (long n = 0; n < width; n++) some[n] = from[n];
  return load(some);
}

INLINE void store_some(float *to, lanes value, long width) {
  if (width >= LANES) {
    store(to, value);
    return;
  }
  float some[LANES];
  store(some, value);
  for (long n = 0; n < width; n++) to[n] = some[n];
}

INLINE lanes choose(mask which, lanes yes, lanes no) {
  return (lanes)(((mask)yes & which) | ((mask)no & ~which));
}

/* Partial sums, added up as a tree: the upper half to the lower half, four times. */
INLINE float total(const lanes sums[PARTS]) {
  float some[SUMS];
  for (int n = 0; n < PARTS; n++) store(some + n * LANES, sums[n]);
  for (int half = SUMS / 2; half; half /= 2)
    for (int n = 0; n < half; n++) some[n] += some[n + half];
  return some[0];
}
