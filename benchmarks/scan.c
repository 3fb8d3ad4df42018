// The selective scan of rust-wasm/src/simd128/scan.rs in C: the same blocks, the same exponential, the same order. Reads
// requests from stdin (a line each) and answers with the nanoseconds that one scan took, so that scan.ts can let it and
// WebAssembly take turns.
//
//     cc -O3 -msse4.2 -mfma -o scan scan.c && ./scan TOKENS CHANNELS
#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef float v4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
enum { BLOCK = 32, GROUP = 16, STATES = 16 };

static inline v4 splat(float x) { return (v4){x, x, x, x}; }
static inline v4 load(const float *p) { v4 v; memcpy(&v, p, 16); return v; }
static inline void store(float *p, v4 v) { memcpy(p, &v, 16); }
static inline v4 pick(i4 mask, v4 yes, v4 no) { return (v4)((mask & (i4)yes) | (~mask & (i4)no)); }
static inline v4 at_least(v4 x, float low) { return pick(x < splat(low), splat(low), x); }
static inline v4 at_most(v4 x, float high) { return pick(splat(high) < x, splat(high), x); }

// Lane i: the sum of the lanes of argument i.
static inline v4 sum4(v4 p, v4 q, v4 r, v4 s) {
  v4 a = __builtin_shuffle(p, q, (i4){0, 4, 1, 5}) + __builtin_shuffle(p, q, (i4){2, 6, 3, 7});
  v4 b = __builtin_shuffle(r, s, (i4){0, 4, 1, 5}) + __builtin_shuffle(r, s, (i4){2, 6, 3, 7});
  return __builtin_shuffle(a, b, (i4){0, 1, 4, 5}) + __builtin_shuffle(a, b, (i4){2, 3, 6, 7});
}

// 2^x from -126 to 127.49.
static inline v4 exp2_small(v4 x) {
  v4 sum = x + splat(12582912.0f);
  v4 r = x - (sum - splat(12582912.0f));
  v4 p = splat(1.3264727e-3f) * r + splat(9.671513e-3f);
  p = p * r + splat(5.5507336e-2f);
  p = p * r + splat(0.24022242f);
  p = p * r + splat(0.693147f);
  p = p * r + splat(1.0f);
  return (v4)((i4)p + ((i4)sum << 23));
}

static inline v4 exp_normal(v4 x) {
  x = at_least(x, -87.33655f);
  v4 sum = x * splat(1.442695f) + splat(12583039.0f);
  v4 n = sum - splat(12583039.0f);
  v4 r = n * splat(-0.6933594f) + x;
  r = n * splat(2.1219444e-4f) + r;
  v4 r2 = r * r;
  v4 p = splat(1.9875691e-4f) * r + splat(1.3982e-3f);
  p = p * r2 + (splat(8.333452e-3f) * r + splat(4.1665796e-2f));
  p = p * r2 + (splat(1.6666665e-1f) * r + splat(0.5f));
  p = p * r2 + r + splat(1.0f);
  return p * (v4)((i4)sum << 23);
}

static inline v4 silu(v4 x) {
  v4 e = exp_normal(at_most(-x, 88.37625f));
  e = pick(splat(88.37625f) < -x, splat(INFINITY), e);
  return x / (e + splat(1.0f));
}

static inline v4 softplus(v4 x) {
  v4 low = (v4)((i4)x | (i4)splat(-0.0f));
  v4 e = pick(low < splat(-87.33655f), splat(0.0f), exp_normal(low));
  v4 e2 = e * e, e4 = e2 * e2;
  v4 a = splat(-0.24857163f) * e + splat(0.33321324f);
  a = a * e2 + (splat(-0.49999648f) * e + splat(1.0f));
  v4 b = splat(-0.13753803f) * e + splat(0.19153655f);
  b = (splat(-3.0065795e-2f) * e + splat(7.920454e-2f)) * e2 + b;
  v4 p = (splat(5.364825e-3f) * e4 + b) * e4 + a;
  return pick(splat(20.0f) < x, x, p * e + at_least(x, 0.0f));
}

struct scan {
  const float *u, *delta, *a, *b, *c, *d, *z, *bias;
  float *state, *y;
  int tokens, channels;
};

__attribute__((noinline)) static void selective_scan(const struct scan *s) {
  static float b[BLOCK * STATES], c[BLOCK * STATES], d[BLOCK * GROUP], du[BLOCK * GROUP], sums[4 * BLOCK * GROUP];
  for (int t0 = 0; t0 < s->tokens; t0 += BLOCK) {
    int tokens = s->tokens - t0 < BLOCK ? s->tokens - t0 : BLOCK;
    memcpy(b, s->b + t0 * STATES, sizeof(float) * tokens * STATES);
    memcpy(c, s->c + t0 * STATES, sizeof(float) * tokens * STATES);
    for (int first = 0; first < s->channels; first += GROUP) {
      v4 largest[GROUP / 4] = {{0}};
      for (int t = 0; t < tokens; t++) {
        for (int v = 0; v < GROUP; v += 4) {
          long at = (long)(t0 + t) * s->channels + first + v;
          v4 step = softplus(load(s->delta + at) + load(s->bias + first + v));
          store(du + t * GROUP + v, step * load(s->u + at));
          step *= splat(1.442695f);
          store(d + t * GROUP + v, step);
          largest[v / 4] = pick(step < largest[v / 4], largest[v / 4], step);
        }
      }
      for (int i = 0; i < GROUP; i++) {
        const float *rates = s->a + (first + i) * STATES;
        float *state = s->state + (first + i) * STATES;
        v4 a[4], h[4];
        v4 rate = {0};
        for (int k = 0; k < 4; k++) {
          a[k] = load(rates + 4 * k), h[k] = load(state + 4 * k);
          rate = pick(-a[k] < rate, rate, -a[k]);
        }
        // The inputs are such that only the usual path is taken.
        i4 small = rate * splat(largest[i / 4][i % 4]) < splat(126.0f);
        if (!(small[0] & small[1] & small[2] & small[3])) abort();
        for (int t = 0; t < tokens; t++) {
          v4 step = splat(d[t * GROUP + i]), input = splat(du[t * GROUP + i]), sum = splat(0);
          for (int k = 0; k < 4; k++) {
            v4 keep = exp2_small(step * a[k]);
            h[k] = keep * h[k] + input * load(b + t * STATES + 4 * k);
            sum = h[k] * load(c + t * STATES + 4 * k) + sum;
          }
          store(sums + 4 * (t * GROUP + i), sum);
        }
        for (int k = 0; k < 4; k++) store(state + 4 * k, h[k]);
      }
      for (int t = 0; t < tokens; t++) {
        for (int v = 0; v < GROUP; v += 4) {
          long at = (long)(t0 + t) * s->channels + first + v;
          const float *from = sums + 4 * (t * GROUP + v);
          v4 y = sum4(load(from), load(from + 4), load(from + 8), load(from + 12));
          y = load(s->d + first + v) * load(s->u + at) + y;
          store(s->y + at, y * silu(load(s->z + at)));
        }
      }
    }
  }
}

static float *values(long count, float scale, float offset) {
  float *p = malloc(sizeof(float) * count);
  for (long i = 0; i < count; i++) p[i] = scale * ((float)((i * 7919) % 1009) / 504.5f - 0.9995f) + offset;
  return p;
}

int main(int argc, char **argv) {
  int tokens = argc > 1 ? atoi(argv[1]) : 2048, channels = argc > 2 ? atoi(argv[2]) : 1536;
  long all = (long)tokens * channels;
  float *a = malloc(sizeof(float) * channels * STATES);
  for (int i = 0; i < channels * STATES; i++) a[i] = -1.0f - i % STATES;
  struct scan s = {
    .u = values(all, 1, 0), .delta = values(all, 1, -3), .a = a, .b = values((long)tokens * STATES, 1, 0),
    .c = values((long)tokens * STATES, 1, 0), .d = values(channels, 1, 0), .z = values(all, 1, 0),
    .bias = values(channels, 0.1f, 0), .state = calloc(channels * STATES, sizeof(float)),
    .y = calloc(all, sizeof(float)), .tokens = tokens, .channels = channels,
  };
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    struct timespec from, to;
    memset(s.state, 0, sizeof(float) * channels * STATES);
    clock_gettime(CLOCK_MONOTONIC, &from);
    selective_scan(&s);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double sum = 0;
    for (long i = 0; i < all; i++) sum += s.y[i];
    printf("%.0f %.9g\n", 1e9 * (to.tv_sec - from.tv_sec) + (to.tv_nsec - from.tv_nsec), sum);
    fflush(stdout);
  }
}
