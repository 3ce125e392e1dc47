/* What a decoder layer does, on a CPU (mutascope.engine.kernels compiles and calls it).

All numbers are float32, all arrays dense and row by row where no stride is given. NaN and inf pass through. */

#include <math.h>

#ifdef __AVX512F__
#define LANES 16
#define TILE 12
#else
#define LANES 8
#define TILE 6
#endif
#define PANEL (2 * LANES)
#define CHAIN 192 /* inputs that are added up one after the other: more round worse */
#define UNROLLED 4
#define DEEP 576
#define BLOCK 96
#define GROUP (48 / PANEL)
#define TOGETHER 3
#define LINE 16 /* of the processor's cache */
#define AHEAD 16
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long parts(long whole, long part) { return (whole + part - 1) / part; }

/* Copy a weight [outs, ins] into panels [outs / PANEL, rounded up][ins][PANEL], with zeros at the end. */
void pack(const float *weight, float *panels, long outs, long ins, int threads) {
#pragma omp parallel for num_threads(threads)
  for (long p = 0; p < parts(outs, PANEL); p++)
    for (long k = 0; k < ins; k++)
      for (long n = 0; n < PANEL; n++) {
        long row = p * PANEL + n;
        panels[(p * ins + k) * PANEL + n] = row < outs ? weight[row * ins + k] : 0;
      }
}

long panel_width(void) { return PANEL; }

/* Add to chains what one input, x [rows, 1] and panel [1, PANEL], gives. */
INLINE void link(int rows, const float *x, long x_row, const float *panel, lanes chains[TILE][2]) {
  lanes low = *(const lanes *)panel, high = *(const lanes *)(panel + LANES);
#pragma GCC unroll 12
  for (int r = 0; r < rows; r++) {
    float value = x[r * x_row];
    chains[r][0] += value * low;
    chains[r][1] += value * high;
  }
}

/* Add to out [rows, width] what x [rows, deep] and a panel [deep, PANEL] give; out begins as bias, or as zeros. */
INLINE void tile(int rows, const float *x, long x_row, const float *panel, long deep, float *out, long out_row,
                 long width, int first, const float *bias) {
  lanes sums[TILE][2], chains[TILE][2];
  for (int r = 0; r < rows; r++) {
    sums[r][0] = sums[r][1] = (lanes){0};
    __builtin_prefetch(out + r * out_row, 1);
    __builtin_prefetch(out + r * out_row + PANEL - 1, 1);
  }
  for (long k = 0; k < deep;) {
    for (int r = 0; r < rows; r++) chains[r][0] = chains[r][1] = (lanes){0};
    long end = least(k + CHAIN, deep);
    for (; k + UNROLLED <= end; k += UNROLLED)
#pragma GCC unroll 4
      for (int u = 0; u < UNROLLED; u++) link(rows, x + k + u, x_row, panel + (k + u) * PANEL, chains);
    for (; k < end; k++) link(rows, x + k, x_row, panel + k * PANEL, chains);
    for (int r = 0; r < rows; r++) {
      sums[r][0] += chains[r][0];
      sums[r][1] += chains[r][1];
    }
  }
  for (int r = 0; r < rows; r++, out += out_row) {
    if (width == PANEL && !bias) {
      lanes *to = (lanes *)out;
      to[0] = sums[r][0] + (first ? (lanes){0} : to[0]);
      to[1] = sums[r][1] + (first ? (lanes){0} : to[1]);
    } else {
      for (long n = 0; n < width; n++)
        out[n] = (first ? (bias ? bias[n] : 0) : out[n]) + sums[r][n / LANES][n % LANES];
    }
  }
}

/* out [rows, outs] = x [rows, ins] times a packed weight, plus bias [outs] (or NULL). */
void product(const float *x, const float *panels, const float *bias, float *out, long rows, long ins, long outs,
             int threads) {
  long blocks = parts(rows, BLOCK), groups = parts(parts(outs, PANEL), GROUP);
  long deep = parts(ins, parts(ins, DEEP));
  /* a core that other work slows down must not hold up the others */
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (long job = 0; job < blocks * groups; job++) {
    long group = job / blocks * GROUP, end = least(rows, (job % blocks + 1) * BLOCK);
    for (long k = 0; k < ins; k += deep)
      for (long p = group; p < least(parts(outs, PANEL), group + GROUP); p++)
        for (long row = job % blocks * BLOCK; row < end; row += TILE) {
          const float *some = bias ? bias + p * PANEL : bias;
#define CASE(count) \
  case count: \
    tile(count, x + row * ins + k, ins, panels + (p * ins + k) * PANEL, least(deep, ins - k), \
         out + row * outs + p * PANEL, outs, least(PANEL, outs - p * PANEL), k == 0, some); \
    break;
          switch (least(TILE, end - row)) {
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if TILE > 6
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
          }
        }
  }
}

INLINE float total(lanes x) {
  float sum = 0;
  for (int n = 0; n < LANES; n++) sum += x[n];
  return sum;
}

/* exp(x) for x <= 0, to 2 units in the last place; 0 below -87. */
INLINE float exponential(float x) {
  float some = x < -87 ? -87 : x;
  float whole = rintf(some * 1.44269504f), rest = some - whole * 0.693359375f + whole * 2.12194440e-4f;
  float sum = 1.9875691500e-4f;
  sum = sum * rest + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  union {
    unsigned bits;
    float value;
  } power = {(unsigned)((int)whole + 127) << 23};
  return x < -87 ? 0 : (sum * rest * rest + rest + 1) * power.value;
}

/* out [count, wide LANES] = weights [count, length] times values [length, width]. */
INLINE void mix(int count, int wide, const float *weights, long length, const float *values, float *out, long width) {
  lanes sums[TOGETHER][4];
  for (int a = 0; a < count; a++)
    for (int n = 0; n < wide; n++) sums[a][n] = (lanes){0};
  for (long t = 0; t < length; t++, values += width)
    for (int a = 0; a < count; a++)
      for (int n = 0; n < wide; n++) sums[a][n] += weights[a * length + t] * ((const lanes *)values)[n];
  for (int a = 0; a < count; a++)
    for (int n = 0; n < wide; n++) ((lanes *)(out + a * width))[n] = sums[a][n];
}

/* out [count, width]: what queries [count, width] see of keys and values [length, width]. */
INLINE void look(int count, const float *queries, const float *keys, const float *values, float *out, long width,
                 long length, float scale) {
  float weights[count][length];
  for (long t = 0; t < length; t++) {
    for (long w = 0; w < width; w += LINE) {
      __builtin_prefetch(values + t * width + w);
      __builtin_prefetch(keys + (t + AHEAD) * width + w);
    }
    for (int a = 0; a < count; a++) {
      lanes sum = {0};
      for (long w = 0; w < width; w += LANES)
        sum += *(const lanes *)(queries + a * width + w) * *(const lanes *)(keys + t * width + w);
      weights[a][t] = total(sum) * scale;
    }
  }
  for (int a = 0; a < count; a++) {
    float most = weights[a][0], sum = 0;
    for (long t = 1; t < length; t++) most = weights[a][t] > most ? weights[a][t] : most;
#pragma omp simd reduction(+ : sum)
    for (long t = 0; t < length; t++) sum += weights[a][t] = exponential(weights[a][t] - most);
    for (long t = 0; t < length; t++) weights[a][t] /= sum;
  }
  long w = 0;
  for (; w + 4 * LANES <= width; w += 4 * LANES) mix(count, 4, weights[0], length, values + w, out + w, width);
  for (; w < width; w += LANES) mix(count, 1, weights[0], length, values + w, out + w, width);
}

/* to [heads, width] = from [heads, width], rotated by cos and sin [width]; heads lie next_head apart in to. */
INLINE void turn(const float *from, float *to, const float *cos, const float *sin, long heads, long width,
                 long next_head) {
  long half = width / 2;
  for (long head = 0; head < heads; head++, from += width, to += next_head)
    for (long n = 0; n < half; n++) {
      float first = from[n], second = from[n + half];
      to[n] = first * cos[n] - second * sin[n];
      to[n + half] = second * cos[n + half] + first * sin[n + half];
    }
}

/* x [rows, steps, heads, width] is rotated by cos and sin [rows or 1, steps, width], in place. */
void rotate(float *x, const float *cos, const float *sin, long next_positions, long rows, long steps, long heads,
            long width, int threads) {
#pragma omp parallel for num_threads(threads)
  for (long token = 0; token < rows * steps; token++) {
    long turned = (token / steps * next_positions + token % steps) * width;
    float *here = x + token * heads * width;
    turn(here, here, cos + turned, sin + turned, heads, width, width);
  }
}

/* Keys, rotated, and values [rows, steps, groups, width] are written at positions [rows or 1, steps] into caches
   [rows, groups, positions, width] with strides between rows and between groups. */
void place(const float *keys, const float *values, float *key_cache, float *value_cache, const float *cos,
           const float *sin, const long long *positions, long next_positions, long rows, long steps, long groups,
           long width, long next_row, long next_group, int threads) {
#pragma omp parallel for num_threads(threads)
  for (long token = 0; token < rows * steps; token++) {
    long row = token / steps, seat = row * next_positions + token % steps;
    long to = row * next_row + positions[seat] * width;
    /* rows lie far apart: no processor foresees where the next one is written */
    for (long group = 0; group < groups && row + 1 < rows; group++)
      for (long n = 0; n < width; n += LINE) {
        __builtin_prefetch(key_cache + to + next_row + group * next_group + n, 1);
        __builtin_prefetch(value_cache + to + next_row + group * next_group + n, 1);
      }
    turn(keys + token * groups * width, key_cache + to, cos + seat * width, sin + seat * width, groups, width,
         next_group);
    for (long group = 0; group < groups; group++)
      for (long n = 0; n < width; n++)
        value_cache[to + group * next_group + n] = values[(token * groups + group) * width + n];
  }
}

/* Add changes [members, wide, high] at (row, left, top) [members, 3]: out [rows, steps, outs] at top += x [rows, steps,
   ins] at left times the change. */
void mutate(const float *x, const float *change, float *out, const long long *at, long members, long steps, long ins,
            long outs, long wide, long high, int threads) {
  /* a row may have several changes, so that members are not shared out */
#pragma omp parallel for if (steps * members * wide * high > 10000) num_threads(threads)
  for (long step = 0; step < steps; step++)
    for (long m = 0; m < members; m++) {
      long token = at[3 * m] * steps + step;
      const float *from = x + token * ins + at[3 * m + 1];
      float *to = out + token * outs + at[3 * m + 2], sums[high];
      for (long i = 0; i < high; i++) sums[i] = 0;
      for (long j = 0; j < wide; j++)
        for (long i = 0; i < high; i++) sums[i] += from[j] * change[(m * wide + j) * high + i];
      for (long i = 0; i < high; i++) to[i] += sums[i];
    }
}

/* Attention of one token per row: out and q [rows, heads, width], positions [rows] (or [1], with next_position 0), keys
   and values [rows, groups, positions, width] with strides between rows and between groups; width is a multiple of
   LANES. */
void attend(const float *q, const float *keys, const float *values, float *out, const long long *positions,
            long next_position, long rows, long heads, long width, long groups, long next_row, long next_group,
            long window, float scale, int threads) {
  long each = heads / groups;
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
  for (long job = 0; job < rows * groups; job++) {
    long row = job / groups, group = job % groups;
    long stop = positions[row * next_position] + 1, start = stop > window ? stop - window : 0;
    long seen = row * next_row + group * next_group + start * width;
    for (long a = 0; a < each; a += TOGETHER) {
      long to = (row * heads + group * each + a) * width;
#define LOOK(count) \
  case count: look(count, q + to, keys + seen, values + seen, out + to, width, stop - start, scale); break;
      switch (least(TOGETHER, each - a)) { LOOK(1) LOOK(2) LOOK(3) }
    }
  }
}

/* out [rows, width] = x / root mean square of its row * weight [width]. */
void norm(const float *x, const float *weight, float *out, long rows, long width, float epsilon, int threads) {
#pragma omp parallel for num_threads(threads)
  for (long row = 0; row < rows; row++) {
    const float *from = x + row * width;
    float *to = out + row * width, sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long n = 0; n < width; n++) sum += from[n] * from[n];
    float scale = 1 / sqrtf(sum / width + epsilon);
#pragma omp simd
    for (long n = 0; n < width; n++) to[n] = from[n] * scale * weight[n];
  }
}

/* gate [count] = silu(gate) * up. */
void gate(float *gate, const float *up, long count, int threads) {
#pragma omp parallel for simd num_threads(threads)
  for (long n = 0; n < count; n++) {
    float less = exponential(-fabsf(gate[n]));
    gate[n] *= (gate[n] < 0 ? less : 1) / (1 + less) * up[n];
  }
}
