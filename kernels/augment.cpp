// DiffAugment on the CPU: a sample is a task. Its mean is one pass where contrast asks for it, the result another; rows
// fall into at most five pieces that are blank or read from a contiguous row.
#include "kernels/augment.h"

#include "kernels/augment_sample.h"
#include "kernels/isa.h"
#include "kernels/team.h"

namespace ganforge {
namespace GANFORGE_ISA {
namespace {

/// Pixels [first, last) of a row of the result that can be read, but for those of `hole`.
struct RowPieces {
  int from;  // the row that is read, −1: none
  int first, last;
  Span hole;
};

RowPieces row_pieces(const AugmentArgs& a, const AugmentSample& s, int i) {
  const int w = int(a.w), step = a.adjoint ? -s.shift_x : s.shift_x;
  RowPieces row{source_of(i, s.shift_y, a.adjoint, int(a.h)), step < 0 ? -step : 0, step > 0 ? w - step : w, {0, 0}};
  const int augmented = a.adjoint ? row.from : i;
  if (augmented >= s.cut_y.begin && augmented < s.cut_y.end) {
    const int move = a.adjoint ? s.shift_x : 0;
    row.hole = {s.cut_x.begin + move, s.cut_x.end + move};
    if (row.hole.begin < row.first) row.hole.begin = row.first;
    if (row.hole.end > row.last) row.hole.end = row.last;
  }
  if (row.hole.begin >= row.hole.end) row.hole = {row.last, row.last};
  return row;
}

float sum_of(const float* x, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

/// y = a·x + b·(mean of the pixel's channels) + k
struct Colour {
  float a, b, k;
};

void recolour(const Colour& colour, const float* x, float* y, std::int64_t pixels, std::int64_t channels) {
  const float a = colour.a, b = colour.b / float(channels), k = colour.k;
  if (channels == 1) {
    const float both = a + b;
#pragma omp simd
    for (std::int64_t i = 0; i < pixels; ++i) y[i] = both * x[i] + k;
  } else if (b == 0.0f) {
#pragma omp simd
    for (std::int64_t i = 0; i < pixels * channels; ++i) y[i] = a * x[i] + k;
  } else if (channels == 3) {
#pragma omp simd
    for (std::int64_t i = 0; i < pixels; ++i) {
      const float x0 = x[3 * i], x1 = x[3 * i + 1], x2 = x[3 * i + 2];
      const float grey = b * (x0 + x1 + x2) + k;
      y[3 * i] = a * x0 + grey;
      y[3 * i + 1] = a * x1 + grey;
      y[3 * i + 2] = a * x2 + grey;
    }
  } else {
    for (std::int64_t i = 0; i < pixels; ++i, x += channels, y += channels) {
      const float grey = b * sum_of(x, channels) + k;
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) y[c] = a * x[c] + grey;
    }
  }
}

void augment_one(const AugmentArgs& a, std::int64_t n) {
  const std::int64_t row = a.w * a.channels, size = a.h * row;
  const float* x = a.x + n * size;
  float* y = a.y + n * size;
  const AugmentSample s = augment_sample(a, a.numbers + n * numbers_per_sample, *a.probability);
  const auto each_row = [&](const auto& f) {
    for (int i = 0; i < int(a.h); ++i) f(i, row_pieces(a, s, i));
  };
  double sum = 0;
  if (s.contrast != 1.0f) {
    if (a.adjoint) {
      each_row([&](int, const RowPieces& p) {
        if (p.from < 0) return;
        const int shift = -s.shift_x;
        const float* in = x + p.from * row + shift * a.channels;
        sum += double(sum_of(in + p.first * a.channels, (p.hole.begin - p.first) * a.channels));
        sum += double(sum_of(in + p.hole.end * a.channels, (p.last - p.hole.end) * a.channels));
      });
    } else {
      for (int i = 0; i < int(a.h); ++i) sum += double(sum_of(x + i * row, row));
    }
  }
  const float mean = float(sum / double(size));
  const Colour colour{s.contrast * s.saturation, s.contrast * (1 - s.saturation),
                      (1 - s.contrast) * mean + s.brightness};
  const float blank = a.adjoint ? colour.k : a.middle;
  each_row([&](int i, const RowPieces& p) {
    float* out = y + i * row;
    const auto fill = [&](int begin, int end) {
      for (std::int64_t j = begin * a.channels; j < end * a.channels; ++j) out[j] = blank;
    };
    if (p.from < 0) return fill(0, int(a.w));
    const float* in = x + p.from * row + (a.adjoint ? -s.shift_x : s.shift_x) * a.channels;
    const auto copy = [&](int begin, int end) {
      recolour(colour, in + begin * a.channels, out + begin * a.channels, end - begin, a.channels);
    };
    fill(0, p.first);
    copy(p.first, p.hole.begin);
    fill(p.hole.begin, p.hole.end);
    copy(p.hole.end, p.last);
    fill(p.last, int(a.w));
  });
}

}  // namespace

void augment(const CpuStream& stream, const AugmentArgs& args) {
  in_parts(stream, args.n, [&](std::int64_t n) { augment_one(args, n); });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void augment(const CpuStream&, const AugmentArgs&);
}
namespace isa_avx512 {
void augment(const CpuStream&, const AugmentArgs&);
}

void augment(const CpuStream& stream, const AugmentArgs& args) {
  pick(stream.isa, isa_baseline::augment, isa_avx2::augment, isa_avx512::augment)(stream, args);
}
#endif

}  // namespace ganforge
