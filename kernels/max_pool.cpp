// Max pooling on the CPU, channels in vectors. Forward 1R + 1W: every element gathers its window; parts of the work are
// rows of pixels. The gradient spreads window after window over an image's block of channels, which is a part of the
// work: 3R + 1W and, from the cache, the window again to count its maxima and the image to add to.
#include "kernels/max_pool.h"

#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/vector_math.h"

namespace ganforge {
namespace GANFORGE_ISA {
namespace {

constexpr std::int64_t part_elements = 1 << 14, block_channels = 64;

/// A vector of channels, or one.
template <class V>
V get(const float* p) {
  if constexpr (sizeof(V) == sizeof(float))
    return *p;
  else
    return load(p);
}
void put(float* p, float v) {
  *p = v;
}
void put(float* p, Floats v) {
  store(p, v);
}

/// The places of one window: offsets into an image.
struct Window {
  const MaxPoolSizes& sizes;
  std::int64_t origin;

  Window(const MaxPoolSizes& s, std::int32_t p, std::int32_t q)
      : sizes(s), origin((std::int64_t(p) * s.stride_h * s.width + q * s.stride_w) * s.channels) {}

  template <class Body>
  void each(const Body& body) const {
    for (std::int32_t i = 0; i < sizes.window_h; ++i)
      for (std::int32_t j = 0; j < sizes.window_w; ++j)
        body(origin + (std::int64_t(i) * sizes.width + j) * sizes.channels);
  }
};

template <class V>
V maximum(const Window& window, const float* x) {
  V most = get<V>(x + window.origin);
  window.each([&](std::int64_t at) {
    const V v = get<V>(x + at);
    most = (v > most) | (v != v) ? v : most;
  });
  return most;
}

/// How often the window has its maximum.
template <class V>
V count(const Window& window, const float* x, V most) {
  V n{};
  const V one = n + 1.0f;
  window.each([&](std::int64_t at) { n += get<V>(x + at) == most ? one : V{}; });
  return n;
}

/// body(V{}, c) for all channels, V the type of the vector from c on. The last vector may overlap the one before it.
template <class Body>
void for_channels(std::int64_t channels, const Body& body) {
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) body(Floats{}, c);
  if (c < channels && channels > lanes)
    body(Floats{}, channels - lanes);
  else
    for (; c < channels; ++c) body(float{}, c);
}

/// body(n, row, column) for all pixels of `images` images.
template <class Body>
void for_pixels(const CpuStream& stream, const MaxPoolSizes& s, std::int32_t height, std::int32_t width,
                const Body& body) {
  const std::int64_t rows = s.images * height, of_row = width * s.channels;
  if (rows * of_row == 0) return;
  const std::int64_t part_rows = of_row < part_elements ? part_elements / of_row : 1;
  in_parts(stream, (rows + part_rows - 1) / part_rows, [&](std::int64_t part) {
    const std::int64_t end = (part + 1) * part_rows;
    for (std::int64_t row = part * part_rows; row < end && row < rows; ++row)
      for (std::int32_t column = 0; column < width; ++column)
        body(row / height, static_cast<std::int32_t>(row % height), column);
  });
}

std::int64_t image(const MaxPoolSizes& s, std::int64_t n) {
  return n * s.height * s.width * s.channels;
}
std::int64_t pixel(const MaxPoolSizes& s, std::int64_t n, std::int32_t p, std::int32_t q) {
  return ((n * s.out_height + p) * s.out_width + q) * s.channels;
}

}  // namespace

void max_pool(const CpuStream& stream, const MaxPoolArgs& args) {
  const MaxPoolSizes& s = args.sizes;
  for_pixels(stream, s, s.out_height, s.out_width, [&](std::int64_t n, std::int32_t p, std::int32_t q) {
    const Window window(s, p, q);
    for_channels(s.channels, [&]<class V>(V, std::int64_t c) {
      put(args.y + pixel(s, n, p, q) + c, maximum<V>(window, args.x + image(s, n) + c));
    });
  });
}

void max_pool_grad(const CpuStream& stream, const MaxPoolGradArgs& args) {
  const MaxPoolSizes& s = args.sizes;
  const std::int64_t blocks = (s.channels + block_channels - 1) / block_channels, pixels = s.height * s.width;
  in_parts(stream, s.images * blocks, [&](std::int64_t part) {
    const std::int64_t n = part / blocks, first = part % blocks * block_channels, rest = s.channels - first;
    const std::int64_t channels = rest < block_channels ? rest : block_channels;
    const float* x = args.x + image(s, n) + first;
    float* dx = args.dx + image(s, n) + first;
    for (std::int64_t i = 0; i < pixels; ++i)
      for (std::int64_t c = 0; c < channels; ++c) dx[i * s.channels + c] = 0.0f;
    for (std::int32_t p = 0; p < s.out_height; ++p)
      for (std::int32_t q = 0; q < s.out_width; ++q) {
        const Window window(s, p, q);
        const std::int64_t at = pixel(s, n, p, q) + first;
        const auto spread = [&]<class V>(V, std::int64_t c) {
          const V most = get<V>(args.y + at + c), d = get<V>(args.dy + at + c) / count<V>(window, x + c, most);
          window.each([&](std::int64_t place) {
            put(dx + place + c, get<V>(dx + place + c) + (get<V>(x + place + c) == most ? d : V{}));
          });
        };
        std::int64_t c = 0;
        for (; c + lanes <= channels; c += lanes) spread(Floats{}, c);
        for (; c < channels; ++c) spread(float{}, c);
      }
  });
}

void max_pool_pick(const CpuStream& stream, const MaxPoolPickArgs& args) {
  const MaxPoolSizes& s = args.sizes;
  for_pixels(stream, s, s.out_height, s.out_width, [&](std::int64_t n, std::int32_t p, std::int32_t q) {
    const Window window(s, p, q);
    for_channels(s.channels, [&]<class V>(V, std::int64_t c) {
      const float *x = args.x + image(s, n) + c, *v = args.v + image(s, n) + c;
      const std::int64_t at = pixel(s, n, p, q) + c;
      const V most = get<V>(args.y + at);
      V sum{};
      window.each([&](std::int64_t place) { sum += get<V>(x + place) == most ? get<V>(v + place) : V{}; });
      put(args.z + at, sum / count<V>(window, x, most));
    });
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void max_pool(const CpuStream&, const MaxPoolArgs&);
void max_pool_grad(const CpuStream&, const MaxPoolGradArgs&);
void max_pool_pick(const CpuStream&, const MaxPoolPickArgs&);
}  // namespace isa_avx2
namespace isa_avx512 {
void max_pool(const CpuStream&, const MaxPoolArgs&);
void max_pool_grad(const CpuStream&, const MaxPoolGradArgs&);
void max_pool_pick(const CpuStream&, const MaxPoolPickArgs&);
}  // namespace isa_avx512

void max_pool(const CpuStream& stream, const MaxPoolArgs& args) {
  pick(stream.isa, isa_baseline::max_pool, isa_avx2::max_pool, isa_avx512::max_pool)(stream, args);
}
void max_pool_grad(const CpuStream& stream, const MaxPoolGradArgs& args) {
  pick(stream.isa, isa_baseline::max_pool_grad, isa_avx2::max_pool_grad, isa_avx512::max_pool_grad)(stream, args);
}
void max_pool_pick(const CpuStream& stream, const MaxPoolPickArgs& args) {
  pick(stream.isa, isa_baseline::max_pool_pick, isa_avx2::max_pool_pick, isa_avx512::max_pool_pick)(stream, args);
}
#endif

}  // namespace ganforge
