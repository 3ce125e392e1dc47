/* Picking a token, and probabilities (docs/numerics.md, Sampling). */

#define STRIPE 64

struct sampling {
  const float *logits, *noise; /* noise [steps, vocabulary], or NULL */
  const int64_t *steps, *ids;  /* step of a row; token of a column, or NULL */
  int64_t *tokens;
  float *picked, *bars; /* logits of what is picked, and the least that top-k leaves; or NULL */
  long columns, vocabulary, top_k;
  float temperature, min_p; /* min_p: its logarithm, or -inf */
  double top_p;
};

struct candidate {
  float logit;
  int64_t token;
};

/* Put a value into a heap whose root is the smallest of the largest. */
static void sift(float *heap, long size, float value) {
  long at = 0;
  for (long child; (child = 2 * at + 1) < size; at = child) {
    if (child + 1 < size && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= value) break;
    heap[at] = heap[child];
  }
  heap[at] = value;
}

/* The k-th largest of values, or -inf where there are fewer. */
static float kth_largest(const float *values, long count, long k, float *heap) {
  for (long n = 0; n < k; n++) heap[n] = -__builtin_inff();
  for (long n = 0; n < count; n++)
    if (values[n] > heap[0]) sift(heap, k, values[n]);
  return heap[0];
}

/* The largest logit of every stripe of columns; returns whether one is NaN or +inf. */
static int stripes(const float *logits, long columns, float *largest) {
  mask wild = {0};
  for (long at = 0; at < columns; at += STRIPE) {
    lanes top = all(-__builtin_inff());
    for (long n = at; n < least(at + STRIPE, columns); n += LANES) {
      lanes value = load_some(logits + n, columns - n);
      if (columns - n < LANES)
        for (long over = columns - n; over < LANES; over++) value[over] = -__builtin_inff();
      wild |= ~(value <= all(3.40282347e38f));
      top = choose(value > top, value, top);
    }
    float some[LANES];
    store(some, top);
    for (int n = 1; n < LANES; n++) some[0] = some[n] > some[0] ? some[n] : some[0];
    largest[at / STRIPE] = some[0];
  }
  int any = 0;
  for (int n = 0; n < LANES; n++) any |= wild[n];
  return any != 0;
}

static int by_logit(const void *one, const void *other) {
  const struct candidate *a = one, *b = other;
  if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
  return a->token < b->token ? -1 : a->token > b->token;
}

/* How many candidates, in descending order, the filter top-p leaves: the smallest of them go while the probabilities
   that they add up to are at most 1 - top_p. */
static long nucleus(const struct candidate *some, long count, float temperature, double top_p) {
  double sum = 0, gone = 0;
  for (long n = count; n-- > 0;)
    sum += exponential_double((double)(some[n].logit / temperature) - (double)(some[0].logit / temperature));
  double most_gone = (1 - top_p) * sum;
  for (; count > 1; count--) {
    gone += exponential_double((double)(some[count - 1].logit / temperature) - (double)(some[0].logit / temperature));
    if (gone > most_gone) break;
  }
  return count;
}

static void sample_row(const void *task, long row) {
  const struct sampling *t = task;
  const float *logits = t->logits + row * t->columns;
  const float *noise = t->noise ? t->noise + t->steps[row] * t->vocabulary : NULL;
  long count = parts(t->columns, STRIPE), found = 0;
  float *largest = malloc(sizeof(float) * (size_t)(count + t->top_k)), bar = -__builtin_inff(), own = 0;
  t->tokens[row] = -1;
  int filters = noise && t->top_k < t->columns, wild = stripes(logits, t->columns, largest);
  float top = -__builtin_inff();
  for (long s = 0; s < count; s++) top = largest[s] > top ? largest[s] : top;
  float most = top / t->temperature;
  if (!wild && most >= -3.40282347e38f && most <= 3.40282347e38f) {
    if (filters) bar = kth_largest(largest, count, t->top_k, largest + count);
    struct candidate *some = NULL;
    long room = 0;
    if (filters || (noise && (t->top_p < 1 || t->min_p > -__builtin_inff()))) {
      for (long s = 0; s < count; s++) {
        if (largest[s] < bar) continue;
        for (long n = s * STRIPE; n < least((s + 1) * STRIPE, t->columns); n++) {
          if (logits[n] < bar) continue;
          if (found == room) some = realloc(some, sizeof(*some) * (size_t)(room = 2 * room + 256));
          some[found++] = (struct candidate){logits[n], t->ids ? t->ids[n] : n};
        }
      }
      if (filters && found > t->top_k) {
        float *values = malloc(sizeof(float) * (size_t)(found + t->top_k));
        for (long n = 0; n < found; n++) values[n] = some[n].logit;
        bar = kth_largest(values, found, t->top_k, values + found);
        free(values);
        long kept = 0;
        for (long n = 0; n < found; n++)
          if (some[n].logit >= bar) some[kept++] = some[n];
        found = kept;
      }
      if (t->top_p < 1) {
        qsort(some, (size_t)found, sizeof(*some), by_logit);
        found = nucleus(some, found, t->temperature, t->top_p);
      }
      float best = -__builtin_inff();
      for (long n = 0; n < found; n++) {
        float tempered = some[n].logit / t->temperature;
        if (tempered - most < t->min_p) continue;
        float value = tempered + noise[some[n].token];
        if (t->tokens[row] < 0 || value > best || (value == best && some[n].token < t->tokens[row])) {
          best = value;
          t->tokens[row] = some[n].token;
          own = some[n].logit;
        }
      }
      free(some);
    } else {
      float best = -__builtin_inff();
      for (long n = 0; n < t->columns; n++) {
        int64_t token = t->ids ? t->ids[n] : n;
        float value = noise ? logits[n] / t->temperature + noise[token] : logits[n];
        if (t->tokens[row] < 0 || value > best) {
          best = value;
          t->tokens[row] = token;
          own = logits[n];
        }
      }
    }
  }
  free(largest);
  if (t->picked) {
    t->picked[row] = own;
    t->bars[row] = filters ? bar : -3.40282347e38f;
  }
}

/* tokens [rows]: what is picked from logits [rows, columns], -1 where one of them is NaN or +inf, or the largest is not
   finite. The columns' tokens are ids, ascending, or the columns themselves. Without noise nothing is filtered. */
void sample(const float *logits, const float *noise, const int64_t *steps, const int64_t *ids, int64_t *tokens,
          float *picked, float *bars, long rows, long columns, long vocabulary, long top_k, float temperature, float min_p, double top_p, int threads) {
  struct sampling task = {logits, noise, steps, ids, tokens, picked, bars, columns, vocabulary, top_k, temperature, min_p, top_p};
  share_out(sample_row, &task, rows, rows * columns, threads);
}

/* The k-th largest of logits, or -inf where there are fewer. */
static float kth_logit(const float *logits, long columns, long k) {
  long count = parts(columns, STRIPE), found = 0;
  float *largest = malloc(sizeof(float) * (size_t)(count + k + columns)), *heap = largest + count, *some = heap + k;
  stripes(logits, columns, largest);
  float bar = kth_largest(largest, count, k, heap);
  for (long s = 0; s < count; s++)
    if (largest[s] >= bar)
      for (long n = s * STRIPE; n < least((s + 1) * STRIPE, columns); n++)
        if (logits[n] >= bar) some[found++] = logits[n];
  bar = kth_largest(some, found, k, heap);
  free(largest);
  return bar;
}

/* The tokens that states near one with known logits can pick: those whose danger, the distance at which they could be
   picked or push what is picked out of the top k, is below a radius, and the `always` largest. Of the radii, which descend,
   the first is taken that leaves at most `longest`, or the last; it is put first. bars [3]: what others stay below. */
void shortlist(const float *logits, const float *norms, const float *noise, float *radii, int64_t *tokens, int64_t *count,
               float *bars, long columns, long picked, long top_k, long always, long choices, long longest,
               float temperature, float shift) {
  float sure = kth_logit(logits, columns, always), *danger = malloc(sizeof(float) * (size_t)(columns + LANES));
  bars[0] = logits[picked] - shift;
  bars[1] = bars[0] + (noise ? temperature * noise[picked] : 0);
  bars[2] = top_k < columns ? kth_logit(logits, columns, top_k) - shift : -3.40282347e38f;
  for (long n = 0; n < columns; n += LANES) {
    long some = columns - n;
    lanes logit = load_some(logits + n, some), centred = logit - all(shift), gap = all(bars[1]);
    if (noise) gap -= all(temperature) * load_some(noise + n, some);
    gap = choose(gap > all(bars[2]), gap, all(bars[2])) - centred;
    lanes own = all(bars[0]) - centred;
    lanes value = choose(gap < own, gap, own) / load_some(norms + n, some);
    store_some(danger + n, choose(logit >= all(sure), all(-__builtin_inff()), value), some);
  }
  long choice = 0;
  for (; choice < choices - 1; choice++) {
    mask below = {0};
    long n = 0, found = 0;
    for (; n + LANES <= columns; n += LANES) below -= load(danger + n) < all(radii[choice]);
    for (int lane = 0; lane < LANES; lane++) found += below[lane];
    for (; n < columns; n++) found += danger[n] < radii[choice];
    if (found <= longest) break;
  }
  radii[0] = radii[choice];
  *count = 0;
  for (long n = 0; n < columns; n++)
    if (danger[n] < radii[0]) tokens[(*count)++] = n;
  free(danger);
}

/* noise [count] = -log(-log(1 - u)), u = the last 53 bits of a word / 2^53, the inner logarithm rounded to float32. */
void gumbel(const uint64_t *words, float *noise, long count) {
  for (long n = 0; n < count; n++) {
    float waited = (float)-logarithm_double(1 - (double)(words[n] & 0x1fffffffffffffu) * 0x1p-53);
    noise[n] = waited > 0 ? (float)-logarithm_double(waited) : __builtin_inff(); /* q = 0 wins */
  }
}

#define ADDED 4096

struct weighing {
  const float *logits, *wild; /* wild [columns] with its largest and sum, or NULL */
  float *largest;
  double *sums, *changes;
  float wild_largest;
  long columns;
};

static void weigh_row(const void *task, long row) {
  const struct weighing *t = task;
  const float *logits = t->logits + row * t->columns;
  float top = -__builtin_inff();
  double sum = 0, change = 0;
  lanes tops = all(top);
  long n = 0;
  for (; n + LANES <= t->columns; n += LANES) {
    lanes value = load(logits + n);
    tops = choose((value > tops) | (value != value), value, tops);
  }
  for (int lane = 0; lane < LANES; lane++) top = tops[lane] > top || tops[lane] != tops[lane] ? tops[lane] : top;
  for (; n < t->columns; n++) top = logits[n] > top || logits[n] != logits[n] ? logits[n] : top;
  top += 0; /* of zeros of both signs the positive one, wherever they stand */
  for (long at = 0; at < t->columns; at += ADDED) {
    lanes some[PARTS], others[PARTS];
    for (int n = 0; n < PARTS; n++) some[n] = others[n] = all(0);
    long end = least(at + ADDED, t->columns);
    for (long k = at; k < end; k += SUMS)
      for (int n = 0; n < PARTS && k + n * LANES < end; n++) {
        long from = k + n * LANES, left = end - from;
        lanes value = load_some(logits + from, left), weight = exponential(value - all(top));
        if (left < LANES)
          for (long over = left; over < LANES; over++) weight[over] = 0;
        some[n] += weight;
        if (t->wild) {
          lanes known = load_some(t->wild + from, left), share = exponential(known - all(t->wild_largest));
          others[n] = fused(share, left < LANES ? load_some(logits + from, left) - known : value - known, others[n]);
        }
      }
    sum += total(some);
    if (t->wild) change += total(others);
  }
  t->largest[row] = top;
  t->sums[row] = sum;
  if (t->wild) t->changes[row] = change;
}

/* Of logits [rows, columns]: the largest, and the sum of exp(logit - largest) [rows]. With the logits of a wild type and
   the largest of them: also the sum of exp(its logit - its largest) * (logit - its logit). */
void weigh_logits(const float *logits, const float *wild, float wild_largest, float *largest, double *sums,
                  double *changes, long rows, long columns, int threads) {
  struct weighing task = {logits, wild, largest, sums, changes, wild_largest, columns};
  share_out(weigh_row, &task, rows, 32 * rows * columns, threads);
}

/* logs [count] of x > 0, and exps of x <= 0, in double precision. */
void logarithms(const double *x, double *logs, long count) {
  for (long n = 0; n < count; n++) logs[n] = logarithm_double(x[n]);
}

void exponentials(const double *x, double *exps, long count) {
  for (long n = 0; n < count; n++) exps[n] = exponential_double(x[n]);
}
