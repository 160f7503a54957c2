// Convolutions of stride 1 in groups of 16 channels, both sides: one vector of a group's channels on AVX-512.
//
//   forward: y[p, q, :] = Σ over r, s, c of x[p + r, q + s, c] · w[r, s, c, :]      : are the 16 channels of a result
//   input:   the same of y and the filters turned by half a turn, which go from k to c
//   weight:  w[k, r, s, :] = Σ over p, q of y[p, q, k] · x[p + r, q + s, :]
//
// A group of an image is copied next to each other with its border of zeros, in a buffer that stays in L1 and L2. Up to
// most_columns neighbouring results stay in registers over all taps: one vector of filters and a number from the buffer
// for each multiply-add. The filters are brought into the order in which they are read, [group, r, s, in, out], once a
// run; weight needs no such thing.
#include "kernels/conv_algorithms.h"
#include "kernels/gemm_tile.h"
#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/vector_activate.h"

namespace ganforge {
namespace {

constexpr std::int64_t width = 16;          // channels of a group
constexpr int vectors = width / lanes;      // of them
constexpr std::int64_t most_parts = 16;     // of the batch, each with a buffer
constexpr std::int64_t widest_vector = 16;  // pieces of a workspace begin on 64 bytes

/// Results in registers, with some to spare for filters: 32 registers of AVX-512, else 16.
constexpr int most_columns = lanes == 16 ? 14 : 12 / vectors;
constexpr std::int64_t positions_at_once = 128;  // of a weight gradient: both operands stay in L1 over all taps
constexpr int filters_at_once = lanes == 16 ? 16 : 8 / vectors;

/// What forward computes; input as a forward convolution of y.
struct Grouped {
  std::int64_t h, w, p, q;  // of the image that is read, of the result
  std::int64_t r, s, top, left;
  std::int64_t groups;
  std::int64_t line() const { return (q + s - 1) * width; }  // of the copy, in elements
  std::int64_t copy() const { return (p + r - 1) * line(); }
  std::int64_t filters() const { return r * s * width * width; }  // of a group
};

inline Grouped grouped_of(ConvDirection direction, const ConvShape& c) {
  if (direction == ConvDirection::input)
    return {c.p, c.q, c.h, c.w, c.r, c.s, c.r - 1 - c.pad_top, c.s - 1 - c.pad_left, c.groups};
  return {c.h, c.w, c.p, c.q, c.r, c.s, c.pad_top, c.pad_left, c.groups};
}

/// Row `row` of the next group of an image, or of the first of the next image, is on its way while this one is used:
/// its pixels lie too far apart for the hardware to see a pattern.
inline void prefetch_row(const float* image, std::int64_t row, std::int64_t columns, std::int64_t channels) {
  const float* pixel = image + row * columns * channels;
  for (std::int64_t j = 0; j < columns; ++j, pixel += channels) __builtin_prefetch(pixel);
}

/// One group of one image with the zeros around it.
void copy_group(const Grouped& c, const float* image, float* copy) {
  const std::int64_t channels = c.groups * width, columns = c.q + c.s - 1;
  for (std::int64_t i = 0; i < c.p + c.r - 1; ++i) {
    const std::int64_t row = i - c.top;
    for (std::int64_t j = 0; j < columns; ++j, copy += width) {
      const std::int64_t column = j - c.left;
      const bool inside = row >= 0 && row < c.h && column >= 0 && column < c.w;
      const float* pixel = image + (row * c.w + column) * channels;
      for (int v = 0; v < vectors; ++v) store(copy + v * lanes, inside ? load(pixel + v * lanes) : Floats{});
    }
  }
}

struct Finish {
  const float* bias;  // or null
  const float* mask;  // or null
  Activation act;
};

/// `count` neighbouring results of a row. `from` is where the filter's first tap of the first one meets the copy.
template <int count>
void results(const Grouped& c, const float* from, const float* filters, const Finish& finish, float* to) {
  const std::int64_t channels = c.groups * width;
  if (finish.mask)
    for (int j = 0; j < count; ++j) __builtin_prefetch(finish.mask + j * channels);
  Floats sum[count][vectors];
  for (int j = 0; j < count; ++j)
    for (int v = 0; v < vectors; ++v) sum[j][v] = finish.bias ? load(finish.bias + v * lanes) : Floats{};
  for (std::int64_t r = 0; r < c.r; ++r, from += c.line()) {
    for (std::int64_t i = 0; i < c.s * width; ++i, filters += width) {  // columns and channels lie next to each other
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) {
        const Floats filter = load(filters + v * lanes);
#pragma GCC unroll 16
        for (int j = 0; j < count; ++j) sum[j][v] += from[i + j * width] * filter;
      }
    }
  }
  for (int j = 0; j < count; ++j) {
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t place = j * channels + v * lanes;
      store(to + place, finish.mask ? activation_grad(finish.act, load(finish.mask + place), sum[j][v])
                                    : activate(finish.act, sum[j][v]));
    }
  }
}

template <int count = most_columns>
void some_results(std::int64_t number, const Grouped& c, const float* from, const float* filters, const Finish& finish,
                  float* to) {
  if (number == count) return results<count>(c, from, filters, finish, to);
  if constexpr (count > 1) some_results<count - 1>(number, c, from, filters, finish, to);
}

/// Adds the share of some rows of y of a group of one image to `sum` [16, r, s, 16]; y is the group's, next to each
/// other.
void add_weight(const Grouped& c, Range rows, const float* x, const float* y, float* sum) {
  for (std::int64_t r = 0; r < c.r; ++r) {
    for (std::int64_t s = 0; s < c.s; ++s) {
      for (std::int64_t first = 0; first < width; first += filters_at_once) {
        Floats total[filters_at_once][vectors] = {};
        for (std::int64_t p = rows.begin; p < rows.end; ++p) {
          const float *pixel = x + (p + r) * c.line() + s * width, *factor = y + p * c.q * width + first;
          for (std::int64_t q = 0; q < c.q; ++q, pixel += width, factor += width) {
            for (int v = 0; v < vectors; ++v) {
              const Floats channels = load(pixel + v * lanes);
#pragma GCC unroll 16
              for (int k = 0; k < filters_at_once; ++k) total[k][v] += factor[k] * channels;
            }
          }
        }
        for (int k = 0; k < filters_at_once; ++k) {
          float* filter = sum + (((first + k) * c.r + r) * c.s + s) * width;
          for (int v = 0; v < vectors; ++v) store(filter + v * lanes, load(filter + v * lanes) + total[k][v]);
        }
      }
    }
  }
}

}  // namespace

namespace GANFORGE_ISA {

/// One image, all groups. buffer: copy() elements.
void conv_grouped_image(const ConvShape& shape, ConvDirection direction, Activation act, const float* x,
                        const float* filters, const float* bias, const float* mask, float* y, float* buffer) {
  const Grouped c = grouped_of(direction, shape);
  const std::int64_t channels = c.groups * width, blocks = divide_up(c.q, most_columns);
  for (std::int64_t group = 0; group < c.groups; ++group, filters += c.filters()) {
    const std::int64_t first = group * width;
    copy_group(c, x + first, buffer);
    const float* next = group + 1 < c.groups ? x + first + width : x + c.h * c.w * channels;
    for (std::int64_t p = 0; p < c.p; ++p) {
      if (p < c.h) prefetch_row(next, p, c.w, channels);
      for (std::int64_t block = 0; block < blocks; ++block) {
        const Range q = share(c.q, blocks, block);
        const std::int64_t place = (p * c.q + q.begin) * channels + first;
        some_results(q.size(), c, buffer + p * c.line() + q.begin * width, filters,
                     {bias ? bias + first : nullptr, mask ? mask + place : nullptr, act}, y + place);
      }
    }
  }
}

/// One image, all groups, added to `sum` [K, R, S, 16]. buffer: copy() elements, and P·Q·16.
void conv_grouped_weight(const ConvShape& shape, const float* x, const float* y, float* sum, float* buffer) {
  const Grouped c = grouped_of(ConvDirection::weight, shape);
  const Grouped results{c.p, c.q, c.p, c.q, 1, 1, 0, 0, c.groups};
  const std::int64_t channels = c.groups * width, blocks = divide_up(c.p * c.q, positions_at_once);
  for (std::int64_t group = 0; group < c.groups; ++group, sum += c.filters()) {
    const std::int64_t first = group * width;
    copy_group(c, x + first, buffer);
    copy_group(results, y + first, buffer + c.copy());
    const bool last = group + 1 == c.groups;
    const float* next_x = last ? x + c.h * c.w * channels : x + first + width;
    const float* next_y = last ? y + c.p * c.q * channels : y + first + width;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const Range rows = share(c.p, blocks, block);
      for (std::int64_t p = rows.begin; p < rows.end; ++p) {
        if (p < c.h) prefetch_row(next_x, p, c.w, channels);
        prefetch_row(next_y, p, c.q, channels);
      }
      add_weight(c, rows, buffer, buffer + c.copy(), sum);
    }
  }
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void conv_grouped_image(const ConvShape&, ConvDirection, Activation, const float*, const float*, const float*,
                        const float*, float*, float*);
void conv_grouped_weight(const ConvShape&, const float*, const float*, float*, float*);
}  // namespace isa_avx2
namespace isa_avx512 {
void conv_grouped_image(const ConvShape&, ConvDirection, Activation, const float*, const float*, const float*,
                        const float*, float*, float*);
void conv_grouped_weight(const ConvShape&, const float*, const float*, float*, float*);
}  // namespace isa_avx512

namespace {

/// w [16, r, s, 16] of a group to [r, s, in, out]: for the input, out are the channels c, and the taps are turned.
void order_filters(const Grouped& c, bool input, const float* w, float* ordered) {
  const std::int64_t taps = c.r * c.s, filter = taps * width;
  for (std::int64_t tap = 0; tap < taps; ++tap, ordered += width * width) {
    for (std::int64_t k = 0; k < width; ++k) {
      const float* from = w + k * filter + (input ? taps - 1 - tap : tap) * width;
      for (std::int64_t i = 0; i < width; ++i) ordered[input ? k * width + i : i * width + k] = from[i];
    }
  }
}

/// f(images, a piece of the workspace) for every part of the batch.
template <class Function>
void in_image_parts(const CpuStream& stream, std::int64_t images, std::int64_t floats, float* workspace,
                    const Function& f) {
  const std::int64_t parts = images < most_parts ? images : most_parts;
  in_parts(stream, parts, [&](std::int64_t part) { f(share(images, parts, part), workspace + part * floats); });
}

}  // namespace

ConvPlan<CpuStream> plan_conv_grouped(const CpuStream&, ConvDirection direction, const ConvShape& shape,
                                      const ConvEpilogue& epilogue) {
  const bool strided = shape.stride_h != 1 || shape.stride_w != 1 || shape.dilation_h != 1 || shape.dilation_w != 1;
  if (strided || shape.c != shape.groups * width || shape.k != shape.groups * width) return {};
  // As many rows and columns of results as the padded image has positions for: no tap falls behind the last row.
  const Grouped c = grouped_of(direction, shape);
  const bool weight = direction == ConvDirection::weight, input = direction == ConvDirection::input;
  if ((epilogue.bias && epilogue.mask) || c.top < 0 || c.left < 0) return {};
  const auto whole = [](std::int64_t floats) { return divide_up(floats, widest_vector) * widest_vector; };
  const std::int64_t from_image = c.h * c.w * shape.k, to_image = c.p * c.q * shape.k, all = c.groups * c.filters();
  const std::int64_t piece = weight ? whole(all) + whole(c.copy() + c.p * c.q * width) : whole(c.copy());
  ConvPlan<CpuStream> plan;
  plan.algorithm = "grouped";
  plan.workspace =
      static_cast<std::size_t>(piece * (shape.n < most_parts ? shape.n : most_parts) + (weight ? 0 : whole(all))) *
      sizeof(float);
  if (weight) {
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      const auto image = pick(stream.isa, isa_baseline::conv_grouped_weight, isa_avx2::conv_grouped_weight,
                              isa_avx512::conv_grouped_weight);
      auto* sums = static_cast<float*>(a.workspace);
      in_image_parts(stream, shape.n, piece, sums, [&](Range images, float* sum) {
        for (std::int64_t i = 0; i < all; ++i) sum[i] = 0.0f;
        for (std::int64_t n = images.begin; n < images.end; ++n)
          image(shape, a.x + n * from_image, a.y + n * to_image, sum, sum + whole(all));
      });
      for (std::int64_t i = 0; i < all; ++i) a.out[i] = sums[i];
      for (std::int64_t part = 1; part < most_parts && part < shape.n; ++part)
        for (std::int64_t i = 0; i < all; ++i) a.out[i] += sums[part * piece + i];
    };
    return plan;
  }
  plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
    const auto image = pick(stream.isa, isa_baseline::conv_grouped_image, isa_avx2::conv_grouped_image,
                            isa_avx512::conv_grouped_image);
    const float* from = input ? a.y : a.x;
    auto* filters = static_cast<float*>(a.workspace);
    in_parts(stream, c.groups, [&](std::int64_t group) {
      order_filters(c, input, a.w + group * c.filters(), filters + group * c.filters());
    });
    in_image_parts(stream, shape.n, piece, filters + whole(all), [&](Range images, float* buffer) {
      for (std::int64_t n = images.begin; n < images.end; ++n)
        image(shape, direction, epilogue.act, from + n * from_image, filters, epilogue.bias ? a.bias : nullptr,
              epilogue.mask ? a.mask + n * to_image : nullptr, a.out + n * to_image, buffer);
    });
  };
  return plan;
}
#endif

}  // namespace ganforge
