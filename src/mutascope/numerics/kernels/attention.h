/* Rotary embedding, the key/value cache, and attention (docs/numerics.md, Attention).

   A cache holds, for a row and a key/value head, `room` positions of keys and then as many of values, `width` numbers
   each; `width` is rounded up to a multiple of SUMS, and `room` to one of 2 SUMS. Values lie position by position. Keys lie
   in blocks of SUMS positions, feature by feature, so that the scores of a block are sums over features side by side. The
   cache of a network in bfloat16 is *narrow*: it keeps the upper halves of floats whose lower halves are 0. */

#if LANES == 16
#define QUERIES 12
#define WIDE 4
#else
#define QUERIES 6
#define WIDE 2
#endif
#define BLOCKS (PARTS == 1 ? 2 : 1)
#define MIXED 6

struct attention {
  float *q, *k, *v;          /* [tokens, heads, width], a token `x_row` numbers after the last */
  void *keys, *values;
  float *out;
  const float *cosines, *sines; /* [positions, turned] */
  const int64_t *positions;     /* [rows or 1, steps] */
  long next_positions, rows, steps, heads, groups, width, turned, x_row, next_row, next_group, window;
  float scale, cap;
  int to_half, narrow;
  long chunk; /* rows and heads that a thread takes one after the other */
};

static long up(long n) { return parts(n, SUMS) * SUMS; }

INLINE long position(const struct attention *t, long row, long step) {
  return t->positions[row * t->next_positions + step];
}

typedef uint16_t __attribute__((vector_size(2 * LANES))) halves;

/* Numbers of a cache from the n-th on. */
INLINE lanes cached(const void *cache, long n, int narrow) {
  if (!narrow) return load((const float *)cache + n);
  halves some;
  memcpy(&some, (const uint16_t *)cache + n, sizeof some);
  return (lanes)(__builtin_convertvector(some, bits) << 16);
}

INLINE void keep(void *cache, long n, float value, int narrow) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (narrow)
    ((uint16_t *)cache)[n] = (uint16_t)(bits >> 16);
  else
    ((float *)cache)[n] = value;
}

/* The n-th number of a cache, which may be any. */
INLINE const void *place(const void *cache, long n, int narrow) { return (const char *)cache + n * (narrow ? 2 : 4); }

/* Rotate a head's features n and n + turned / 2. */
INLINE void turn(const struct attention *t, float *x, long at) {
  const float *cosines = t->cosines + at * t->turned, *sines = t->sines + at * t->turned;
  long other = t->turned / 2;
  for (long n = 0; n < other; n += LANES) {
    long some = other - n;
    lanes first = load_some(x + n, some), second = load_some(x + n + other, some);
    lanes a = rounded(first * load_some(cosines + n, some), t->to_half);
    lanes b = rounded(second * load_some(sines + n, some), t->to_half);
    lanes c = rounded(second * load_some(cosines + n + other, some), t->to_half);
    lanes d = rounded(first * load_some(sines + n + other, some), t->to_half);
    store_some(x + n, rounded(a - b, t->to_half), some);
    store_some(x + n + other, rounded(c + d, t->to_half), some);
  }
}

/* Rotate the keys of a row and write keys and values into the cache. */
static void place_row(const struct attention *t, long row, long group) {
  long seat = row * t->next_row + group * t->next_group, wide = up(t->width);
  for (long step = 0; step < t->steps; step++) {
    long at = position(t, row, step), from = (row * t->steps + step) * t->x_row + group * t->width;
    long key = seat + at / SUMS * SUMS * wide + at % SUMS, value = seat + at * wide;
    turn(t, t->k + from, at);
    for (long n = 0; n < t->width; n++) keep(t->keys, key + n * SUMS, t->k[from + n], t->narrow);
    for (long n = 0; n < wide; n++) keep(t->values, value + n, n < t->width ? t->v[from + n] : 0, t->narrow);
  }
}

/* What is read next. A core waits for few lines of memory at a time, so they are asked for evenly, all the while that
   something else is computed. */
struct ahead {
  const char *keys, *values;
  long at, end; /* in bytes */
};

INLINE void ask(struct ahead *ahead, int lines) {
  for (int n = 0; n < lines && ahead->at < ahead->end; n++, ahead->at += 64) {
    __builtin_prefetch(ahead->keys + ahead->at);
    __builtin_prefetch(ahead->values + ahead->at);
  }
}

/* Scores of queries against one or BLOCKS blocks of keys. */
INLINE void score(int narrow, int count, int blocks, const float *const q[], const void *keys, long wide, long width,
                  float *scores, long next, float scale, float cap, struct ahead *ahead) {
  lanes sums[QUERIES][BLOCKS * PARTS];
  for (int i = 0; i < count; i++)
    for (int b = 0; b < blocks * PARTS; b++) sums[i][b] = all(0);
  for (long n = 0; n < width; n++) {
    lanes some[BLOCKS * PARTS];
#pragma GCC unroll 4
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 4
      for (int part = 0; part < PARTS; part++)
        some[b * PARTS + part] = cached(keys, b * SUMS * wide + n * SUMS + part * LANES, narrow);
    if (n % 2) ask(ahead, 1);
#pragma GCC unroll 12
    for (int i = 0; i < count; i++) {
      lanes value = all(q[i][n]);
#pragma GCC unroll 4
      for (int b = 0; b < blocks * PARTS; b++) sums[i][b] = fused(value, some[b], sums[i][b]);
    }
  }
  for (int i = 0; i < count; i++)
    for (int b = 0; b < blocks * PARTS; b++) {
      lanes value = sums[i][b] * all(scale);
      store(scores + i * next + b * LANES, value);
      if (cap > 0)
        for (long n = 0; n < LANES; n++) {
          float *each = scores + i * next + b * LANES + n;
          *each = *each != *each ? *each : cap * (float)tanh_double(*each / cap);
        }
    }
}

/* Turn `length` scores into exp(score - largest), and some more behind them; return the sum of these. */
INLINE float weigh(float *scores, long length, struct ahead *ahead) {
  const lanes nothing = all(-__builtin_inff());
  lanes tops[2][PARTS], sums[PARTS];
  for (int n = 0; n < PARTS; n++) {
    /* up to a multiple of SUMS; where exp(-inf - largest) is not 0, the sum is NaN anyway */
    store(scores + length + n * LANES, nothing);
    tops[0][n] = tops[1][n] = nothing;
    sums[n] = all(0);
  }
  for (long t = 0; t < length; t += SUMS)
    for (int n = 0; n < PARTS; n++) {
      lanes value = load(scores + t + n * LANES), *top = &tops[t / SUMS % 2][n];
      *top = choose(value > *top, value, *top);
    }
  float some[2 * SUMS];
  for (int n = 0; n < 2 * PARTS; n++) store(some + n * LANES, tops[n / PARTS][n % PARTS]);
  for (int half = SUMS; half; half /= 2)
    for (int n = 0; n < half; n++) some[n] = some[n + half] > some[n] ? some[n + half] : some[n];
  for (long t = 0; t < length; t += SUMS) {
    for (int n = 0; n < PARTS; n++) {
      lanes value = exponential(load(scores + t + n * LANES) - all(some[0]));
      store(scores + t + n * LANES, value);
      sums[n] += value;
    }
    ask(ahead, 5);
  }
  return total(sums);
}

/* Add to sums [count][wide] the values at positions `from` to `to`, times weights. */
INLINE void mix_some(int narrow, int count, int vectors, const float *const weights[], const void *values, long wide,
                     long from, long to, float *sums, long next, struct ahead *ahead) {
  lanes chains[MIXED][WIDE];
  for (int i = 0; i < count; i++)
    for (int n = 0; n < vectors; n++) chains[i][n] = load(sums + i * next + n * LANES);
  for (long t = from; t < to; t++) {
    lanes some[WIDE];
    for (int n = 0; n < vectors; n++) some[n] = cached(values, t * wide + n * LANES, narrow);
    ask(ahead, 2);
#pragma GCC unroll 6
    for (int i = 0; i < count; i++) {
      lanes value = all(weights[i][t]);
#pragma GCC unroll 4
      for (int n = 0; n < vectors; n++) chains[i][n] = fused(value, some[n], chains[i][n]);
    }
  }
  for (int i = 0; i < count; i++)
    for (int n = 0; n < vectors; n++) store(sums + i * next + n * LANES, chains[i][n]);
}

INLINE void mix(int narrow, int count, const float *const weights[], const void *values, long wide, long from, long to,
                float *sums, struct ahead *ahead) {
  if (to <= from) return;
  for (long n = 0; n < wide; n += WIDE * LANES) {
#define MIX(some) \
  case some: \
    if (wide - n >= WIDE * LANES) \
      mix_some(narrow, some, WIDE, weights, place(values, n, narrow), wide, from, to, sums + n, wide, ahead); \
    else \
      for (long m = n; m < wide; m += LANES) \
        mix_some(narrow, some, 1, weights, place(values, m, narrow), wide, from, to, sums + m, wide, ahead); \
    break;
    switch (count) { MIX(1) MIX(2) MIX(3) MIX(4) MIX(5) MIX(6) }
#undef MIX
  }
}

/* What `count` queries of a row and a key/value head see; their positions do not fall. */
INLINE void look(int narrow, const struct attention *t, long row, long group, long first, int count,
                 struct ahead *ahead) {
  long each = t->heads / t->groups, wide = up(t->width), begins[QUERIES], ends[QUERIES];
  const float *q[QUERIES];
  float *outs[QUERIES];
  for (int i = 0; i < count; i++) {
    long step = (first + i) / each, head = group * each + (first + i) % each, token = row * t->steps + step;
    ends[i] = position(t, row, step) + 1;
    begins[i] = most(0, ends[i] - t->window);
    q[i] = t->q + token * t->x_row + head * t->width;
    outs[i] = t->out + (token * t->heads + head) * t->width;
  }
  long origin = begins[0] / (BLOCKS * SUMS) * BLOCKS * SUMS, stop = ends[count - 1];
  long next = parts(stop - origin, BLOCKS * SUMS) * BLOCKS * SUMS + 2 * SUMS;
  float *scores = malloc(sizeof(float) * (size_t)(count * next + MIXED * wide)), *sums = scores + count * next;
  float wholes[QUERIES];
  long seat = row * t->next_row + group * t->next_group;
  const void *keys = place(t->keys, seat, narrow), *values = place(t->values, seat, narrow);
  for (long block = origin; block < stop; block += BLOCKS * SUMS) {
    const void *some = place(keys, block * wide, narrow);
    float *to = scores + block - origin;
#define SCORE(n) \
  case n: \
    if (stop - block > SUMS) score(narrow, n, BLOCKS, q, some, wide, t->width, to, next, t->scale, t->cap, ahead); \
    else score(narrow, n, 1, q, some, wide, t->width, to, next, t->scale, t->cap, ahead); \
    break;
    switch (count) {
      SCORE(1) SCORE(2) SCORE(3) SCORE(4) SCORE(5) SCORE(6)
#if QUERIES > 6
      SCORE(7) SCORE(8) SCORE(9) SCORE(10) SCORE(11) SCORE(12)
#endif
    }
#undef SCORE
  }
  for (int i = 0; i < count; i++) wholes[i] = weigh(scores + i * next + begins[i] - origin, ends[i] - begins[i], ahead);
  for (int from = 0; from < count; from += MIXED) {
    int some = (int)least(MIXED, count - from), last = from + some - 1;
    const float *weights[MIXED];
    for (int i = 0; i < some; i++) weights[i] = scores + (from + i) * next - origin;
    memset(sums, 0, sizeof(float) * (size_t)(some * wide));
    long begin = least(begins[last], ends[from]), end = most(begin, ends[from]);
    /* each query's own keys come before and after those that all of them see */
    for (int i = 0; i < some; i++) mix(narrow, 1, weights + i, values, wide, begins[from + i], begin, sums + i * wide, ahead);
    mix(narrow, some, weights, values, wide, begin, end, sums, ahead);
    for (int i = 0; i < some; i++)
      mix(narrow, 1, weights + i, values, wide, most(end, begins[from + i]), ends[from + i], sums + i * wide, ahead);
    for (int i = 0; i < some; i++)
      for (long n = 0; n < t->width; n += LANES)
        store_some(outs[from + i] + n, rounded(load(sums + i * wide + n) / all(wholes[from + i]), t->to_half),
                   t->width - n);
  }
  free(scores);
}

static void attend_group(const struct attention *t, long row, long group) {
  long each = t->heads / t->groups, wide = up(t->width), last = group == t->groups - 1;
  long seat = (row + (last && row < t->rows - 1)) * t->next_row + (last ? 0 : group + 1) * t->next_group;
  long begin = most(0, position(t, row, 0) + 1 - t->window) / SUMS * SUMS * wide, size = t->narrow ? 2 : 4;
  struct ahead ahead = {place(t->keys, seat, t->narrow), place(t->values, seat, t->narrow), begin * size,
                        up(position(t, row, t->steps - 1) + 1) * wide * size};
  if (t->k) place_row(t, row, group);
  for (long step = 0; step < t->steps; step++)
    for (long head = group * each; head < (group + 1) * each; head++)
      turn(t, t->q + (row * t->steps + step) * t->x_row + head * t->width, position(t, row, step));
  for (long first = 0; first < t->steps * each; first += QUERIES) {
    int count = (int)least(QUERIES, t->steps * each - first);
    t->narrow ? look(1, t, row, group, first, count, &ahead) : look(0, t, row, group, first, count, &ahead);
  }
}

static void attend_rows(const void *task, long job) {
  const struct attention *t = task;
  long count = t->rows * t->groups, jobs = parts(count, t->chunk);
  for (long n = job * count / jobs; n < (job + 1) * count / jobs; n++)
    t->out ? attend_group(t, n / t->groups, n % t->groups) : place_row(t, n / t->groups, n % t->groups);
}

/* Rotate queries and keys, write keys and values into the cache, and let every query see what stands there up to its own
   position and within the window. q, k and v are [rows * steps, heads, width] in one array; what they were is lost. With
   out = NULL, keys and values are written and nothing else is done; with k = NULL they stand there already. */
void attend(float *q, float *k, float *v, void *keys, void *values, float *out, const float *cosines,
            const float *sines, const int64_t *positions, long next_positions, long rows, long steps, long heads,
            long groups, long width, long turned, long x_row, long next_row, long next_group, long window, float scale,
            float cap, int to_half, int narrow, int threads) {
  struct attention task = {q, k, v, keys, values, out, cosines, sines, positions, next_positions, rows, steps, heads,
                           groups, width, turned, x_row, next_row, next_group, window, scale, cap, to_half, narrow, 1};
  long seen = steps ? positions[steps - 1] + 1 : 0; /* of the first row, to judge the work by */
  task.chunk = most(1, least(12, rows * groups / (4 * threads)));
  share_out(attend_rows, &task, parts(rows * groups, task.chunk), rows * steps * heads * width * (out ? 2 * seen : 2),
            threads);
}
