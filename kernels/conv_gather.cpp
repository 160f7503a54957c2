// Convolutions of images with few channels C: the R·S·C products of a position are one row of a matrix of columns.
//
//   forward: y [P·Q, K] = columns [P·Q, R·S·C] · wᵀ        the columns are gathered from x
//   weight:  w [K, R·S·C] = yᵀ [K, P·Q] · columns          likewise
//   input:   columns [P·Q, R·S·C] = y [P·Q, K] · w         every pixel of x gathers its terms from the columns
//
// Everything happens image by image in a buffer that stays in L2. In memory, the S·C elements of a filter's row are
// contiguous in x and in a row of the columns: they are moved as vectors, whose excess the next one overwrites.
// input: with strides that divide the filter, T = S / stride taps meet in a pixel. The pixels q·stride … q·stride +
// stride − 1 (counted with the padding) are a sum of T pieces of stride·C elements from T neighbouring columns; zero
// columns on either side of a row spare the border its own code.
#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.h"
#include "kernels/gemm_tile.h"
#include "kernels/isa.h"
#include "kernels/team.h"

namespace ganforge {
namespace {

constexpr std::int64_t widest = 16;           // lanes of the widest vector: how far one may reach past the end
constexpr std::int64_t few_channels = 4;      // at most so many of x
constexpr std::int64_t most_taps = 16;        // of a pixel of x
constexpr std::int64_t block_floats = 32768;  // of columns at a time, forward and weight

/// Sizes that the three directions share.
struct Columns {
  std::int64_t height, width;  // of the padded image, as far as the filter reaches
  std::int64_t row, count;     // elements of a filter's row (S·C), of a filter (R·S·C)
  std::int64_t image;          // elements of the padded image with what a vector reaches past it
  std::int64_t rows;           // rows of positions at a time
  std::int64_t block;          // elements of their columns, likewise
};

inline Columns columns_of(const ConvShape& c) {
  Columns m;
  m.height = (c.p - 1) * c.stride_h + c.r;
  m.width = (c.q - 1) * c.stride_w + c.s;
  m.row = c.s * c.c;
  m.count = c.r * m.row;
  m.image = divide_up(m.height * m.width * c.c + widest, widest) * widest;
  const std::int64_t fit = block_floats / (c.q * m.count);
  m.rows = fit < 1 ? 1 : fit < c.p ? fit : c.p;
  m.block = m.rows * c.q * m.count + widest;
  return m;
}

/// The same of the direction input.
struct Taps {
  std::int64_t high, wide;  // taps that meet in a pixel, vertically and horizontally
  std::int64_t chunks;      // pieces of stride pixels in a row
  std::int64_t chunk;       // elements of one
  std::int64_t columns;     // in a row, with the zero ones
  std::int64_t line;        // elements of a row of pieces, with what a vector reaches past it
};

inline Taps taps_of(const ConvShape& c) {
  Taps t;
  t.high = c.r / c.stride_h;
  t.wide = c.s / c.stride_w;
  t.chunks = divide_up(c.w + c.pad_left, c.stride_w);
  t.chunk = c.stride_w * c.c;
  t.columns = t.wide - 1 + (c.q > t.chunks ? c.q : t.chunks);
  t.line = divide_up(t.chunks * t.chunk + widest, widest) * widest;
  return t;
}

inline void copy(const float* from, std::int64_t count, float* to) {
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) store(to + i, load(from + i));
  for (; i < count; ++i) to[i] = from[i];
}
inline void clear(float* to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) store(to + i, Floats{});
  for (; i < count; ++i) to[i] = 0.0f;
}

/// The image with zeros around it.
void pad_image(const ConvShape& c, const Columns& m, const float* x, float* padded) {
  const std::int64_t left = c.pad_left * c.c, line = m.width * c.c;
  const std::int64_t inside = c.w * c.c < line - left ? c.w * c.c : line - left;
  for (std::int64_t h = 0; h < m.height; ++h, padded += line) {
    const std::int64_t from = h - c.pad_top;
    if (from < 0 || from >= c.h || inside <= 0) {
      clear(padded, line);
      continue;
    }
    clear(padded, left);
    copy(x + from * c.w * c.c, inside, padded + left);
    clear(padded + left + inside, line - left - inside);
  }
}

/// The columns of the positions in some rows.
void gather_columns(const ConvShape& c, const Columns& m, Range rows, const float* padded, float* columns) {
  const std::int64_t line = m.width * c.c;
  for (std::int64_t p = rows.begin; p < rows.end; ++p) {
    for (std::int64_t q = 0; q < c.q; ++q, columns += m.count) {
      const float* from = padded + p * c.stride_h * line + q * c.stride_w * c.c;
      float* to = columns;
      for (std::int64_t r = 0; r < c.r; ++r, from += line, to += m.row) {
        for (std::int64_t i = 0; i < m.row; i += lanes) store(to + i, load(from + i));
      }
    }
  }
}

/// line[b·chunk + i] = Σ over taps of tap[b·step + i]. A constant number of taps leaves no loop over them.
template <int constant>
void add_taps(const float* const* taps, std::int64_t number, std::int64_t step, const Taps& t, float* line) {
  const std::int64_t count = constant > 0 ? constant : number;
  for (std::int64_t b = 0; b < t.chunks; ++b, line += t.chunk) {
    for (std::int64_t i = 0; i < t.chunk; i += lanes) {
      Floats total = load(taps[0] + b * step + i);
#pragma GCC unroll 4
      for (std::int64_t tap = 1; tap < count; ++tap) total += load(taps[tap] + b * step + i);
      store(line + i, total);
    }
  }
}

}  // namespace

namespace GANFORGE_ISA {

/// One image. buffer: columns_of(c).image + block elements.
void conv_columns_forward(const ConvShape& c, Activation act, const float* x, const float* w, const float* bias,
                          const float* mask, float* y, float* buffer) {
  const Columns m = columns_of(c);
  float* columns = buffer + m.image;
  pad_image(c, m, x, buffer);
  for (std::int64_t p = 0; p < c.p; p += m.rows) {
    const Range rows{p, p + m.rows < c.p ? p + m.rows : c.p};
    gather_columns(c, m, rows, buffer, columns);
    const std::int64_t positions = rows.size() * c.q, first = p * c.q * c.k;
    gemm_rectangle<false>({.a = columns,
                           .a_row = m.count,
                           .a_k = 1,
                           .b = w,
                           .b_k = 1,
                           .b_column = m.count,
                           .bias = bias,
                           .c = y + first,
                           .m = positions,
                           .n = c.k,
                           .k = m.count,
                           .act = act,
                           .y = mask ? mask + first : nullptr},
                          {0, positions}, {0, c.k});
  }
}

/// One image, added to `sum` [K, R·S·C]. buffer: columns_of(c).image + block elements, and so many as the sum.
void conv_columns_weight(const ConvShape& c, const float* x, const float* y, float* sum, float* buffer) {
  const Columns m = columns_of(c);
  float *columns = buffer + m.image, *product = columns + m.block;
  pad_image(c, m, x, buffer);
  for (std::int64_t p = 0; p < c.p; p += m.rows) {
    const Range rows{p, p + m.rows < c.p ? p + m.rows : c.p};
    gather_columns(c, m, rows, buffer, columns);
    gemm_rectangle<true>({.a = y + p * c.q * c.k,
                          .a_row = 1,
                          .a_k = c.k,
                          .b = columns,
                          .b_k = m.count,
                          .b_column = 1,
                          .bias = nullptr,
                          .c = product,
                          .m = c.k,
                          .n = m.count,
                          .k = rows.size() * c.q,
                          .act = {},
                          .y = nullptr},
                         {0, c.k}, {0, m.count});
    const std::int64_t size = c.k * m.count;
    for (std::int64_t i = 0; i < size; ++i) sum[i] += product[i];
  }
}

/// One image, without the epilogue. buffer: taps_of(c).line + P·columns·R·S·C + widest elements.
void conv_columns_input(const ConvShape& c, const float* y, const float* w, float* x, float* buffer) {
  const Taps t = taps_of(c);
  const std::int64_t row = c.s * c.c, count = c.r * row, line_columns = t.columns * count;
  float *line = buffer, *columns = buffer + t.line;
  const std::int64_t before = (t.wide - 1) * count, after = line_columns - before - c.q * count;
  for (std::int64_t p = 0; p < c.p; ++p) {
    float* to = columns + p * line_columns;
    clear(to, before);
    gemm_rectangle<false>({.a = y + p * c.q * c.k,
                           .a_row = c.k,
                           .a_k = 1,
                           .b = w,
                           .b_k = count,
                           .b_column = 1,
                           .bias = nullptr,
                           .c = to + before,
                           .m = c.q,
                           .n = count,
                           .k = c.k,
                           .act = {},
                           .y = nullptr},
                          {0, c.q}, {0, count});
    clear(to + before + c.q * count, after);
  }
  for (std::int64_t h = 0; h < c.h; ++h, x += c.w * c.c) {
    const std::int64_t place = h + c.pad_top, phase = place % c.stride_h;
    const float* taps[most_taps];
    std::int64_t number = 0;
    for (std::int64_t high = 0; high < t.high; ++high) {
      const std::int64_t p = place / c.stride_h - high, r = high * c.stride_h + phase;
      if (p < 0 || p >= c.p) continue;
      for (std::int64_t wide = 0; wide < t.wide; ++wide) {
        taps[number++] = columns + p * line_columns + (t.wide - 1 - wide) * count + r * row + wide * t.chunk;
      }
    }
    if (number == 0) {
      clear(x, c.w * c.c);
      continue;
    }
    if (number == 4) {
      add_taps<4>(taps, number, count, t, line);
    } else if (number == 2) {
      add_taps<2>(taps, number, count, t, line);
    } else {
      add_taps<0>(taps, number, count, t, line);
    }
    copy(line + c.pad_left * c.c, c.w * c.c, x);
  }
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void conv_columns_forward(const ConvShape&, Activation, const float*, const float*, const float*, const float*, float*,
                          float*);
void conv_columns_weight(const ConvShape&, const float*, const float*, float*, float*);
void conv_columns_input(const ConvShape&, const float*, const float*, float*, float*);
}  // namespace isa_avx2
namespace isa_avx512 {
void conv_columns_forward(const ConvShape&, Activation, const float*, const float*, const float*, const float*, float*,
                          float*);
void conv_columns_weight(const ConvShape&, const float*, const float*, float*, float*);
void conv_columns_input(const ConvShape&, const float*, const float*, float*, float*);
}  // namespace isa_avx512

namespace {

constexpr std::int64_t most_parts = 16;  // of the batch, each with a buffer

/// f(images, a piece of the workspace) for every part of the batch.
template <class Function>
void in_image_parts(const CpuStream& stream, std::int64_t images, std::int64_t floats, void* workspace,
                    const Function& f) {
  const std::int64_t parts = images < most_parts ? images : most_parts;
  in_parts(stream, parts, [&](std::int64_t part) {
    const Range range = share(images, parts, part);
    f(range, static_cast<float*>(workspace) + part * floats);
  });
}

}  // namespace

ConvPlan<CpuStream> plan_conv_gather(const CpuStream&, ConvDirection direction, const ConvShape& c,
                                     const ConvEpilogue& epilogue) {
  if (c.c > few_channels || c.groups != 1 || c.dilation_h != 1 || c.dilation_w != 1) return {};
  const Columns m = columns_of(c);
  const Taps t = taps_of(c);
  const std::int64_t x_image = c.h * c.w * c.c, y_image = c.p * c.q * c.k, filters = c.k * m.count;
  const auto piece = [](std::int64_t floats) { return divide_up(floats, widest) * widest; };
  std::int64_t floats = 0;
  ConvPlan<CpuStream> plan;
  plan.algorithm = "gather";
  if (direction == ConvDirection::forward) {
    floats = piece(m.image + m.block);
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      const auto image = pick(stream.isa, isa_baseline::conv_columns_forward, isa_avx2::conv_columns_forward,
                              isa_avx512::conv_columns_forward);
      in_image_parts(stream, c.n, floats, a.workspace, [&](Range images, float* buffer) {
        for (std::int64_t n = images.begin; n < images.end; ++n) {
          image(c, epilogue.act, a.x + n * x_image, a.w, epilogue.bias ? a.bias : nullptr,
                epilogue.mask ? a.mask + n * y_image : nullptr, a.out + n * y_image, buffer);
        }
      });
    };
  } else if (direction == ConvDirection::weight) {
    floats = piece(filters) + piece(m.image + m.block + filters);
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      const auto image = pick(stream.isa, isa_baseline::conv_columns_weight, isa_avx2::conv_columns_weight,
                              isa_avx512::conv_columns_weight);
      in_image_parts(stream, c.n, floats, a.workspace, [&](Range images, float* buffer) {
        clear(buffer, filters);
        for (std::int64_t n = images.begin; n < images.end; ++n)
          image(c, a.x + n * x_image, a.y + n * y_image, buffer, buffer + piece(filters));
      });
      copy(static_cast<const float*>(a.workspace), filters, a.out);
      for (std::int64_t part = 1; part < most_parts && part < c.n; ++part) {
        const float* more = static_cast<const float*>(a.workspace) + part * floats;
        for (std::int64_t i = 0; i < filters; ++i) a.out[i] += more[i];
      }
    };
  } else {
    // With a stride of one, hardly a lane of a vector would be of use.
    if (c.stride_w < 2 || c.r % c.stride_h != 0 || c.s % c.stride_w != 0 || t.high * t.wide > most_taps) return {};
    floats = piece(t.line + c.p * t.columns * m.count + widest);
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      const auto image = pick(stream.isa, isa_baseline::conv_columns_input, isa_avx2::conv_columns_input,
                              isa_avx512::conv_columns_input);
      in_image_parts(stream, c.n, floats, a.workspace, [&](Range images, float* buffer) {
        for (std::int64_t n = images.begin; n < images.end; ++n) {
          image(c, a.y + n * y_image, a.w, a.out + n * x_image, buffer);
          if (!epilogue) continue;
          conv_epilogue(stream, epilogue, c.h * c.w, c.c, a.bias, epilogue.mask ? a.mask + n * x_image : nullptr,
                        a.out + n * x_image);
        }
      });
    };
  }
  plan.workspace = static_cast<std::size_t>(floats * (c.n < most_parts ? c.n : most_parts)) * sizeof(float);
  return plan;
}
#endif

}  // namespace ganforge
