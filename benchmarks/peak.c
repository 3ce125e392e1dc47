/* A loop of multiplications and additions on some threads: what the cores can do. Each thread does `rounds` times 12
   independent vectors of 16 numbers. */
#include <pthread.h>

typedef float numbers __attribute__((vector_size(64)));

static void *multiply_add(void *rounds) {
  numbers sums[12], factor = {0}, change = {0};
  factor += 0.999999f;
  change += 1e-7f;
  for (int n = 0; n < 12; n++) sums[n] = change * (float)n;
  for (long round = *(long *)rounds; round > 0; round--)
    for (int n = 0; n < 12; n++) sums[n] = sums[n] * factor + change;
  for (int n = 1; n < 12; n++) sums[0] += sums[n];
  volatile float seen = sums[0][0];
  (void)seen;
  return 0;
}

void peak(long rounds, int threads) {
  pthread_t others[threads];
  for (int n = 1; n < threads; n++) pthread_create(&others[n], 0, multiply_add, &rounds);
  multiply_add(&rounds);
  for (int n = 1; n < threads; n++) pthread_join(others[n], 0);
}
