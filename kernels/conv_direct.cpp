// Convolution as its definition says, one sum after the other. The inner loops run over the contiguous channels.
#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.h"
#include "kernels/team.h"

#include <algorithm>

namespace ganforge {
namespace {

constexpr int partial_sums = 8;  // a sum as one chain of additions would be as slow as their latency

template <class T>
T dot(const T* a, const T* b, std::int64_t count) {
  T sums[partial_sums] = {};
  std::int64_t i = 0;
  for (; i + partial_sums <= count; i += partial_sums) {
    for (int j = 0; j < partial_sums; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  T total = 0;
  for (const T sum : sums) total += sum;
  return total;
}

template <class T>
void add_scaled(T* sum, T factor, const T* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += factor * values[i];
}

/// One row [q, k] of y.
template <class T>
void forward_row(const ConvShape& c, const T* x, const T* w, std::int64_t n, std::int64_t p, T* row) {
  const std::int64_t channels = c.c / c.groups, filters = c.k / c.groups;
  std::fill_n(row, c.q * c.k, T(0));
  for (std::int64_t r = 0; r < c.r; ++r) {
    const std::int64_t h = p * c.stride_h - c.pad_top + r * c.dilation_h;
    if (h < 0 || h >= c.h) continue;
    for (std::int64_t q = 0; q < c.q; ++q) {
      for (std::int64_t s = 0; s < c.s; ++s) {
        const std::int64_t column = q * c.stride_w - c.pad_left + s * c.dilation_w;
        if (column < 0 || column >= c.w) continue;
        const T* pixel = x + ((n * c.h + h) * c.w + column) * c.c;
        for (std::int64_t k = 0; k < c.k; ++k) {
          row[q * c.k + k] += dot(pixel + k / filters * channels, w + ((k * c.r + r) * c.s + s) * channels, channels);
        }
      }
    }
  }
}

/// One row [w, c] of x. The taps are those whose stride meets the pixel.
template <class T>
void input_row(const ConvShape& c, const T* w, const T* y, std::int64_t n, std::int64_t h, T* row) {
  const std::int64_t channels = c.c / c.groups, filters = c.k / c.groups;
  std::fill_n(row, c.w * c.c, T(0));
  for (std::int64_t r = 0; r < c.r; ++r) {
    const std::int64_t high = h + c.pad_top - r * c.dilation_h, p = high / c.stride_h;
    if (high < 0 || high % c.stride_h != 0 || p >= c.p) continue;
    for (std::int64_t column = 0; column < c.w; ++column) {
      for (std::int64_t s = 0; s < c.s; ++s) {
        const std::int64_t left = column + c.pad_left - s * c.dilation_w, q = left / c.stride_w;
        if (left < 0 || left % c.stride_w != 0 || q >= c.q) continue;
        const T* pixel = y + ((n * c.p + p) * c.q + q) * c.k;
        for (std::int64_t k = 0; k < c.k; ++k) {
          add_scaled(row + column * c.c + k / filters * channels, pixel[k], w + ((k * c.r + r) * c.s + s) * channels,
                     channels);
        }
      }
    }
  }
}

/// One row [s, c / groups] of filter k.
template <class T>
void weight_row(const ConvShape& c, const T* x, const T* y, std::int64_t k, std::int64_t r, T* row) {
  const std::int64_t channels = c.c / c.groups, group = k / (c.k / c.groups);
  std::fill_n(row, c.s * channels, T(0));
  for (std::int64_t n = 0; n < c.n; ++n) {
    for (std::int64_t p = 0; p < c.p; ++p) {
      const std::int64_t h = p * c.stride_h - c.pad_top + r * c.dilation_h;
      if (h < 0 || h >= c.h) continue;
      for (std::int64_t q = 0; q < c.q; ++q) {
        const T factor = y[((n * c.p + p) * c.q + q) * c.k + k];
        for (std::int64_t s = 0; s < c.s; ++s) {
          const std::int64_t column = q * c.stride_w - c.pad_left + s * c.dilation_w;
          if (column < 0 || column >= c.w) continue;
          add_scaled(row + s * channels, factor, x + ((n * c.h + h) * c.w + column) * c.c + group * channels, channels);
        }
      }
    }
  }
}

}  // namespace

template <class T>
void conv2d_direct(const CpuStream& stream, ConvDirection direction, const ConvShape& c, const T* x, const T* w,
                   const T* y, T* out) {
  if (direction == ConvDirection::forward) {
    in_parts(stream, c.n * c.p,
             [&](std::int64_t part) { forward_row(c, x, w, part / c.p, part % c.p, out + part * c.q * c.k); });
  } else if (direction == ConvDirection::input) {
    in_parts(stream, c.n * c.h,
             [&](std::int64_t part) { input_row(c, w, y, part / c.h, part % c.h, out + part * c.w * c.c); });
  } else {
    in_parts(stream, c.k * c.r, [&](std::int64_t part) {
      weight_row(c, x, y, part / c.r, part % c.r, out + part * c.s * (c.c / c.groups));
    });
  }
}

template void conv2d_direct(const CpuStream&, ConvDirection, const ConvShape&, const float*, const float*, const float*,
                            float*);
template void conv2d_direct(const CpuStream&, ConvDirection, const ConvShape&, const double*, const double*,
                            const double*, double*);

ConvPlan<CpuStream> plan_conv_direct(const CpuStream&, ConvDirection direction, const ConvShape& shape,
                                     const ConvEpilogue& epilogue) {
  const bool input = direction == ConvDirection::input;
  const std::int64_t channels = input ? shape.c : shape.k, rows = (input ? shape.x_size() : shape.y_size()) / channels;
  ConvPlan<CpuStream> plan;
  plan.algorithm = "direct";
  plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
    conv2d_direct<float>(stream, direction, shape, a.x, a.w, a.y, a.out);
    conv_epilogue_shared(stream, epilogue, rows, channels, a.bias, a.mask, a.out);
  };
  return plan;
}

}  // namespace ganforge
