/* A loop of multiplications and additions on some threads: what the cores can do. Each thread does `rounds` times 12
   independent vectors of 16 numbers, or, where the processor multiplies bfloat16 and is asked to, of 32. */
#include <pthread.h>
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

typedef float numbers __attribute__((vector_size(64)));

struct task {
  long rounds;
  int half;
};

static void *multiply_add(void *given) {
  const struct task *task = given;
  numbers sums[12], factor = {0}, change = {0};
  factor += 0.999999f;
  change += 1e-7f;
  for (int n = 0; n < 12; n++) sums[n] = change * (float)n;
#if defined(__AVX512BF16__)
  if (task->half)
    for (long round = task->rounds; round > 0; round--)
      for (int n = 0; n < 12; n++) sums[n] = _mm512_dpbf16_ps(sums[n], (__m512bh)factor, (__m512bh)change);
  else
#endif
    for (long round = task->rounds; round > 0; round--)
      for (int n = 0; n < 12; n++) sums[n] = sums[n] * factor + change;
  for (int n = 1; n < 12; n++) sums[0] += sums[n];
  volatile float seen = sums[0][0];
  (void)seen;
  return 0;
}

/* Returns the multiplications of a round. */
int peak(long rounds, int threads, int half) {
  pthread_t others[threads];
  struct task task = {rounds, half};
  for (int n = 1; n < threads; n++) pthread_create(&others[n], 0, multiply_add, &task);
  multiply_add(&task);
  for (int n = 1; n < threads; n++) pthread_join(others[n], 0);
#if defined(__AVX512BF16__)
  if (half) return 12 * 32;
#endif
  return 12 * 16;
}
