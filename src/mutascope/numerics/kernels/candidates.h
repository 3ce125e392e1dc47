/* Sampling from the few tokens that a state can sample, which products of whole numbers tell (docs/reference/head.md has the proof).

   States and rows of the head are scaled to one length and rounded to 16 bits. Sums of their products are exact, and half as
   dear as those of floats. */

#if LANES == 16
#define ROUGH_TILE 12
#else
#define ROUGH_TILE 6
#endif
#define TOGETHER 8 /* logits that are computed side by side */

struct rough {
  const int32_t *x;      /* [rows][pairs]: two rounded inputs each */
  const int16_t *panels; /* [panels][pairs][SUMS * 2][2]: 2 SUMS rows of the head each */
  const float *norms;    /* of the rows of the head, [columns] */
  const float *states, *head; /* as they are, [rows][ins], [columns][ins] */
  const float *noise;
  const int64_t *steps;
  int64_t *tokens, *counts;
  int32_t *products; /* [rows][next] */
  long rows, ins, pairs, columns, next, top_k, longest;
  float scale, error, temperature, min_p;
  double top_p;
  int to_half;
};

#if LANES == 16
INLINE void rough_tile(int rows, const int32_t *x, long pairs, const int16_t *panel, int32_t *to, long next) {
  __m512i low[ROUGH_TILE], high[ROUGH_TILE];
  for (int r = 0; r < rows; r++) low[r] = high[r] = _mm512_setzero_si512();
  for (long k = 0; k < pairs; k++, panel += 4 * SUMS) {
    __m512i one = _mm512_loadu_si512(panel), other = _mm512_loadu_si512(panel + 2 * SUMS);
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
      __m512i value = _mm512_set1_epi32(x[r * pairs + k]);
      low[r] = _mm512_add_epi32(low[r], _mm512_madd_epi16(value, one));
      high[r] = _mm512_add_epi32(high[r], _mm512_madd_epi16(value, other));
    }
  }
  for (int r = 0; r < rows; r++) {
    _mm512_storeu_si512(to + r * next, low[r]);
    _mm512_storeu_si512(to + r * next + SUMS, high[r]);
  }
}
#else
INLINE void rough_tile(int rows, const int32_t *x, long pairs, const int16_t *panel, int32_t *to, long next) {
  for (int r = 0; r < rows; r++) {
    int32_t sums[2 * SUMS] = {0};
    for (long k = 0; k < pairs; k++) {
      int16_t values[2];
      memcpy(values, x + r * pairs + k, sizeof(values));
      for (int n = 0; n < 2 * SUMS; n++) {
        const int16_t *weights = panel + (k * 2 * SUMS + n) * 2;
        sums[n] += values[0] * weights[0] + values[1] * weights[1];
      }
    }
    memcpy(to + r * next, sums, sizeof(sums));
  }
}
#endif

static void rough_panel(const void *task, long p) {
  const struct rough *t = task;
  const int16_t *panel = t->panels + p * t->pairs * 4 * SUMS;
  for (long some = parts(t->rows, ROUGH_TILE), n = 0; n < some; n++) {
    long row = n * t->rows / some, end = (n + 1) * t->rows / some;
    const int32_t *x = t->x + row * t->pairs;
    int32_t *to = t->products + row * t->next + p * 2 * SUMS;
#define ROUGH(count) \
  case count: rough_tile(count, x, t->pairs, panel, to, t->next); break;
    switch (end - row) {
      ROUGH(1) ROUGH(2) ROUGH(3) ROUGH(4) ROUGH(5) ROUGH(6)
#if ROUGH_TILE > 6
      ROUGH(7) ROUGH(8) ROUGH(9) ROUGH(10) ROUGH(11) ROUGH(12)
#endif
    }
#undef ROUGH
  }
}

/* Logits of TOGETHER rows of the head, as `linear` computes them. */
INLINE void logits_together(const float *x, const float *const rows[], long ins, float *logits) {
  float wholes[TOGETHER] = {0};
  for (long k = 0; k < ins;) {
    float chains[TOGETHER] = {0};
    for (long end = least(k + CHAIN, ins); k < end; k++)
#pragma GCC unroll 8
      for (int n = 0; n < TOGETHER; n++) chains[n] = __builtin_fmaf(x[k], rows[n][k], chains[n]);
    for (int n = 0; n < TOGETHER; n++) wholes[n] += chains[n];
  }
  memcpy(logits, wholes, sizeof(wholes));
}

/* Sample for a row; -2 where more tokens than `longest` can be sampled. */
static void sample_listed(const void *task, long row) {
  const struct rough *t = task;
  const int32_t *products = t->products + row * t->next;
  float *low = malloc(sizeof(float) * (size_t)(t->columns + t->longest + TOGETHER));
  float *logits = low + t->columns;
  int64_t *ids = malloc(sizeof(int64_t) * (size_t)(t->longest + TOGETHER));
  for (long n = 0; n < t->columns; n++) low[n] = t->norms[n] * ((float)products[n] * t->scale - t->error);
  float bar = kth_logit(low, t->columns, t->top_k);
  long count = 0;
  for (long from = 0; from < t->columns && count <= t->longest; from += STRIPE) {
    long end = least(from + STRIPE, t->columns);
    int any = 0;
    for (long n = from; n < end; n++) any |= t->norms[n] * ((float)products[n] * t->scale + t->error) >= bar;
    for (long n = from; any && n < end && count <= t->longest; n++)
      if (t->norms[n] * ((float)products[n] * t->scale + t->error) >= bar) ids[count++] = n;
  }
  t->counts[row] = count;
  if (count > t->longest) {
    t->tokens[row] = -2;
  } else {
    for (long from = 0; from < count; from += TOGETHER) {
      const float *rows[TOGETHER];
      for (int n = 0; n < TOGETHER; n++) rows[n] = t->head + ids[least(from + n, count - 1)] * t->ins;
      logits_together(t->states + row * t->ins, rows, t->ins, logits + from);
    }
    for (long n = 0; n < count && t->to_half; n++) logits[n] = half(all(logits[n]))[0];
    struct sampling own = {logits, t->noise, t->steps + row, ids, t->tokens + row, NULL, NULL, count, t->columns,
                           t->top_k, t->temperature, t->min_p, t->top_p};
    sample_row(&own, 0);
  }
  free(ids);
  free(low);
}

/* tokens [rows]: what `sample` picks from all logits of states, -2 where it is not known; counts [rows]: logits that were
   computed. `scale` makes cosines of products, which are off by less than `error`. */
void sample_rough(const int16_t *x, const int16_t *panels, const float *norms, const float *states, const float *head,
                  const float *noise, const int64_t *steps, int64_t *tokens, int64_t *counts, int32_t *products, long rows,
                  long ins, long pairs, long columns, long next, long top_k, long longest, float scale, float error,
                  float temperature, float min_p, double top_p, int to_half, int threads) {
  struct rough task = {(const int32_t *)x, panels, norms, states, head, noise, steps, tokens, counts, products, rows, ins,
                       pairs, columns, next, top_k, longest, scale, error, temperature, min_p, top_p, to_half};
  share_out(rough_panel, &task, parts(columns, 2 * SUMS), rows * ins * columns / 2, threads);
  share_out(sample_listed, &task, rows, 4 * rows * columns, threads);
}
