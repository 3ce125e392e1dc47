/* Linear maps with packed weights (docs/numerics.md, Linear).

   A panel holds PANEL outputs, two vectors of them, input by input. Paired matrices (gate and up) lie in one panel, LANES
   outputs of each, so that both numbers of a feature are in registers at the same time.

   Weights in bfloat16 stay so: in place of a float, their panels hold a *word*, two inputs of an output, the earlier one in
   the upper half. Processors that multiply words add the product of the upper halves to a sum, then that of the lower
   ones, each with one rounding (words_are_chains asks them), but take subnormal numbers for 0. So rows and panels are
   marked that cannot make any; others are multiplied as floats. */

#define PANEL (2 * LANES)
#if LANES == 16
#define TILE 12
#else
#define TILE 6
#endif
#define CHAIN 192 /* inputs that are added up one after the other */
#define DEEP (3 * CHAIN)
#define BLOCK (LANES == 16 ? 192 : 96) /* rows that stay in a core's cache */
#define GROUP 4                        /* panels that read them there, where there is work enough */

#define SMALLEST_WEIGHT 0x2b800000u /* 2^-40: its product with SMALLEST_INPUT is a multiple of 2^-126 */
#define SMALLEST_INPUT 0x1b800000u  /* 2^-72 */
#define LARGEST 0x5d800000u         /* 2^60: CHAIN products do not overflow */

/* One mutated row: the tile's outputs, from `top` on, have a weight of their own. */
struct strip {
  int64_t row, top, outs, in_words;
  const float *panels;
};

struct linear {
  const float *x, *panels;
  uint32_t *words;         /* the rows of x as words, and behind each row whether it may be multiplied so; or NULL */
  const float *bias[2];    /* of the low and the high half of a panel, or NULL */
  const float *residual;   /* added to the output, laid out as it, or NULL */
  float *out;
  long rows, ins, outs;    /* outs: features of the output */
  long x_row, out_row;
  long group;
  int in_words, paired, act, to_half;
  const struct strip *strips;
  long steps; /* of a row that is mutated */
};

long panel_width(void) { return PANEL; }

struct packing {
  const void *low, *high;
  void *panels;
  long ins, step, low_outs, high_outs;
};

static void pack_panel(const void *task, long p) {
  const struct packing *t = task;
  const float *sources[2] = {(const float *)t->low + p * t->step * t->ins, (const float *)t->high + p * t->step * t->ins};
  long outs[2] = {t->low_outs - p * t->step, t->high_outs - p * t->step};
  float *panel = (float *)t->panels + p * PANEL * t->ins;
  for (long k = 0; k < t->ins; k += SUMS) /* a cache line of every row at a time */
    for (int side = 0; side < 2; side++)
      for (long n = 0; n < LANES; n++)
        for (long at = k; at < least(k + SUMS, t->ins); at++)
          panel[at * PANEL + side * LANES + n] = n < outs[side] ? sources[side][n * t->ins + at] : 0;
}

/* Copy a weight [outs, ins] into panels [outs / PANEL, rounded up][ins][PANEL], with zeros at the end; a pair of them
   (other is not NULL) into panels [outs / LANES, rounded up][ins][PANEL]. */
void pack(const float *weight, const float *other, float *panels, long outs, long ins, int threads) {
  struct packing task = {weight, other ? other : weight + LANES * ins, panels, ins, other ? LANES : PANEL,
                         outs, other ? outs : outs - LANES};
  share_out(pack_panel, &task, parts(outs, task.step), 4 * outs * ins, threads);
}

typedef uint32_t __attribute__((may_alias)) word;

/* Whether a number may be multiplied in a word: whether it is 0, or neither small nor large. */
INLINE uint32_t modest(uint32_t bits, uint32_t smallest) {
  uint32_t size = bits & 0x7fffffff;
  return (size == 0) | (size - smallest <= LARGEST - smallest);
}

/* Words of a panel, or of a row: one for every two inputs, and a last one. */
INLINE long words_of(long ins) { return parts(ins, 2) + 1; }

static void pack_panel_of_words(const void *task, long p) {
  const struct packing *t = task;
  const uint16_t *sources[2] = {(const uint16_t *)t->low + p * t->step * t->ins,
                                (const uint16_t *)t->high + p * t->step * t->ins};
  long outs[2] = {t->low_outs - p * t->step, t->high_outs - p * t->step}, count = words_of(t->ins);
  uint32_t *panel = (uint32_t *)t->panels + p * PANEL * count, fit = 1;
  for (int side = 0; side < 2; side++)
    for (long n = 0; n < LANES; n++)
      for (long k = 0; k < count - 1; k++) {
        const uint16_t *from = sources[side] + n * t->ins + 2 * k;
        uint32_t high = n < outs[side] ? from[0] : 0, low = n < outs[side] && 2 * k + 1 < t->ins ? from[1] : 0;
        fit &= modest(high << 16, SMALLEST_WEIGHT) & modest(low << 16, SMALLEST_WEIGHT);
        panel[k * PANEL + side * LANES + n] = high << 16 | low;
      }
  for (long n = 0; n < PANEL; n++) panel[(count - 1) * PANEL + n] = fit;
}

/* The same for weights in bfloat16, into panels [..][words_of(ins)][PANEL]. */
void pack_words(const uint16_t *weight, const uint16_t *other, uint32_t *panels, long outs, long ins, int threads) {
  struct packing task = {weight, other ? other : weight + LANES * ins, panels, ins, other ? LANES : PANEL,
                         outs, other ? outs : outs - LANES};
  share_out(pack_panel_of_words, &task, parts(outs, task.step), 4 * outs * ins, threads);
}

INLINE void put(const struct linear *t, long row, long at, lanes value) {
  long width = t->outs - at, to = row * t->out_row + at;
  if (width <= 0) return;
  if (t->residual) value = rounded(load_some(t->residual + to, width) + value, t->to_half);
  store_some(t->out + to, value, width);
}

/* Write what the two halves of a panel have come to. */
INLINE void finish(const struct linear *t, long row, long p, lanes low, lanes high) {
  long at = p * (t->paired ? LANES : PANEL);
  if (t->bias[0]) {
    low += load_some(t->bias[0] + at, t->outs - at);
    high += load_some(t->bias[1] + at, t->outs - at - (t->paired ? 0 : LANES));
  }
  low = rounded(low, t->to_half);
  high = rounded(high, t->to_half);
  if (t->paired) {
    put(t, row, at, rounded(rounded(activated(t->act, low), t->to_half) * high, t->to_half));
  } else {
    if (t->act) {
      low = rounded(activated(t->act, low), t->to_half);
      high = rounded(activated(t->act, high), t->to_half);
    }
    put(t, row, at, low);
    put(t, row, at + LANES, high);
  }
}

/* Add to chains what one input, x [rows, 1] and panel [1, PANEL], gives. */
INLINE void add_input(int rows, const float *x, long x_row, const float *panel, lanes chains[TILE][2]) {
  lanes low = load(panel), high = load(panel + LANES);
#pragma GCC unroll 12
  for (int r = 0; r < rows; r++) {
    lanes value = all(x[r * x_row]);
    chains[r][0] = fused(value, low, chains[r][0]);
    chains[r][1] = fused(value, high, chains[r][1]);
  }
}

#if defined(__AVX512BF16__)
INLINE lanes fused_words(uint32_t a, __m512i b, lanes c) {
  return _mm512_dpbf16_ps(c, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}

/* Whether a product of words is two steps of a chain on this processor, upper halves first: its makers say so. */
static int words_are_chains(void) {
  uint64_t state = 1;
  for (int n = 0; n < 4000; n++) {
    uint32_t word[2];
    float c, known, same;
    for (int i = 0; i < 3; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      if (i < 2) word[i] = ((uint32_t)(state >> 32) & 0x87ff87ffu) + 0x3c003c00u; /* from 2^-7 to 2^8 */
    }
    uint32_t start = ((uint32_t)(state >> 32) & 0x87ffffffu) + 0x3a000000u;
    memcpy(&c, &start, 4);
    float part[2][2];
    for (int i = 0; i < 2; i++) {
      uint32_t halves[2] = {word[i] & 0xffff0000u, word[i] << 16};
      memcpy(part[i], halves, 8);
    }
    if (n % 4 == 0) c = -part[0][n / 4 % 2] * part[1][n / 4 % 2];
    known = __builtin_fmaf(part[0][1], part[1][1], __builtin_fmaf(part[0][0], part[1][0], c));
    same = fused_words(word[0], _mm512_set1_epi32((int)word[1]), all(c))[n % LANES];
    if (memcmp(&known, &same, 4)) return 0;
  }
  return 1;
}

INLINE void add_word(int rows, const uint32_t *x, long x_row, const float *panel, lanes chains[TILE][2]) {
  __m512i low = (__m512i)load(panel), high = (__m512i)load(panel + LANES);
#pragma GCC unroll 12
  for (int r = 0; r < rows; r++) {
    chains[r][0] = fused_words(x[r * x_row], low, chains[r][0]);
    chains[r][1] = fused_words(x[r * x_row], high, chains[r][1]);
  }
}
#else
static int words_are_chains(void) { return 0; }
INLINE void add_word(int rows, const uint32_t *x, long x_row, const float *panel, lanes chains[TILE][2]) {}
#endif

/* Whether linear() asks for room for the words of x. */
int multiplies_words(void) { return words_are_chains(); }

/* Add to chains what inputs `from` to `to` give; panel: from the first of them on. */
INLINE void add_chain(int words, int rows, const struct linear *t, long row, const float *panel, long from, long to,
                      lanes chains[TILE][2]) {
  if (words) {
    long width = words_of(t->ins), k = from / 2, end = parts(to, 2);
    const uint32_t *x = t->words + row * width;
    for (; k + 4 <= end; k += 4, panel += 4 * PANEL)
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) add_word(rows, x + k + u, width, panel + u * PANEL, chains);
    for (; k < end; k++, panel += PANEL) add_word(rows, x + k, width, panel, chains);
  } else {
    const float *x = t->x + row * t->x_row;
    long k = from;
    for (; k + 4 <= to; k += 4, panel += 4 * PANEL)
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) add_input(rows, x + k + u, t->x_row, panel + u * PANEL, chains);
    for (; k < to; k++, panel += PANEL) add_input(rows, x + k, t->x_row, panel, chains);
  }
}

/* The sums of rows of x and a panel, of words or of floats, over inputs `from` to `to`, the panel's first; kept in `sums`
   [rows][PANEL] until the last. */
INLINE void tile(int words, int rows, const struct linear *t, long row, long p, const float *panel, long from, long to,
                 float *sums) {
  lanes wholes[TILE][2], chains[TILE][2];
  for (int r = 0; r < rows; r++) {
    wholes[r][0] = from ? load(sums + r * PANEL) : all(0);
    wholes[r][1] = from ? load(sums + r * PANEL + LANES) : all(0);
  }
  for (long k = from; k < to;) {
    for (int r = 0; r < rows; r++) chains[r][0] = chains[r][1] = all(0);
    long end = least(k + CHAIN, to);
    add_chain(words, rows, t, row, panel, k, end, chains);
    panel += (words ? parts(end - k, 2) : end - k) * PANEL;
    k = end;
    for (int r = 0; r < rows; r++) {
      wholes[r][0] += chains[r][0];
      wholes[r][1] += chains[r][1];
    }
  }
  for (int r = 0; r < rows; r++) {
    if (to < t->ins) {
      store(sums + r * PANEL, wholes[r][0]);
      store(sums + r * PANEL + LANES, wholes[r][1]);
    } else {
      finish(t, row + r, p, wholes[r][0], wholes[r][1]);
    }
  }
}

INLINE void tiles_of(int words, long rows, const struct linear *t, long row, long p, const float *panel, long from,
                     long to, float *sums) {
#define CASE(count) \
  case count: tile(words, count, t, row, p, panel, from, to, sums); break;
  switch (rows) {
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if TILE > 6
    CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
  }
#undef CASE
}

/* Whether rows of x and a panel are multiplied as words. */
INLINE int as_words(const struct linear *t, long row, long next, const uint32_t *panel) {
  long last = words_of(t->ins) - 1;
  if (!t->words) return 0;
  uint32_t fit = panel[last * PANEL];
  for (; row < next; row++) fit &= t->words[row * (last + 1) + last];
  return (int)fit;
}

/* Write words of some inputs as floats [inputs][PANEL]. */
static const float *widened(const uint32_t *words, long inputs, float *panel) {
  for (long k = 0; k < inputs; k++)
    for (long n = 0; n < PANEL; n += LANES) {
      bits some = (bits)load((const float *)words + k / 2 * PANEL + n);
      store(panel + k * PANEL + n, (lanes)(k % 2 ? some << 16 : some & 0xffff0000u));
    }
  return panel;
}

static void tiles(const struct linear *t, long first, long end, long p, long from, long to, float *sums) {
  float room[DEEP * PANEL];
  long size = t->in_words ? words_of(t->ins) : t->ins, at = t->in_words ? from / 2 : from;
  const float *panel = t->panels + p * size * PANEL, *some = panel + at * PANEL, *floats = t->in_words ? NULL : some;
  for (long count = parts(end - first, TILE), n = 0; n < count; n++) { /* as equal as can be: small ones are slow */
    long row = first + n * (end - first) / count, next = first + (n + 1) * (end - first) / count;
    float *own = sums + (row - first) * PANEL;
    if (t->in_words && as_words(t, row, next, (const uint32_t *)panel)) {
      tiles_of(1, next - row, t, row, p, some, from, to, own);
    } else {
      if (!floats) floats = widened((const uint32_t *)some, to - from, room);
      tiles_of(0, next - row, t, row, p, floats, from, to, own);
    }
  }
}

static void make_words(const void *task, long row) {
  const struct linear *t = task;
  const word *x = (const word *)(t->x + row * t->x_row);
  uint32_t *words = t->words + row * words_of(t->ins), odd = 0;
  for (long k = 0; k < t->ins; k++) odd |= (x[k] & 0xffff) | (modest(x[k], SMALLEST_INPUT) ^ 1);
  for (long k = 0; k < t->ins / 2; k++) words[k] = (x[2 * k] & 0xffff0000u) | x[2 * k + 1] >> 16;
  if (t->ins % 2) words[t->ins / 2] = x[t->ins - 1] & 0xffff0000u;
  words[words_of(t->ins) - 1] = !odd;
}

static long panels_of(const struct linear *t) { return parts(t->outs, t->paired ? LANES : PANEL); }

static void linear_block(const void *task, long job) {
  const struct linear *t = task;
  long blocks = parts(t->rows, BLOCK), panels = panels_of(t), begin = job / blocks * t->group, block = job % blocks;
  long first = block * t->rows / blocks, end = (block + 1) * t->rows / blocks;
  float sums[GROUP][BLOCK * PANEL];
  for (long k = 0; k < t->ins; k += DEEP)
    for (long p = begin; p < least(panels, begin + t->group); p++)
      tiles(t, first, end, p, k, least(k + DEEP, t->ins), sums[p - begin]);
}

static void linear_strip(const void *task, long job) {
  const struct linear *t = task;
  const struct strip *strip = t->strips + job;
  struct linear own = *t;
  long first = strip->row * t->steps;
  own.x += first * t->x_row;
  if (own.words) own.words += first * words_of(t->ins);
  own.out += first * t->out_row + strip->top;
  if (own.residual) own.residual += first * t->out_row + strip->top;
  if (own.bias[0]) {
    own.bias[0] += strip->top;
    own.bias[1] += strip->top;
  }
  own.in_words = (int)strip->in_words;
  own.panels = strip->panels;
  own.outs = strip->outs;
  float sums[BLOCK * PANEL];
  for (long row = 0; row < t->steps; row += BLOCK)
    for (long p = 0; p < panels_of(&own); p++)
      for (long k = 0; k < t->ins; k += DEEP)
        tiles(&own, row, least(t->steps, row + BLOCK), p, k, least(k + DEEP, t->ins), sums);
}

/* out [rows, outs] = act(x [rows, ins] times a packed weight + bias) + residual; where two weights are paired,
   act(x times the first) * (x times the second). Then the rows of strips, `steps` rows of out each, get their own.
   Where panels are of words, `words` has room for [rows, words_of(ins)], if the processor multiplies them. */
void linear(const float *x, const float *panels, const float *bias, const float *other_bias, const float *residual,
            float *out, uint32_t *words, long rows, long ins, long outs, long x_row, int in_words, int paired, int act,
            int to_half, const struct strip *strips, long count, long steps, int threads) {
  struct linear task = {x, panels, words, {bias, paired ? other_bias : bias ? bias + LANES : NULL}, residual, out, rows,
                        ins, outs, x_row, outs, 1, in_words, paired, act, to_half, strips, steps};
  long blocks = parts(rows, BLOCK), width = panels_of(&task);
  while (task.group < GROUP && blocks * width > 32 * threads * task.group) task.group *= 2;
  if (words) share_out(make_words, &task, rows, rows * ins, threads);
  share_out(linear_block, &task, blocks * parts(width, task.group), rows * ins * outs * (1 + paired), threads);
  share_out(linear_strip, &task, count, count * steps * ins * PANEL, threads);
}
