// The matrix product under the three passes of a fully connected layer: C = bias + A·B, then an activation; or a part
// of it, for one thread. Float32, row-major, no allocation. Part of the hot kernels (isa.h): internal linkage
// throughout.
//
// B is cut into panels of two vectors of columns, C into tiles of a panel × at most `tile_rows` rows. A tile stays in
// registers while k runs: a step loads two vectors of B and one broadcast of A per row (AVX-512: 14 × 32 floats, 16
// loads for 28 fused multiply-adds). A panel is read where it lies, or from a copy of at most 64 KB on the stack:
// transposed for the forward pass, padded at the right edge. Loops, outer to inner: blocks of k (the panel's stay in
// L2), blocks of rows (A's stay in L2), panels, tiles. The order of the additions in an element of C depends on k
// alone: how threads share C does not change its bits.
#pragma once

#include "kernels/vector_math.h"

#include <utility>

namespace ganforge {
namespace {

#if defined(__AVX512F__)
constexpr int tile_rows = 14, wide_vectors = 8;
#elif defined(__AVX2__)
constexpr int tile_rows = 6, wide_vectors = 4;
#else
constexpr int tile_rows = 4, wide_vectors = 4;
#endif
constexpr int wide_rows = 2;  // tiles of one or two rows are wider, to have enough independent sums
constexpr int panel_vectors = 2;
constexpr int panel_columns = panel_vectors * lanes;
constexpr std::int64_t k_block = 16384 / panel_columns;
constexpr std::int64_t row_block = 32 * tile_rows;

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

/// Part `part` of `parts` nearly equal parts of 0 … count − 1.
inline Range share(std::int64_t count, std::int64_t parts, std::int64_t part) {
  return {count * part / parts, count * (part + 1) / parts};
}
inline std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

struct Gemm {
  const float* a;  // element (i, k) at a[i·a_row + k·a_k]; one of the steps is 1
  std::int64_t a_row, a_k;
  const float* b;  // element (k, j) at b[k·b_k + j·b_column]; likewise
  std::int64_t b_k, b_column;
  const float* bias;  // [n], or null for zeros
  float* c;           // [m, n]
  std::int64_t m, n, k;
  Activation act;  // C becomes act(C); with y [m, n] not null: C ⊙ act′, act′ taken from the output y
  const float* y;
};

struct Tile {
  const float* a;
  std::int64_t a_row, a_k;
  const float* b;
  std::int64_t b_k;
  const float* init;  // what C starts from, row by row; may be c
  std::int64_t init_row;
  float* c;
  std::int64_t c_row, k;
};

template <int rows, int vectors, bool a_rows_adjacent>
void compute_tile(const Tile& t) {
  const std::int64_t a_row = a_rows_adjacent ? 1 : t.a_row, a_k = a_rows_adjacent ? t.a_k : 1, b_k = t.b_k;
  const std::int64_t init_row = t.init_row, c_row = t.c_row;
  const float* init = t.init;
  float* c = t.c;
  Floats sums[rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < vectors; ++j) sums[i][j] = load(init + i * init_row + j * lanes);
  }
  const float *a = t.a, *b = t.b;
  for (std::int64_t k = t.k; k > 0; --k) {
    Floats columns[vectors];
#pragma GCC unroll 16
    for (int j = 0; j < vectors; ++j) columns[j] = load(b + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Floats value = broadcast(a[i * a_row]);
#pragma GCC unroll 16
      for (int j = 0; j < vectors; ++j) sums[i][j] += value * columns[j];
    }
    a += a_k;
    b += b_k;
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < vectors; ++j) store(c + i * c_row + j * lanes, sums[i][j]);
  }
}

template <int vectors, bool a_rows_adjacent, int... rows_less_one>
void compute_tile_of(std::int64_t rows, const Tile& t, std::integer_sequence<int, rows_less_one...>) {
  using Function = void (*)(const Tile&);
  static constexpr Function functions[] = {compute_tile<rows_less_one + 1, vectors, a_rows_adjacent>...};
  functions[rows - 1](t);
}

template <bool a_rows_adjacent>
void compute_tile_of(std::int64_t rows, int vectors, const Tile& t) {
  if (vectors == 1) {
    compute_tile_of<1, a_rows_adjacent>(rows, t, std::make_integer_sequence<int, tile_rows>());
  } else if (vectors == panel_vectors) {
    compute_tile_of<panel_vectors, a_rows_adjacent>(rows, t, std::make_integer_sequence<int, tile_rows>());
  } else {
    compute_tile_of<wide_vectors, a_rows_adjacent>(rows, t, std::make_integer_sequence<int, wide_rows>());
  }
}

/// Within each group of four lanes: units (of one or two floats) of a and b by turns, from the low or the high half.
template <int unit, int half>
struct Interleave {
  static constexpr int index(int i) {
    const int group = i / 4 * 4, place = i % 4;
    const int source = place / unit % 2, from = 2 * half + place / (2 * unit) * unit + place % unit;
    return source * lanes + group + from;
  }
};
/// The groups of four lanes of a, then of b, with an even (parity 0) or odd number.
template <int parity>
struct Groups {
  static constexpr int index(int i) {
    const int group = 2 * (i / 4) + parity;
    return group * 4 + i % 4;
  }
};

/// Transposes lanes × lanes floats. Only shuffles within groups of four lanes and of whole groups: one instruction
/// each.
inline void transpose(Floats (&rows)[lanes]) {
  constexpr int groups = lanes / 4;
#pragma GCC unroll 4
  for (int g = 0; g < groups; ++g) {
    Floats* r = rows + 4 * g;
    const Floats p0 = shuffle<Interleave<1, 0>>(r[0], r[1]), p1 = shuffle<Interleave<1, 1>>(r[0], r[1]);
    const Floats p2 = shuffle<Interleave<1, 0>>(r[2], r[3]), p3 = shuffle<Interleave<1, 1>>(r[2], r[3]);
    r[0] = shuffle<Interleave<2, 0>>(p0, p2);
    r[1] = shuffle<Interleave<2, 1>>(p0, p2);
    r[2] = shuffle<Interleave<2, 0>>(p1, p3);
    r[3] = shuffle<Interleave<2, 1>>(p1, p3);
  }
  // Now group j of rows[4·g + e] holds column 4·j + e of rows 4·g … 4·g + 3: transpose the groups, for each e.
  if constexpr (groups == 2) {
#pragma GCC unroll 4
    for (int e = 0; e < 4; ++e) {
      const Floats a = rows[e], b = rows[4 + e];
      rows[e] = shuffle<Groups<0>>(a, b);
      rows[4 + e] = shuffle<Groups<1>>(a, b);
    }
  } else if constexpr (groups == 4) {
#pragma GCC unroll 4
    for (int e = 0; e < 4; ++e) {
      const Floats even = shuffle<Groups<0>>(rows[e], rows[4 + e]), odd = shuffle<Groups<1>>(rows[e], rows[4 + e]);
      const Floats even2 = shuffle<Groups<0>>(rows[8 + e], rows[12 + e]);
      const Floats odd2 = shuffle<Groups<1>>(rows[8 + e], rows[12 + e]);
      rows[e] = shuffle<Groups<0>>(even, even2);
      rows[8 + e] = shuffle<Groups<1>>(even, even2);
      rows[4 + e] = shuffle<Groups<0>>(odd, odd2);
      rows[12 + e] = shuffle<Groups<1>>(odd, odd2);
    }
  }
}

/// panel[k][j] = b[j·b_column + k] for j < columns, zero up to the next whole vector.
inline void pack_transposed(const float* b, std::int64_t b_column, std::int64_t k_count, std::int64_t columns,
                            std::int64_t panel_row, float* panel) {
  for (std::int64_t j = 0; j < columns; j += lanes) {
    for (std::int64_t block = 0; block < k_count; block += lanes) {
      // The last block is moved back to be a whole one, where there are that many.
      const std::int64_t k = block + lanes <= k_count || k_count < lanes ? block : k_count - lanes;
      Floats rows[lanes];
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) {
        const float* source = b + (j + i) * b_column + k;
        rows[i] = j + i >= columns ? Floats{} : k_count < lanes ? load_part(source, k_count) : load(source);
      }
      transpose(rows);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) {
        if (i < k_count) store(panel + (k + i) * panel_row + j, rows[i]);
      }
    }
  }
}

/// panel[k][j] = b[k·b_k + j] for j < columns, zero up to the next whole vector.
inline void pack(const float* b, std::int64_t b_k, std::int64_t k_count, std::int64_t columns, std::int64_t panel_row,
                 float* panel) {
  for (std::int64_t k = 0; k < k_count; ++k) {
    for (std::int64_t j = 0; j < columns; j += lanes) {
      const float* source = b + k * b_k + j;
      store(panel + k * panel_row + j, j + lanes <= columns ? load(source) : load_part(source, columns - j));
    }
  }
}

template <class Function>
void finish_with(const Function& f, float* c, const float* y, std::int64_t row, std::int64_t rows,
                 std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; ++i, c += row, y += row) {
    std::int64_t j = 0;
    for (; j + lanes <= columns; j += lanes) store(c + j, f(load(c + j), load(y + j)));
    if (j < columns) store_part(c + j, f(load_part(c + j, columns - j), load_part(y + j, columns - j)), columns - j);
  }
}

/// The activation, or its derivative's product, over a rectangle of C whose rows are `row` elements apart.
inline void finish(Activation act, float* c, const float* y, std::int64_t row, std::int64_t rows,
                   std::int64_t columns) {
  const Floats one = broadcast(1.0f), zero = broadcast(0.0f), slope = broadcast(act.negative_slope);
  using Kind = Activation::Kind;
  if (act.kind == Kind::leaky_relu) {
    if (!y) finish_with([=](Floats x, Floats) { return x > zero ? x : slope * x; }, c, c, row, rows, columns);
    if (y) finish_with([=](Floats d, Floats v) { return v > zero ? d : slope * d; }, c, y, row, rows, columns);
  } else if (act.kind == Kind::tanh) {
    if (!y) finish_with([](Floats x, Floats) { return tanh(x); }, c, c, row, rows, columns);
    if (y) finish_with([=](Floats d, Floats v) { return d * (one - v * v); }, c, y, row, rows, columns);
  } else if (act.kind == Kind::sigmoid) {
    if (!y) finish_with([](Floats x, Floats) { return sigmoid(x); }, c, c, row, rows, columns);
    if (y) finish_with([=](Floats d, Floats v) { return d * (v * (one - v)); }, c, y, row, rows, columns);
  }
}

/// The rectangle rows × columns of C. No element outside of it is touched.
template <bool a_rows_adjacent>
void gemm_rectangle(const Gemm& g, Range rows, Range columns) {
  alignas(64) float panel[k_block * panel_columns];
  alignas(64) float edge[tile_rows * panel_columns];
  alignas(64) float start[wide_vectors * lanes] = {};
  const std::int64_t k_blocks = g.k > k_block ? divide_up(g.k, k_block) : 1;
  const std::int64_t row_blocks = divide_up(rows.size(), row_block);
  for (std::int64_t kb = 0; kb < k_blocks; ++kb) {
    const Range k = share(g.k, k_blocks, kb);
    for (std::int64_t rb = 0; rb < row_blocks; ++rb) {
      const Range block = share(rows.size(), row_blocks, rb);
      const std::int64_t tiles = divide_up(block.size(), tile_rows);
      // A step of whole kilobytes lets a panel's rows evict each other from L1: worth a copy if it is used twice.
      const bool conflicts = g.b_k % 256 == 0 && tiles > 1;
      std::int64_t width;
      for (std::int64_t j = columns.begin; j < columns.end; j += width) {
        const std::int64_t left = columns.end - j;
        const bool wide = block.size() <= wide_rows && g.b_column == 1 && left >= wide_vectors * lanes;
        const int vectors = wide ? wide_vectors : left > lanes ? panel_vectors : 1;
        const std::int64_t whole = vectors * lanes;
        width = left < whole ? left : whole;
        const float* b = g.b + k.begin * g.b_k + j * g.b_column;
        const bool direct = g.b_column == 1 && width == whole && (wide || !conflicts);
        if (g.b_column != 1) {
          pack_transposed(b, g.b_column, k.size(), width, whole, panel);
        } else if (!direct) {
          pack(b, g.b_k, k.size(), width, whole, panel);
        }
        for (std::int64_t i = 0; i < width; ++i) start[i] = g.bias ? g.bias[j + i] : 0.0f;
        for (std::int64_t t = 0; t < tiles; ++t) {
          const Range part = share(block.size(), tiles, t);
          const std::int64_t row = rows.begin + block.begin + part.begin;
          float* c = g.c + row * g.n + j;
          Tile args{.a = g.a + row * g.a_row + k.begin * g.a_k,
                    .a_row = g.a_row,
                    .a_k = g.a_k,
                    .b = direct ? b : panel,
                    .b_k = direct ? g.b_k : whole,
                    .init = start,
                    .init_row = 0,
                    .c = c,
                    .c_row = g.n,
                    .k = k.size()};
          if (width < whole) {
            args.c = edge;
            args.c_row = whole;
          }
          if (kb > 0) {
            args.init = args.c;
            args.init_row = args.c_row;
            if (width < whole) pack(c, g.n, part.size(), width, whole, edge);
          }
          compute_tile_of<a_rows_adjacent>(part.size(), vectors, args);
          if (width < whole) {
            for (std::int64_t i = 0; i < part.size(); ++i) {
              for (std::int64_t v = 0; v < width; ++v) c[i * g.n + v] = edge[i * whole + v];
            }
          }
          if (kb == k_blocks - 1) finish(g.act, c, g.y ? g.y + row * g.n + j : nullptr, g.n, part.size(), width);
        }
      }
    }
  }
}

/// Part `part` of C, cut by columns (whole vectors) unless rows divide the work better.
template <bool a_rows_adjacent>
void gemm_part(const Gemm& g, std::int64_t parts, std::int64_t part) {
  const std::int64_t vectors = divide_up(g.n, lanes);
  const std::int64_t by_columns = divide_up(vectors, parts) * g.m, by_rows = divide_up(g.m, parts) * vectors;
  if (by_columns * 16 <= by_rows * 17) {
    const Range v = share(vectors, parts, part);
    const Range columns{v.begin * lanes, v.end * lanes < g.n ? v.end * lanes : g.n};
    gemm_rectangle<a_rows_adjacent>(g, {0, g.m}, columns);
  } else {
    gemm_rectangle<a_rows_adjacent>(g, share(g.m, parts, part), {0, g.n});
  }
}

}  // namespace
}  // namespace ganforge
