// Loops of the norms on the CPU: along channels by vectors, along rows by tiles. Part of the hot kernels (isa.h).
#pragma once

#include "kernels/vector_math.h"

namespace ganforge {
namespace {

/// `lanes` channels, or the last few.
struct Whole {
  Floats get(const float* p) const { return load(p); }
  void put(float* p, Floats v) const { store(p, v); }
};
struct Rest {
  std::int64_t count;
  Floats get(const float* p) const { return load_part(p, count); }
  void put(float* p, Floats v) const { store_part(p, v, count); }
};

/// body(c, how to load and store from there) for all channels.
template <class Body>
void for_channels(std::int64_t channels, const Body& body) {
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) body(c, Whole{});
  if (c < channels) body(c, Rest{channels - c});
}

template <int n>
struct Rows {
  static constexpr int count = n;
};

/// body(first row, how many as a type) for all rows, `tile` at a time: their values are held in registers.
template <int tile, class Body>
void for_tiles(std::int64_t rows, const Body& body) {
  std::int64_t r = 0;
  for (; r + tile <= rows; r += tile) body(r, Rows<tile>{});
  for (; r < rows; ++r) body(r, Rows<1>{});
}

}  // namespace
}  // namespace ganforge
