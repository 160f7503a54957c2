// From images and filters to Winograd's transforms and back. Part of the hot kernels (isa.h): internal linkage
// throughout. Inner loops run over vectors of channels; where a tile's pixels are is worked out once per tile.
#pragma once

#include "kernels/gemm_tile.h"
#include "kernels/vector_activate.h"
#include "kernels/winograd.h"
#include "kernels/winograd_transform.h"

namespace ganforge {
namespace {

constexpr std::int64_t panel_width = winograd_panel;

/// A transformed tensor, or the part of one that is at hand.
struct Transformed {
  float* data;
  std::int64_t panel, point;  // steps between panels and between points; rows are panel_width apart
};

struct TilePlace {
  std::int64_t image, row, column;  // of the tile's first output
  TilePlace(const Winograd& g, std::int64_t tile)
      : image(tile / (g.tiles_h * g.tiles_w)),
        row(tile / g.tiles_w % g.tiles_h * g.m),
        column(tile % g.tiles_w * g.m) {}
};

/// Pixel (i, j) of a tile of x's cells for one phase: row 2·(p + i) − 1 + phase / 2, column 2·(q + j) − 1 + phase % 2.
struct PhasePixels {
  std::int64_t row, column, height, width, base;
  PhasePixels(const Winograd& g, const TilePlace& t, int phase)
      : row(2 * t.row - 1 + phase / 2),
        column(2 * t.column - 1 + phase % 2),
        height(g.h),
        width(g.w),
        base(t.image * g.h) {}
  bool inside(std::int64_t i, std::int64_t j) const {
    return row + 2 * i >= 0 && row + 2 * i < height && column + 2 * j >= 0 && column + 2 * j < width;
  }
  std::int64_t pixel(std::int64_t i, std::int64_t j) const { return (base + row + 2 * i) * width + column + 2 * j; }
};

/// Row `row` of V, for the channels of `panels` panels of 4C (phase, channel), all of one phase. `zeros` holds c
/// floats. The next tile's pixels, which lie as far from the tile's as its first, are prefetched: they are too
/// scattered for the processor to guess.
template <int m>
void expand_x(const Winograd& g, const float* x, const float* zeros, std::int64_t tile, Range panels,
              const Transformed& v, std::int64_t row) {
  constexpr int n = m + 1;
  const std::int64_t of_phase = g.c / panel_width;
  const int phase = static_cast<int>(panels.begin / of_phase);
  const PhasePixels pixels(g, TilePlace(g, tile), phase);
  const float* at[n * n];
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) at[i * n + j] = pixels.inside(i, j) ? x + pixels.pixel(i, j) * g.c : zeros;
  }
  const std::int64_t next = (PhasePixels(g, TilePlace(g, tile + 1), phase).pixel(0, 0) - pixels.pixel(0, 0)) * g.c;
  for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
    float* to = v.data + (panel - panels.begin) * v.panel + row * panel_width;
    const std::int64_t channel = (panel - phase * of_phase) * panel_width;
    for (std::int64_t lane = 0; lane < panel_width; lane += lanes) {
      expand_tile<B<m>>(
          [&](int i, int j) {
            const float* from = at[i * n + j] + channel + lane;
            __builtin_prefetch(from + next);
            return load(from);
          },
          [&](int i, int j, Floats value) { store(to + (i * n + j) * v.point + lane, value); });
    }
  }
}

/// Row `row` of D, all channels. `zeros` holds k floats.
template <int m>
void expand_y(const Winograd& g, const float* y, const float* zeros, std::int64_t tile, const Transformed& d,
              std::int64_t row) {
  const TilePlace t(g, tile);
  const float* at[m * m];
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < m; ++j) {
      const bool inside = t.row + i < g.p && t.column + j < g.q;
      at[i * m + j] = inside ? y + ((t.image * g.p + t.row + i) * g.q + t.column + j) * g.k : zeros;
    }
  }
  const TilePlace u(g, tile + 1);
  const std::int64_t next = (((u.image - t.image) * g.p + u.row - t.row) * g.q + u.column - t.column) * g.k;
  for (std::int64_t channel = 0; channel < g.k; channel += lanes) {
    float* to = d.data + channel / panel_width * d.panel + row * panel_width + channel % panel_width;
    expand_tile<A<m>>(
        [&](int i, int j) {
          const float* from = at[i * m + j] + channel;
          __builtin_prefetch(from + next);
          return load(from);
        },
        [&](int i, int j, Floats value) { store(to + (i * (m + 1) + j) * d.point, value); });
  }
}

/// The epilogue of ConvArgs on a vector of channels, into `out`.
struct Finish {
  const float *bias, *mask;
  float* out;
  Activation act;
  void operator()(Floats v, std::int64_t pixel, std::int64_t channels, std::int64_t channel) const {
    const std::int64_t at = pixel * channels + channel;
    if (bias) v += load(bias + channel);
    store(out + at, mask ? activation_grad(act, load(mask + at), v) : activate(act, v));
  }
  /// What an operator() for element `at` of the result will touch. As of x's, the processor cannot guess a tile's
  /// pixels.
  void prefetch(std::int64_t at) const {
    __builtin_prefetch(out + at, 1);
    if (mask) __builtin_prefetch(mask + at);
  }
};

/// The tile's outputs in the panel `panel` of y's channels, from row `row` of the product `t`.
template <int m>
void contract_to_y(const Winograd& g, const Transformed& t, std::int64_t row, std::int64_t tile, std::int64_t panel,
                   const Finish& finish) {
  constexpr int n = m + 1;
  const TilePlace place(g, tile), next(g, tile + 1);
  const std::int64_t rows = g.p - place.row < m ? g.p - place.row : m;
  const std::int64_t columns = g.q - place.column < m ? g.q - place.column : m;
  for (std::int64_t lane = 0; lane < panel_width; lane += lanes) {
    const float* from = t.data + row * panel_width + lane;
    Floats values[m][m];
    const std::int64_t ahead = ((next.image * g.p + next.row) * g.q + next.column) * g.k + panel * panel_width + lane;
    contract_tile<A<m>>(
        [&](int i, int j) {
          if (i < m && j < m) finish.prefetch(ahead + (i * g.q + j) * g.k);
          return load(from + (i * n + j) * t.point);
        },
        [&](int i, int j, Floats value) { values[i][j] = value; });
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t first = (place.image * g.p + place.row + i) * g.q + place.column;
      for (std::int64_t j = 0; j < columns; ++j) {
        finish(values[i][j], first + j, g.k, panel * panel_width + lane);
      }
    }
  }
}

/// The tile's share of x in the panel `panel` of 4C. Tiles come in order: cells that an earlier one has written are
/// added to, and the epilogue is for those that no later one touches.
template <int m>
void contract_to_x(const Winograd& g, const Transformed& t, std::int64_t row, std::int64_t tile, std::int64_t panel,
                   const Finish& finish) {
  constexpr int n = m + 1;
  const std::int64_t of_phase = g.c / panel_width;
  const TilePlace place(g, tile);
  const int phase = static_cast<int>(panel / of_phase);
  const PhasePixels pixels(g, place, phase), next(g, TilePlace(g, tile + 1), phase);
  const bool last_row = place.row + m >= g.tiles_h * m, last_column = place.column + m >= g.tiles_w * m;
  for (std::int64_t lane = 0; lane < panel_width; lane += lanes) {
    const float* from = t.data + row * panel_width + lane;
    const std::int64_t channel = panel % of_phase * panel_width + lane;
    Floats values[n][n];
    const std::int64_t ahead = next.pixel(0, 0) * g.c + channel;
    contract_tile<B<m>>(
        [&](int i, int j) {
          finish.prefetch(ahead + (i * g.w + j) * 2 * g.c);
          return load(from + (i * n + j) * t.point);
        },
        [&](int i, int j, Floats value) { values[i][j] = value; });
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        if (!pixels.inside(i, j)) continue;
        const std::int64_t pixel = pixels.pixel(i, j);
        float* at = finish.out + pixel * g.c + channel;
        Floats value = values[i][j];
        if ((i == 0 && place.row > 0) || (j == 0 && place.column > 0)) value += load(at);
        if ((i < m || last_row) && (j < m || last_column)) {
          finish(value, pixel, g.c, channel);
        } else {
          store(at, value);
        }
      }
    }
  }
}

constexpr std::int64_t filters_ahead = 8;  // that are prefetched

/// G w Gᵀ of the taps of one phase: `at` is where the tap (0, 0) of the cell is, taps `tap_h` and `tap_w` apart. Those
/// at a distance of `ahead` are prefetched.
template <int m>
inline void expand_taps(const float* at, std::int64_t tap_h, std::int64_t tap_w, std::int64_t ahead, float* to,
                        std::int64_t point) {
  expand_tile<G<m>>(
      [&](int i, int j) {
        const float* tap = at + i * tap_h + j * tap_w;
        __builtin_prefetch(tap + ahead);
        return load(tap);
      },
      [&](int i, int j, Floats value) { store(to + (i * (m + 1) + j) * point, value); });
}

/// U: 32 channels of 4C (panel `from`) × 32 of K (panel `to`), at u.data + point·u.point + channel·32.
template <int m>
void expand_filters_forward(const Winograd& g, const float* w, std::int64_t from, std::int64_t to,
                            const Transformed& u) {
  const std::int64_t of_phase = g.c / panel_width, phase = from / of_phase, c = from % of_phase * panel_width;
  const std::int64_t first = (phase / 2 * 4 + phase % 2) * g.c + c;
  alignas(64) float taps[4][lanes * lanes];
  for (std::int64_t k = 0; k < panel_width; k += lanes) {
    for (std::int64_t channel = 0; channel < panel_width; channel += lanes) {
      for (int tap = 0; tap < 4; ++tap) {
        const float* source =
            w + (to * panel_width + k) * 16 * g.c + first + (tap / 2 * 8 + tap % 2 * 2) * g.c + channel;
        // The same filters' next 32 channels follow, those of the next phase behind the last.
        for (int i = 0; i < lanes; ++i) __builtin_prefetch(source + i * 16 * g.c + panel_width);
        pack_transposed(source, 16 * g.c, lanes, lanes, lanes, taps[tap]);
      }
      for (std::int64_t i = 0; i < lanes; ++i) {
        expand_taps<m>(taps[0] + i * lanes, 2 * lanes * lanes, lanes * lanes, 0,
                       u.data + (channel + i) * panel_width + k, u.point);
      }
    }
  }
}

/// Uᵀ: 32 channels of K (panel `from`) × 32 of 4C (panel `to`), likewise.
template <int m>
void expand_filters_input(const Winograd& g, const float* w, std::int64_t from, std::int64_t to, const Transformed& u) {
  const std::int64_t of_phase = g.c / panel_width, phase = to / of_phase, c = to % of_phase * panel_width;
  for (std::int64_t k = 0; k < panel_width; ++k) {
    const float* source = w + ((from * panel_width + k) * 16 + phase / 2 * 4 + phase % 2) * g.c + c;
    for (std::int64_t lane = 0; lane < panel_width; lane += lanes) {
      expand_taps<m>(source + lane, 8 * g.c, 2 * g.c, filters_ahead * 16 * g.c, u.data + k * panel_width + lane,
                     u.point);
    }
  }
}

/// The weight gradients of 32 channels of K (panel k_panel) × 32 of 4C (panel `panel`), of the sums `t` [k][32].
template <int m>
void contract_to_filters(const Winograd& g, const Transformed& t, std::int64_t k_panel, std::int64_t panel, float* w) {
  constexpr int n = m + 1;
  const std::int64_t of_phase = g.c / panel_width, phase = panel / of_phase, c = panel % of_phase * panel_width;
  for (std::int64_t k = 0; k < panel_width; ++k) {
    float* to = w + ((k_panel * panel_width + k) * 16 + phase / 2 * 4 + phase % 2) * g.c + c;
    for (std::int64_t lane = 0; lane < panel_width; lane += lanes) {
      const float* from = t.data + k * panel_width + lane;
      contract_tile<G<m>>([&](int i, int j) { return load(from + (i * n + j) * t.point); },
                          [&](int i, int j, Floats value) { store(to + (i * 8 + j * 2) * g.c + lane, value); });
    }
  }
}

}  // namespace
}  // namespace ganforge
