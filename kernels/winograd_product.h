// The matrix product at one point of Winograd's transform. Part of the hot kernels (isa.h): internal linkage
// throughout.
//
// Tiles of C are as in gemm_tile.h, but all operands lie in panels of 32 columns: a tile's rows of A are one contiguous
// piece for 32 steps of the sum, then the next panel's; B and C have rows of 32.
#pragma once

#include "kernels/gemm_tile.h"
#include "kernels/winograd.h"

namespace ganforge {
namespace {

struct PanelProduct {
  const float* a;  // forward, input: row i, step k at a[k / 32·a_panel + i·32 + k % 32]; weight: at a[k·32 + i]
  std::int64_t a_panel;
  std::int64_t panels, depth;  // of the sum: panels × depth steps
  const float* b;              // [panels·depth][32]
  float* c;                    // [rows][32]
  bool add;                    // to what C holds
  const float* next;           // weight: A of the product that follows
};

// Partial sums of 64 products are added up: one chain of additions over all channels would make most of the error,
// which the inverse transform then magnifies.
constexpr std::int64_t panels_at_once = 2;
constexpr std::int64_t prefetch_rows = 24, line = 16;  // of B; floats

template <int rows, bool transposed>
void panel_product(const PanelProduct& p) {
  constexpr std::int64_t row = winograd_panel;
  constexpr std::int64_t a_row = transposed ? 1 : row, a_step = transposed ? row : 1;
  Floats sums[rows][panel_vectors] = {};
  const float* b = p.b;
  for (std::int64_t panel = 0; panel < p.panels; ++panel) {
    const float* a = p.a + panel * p.a_panel;
    const float* next = transposed ? p.next : a + p.a_panel;
    for (std::int64_t k = p.depth; k > 0; --k) {
      __builtin_prefetch(next);
      if constexpr (transposed) __builtin_prefetch(next + line);
      next += transposed ? row : line;
      Floats columns[panel_vectors];
#pragma GCC unroll 16
      for (int j = 0; j < panel_vectors; ++j) {
        columns[j] = load(b + j * lanes);
        if constexpr (!transposed) __builtin_prefetch(b + prefetch_rows * row + j * lanes);
      }
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const Floats value = broadcast(a[i * a_row]);
#pragma GCC unroll 16
        for (int j = 0; j < panel_vectors; ++j) sums[i][j] += value * columns[j];
      }
      a += a_step;
      b += row;
    }
  }
  if (p.add) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < panel_vectors; ++j) sums[i][j] += load(p.c + i * row + j * lanes);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < panel_vectors; ++j) store(p.c + i * row + j * lanes, sums[i][j]);
  }
}

template <bool transposed, int... rows_less_one>
void panel_product(std::int64_t rows, const PanelProduct& p, std::integer_sequence<int, rows_less_one...>) {
  using Function = void (*)(const PanelProduct&);
  static constexpr Function functions[] = {panel_product<rows_less_one + 1, transposed>...};
  functions[rows - 1](p);
}

/// C [rows][32] of any number of rows.
template <bool transposed>
void panel_product(std::int64_t rows, const PanelProduct& whole) {
  const std::int64_t tiles = divide_up(rows, tile_rows);
  for (std::int64_t column = 0; column < winograd_panel; column += panel_columns) {
    for (std::int64_t t = 0; t < tiles; ++t) {
      const Range part = share(rows, tiles, t);
      for (std::int64_t first = 0; first < whole.panels; first += panels_at_once) {
        const std::int64_t left = whole.panels - first;
        // Made anew, not copied and changed: a copy's wide loads would wait for the narrow stores before them.
        const PanelProduct p{.a = whole.a + part.begin * (transposed ? 1 : winograd_panel) + first * whole.a_panel,
                             .a_panel = whole.a_panel,
                             .panels = left < panels_at_once ? left : panels_at_once,
                             .depth = whole.depth,
                             .b = whole.b + first * winograd_panel * winograd_panel + column,
                             .c = whole.c + part.begin * winograd_panel + column,
                             .add = whole.add || first > 0,
                             .next = whole.next};
        panel_product<transposed>(part.size(), p, std::make_integer_sequence<int, tile_rows>());
      }
    }
  }
}

}  // namespace
}  // namespace ganforge
