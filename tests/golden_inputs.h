// The numbers that the golden files are made from: golden/seed_dense_golden.py says how.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace ganforge {

inline std::uint64_t hashed(std::uint64_t stream, std::uint64_t i) {
  std::uint64_t x = (stream << 32) + i + 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}
inline double u(std::uint64_t stream, std::uint64_t i) {
  return static_cast<double>(hashed(stream, i) >> 40) / 8388608.0 - 1;
}

/// Of one step: `count` latents or `images` images of `size` numbers.
inline std::vector<float> golden_latents(int step, int count) {
  std::vector<float> z;
  for (int i = 0; i < count; ++i)
    z.push_back(static_cast<float>(std::sqrt(3.0) * u(100, static_cast<std::uint64_t>(step * count + i))));
  return z;
}
inline std::vector<float> golden_images(int step, int images, int size) {
  std::vector<float> x;
  for (int i = 0; i < images * size; ++i) {
    const auto shift = static_cast<std::uint64_t>(56 + i % size * 5 / size);
    x.push_back(static_cast<float>(hashed(200, static_cast<std::uint64_t>(step * images * size + i)) >> shift) / 127.5f -
                1.0f);
  }
  return x;
}

}  // namespace ganforge
