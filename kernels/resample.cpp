// Resampling on the CPU. Every element gathers its inputs, channels in vectors that stay in registers over the taps:
// 1W, and x as often as windows overlap, but for the first time from the cache. Parts of the work are whole rows of
// pixels.
#include "kernels/resample.h"

#include "kernels/isa.h"
#include "kernels/resample_taps.h"
#include "kernels/team.h"
#include "kernels/vector_math.h"

namespace ganforge {
namespace GANFORGE_ISA {
namespace {

constexpr std::int64_t part_elements = 1 << 14;

/// One pixel's inputs.
template <class Rule>
struct Pixel {
  const ResampleArgs& args;
  const float* image;
  std::int32_t p, q;
  Taps rows, columns;

  /// `count` vectors of channels from c on.
  template <int count>
  void vectors(std::int64_t c, float* y) const {
    Floats sum[count] = {};
    each_tap([&](const float* x, float weight) {
      for (int k = 0; k < count; ++k) sum[k] += weight * load(x + c + k * lanes);
    });
    for (int k = 0; k < count; ++k) store(y + c + k * lanes, args.scale * sum[k]);
  }
  void one(std::int64_t c, float* y) const {
    float sum = 0.0f;
    each_tap([&](const float* x, float weight) { sum += weight * x[c]; });
    y[c] = args.scale * sum;
  }

 private:
  template <class Body>
  void each_tap(const Body& body) const {
    for (std::int32_t i = rows.begin; i < rows.end; ++i) {
      const float weight = Rule::weight(args.vertical, p, i);
      const float* x = image + (std::int64_t(i) * args.horizontal.from + columns.begin) * args.channels;
      for (std::int32_t j = columns.begin; j < columns.end; ++j, x += args.channels)
        body(x, weight * Rule::weight(args.horizontal, q, j));
    }
  }
};

template <class Rule>
void resample_row(const ResampleArgs& args, std::int64_t row) {
  const std::int64_t channels = args.channels, n = row / args.vertical.to;
  const auto p = static_cast<std::int32_t>(row % args.vertical.to);
  const float* image = args.x + n * args.vertical.from * args.horizontal.from * channels;
  float* y = args.y + row * args.horizontal.to * channels;
  const Taps rows = Rule::taps(args.vertical, p);
  for (std::int32_t q = 0; q < args.horizontal.to; ++q, y += channels) {
    const Pixel<Rule> pixel{args, image, p, q, rows, Rule::taps(args.horizontal, q)};
    std::int64_t c = 0;
    for (; c + 4 * lanes <= channels; c += 4 * lanes) pixel.template vectors<4>(c, y);
    for (; c + lanes <= channels; c += lanes) pixel.template vectors<1>(c, y);
    if (c < channels && channels > lanes)
      pixel.template vectors<1>(channels - lanes, y);  // some a second time
    else
      for (; c < channels; ++c) pixel.one(c, y);
  }
}

}  // namespace

void resample(const CpuStream& stream, const ResampleArgs& args) {
  const std::int64_t rows = args.images * args.vertical.to, of_row = args.horizontal.to * args.channels;
  if (rows * of_row == 0) return;
  const std::int64_t part_rows = of_row < part_elements ? part_elements / of_row : 1;
  with_rule(args.kind, [&]<class Rule>(Rule) {
    in_parts(stream, (rows + part_rows - 1) / part_rows, [&](std::int64_t part) {
      const std::int64_t end = (part + 1) * part_rows;
      for (std::int64_t row = part * part_rows; row < end && row < rows; ++row) resample_row<Rule>(args, row);
    });
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void resample(const CpuStream&, const ResampleArgs&);
}
namespace isa_avx512 {
void resample(const CpuStream&, const ResampleArgs&);
}

void resample(const CpuStream& stream, const ResampleArgs& args) {
  pick(stream.isa, isa_baseline::resample, isa_avx2::resample, isa_avx512::resample)(stream, args);
}
#endif

}  // namespace ganforge
