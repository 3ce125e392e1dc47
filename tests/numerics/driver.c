/* Prints a digest of what every operation of the kernels gives on fixed inputs; test_variants.py compares processors. */

#include "kernels.c"

#include <stdio.h>

static const uint32_t STRANGE[] = {0x7fc00000, 0x7f800000, 0xff800000, 0, 0x80000000, 1, 0x807fffff, 0x00800000, 0x7f7fffff};
#define STRANGE_COUNT (long)(sizeof STRANGE / sizeof *STRANGE)
#define THREADS 2

static uint64_t state;

static uint64_t next_word(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 32 << 32) | (state * 0xda942042e4dd58b5u >> 32);
}

static void *room(long bytes) {
  void *memory = malloc((size_t)bytes);
  if (!memory) abort();
  memset(memory, 0xff, (size_t)bytes); /* NaN, which no result may show */
  return memory;
}

static float *as_floats(const uint32_t *bits, long count) {
  float *x = room(4 * count);
  memcpy(x, bits, 4 * (size_t)count);
  return x;
}

/* Numbers of either sign from 2^-5 to 8; every `often`-th one is strange, if it is not 0. */
static float *numbers(long count, long often) {
  uint32_t *bits = room(4 * count);
  for (long n = 0; n < count; n++) {
    uint64_t some = next_word();
    bits[n] = (uint32_t)(some >> 63 << 31 | (122 + (some >> 40) % 8) << 23 | (some & 0x7fffff));
    if (often && n % often == often - 1) bits[n] = STRANGE[n / often % STRANGE_COUNT];
  }
  float *x = as_floats(bits, count);
  free(bits);
  return x;
}

/* Random bits. */
static float *anything(long count) {
  uint32_t *bits = room(4 * count);
  for (long n = 0; n < count; n++) bits[n] = n < STRANGE_COUNT ? STRANGE[n] : (uint32_t)next_word();
  float *x = as_floats(bits, count);
  free(bits);
  return x;
}

/* FNV-1a. */
static uint64_t hash;

static void start(uint64_t seed) {
  state = seed;
  hash = 0xcbf29ce484222325u;
}

static void eat(uint64_t value, int bytes) {
  for (int n = 0; n < bytes; n++) hash = (hash ^ (value >> 8 * n & 255)) * 0x100000001b3u;
}

static void eat_floats(const float *x, long count) {
  for (long n = 0; n < count; n++) {
    uint32_t bits = 0x7fc00000;
    if (x[n] == x[n]) memcpy(&bits, x + n, 4);
    eat(bits, 4);
  }
}

static void eat_doubles(const double *x, long count) {
  for (long n = 0; n < count; n++) {
    uint64_t bits = 0x7ff8000000000000u;
    if (x[n] == x[n]) memcpy(&bits, x + n, 8);
    eat(bits, 8);
  }
}

static void tell(const char *name) { printf("%s %016llx\n", name, (unsigned long long)hash); }

static float *packed(const float *weight, const float *other, long outs, long ins) {
  long step = other ? panel_width() / 2 : panel_width();
  float *panels = room(4 * parts(outs, step) * ins * panel_width());
  pack(weight, other, panels, outs, ins, THREADS);
  return panels;
}

/* Memory is left to the end of the process. */

static uint32_t *words(const float *weight, const float *other, long outs, long ins) {
  long step = other ? panel_width() / 2 : panel_width();
  uint32_t *panels = room(4 * parts(outs, step) * words_of(ins) * panel_width());
  uint16_t *halves[2] = {room(2 * outs * ins), room(2 * outs * ins)};
  for (int side = 0; side < (other ? 2 : 1); side++)
    for (long n = 0; n < outs * ins; n++) {
      uint32_t bits;
      memcpy(&bits, (side ? other : weight) + n, 4);
      halves[side][n] = bits >> 16;
    }
  pack_words(halves[0], other ? halves[1] : NULL, panels, outs, ins, THREADS);
  return panels;
}

static void linears(void) {
  start(1);
  const long sizes[][3] = {{1, 1, 1}, {5, 193, 33}, {99, 777, 70}};
  for (int to_half = 0; to_half < 2; to_half++)
    for (int n = 0; n < 3; n++)
      for (int often = 0; often < 1000; often += 997) {
        long rows = sizes[n][0], ins = sizes[n][1], outs = sizes[n][2];
        float *weight = numbers(outs * ins, 0), *other = numbers(outs * ins, 0), *x = numbers(rows * ins, often);
        float *bias = numbers(outs, 0), *other_bias = numbers(outs, 0), *residual = numbers(rows * outs, often);
        float *out = room(4 * rows * outs), *panels = packed(weight, NULL, outs, ins);
        linear(x, panels, bias, NULL, residual, out, NULL, rows, ins, outs, ins, 0, 0, 0, to_half, NULL, 0, 1, THREADS);
        eat_floats(out, rows * outs);
        linear(x, packed(weight, other, outs, ins), bias, other_bias, NULL, out, NULL, rows, ins, outs, ins, 0, 1, SILU,
               to_half, NULL, 0, 1, THREADS);
        eat_floats(out, rows * outs);
        long high = parts(outs, 3);
        struct strip strips[] = {{0, 0, outs, 0, panels}, {rows - 1, outs - high, high, 0, packed(other, NULL, high, ins)}};
        linear(x, panels, bias, NULL, NULL, out, NULL, rows, ins, outs, ins, 0, 0, GELU, to_half, strips, 2, 1, THREADS);
        eat_floats(out, rows * outs);
        uint32_t *space = multiplies_words() ? room(4 * rows * words_of(ins)) : NULL;
        for (long k = 0; k < rows * ins / 2; k++) {
          uint32_t bits;
          memcpy(&bits, x + k, 4);
          bits &= 0xffff0000u;
          memcpy(x + k, &bits, 4);
        }
        linear(x, (float *)words(weight, other, outs, ins), bias, other_bias, NULL, out, space, rows, ins, outs, ins, 1, 1,
               SILU, to_half, NULL, 0, 1, THREADS);
        eat_floats(out, rows * outs);
      }
  tell("linear");
}

static void norms(void) {
  start(2);
  const long widths[] = {1, 7, 16, 33, 577};
  for (int to_half = 0; to_half < 2; to_half++)
    for (int n = 0; n < 5; n++) {
      long rows = 12, width = widths[n];
      float *x = numbers(rows * width, 4 * width + 1), *weight = numbers(width, 0), *bias = numbers(width, 0);
      float *out = room(4 * rows * width);
      for (int early = 0; early < 2; early++) {
        norm(x, weight, NULL, out, rows, 1, width, width, width, 1e-6f, 0, early, to_half, THREADS);
        eat_floats(out, rows * width);
      }
      norm(x, weight, bias, out, rows / 3, 3, width, 3 * width, 3 * width, 1e-5f, 1, 0, to_half, THREADS);
      eat_floats(out, rows * width);
    }
  tell("norm");
}

static void activations(void) {
  start(3);
  long count = 5001;
  float *some[] = {numbers(count, 0), anything(count)}, *out = room(4 * count);
  for (int n = 0; n < 2; n++)
    for (int act = SILU; act <= GELU_TANH; act++)
      for (int to_half = 0; to_half < 2; to_half++) {
        activate(some[n], out, count, act, to_half, THREADS);
        eat_floats(out, count);
      }
  tell("activation");
}

static void attentions(void) {
  start(4);
  const long rows = 3, heads = 6, groups = 2, width = 36, wide = 48, positions = 96, x_row = (heads + 2 * groups) * width;
  const long kinds[][3] = {{0, 1000, 0}, {16, 1000, 30}, {36, 7, 0}, {36, 20, 2}};
  for (int halves = 0; halves < 3; halves++)
    for (int kind = 0; kind < 4; kind++) {
      int to_half = halves > 0, narrow = halves > 1;
      long turned = kinds[kind][0], at = 0;
      float *cosines = numbers(positions * turned + 1, 0), *sines = numbers(positions * turned + 1, 0);
      float *keys = room(8 * rows * groups * positions * wide), *values = keys + rows * groups * positions * wide;
      for (long steps = 1; steps < 50; steps = 3 * steps + 1) { /* 1, 4, 13, 40 */
        float *q = numbers(rows * steps * x_row, steps == 40 ? 7001 : 0), *out = room(4 * rows * steps * heads * width);
        int64_t places[3 * 40];
        for (long row = 0; row < rows; row++)
          for (long step = 0; step < steps; step++) places[row * steps + step] = at + step;
        attend(q, q + heads * width, q + (heads + groups) * width, keys, values, steps == 4 ? NULL : out, cosines, sines,
               places, steps, rows, steps, heads, groups, width, turned, x_row, groups * positions * wide,
               positions * wide, kinds[kind][1], 0.125f, (float)kinds[kind][2], to_half, narrow, THREADS);
        if (steps != 4) eat_floats(out, rows * steps * heads * width);
        at += steps;
      }
    }
  tell("attention");
}

static void functions(void) {
  start(5);
  long count = 4001;
  float *x = anything(count), *angles = numbers(count, 0), *out = room(4 * count), *more = room(4 * count);
  hyperbolic(x, out, count);
  eat_floats(out, count);
  tell("tanh");

  start(6);
  for (long n = 0; n < count; n++) angles[n] *= 1000;
  circle(angles, out, more, count);
  eat_floats(out, count);
  eat_floats(more, count);
  tell("cos_sin");

  start(7);
  float exponents[64];
  for (int n = 0; n < 64; n++) exponents[n] = (float)n / 64;
  power(10000, exponents, out, 64);
  eat_floats(out, 64);
  power(500000, exponents, out, 64);
  eat_floats(out, 64);
  tell("power");

  start(8);
  uint64_t *draws = room(8 * count);
  for (long n = 0; n < count; n++) draws[n] = n < 4 ? (uint64_t)n << 52 : next_word();
  gumbel(draws, out, count);
  eat_floats(out, count);
  tell("gumbel");

  start(9);
  double *doubles = room(8 * count), *results = room(8 * count);
  for (long n = 0; n < count; n++) {
    uint64_t bits = n % 2 ? next_word() % ((uint64_t)2046 << 52) + ((uint64_t)1 << 52)
                          : next_word() % ((uint64_t)1 << 40) + ((uint64_t)1023 << 52);
    memcpy(doubles + n, &bits, 8);
  }
  logarithms(doubles, results, count);
  eat_doubles(results, count);
  tell("log");

  start(10);
  for (long n = 0; n < count; n++) doubles[n] = -(double)(next_word() >> 14) * 0x1p-40;
  exponentials(doubles, results, count);
  eat_doubles(results, count);
  tell("exp");
}

static void samplings(void) {
  start(11);
  const long rows = 40, columns = 2000;
  const struct {
    long top_k;
    double top_p;
    float min_p;
  } filters[] = {{columns, 1, 0}, {50, 1, 0}, {columns, 0.9, 0}, {columns, 1, -3}, {30, 0.95, -4}};
  uint64_t *draws = room(8 * 3 * columns);
  for (long n = 0; n < 3 * columns; n++) draws[n] = next_word();
  float *noise = room(4 * 3 * columns), *logits = numbers(rows * columns, 0);
  gumbel(draws, noise, 3 * columns);
  for (long n = 0; n < rows * columns / 2; n++) logits[n] = (float)(int)(8 * logits[n]) / 8; /* ties */
  logits[7] = __builtin_nanf("");
  logits[columns] = __builtin_inff();
  for (long n = 0; n < columns; n += 3) logits[2 * columns + n] = -__builtin_inff();
  int64_t steps[40], tokens[40];
  for (long row = 0; row < rows; row++) steps[row] = row % 3;
  for (int n = 0; n < 5; n++)
    for (int greedy = 0; greedy < 2; greedy++) {
      float min_p = filters[n].min_p ? filters[n].min_p : -__builtin_inff();
      sample(logits, greedy ? NULL : noise, steps, NULL, tokens, NULL, NULL, rows, columns, columns, filters[n].top_k, 0.7f, min_p,
           filters[n].top_p, THREADS);
      for (long row = 0; row < rows; row++) eat((uint64_t)tokens[row], 8);
    }
  tell("sample");

  start(12);
  const long counts[] = {1, 33, 4096, 9001};
  for (int n = 0; n < 4; n++)
    for (int often = 0; often < 6000; often += 5003) {
      float *some = numbers(3 * counts[n], often), *wild = numbers(counts[n], 0), largest[3];
      double sums[3], changes[3];
      weigh_logits(some, wild, 8, largest, sums, changes, 3, counts[n], THREADS);
      eat_floats(largest, 3);
      eat_doubles(sums, 3);
      eat_doubles(changes, 3);
    }
  tell("weigh");
}

/* A vector scaled to a length and rounded; returns what its length was. */
static double whole_of(const float *from, long ins, double length, int16_t *to) {
  double squares = 0;
  for (long k = 0; k < ins; k++) squares += (double)from[k] * from[k];
  for (long k = 0; k < ins; k++) to[k] = (int16_t)__builtin_rint(from[k] * (length / __builtin_sqrt(squares)));
  return __builtin_sqrt(squares);
}

static void rough_samplings(void) {
  start(13);
  enum { ROWS = 13, INS = 65, PAIRS = 33, COLUMNS = 130, BESIDE = 2 * SUMS, PANELS = 5 };
  const double length = 32000;
  float *states = numbers(ROWS * INS, 0), *head = numbers(COLUMNS * INS, 0), norms[COLUMNS];
  static int16_t x[ROWS][2 * PAIRS], panels[PANELS][PAIRS][BESIDE][2], row[2 * PAIRS];
  for (long n = 0; n < ROWS; n++) whole_of(states + n * INS, INS, length, x[n]);
  for (long n = 0; n < COLUMNS; n++) {
    norms[n] = (float)whole_of(head + n * INS, INS, length, row);
    for (long k = 0; k < INS; k++) panels[n / BESIDE][k / 2][n % BESIDE][k % 2] = row[k];
  }
  uint64_t draws[COLUMNS];
  for (long n = 0; n < COLUMNS; n++) draws[n] = next_word();
  float *noise = room(4 * COLUMNS);
  gumbel(draws, noise, COLUMNS);
  int64_t steps[ROWS] = {0}, tokens[ROWS], counts[ROWS];
  int32_t *products = room(4 * ROWS * BESIDE * (PANELS + 1));
  for (int to_half = 0; to_half < 2; to_half++)
    for (long longest = 3; longest < COLUMNS; longest *= 30) {
      sample_rough(x[0], panels[0][0][0], norms, states, head, noise, steps, tokens, counts, products, ROWS, INS, PAIRS, COLUMNS,
                   BESIDE * (PANELS + 1), 7, longest, (float)(1 / (length * length)), 0.01f, 0.7f, -__builtin_inff(), 0.9,
                   to_half, THREADS);
      for (long n = 0; n < ROWS; n++) eat((uint64_t)tokens[n], 8);
      for (long n = 0; n < ROWS; n++) eat((uint64_t)counts[n], 8);
      for (long n = 0; n < ROWS; n++)
        for (long k = 0; k < COLUMNS; k++) eat((uint32_t)products[n * BESIDE * (PANELS + 1) + k], 4);
    }
  tell("rough");
}

int main(void) {
  linears();
  norms();
  activations();
  attentions();
  functions();
  samplings();
  rough_samplings();
  return 0;
}
