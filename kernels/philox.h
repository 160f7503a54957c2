// Philox4x32-10 and the distributions made from it; one source for both backends, the same bits on each.
#pragma once

#include "kernels/exact.h"
#include "kernels/random.h"

namespace ganforge {

struct Words {
  std::uint32_t x0, x1, x2, x3;
};
struct PhiloxKey {
  std::uint32_t k0, k1;
};

GANFORGE_EXACT Words philox_round(Words x, PhiloxKey k, std::uint32_t round) {
  const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * x.x0, p1 = std::uint64_t(0xCD9E8D57u) * x.x2;
  return {std::uint32_t(p1 >> 32) ^ x.x1 ^ (k.k0 + round * 0x9E3779B9u), std::uint32_t(p1),
          std::uint32_t(p0 >> 32) ^ x.x3 ^ (k.k1 + round * 0xBB67AE85u), std::uint32_t(p0)};
}
/// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC'11), §4.3. Without a loop, so that the
/// compiler can make vectors of the loop around it.
GANFORGE_EXACT Words philox4x32_10(Words counter, PhiloxKey key) {
  const Words a = philox_round(counter, key, 0), b = philox_round(a, key, 1), c = philox_round(b, key, 2);
  const Words d = philox_round(c, key, 3), e = philox_round(d, key, 4), f = philox_round(e, key, 5);
  const Words g = philox_round(f, key, 6), h = philox_round(g, key, 7), i = philox_round(h, key, 8);
  return philox_round(i, key, 9);
}

GANFORGE_EXACT PhiloxKey philox_key(std::uint64_t seed, std::uint32_t purpose) {
  return {std::uint32_t(seed), std::uint32_t(seed >> 32) ^ purpose * 0x9E3779B9u};
}

/// The words of elements 4·quad … 4·quad + 3 (quad < 2^48, tick < 2^48).
GANFORGE_EXACT Words words_of_quad(PhiloxKey key, std::uint32_t draw, std::int64_t tick, std::int64_t quad) {
  const Words counter{std::uint32_t(quad), std::uint32_t(tick), draw,
                      std::uint32_t(quad >> 32) << 16 | std::uint32_t(tick >> 32)};
  return philox4x32_10(counter, key);
}

/// Four numbers in the order of their elements.
struct Quad {
  float y0, y1, y2, y3;
};

/// low + width · u, at most `last`: the product and the sum are rounded, so that `high` itself could come out.
struct UniformRange {
  float low, width, last;
};
GANFORGE_EXACT UniformRange uniform_range(float low, float high) {
  // The float below `high`: one less in magnitude where it is positive, one more where it is negative.
  const float last = high == 0.0f ? -0x1p-149f : float_of(bits_of(high) + (high > 0.0f ? ~0u : 1u));
  return {low, add(high, -low), last};
}
GANFORGE_EXACT float uniform_of(std::uint32_t word, UniformRange range) {
  const float u = mul(float(std::int32_t(word >> 8)), 0x1p-24f);
  const float y = add(range.low, mul(range.width, u));
  return y < range.last ? y : range.last;
}
GANFORGE_EXACT Quad uniform_quad(Words w, UniformRange range) {
  return {uniform_of(w.x0, range), uniform_of(w.x1, range), uniform_of(w.x2, range), uniform_of(w.x3, range)};
}

/// ln of a positive normal number, relative error below 1.6e-7 up to 1: u = 2^e·m with √½ ≤ m < √2, and
/// ln m = 2·artanh(s) = 2(s + s³/3 + s⁵/5 + …) with s = (m − 1)/(m + 1), |s| < 0.172; s¹¹/11 is below 1e-9.
GANFORGE_EXACT float natural_log(float u) {
  const std::uint32_t offset = 0x3F3504F3u;  // bits of √½
  const std::int32_t shifted = std::int32_t(bits_of(u) - offset);
  const float e = float(shifted >> 23);
  const float m = float_of((std::uint32_t(shifted) & 0x007FFFFFu) + offset);
  const float s = divide(add(m, -1.0f), add(m, 1.0f));
  const float z = mul(s, s);
  float p = add(mul(z, 1.0f / 9), 1.0f / 7);
  p = add(mul(p, z), 1.0f / 5);
  p = add(mul(p, z), 1.0f / 3);
  p = add(mul(mul(p, z), s), s);
  return add(mul(e, 0.693147181f), add(p, p));
}

struct CosSin {
  float cosine, sine;
};
/// Of word·2π/2³²: the quadrant is two bits of the word, the rest a signed angle within ±π/4, where the Taylor
/// polynomials of degree 8 and 9 are exact to 3e-8: error below 1.1e-7 in all, none from a range reduction.
GANFORGE_EXACT CosSin cos_sin_of_turn(std::uint32_t word) {
  const std::uint32_t quadrant = (word + 0x20000000u) >> 30;
  const float x = mul(float(std::int32_t(word << 2)), 1.57079633f * 0x1p-32f);
  const float z = mul(x, x);
  float s = add(mul(z, 1.0f / 362880), -1.0f / 5040);
  s = add(mul(s, z), 1.0f / 120);
  s = add(mul(s, z), -1.0f / 6);
  s = add(mul(mul(s, z), x), x);
  float c = add(mul(z, 1.0f / 40320), -1.0f / 720);
  c = add(mul(c, z), 1.0f / 24);
  c = add(mul(c, z), -1.0f / 2);
  c = add(mul(c, z), 1.0f);
  const bool swap = quadrant & 1;
  return {float_of(bits_of(swap ? s : c) ^ ((quadrant + 1) & 2) << 30),
          float_of(bits_of(swap ? c : s) ^ (quadrant & 2) << 30)};
}

/// Box & Muller, Ann. Math. Stat. 29 (1958): radius √(−2 ln u) with u in (0, 1] from 31 bits, so at most 6.7.
struct Pair {
  float y0, y1;
};
GANFORGE_EXACT Pair normal_pair(std::uint32_t radius_word, std::uint32_t angle_word, float mean, float stddev) {
  const float u = mul(add(float(std::int32_t(radius_word >> 1)), 0.5f), 0x1p-31f);
  const float radius = square_root(mul(-2.0f, natural_log(u)));
  const CosSin direction = cos_sin_of_turn(angle_word);
  return {add(mean, mul(stddev, mul(radius, direction.cosine))), add(mean, mul(stddev, mul(radius, direction.sine)))};
}
GANFORGE_EXACT Quad normal_quad(Words w, float mean, float stddev) {
  const Pair a = normal_pair(w.x0, w.x1, mean, stddev), b = normal_pair(w.x2, w.x3, mean, stddev);
  return {a.y0, a.y1, b.y0, b.y1};
}

/// Sample number p of the epoch-wise shuffled data: π_e(p mod count), e = p / count.
///
/// π_e is a Feistel network on the numbers of 2·half bits, the fewest that hold `count`; a result outside [0, count) is
/// put in again (cycle walking, Black & Rogaway, CT-RSA 2002), at most four times on average. Each round is a bijection
/// whatever its function is: here a multiplicative hash of one half with a key from Philox of (seed, epoch).
GANFORGE_EXACT std::int64_t shuffled_sample(std::uint64_t seed, std::int64_t position, std::int64_t count) {
  const std::int64_t epoch = position / count;
  const PhiloxKey key = philox_key(seed, purpose_shuffle);
  const Words a = words_of_quad(key, 0, epoch, 0), b = words_of_quad(key, 0, epoch, 1);
  const std::uint32_t round_key[8] = {a.x0, a.x1, a.x2, a.x3, b.x0, b.x1, b.x2, b.x3};
  int half = 1;
  while (half < 31 && (std::uint64_t(1) << (2 * half)) < std::uint64_t(count)) ++half;
  const std::uint32_t mask = (std::uint32_t(1) << half) - 1;

  std::uint64_t sample = std::uint64_t(position % count);
  do {
    std::uint32_t left = std::uint32_t(sample >> half), right = std::uint32_t(sample) & mask;
    for (int round = 0; round < 8; ++round) {
      std::uint32_t hash = (right ^ round_key[round]) * 0x9E3779B1u;
      hash = (hash ^ hash >> 15) * 0x85EBCA77u;
      const std::uint32_t next = left ^ ((hash ^ hash >> 13) & mask);
      left = right;
      right = next;
    }
    sample = std::uint64_t(left) << half | right;
  } while (sample >= std::uint64_t(count));
  return std::int64_t(sample);
}

}  // namespace ganforge
