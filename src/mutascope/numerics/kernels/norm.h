/* Norms over the last axis (docs/numerics.md, Norms). */

struct norm {
  const float *x, *weight, *bias;
  float *out;
  long groups, width, x_row, out_row; /* a row holds `groups` vectors of `width` numbers */
  float epsilon;
  int centred, early, to_half; /* early: in bfloat16, rounded before the weight as well */
};

INLINE float mean(const float *x, long width, float centre, int squared) {
  lanes sums[PARTS];
  for (int n = 0; n < PARTS; n++) sums[n] = all(0);
  for (long at = 0; at < width; at += SUMS)
    for (int n = 0; n < PARTS && at + n * LANES < width; n++) {
      long from = at + n * LANES, some = width - from;
      lanes value = load_some(x + from, some);
      if (squared) {
        value = value - all(centre);
        if (some < LANES)
          for (long over = some; over < LANES; over++) value[over] = 0;
        sums[n] = fused(value, value, sums[n]);
      } else {
        sums[n] += value;
      }
    }
  return total(sums) / (float)width;
}

static void norm_row(const void *task, long job) {
  const struct norm *t = task;
  for (long group = 0; group < t->groups; group++) {
    const float *x = t->x + job * t->x_row + group * t->width;
    float *out = t->out + job * t->out_row + group * t->width;
    float centre = t->centred ? mean(x, t->width, 0, 0) : 0;
    float scale = 1 / __builtin_sqrtf(mean(x, t->width, centre, 1) + t->epsilon);
    for (long n = 0; n < t->width; n += LANES) {
      long some = t->width - n;
      lanes value = (load_some(x + n, some) - all(centre)) * all(scale), weight = load_some(t->weight + n, some);
      if (t->bias)
        value = fused(value, weight, load_some(t->bias + n, some));
      else
        value = rounded(value, t->to_half && t->early) * weight;
      store_some(out + n, rounded(value, t->to_half), some);
    }
  }
}

struct norms {
  struct norm each;
  long rows, chunk;
};

static void norm_rows(const void *task, long job) {
  const struct norms *t = task;
  for (long row = job * t->chunk; row < least(t->rows, (job + 1) * t->chunk); row++) norm_row(&t->each, row);
}

/* out = (x - centre) / its root mean square * weight + bias, for every vector of a row; centre: its mean, or 0. */
void norm(const float *x, const float *weight, const float *bias, float *out, long rows, long groups, long width,
          long x_row, long out_row, float epsilon, int centred, int early, int to_half, int threads) {
  struct norms task = {{x, weight, bias, out, groups, width, x_row, out_row, epsilon, centred, early, to_half}, rows,
                       most(1, 16384 / (groups * width))};
  share_out(norm_rows, &task, parts(rows, task.chunk), 4 * rows * groups * width, threads);
}

struct elements {
  const float *x;
  float *out;
  long count;
  int act, to_half;
};

#define SOME 4096

static void activate_some(const void *task, long job) {
  const struct elements *t = task;
  long end = least(t->count, (job + 1) * SOME);
  for (long n = job * SOME; n < end; n += LANES)
    store_some(t->out + n, rounded(activated(t->act, load_some(t->x + n, end - n)), t->to_half), end - n);
}

/* out [count] = the activation of x. */
void activate(const float *x, float *out, long count, int act, int to_half, int threads) {
  struct elements task = {x, out, count, act, to_half};
  share_out(activate_some, &task, parts(count, SOME), 32 * count, threads);
}

/* out [count] = tanh x. */
void hyperbolic(const float *x, float *out, long count) {
  for (long n = 0; n < count; n++) out[n] = (float)tanh_double(x[n]);
}

/* cosine and sine [count] of angles. */
void circle(const float *angles, float *cosines, float *sines, long count) {
  for (long n = 0; n < count; n++) {
    double cosine, sine;
    circle_double(angles[n], &cosine, &sine);
    cosines[n] = (float)cosine;
    sines[n] = (float)sine;
  }
}

/* powers [count] of a base > 1: base to exponents >= 0. */
void power(double base, const float *exponents, float *powers, long count) {
  double log = logarithm_double(base);
  for (long n = 0; n < count; n++) powers[n] = (float)(1 / exponential_double(-log * exponents[n]));
}
