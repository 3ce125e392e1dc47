/* Linear maps with packed weights (docs/numerics.md, Linear).

   A panel holds PANEL outputs, two vectors of them, input by input. Paired matrices (gate and up) lie in one panel, LANES
   outputs of each, so that both numbers of a feature are in registers at the same time. */

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

/* One mutated row: the tile's outputs, from `top` on, have a weight of their own. */
struct strip {
  int64_t row, top, outs;
  const float *panels;
};

struct linear {
  const float *x, *panels;
  const float *bias[2];    /* of the low and the high half of a panel, or NULL */
  const float *residual;   /* added to the output, laid out as it, or NULL */
  float *out;
  long rows, ins, outs;    /* outs: features of the output */
  long x_row, out_row;
  long group;
  int paired, act, to_half;
  const struct strip *strips;
  long steps; /* of a row that is mutated */
};

long panel_width(void) { return PANEL; }

struct packing {
  const float *low, *high;
  float *panels;
  long ins, step, low_outs, high_outs;
};

static void pack_panel(const void *task, long p) {
  const struct packing *t = task;
  const float *sources[2] = {t->low + p * t->step * t->ins, t->high + p * t->step * t->ins};
  long outs[2] = {t->low_outs - p * t->step, t->high_outs - p * t->step};
  float *panel = t->panels + p * PANEL * t->ins;
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

/* The sums of rows of x and a panel over inputs `from` to `to`; kept in `sums` [rows][PANEL] until the last. */
INLINE void tile(int rows, const struct linear *t, long row, long p, long from, long to, float *sums) {
  const float *x = t->x + row * t->x_row, *panel = t->panels + p * PANEL * t->ins;
  lanes wholes[TILE][2], chains[TILE][2];
  for (int r = 0; r < rows; r++) {
    wholes[r][0] = from ? load(sums + r * PANEL) : all(0);
    wholes[r][1] = from ? load(sums + r * PANEL + LANES) : all(0);
  }
  for (long k = from; k < to;) {
    for (int r = 0; r < rows; r++) chains[r][0] = chains[r][1] = all(0);
    long end = least(k + CHAIN, to);
    for (; k + 4 <= end; k += 4)
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) {
        add_input(rows, x + k + u, t->x_row, panel + (k + u) * PANEL, chains);
      }
    for (; k < end; k++) add_input(rows, x + k, t->x_row, panel + k * PANEL, chains);
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

static void tiles(const struct linear *t, long first, long end, long p, long from, long to, float *sums) {
  for (long some = parts(end - first, TILE), n = 0; n < some; n++) { /* as equal as can be: small ones are slow */
    long row = first + n * (end - first) / some, next = first + (n + 1) * (end - first) / some;
    float *own = sums + (row - first) * PANEL;
#define CASE(count) \
  case count: tile(count, t, row, p, from, to, own); break;
    switch (next - row) {
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if TILE > 6
      CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
#undef CASE
  }
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
  own.out += first * t->out_row + strip->top;
  if (own.residual) own.residual += first * t->out_row + strip->top;
  if (own.bias[0]) {
    own.bias[0] += strip->top;
    own.bias[1] += strip->top;
  }
  own.panels = strip->panels;
  own.outs = strip->outs;
  float sums[BLOCK * PANEL];
  for (long row = 0; row < t->steps; row += BLOCK)
    for (long p = 0; p < panels_of(&own); p++)
      for (long k = 0; k < t->ins; k += DEEP)
        tiles(&own, row, least(t->steps, row + BLOCK), p, k, least(k + DEEP, t->ins), sums);
}

/* out [rows, outs] = act(x [rows, ins] times a packed weight + bias) + residual; where two weights are paired,
   act(x times the first) * (x times the second). Then the rows of strips, `steps` rows of out each, get their own. */
void linear(const float *x, const float *panels, const float *bias, const float *other_bias, const float *residual,
            float *out, long rows, long ins, long outs, long x_row, int paired, int act, int to_half,
            const struct strip *strips, long count, long steps, int threads) {
  struct linear task = {x, panels, {bias, paired ? other_bias : bias ? bias + LANES : NULL}, residual, out, rows, ins,
                        outs, x_row, outs, 1, paired, act, to_half, strips, steps};
  long blocks = parts(rows, BLOCK), width = panels_of(&task);
  while (task.group < GROUP && blocks * width > 32 * threads * task.group) task.group *= 2;
  share_out(linear_block, &task, blocks * parts(width, task.group), rows * ins * outs * (1 + paired), threads);
  share_out(linear_strip, &task, count, count * steps * ins * PANEL, threads);
}
