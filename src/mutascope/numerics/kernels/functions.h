/* Elementary functions (docs/numerics.md, Functions). */

/* Round to bfloat16, to nearest, ties to even. */
INLINE lanes half(lanes x) {
  bits u = (bits)x, rounded = (u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000u;
  return choose(x != x, x, (lanes)rounded);
}

INLINE lanes rounded(lanes x, int to_half) { return to_half ? half(x) : x; }

/* exp(x) for x <= 0; 0 below -87, NaN of NaN. */
INLINE lanes exponential(lanes x) {
  const lanes shift = all(12582912.f); /* 1.5 * 2^23: the sum's last bits are the integer */
  lanes z = fused(x, all(1.44269504f), shift), n = z - shift;
  lanes r = fused(n, all(2.12194440e-4f), fused(n, all(-0.693359375f), x));
  lanes p = all(1.9875691500e-4f);
  p = fused(p, r, all(1.3981999507e-3f));
  p = fused(p, r, all(8.3334519073e-3f));
  p = fused(p, r, all(4.1665795894e-2f));
  p = fused(p, r, all(1.6666665459e-1f));
  p = fused(p, r, all(5.0000001201e-1f));
  lanes y = fused(p, r * r, r) + all(1);
  y = (lanes)((bits)y + ((bits)z << 23));
  y = choose(x < all(-87), all(0), y);
  return choose(x != x, x, y);
}

/* 1 / (1 + exp(-x)). */
INLINE lanes logistic(lanes x) {
  lanes e = exponential((lanes)((bits)x | 0x80000000u));
  return choose(x < all(0), e, all(1)) / (all(1) + e);
}

/* exp(x) in double precision for x <= 0; 0 below -700. */
INLINE double exponential_double(double x) {
  if (!(x >= -700)) return x != x ? x : 0;
  double shift = 6755399441055744.0, z = __builtin_fma(x, 1.4426950408889634, shift), n = z - shift;
  double r = __builtin_fma(n, -1.9082149292705877e-10, __builtin_fma(n, -0.69314718036912382, x));
  double p = 1. / 6227020800;
  p = __builtin_fma(p, r, 1. / 479001600);
  p = __builtin_fma(p, r, 1. / 39916800);
  p = __builtin_fma(p, r, 1. / 3628800);
  p = __builtin_fma(p, r, 1. / 362880);
  p = __builtin_fma(p, r, 1. / 40320);
  p = __builtin_fma(p, r, 1. / 5040);
  p = __builtin_fma(p, r, 1. / 720);
  p = __builtin_fma(p, r, 1. / 120);
  p = __builtin_fma(p, r, 1. / 24);
  p = __builtin_fma(p, r, 1. / 6);
  p = __builtin_fma(p, r, 0.5);
  p = __builtin_fma(p, r, 1);
  p = __builtin_fma(p, r, 1);
  uint64_t word, power;
  memcpy(&power, &z, 8);
  memcpy(&word, &p, 8);
  word += power << 52;
  memcpy(&p, &word, 8);
  return p;
}

/* log(x) in double precision for normal x > 0; NaN of all else. */
INLINE double logarithm_double(double x) {
  if (!(x >= 0x1p-1022 && x < __builtin_inf())) return __builtin_nan("");
  uint64_t word;
  memcpy(&word, &x, 8);
  long exponent = (long)(word >> 52) - 1023;
  word = (word & 0xfffffffffffffu) | 0x3ff0000000000000u;
  double m;
  memcpy(&m, &word, 8);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  double f = m - 1, s = f / (2 + f), z = s * s, p = 1. / 23;
  for (int n = 21; n > 0; n -= 2) p = __builtin_fma(p, z, 1. / n);
  double k = (double)exponent;
  return __builtin_fma(k, 0.69314718036912382, __builtin_fma(k, 1.9082149292705877e-10, 2 * s * p));
}

INLINE double tanh_double(double x) {
  double size = x < 0 ? -x : x, e = exponential_double(-2 * size), t = size < 0x1p-12 ? size : (1 - e) / (1 + e);
  return x < 0 ? -t : t;
}

/* The normal distribution function, Phi(x), to 1e-7 of its value. */
INLINE double normal_double(double x) {
  double z = (x < 0 ? -x : x) * 0.70710678118654752, t = 1 / __builtin_fma(0.5, z, 1), p = 0.17087277;
  p = __builtin_fma(p, t, -0.82215223);
  p = __builtin_fma(p, t, 1.48851587);
  p = __builtin_fma(p, t, -1.13520398);
  p = __builtin_fma(p, t, 0.27886807);
  p = __builtin_fma(p, t, -0.18628806);
  p = __builtin_fma(p, t, 0.09678418);
  p = __builtin_fma(p, t, 0.37409196);
  p = __builtin_fma(p, t, 1.00002368);
  p = __builtin_fma(p, t, -1.26551223);
  double tail = 0.5 * t * exponential_double(__builtin_fma(-z, z, p));
  return x < 0 ? tail : 1 - tail;
}

/* cos and sin of x, which is finite and of at most some millions. */
INLINE void circle_double(double x, double *cosine, double *sine) {
  double shift = 6755399441055744.0, z = __builtin_fma(x, 0.63661977236758134, shift), n = z - shift;
  double r = __builtin_fma(n, -6.123233995736766e-17, __builtin_fma(n, -1.5707963267948966, x)), q = r * r;
  double s = -1. / 1307674368000, c = 1. / 20922789888000;
  s = __builtin_fma(s, q, 1. / 6227020800);
  s = __builtin_fma(s, q, -1. / 39916800);
  s = __builtin_fma(s, q, 1. / 362880);
  s = __builtin_fma(s, q, -1. / 5040);
  s = __builtin_fma(s, q, 1. / 120);
  s = __builtin_fma(s, q, -1. / 6);
  s = __builtin_fma(s * q, r, r);
  c = __builtin_fma(c, q, -1. / 87178291200);
  c = __builtin_fma(c, q, 1. / 479001600);
  c = __builtin_fma(c, q, -1. / 3628800);
  c = __builtin_fma(c, q, 1. / 40320);
  c = __builtin_fma(c, q, -1. / 720);
  c = __builtin_fma(c, q, 1. / 24);
  c = __builtin_fma(c, q, -0.5);
  c = __builtin_fma(c, q, 1);
  uint64_t word;
  memcpy(&word, &z, 8);
  int quarter = (int)(word & 3);
  *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
  *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
}

enum { SILU = 1, GELU, GELU_TANH };

INLINE lanes gelu(lanes x) {
  float some[LANES];
  store(some, x);
  for (int n = 0; n < LANES; n++) some[n] = some[n] != some[n] ? some[n] : (float)(some[n] * normal_double(some[n]));
  return load(some);
}

INLINE lanes activated(int kind, lanes x) {
  if (kind == GELU) return gelu(x);
  if (kind == SILU) return x * logistic(x);
  return x * logistic(x * fused(x * x, all(0.0713548163f), all(1.59576912f)));
}
