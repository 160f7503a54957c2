// Convolution 4×4, stride 2, padding 1, by Winograd's minimal filtering (winograd.h has the formulas).
//
// Forward and input with few filters: all are transformed first. Then a part is some images, a block of their tiles at
// a time: transform, products point by point (all panels of the filters stream past a point's rows), inverse transform
// and epilogue. The block's transforms stay in L2.
//
// With many filters a block is more tiles, transformed by all threads. Then a part is a panel of the result: 64 rows of
// the filters at a time are transformed in L2 and multiplied with all tiles, whose sums stay in L2 up to the inverse
// transform and epilogue. In memory, transformed filters would be up to 16 times as large as the filters.
//
// Weight: y is transformed first. A part is a panel of 4C, whose sums stay in L2: for a block of tiles, transform x and
// let the block's y stream past it.
#include "kernels/conv_algorithms.h"
#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/winograd_product.h"
#include "kernels/winograd_tiles.h"

namespace ganforge {
namespace {

constexpr std::int64_t tile_parts = 32;    // that transforms of tiles are cut into
constexpr std::int64_t filter_panels = 2;  // of the filters at a time, where they are transformed when they are used

/// Rows of a panel in memory. Points must not be a power of two apart: their rows would share a few sets of a cache.
constexpr std::int64_t padded_rows(std::int64_t rows) {
  return rows | 1;
}

}  // namespace

namespace GANFORGE_ISA {
namespace {

/// f(part, scratch) for every part: in_parts() with memory for each thread.
template <class Function>
void in_parts_with_scratch(const CpuStream& stream, const Winograd& g, float* workspace, std::int64_t parts,
                           const Function& f) {
  alignas(64) std::int64_t next = 0;
  on_team(stream, parts > 1, [&](int, int thread) {
    if (thread >= g.threads) return;  // the others do its parts
    float* scratch = workspace + g.shared_size + thread * g.scratch_size;
    for (std::int64_t part; (part = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < parts;) f(part, scratch);
  });
}

/// What is on either side of the product of forward or input.
template <int m, bool input>
struct Product {
  static constexpr std::int64_t points = (m + 1) * (m + 1);
  const Winograd& g;
  const ConvArgs& a;
  const float* zeros;
  Finish finish;
  std::int64_t x_panels, y_panels, from, to;

  Product(const Winograd& winograd, const ConvArgs& args)
      : g(winograd),
        a(args),
        zeros(static_cast<const float*>(args.workspace)),
        finish{args.bias, args.mask, args.out, winograd.act},
        x_panels(4 * g.c / panel_width),
        y_panels(g.k / panel_width),
        from(input ? y_panels : x_panels),
        to(input ? x_panels : y_panels) {}

  void expand(std::int64_t tile, const Transformed& v, std::int64_t row) const {
    if constexpr (input) {
      expand_y<m>(g, a.y, zeros, tile, v, row);
    } else {
      for (std::int64_t panel = 0; panel < from; panel += from / 4) {
        const Transformed phase{v.data + panel * v.panel, v.panel, v.point};
        expand_x<m>(g, a.x, zeros, tile, {panel, panel + from / 4}, phase, row);
      }
    }
  }
  void expand_filters(std::int64_t from_panel, std::int64_t to_panel, const Transformed& u) const {
    if constexpr (input) {
      expand_filters_input<m>(g, a.w, from_panel, to_panel, u);
    } else {
      expand_filters_forward<m>(g, a.w, from_panel, to_panel, u);
    }
  }
  void contract(const Transformed& t, std::int64_t row, std::int64_t tile, std::int64_t panel) const {
    if constexpr (input) {
      contract_to_x<m>(g, t, row, tile, panel, finish);
    } else {
      contract_to_y<m>(g, t, row, tile, panel, finish);
    }
  }
};

template <int m, bool input>
void filters_first(const CpuStream& stream, const Winograd& g, const ConvArgs& a, float* workspace, float* shared) {
  using P = Product<m, input>;
  const P product(g, a);
  const std::int64_t filter_point = padded_rows(product.from * panel_width) * panel_width;
  in_parts(stream, product.from * product.to, [&](std::int64_t part) {
    const std::int64_t from = part % product.from, to = part / product.from;
    float* u = shared + to * P::points * filter_point + from * panel_width * panel_width;
    product.expand_filters(from, to, {u, 0, filter_point});
  });
  const std::int64_t point = padded_rows(g.block) * panel_width, panel = P::points * point;
  in_parts_with_scratch(stream, g, workspace, g.parts, [&](std::int64_t part, float* scratch) {
    const Transformed v{scratch, panel, point}, sums{scratch + product.from * panel, panel, point};
    const Range images = share(g.n, g.parts, part);
    const std::int64_t first = images.begin * g.tiles_h * g.tiles_w, tiles = images.size() * g.tiles_h * g.tiles_w;
    const std::int64_t blocks = divide_up(tiles, g.block);
    for (std::int64_t block = 0; block < blocks; ++block) {
      const Range range = share(tiles, blocks, block);
      for (std::int64_t i = 0; i < range.size(); ++i) product.expand(first + range.begin + i, v, i);
      for (std::int64_t e = 0; e < P::points; ++e) {
        for (std::int64_t to = 0; to < product.to; ++to) {
          panel_product<false>(range.size(), {.a = v.data + e * point,
                                              .a_panel = panel,
                                              .panels = product.from,
                                              .depth = panel_width,
                                              .b = shared + (to * P::points + e) * filter_point,
                                              .c = sums.data + to * panel + e * point,
                                              .add = false,
                                              .next = nullptr});
        }
      }
      for (std::int64_t i = 0; i < range.size(); ++i) {
        for (std::int64_t to = 0; to < product.to; ++to) {
          product.contract({sums.data + to * panel, panel, point}, i, first + range.begin + i, to);
        }
      }
    }
  });
}

template <int m, bool input>
void tiles_first(const CpuStream& stream, const Winograd& g, const ConvArgs& a, float* workspace, float* shared) {
  using P = Product<m, input>;
  const P product(g, a);
  const std::int64_t point = padded_rows(g.block) * panel_width, panel = P::points * point;
  const std::int64_t filter_point = padded_rows(filter_panels * panel_width) * panel_width;
  const Transformed v{shared, panel, point};
  const std::int64_t tiles = g.n * g.tiles_h * g.tiles_w, blocks = divide_up(tiles, g.block);
  for (std::int64_t block = 0; block < blocks; ++block) {
    const Range range = share(tiles, blocks, block);
    in_parts(stream, tile_parts, [&](std::int64_t part) {
      const Range some = share(range.size(), tile_parts, part);
      for (std::int64_t i = some.begin; i < some.end; ++i) product.expand(range.begin + i, v, i);
    });
    in_parts_with_scratch(stream, g, workspace, product.to, [&](std::int64_t to, float* scratch) {
      const Transformed sums{scratch, 0, point}, filters{scratch + panel, 0, filter_point};
      for (std::int64_t from = 0; from < product.from; from += filter_panels) {
        const std::int64_t left = product.from - from, panels = left < filter_panels ? left : filter_panels;
        for (std::int64_t i = 0; i < panels; ++i) {
          product.expand_filters(from + i, to, {filters.data + i * panel_width * panel_width, 0, filter_point});
        }
        for (std::int64_t e = 0; e < P::points; ++e) {
          panel_product<false>(range.size(), {.a = v.data + from * panel + e * point,
                                              .a_panel = panel,
                                              .panels = panels,
                                              .depth = panel_width,
                                              .b = filters.data + e * filter_point,
                                              .c = sums.data + e * point,
                                              .add = from > 0,
                                              .next = nullptr});
        }
      }
      for (std::int64_t i = 0; i < range.size(); ++i) product.contract(sums, i, range.begin + i, to);
    });
  }
}

template <int m>
void weight(const CpuStream& stream, const Winograd& g, const ConvArgs& a, float* workspace, float* shared) {
  constexpr std::int64_t points = (m + 1) * (m + 1);
  const std::int64_t tiles = g.n * g.tiles_h * g.tiles_w, blocks = divide_up(tiles, g.block);
  const std::int64_t point = padded_rows(g.block) * panel_width, d_panel = points * point;
  const std::int64_t sum_point = padded_rows(panel_width) * panel_width, sum_panel = points * sum_point;
  const std::int64_t k_panels = g.k / panel_width;
  const auto y_block = [&](std::int64_t block) {
    return Transformed{shared + block * k_panels * d_panel, d_panel, point};
  };
  constexpr std::int64_t block_parts = 4;
  in_parts(stream, blocks * block_parts, [&](std::int64_t part) {
    const std::int64_t block = part / block_parts;
    const Range range = share(tiles, blocks, block), some = share(range.size(), block_parts, part % block_parts);
    const Transformed d = y_block(block);
    for (std::int64_t i = some.begin; i < some.end; ++i) expand_y<m>(g, a.y, workspace, range.begin + i, d, i);
  });
  in_parts_with_scratch(stream, g, workspace, 4 * g.c / panel_width, [&](std::int64_t panel, float* scratch) {
    const Transformed v{scratch, 0, point};
    float* sums = scratch + points * point;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const Range range = share(tiles, blocks, block);
      const Transformed d = y_block(block);
      for (std::int64_t i = 0; i < range.size(); ++i) {
        expand_x<m>(g, a.x, workspace, range.begin + i, {panel, panel + 1}, v, i);
      }
      for (std::int64_t k = 0; k < k_panels; ++k) {
        const Transformed sum{sums + (blocks > 1 ? k : 0) * sum_panel, 0, sum_point};
        for (std::int64_t e = 0; e < points; ++e) {
          const float* rows = d.data + k * d.panel + e * point;
          panel_product<true>(panel_width, {.a = rows,
                                            .a_panel = 0,
                                            .panels = 1,
                                            .depth = range.size(),
                                            .b = v.data + e * point,
                                            .c = sum.data + e * sum_point,
                                            .add = block > 0,
                                            .next = rows + point});
        }
        if (block == blocks - 1) contract_to_filters<m>(g, sum, k, panel, a.out);
      }
    }
  });
}

template <int m>
void run(const CpuStream& stream, const Winograd& g, const ConvArgs& a) {
  float* workspace = static_cast<float*>(a.workspace);
  const std::int64_t channels = g.c > g.k ? g.c : g.k;
  for (std::int64_t i = 0; i < channels; ++i) workspace[i] = 0.0f;
  float* shared = workspace + channels;
  if (g.direction == ConvDirection::weight) {
    weight<m>(stream, g, a, workspace, shared);
  } else if (g.direction == ConvDirection::forward) {
    (g.filters_first ? filters_first<m, false> : tiles_first<m, false>)(stream, g, a, workspace, shared);
  } else {
    (g.filters_first ? filters_first<m, true> : tiles_first<m, true>)(stream, g, a, workspace, shared);
  }
}

}  // namespace

void winograd(const CpuStream& stream, const Winograd& g, const ConvArgs& a) {
  (g.m == 7 ? run<7> : g.m == 4 ? run<4> : run<2>)(stream, g, a);
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void winograd(const CpuStream&, const Winograd&, const ConvArgs&);
}
namespace isa_avx512 {
void winograd(const CpuStream&, const Winograd&, const ConvArgs&);
}

namespace {

/// The smaller tile where a larger one does not save an eighth of the products: its errors are smaller.
int tile_size(const ConvShape& s) {
  int best = 0;
  std::int64_t least = 0;
  for (const int m : {2, 4, 7}) {
    const std::int64_t products = divide_up(s.p, m) * divide_up(s.q, m) * (m + 1) * (m + 1);
    if (best == 0 || products * 8 < least * 7) {
      best = m;
      least = products;
    }
  }
  return best;
}

// Sizes that fit a second-level cache of a megabyte, measured on the shapes of DCGANs.
Winograd prepare(ConvDirection direction, const ConvShape& s, Activation act, int threads) {
  const int m = tile_size(s);
  Winograd g{.direction = direction,
             .act = act,
             .m = m,
             .n = s.n,
             .h = s.h,
             .w = s.w,
             .c = s.c,
             .k = s.k,
             .p = s.p,
             .q = s.q,
             .tiles_h = divide_up(s.p, m),
             .tiles_w = divide_up(s.q, m),
             .block = 0,
             .filters_first = false,
             .parts = s.n < 16 ? s.n : 16,
             .threads = threads,
             .shared_size = 0,
             .scratch_size = 0};
  const std::int64_t points = (m + 1) * (m + 1), tiles = s.n * g.tiles_h * g.tiles_w, row = points * winograd_panel;
  const std::int64_t x_panels = 4 * s.c / winograd_panel, y_panels = s.k / winograd_panel;
  const bool input = direction == ConvDirection::input;
  const std::int64_t from = input ? y_panels : x_panels, to = input ? x_panels : y_panels;
  const auto block_of = [&](std::int64_t most) { return tiles < most ? tiles : most; };
  if (direction == ConvDirection::weight) {
    g.block = block_of(64);
    g.shared_size = divide_up(tiles, g.block) * y_panels * padded_rows(g.block) * row;
    g.scratch_size = (padded_rows(g.block) + y_panels * padded_rows(winograd_panel)) * row;
  } else if (points * 4 * s.c * s.k <= (1 << 20)) {
    g.filters_first = true;
    g.block = block_of(points * from <= 256 ? 28 : 14);
    g.shared_size = to * padded_rows(from * winograd_panel) * row;
    g.scratch_size = (from + to) * padded_rows(g.block) * row;
  } else {
    g.block = block_of(m == 7 ? 64 : 128);
    g.shared_size = from * padded_rows(g.block) * row;
    g.scratch_size = (padded_rows(g.block) + padded_rows(filter_panels * winograd_panel)) * row;
  }
  g.shared_size += s.c > s.k ? s.c : s.k;  // zeros
  return g;
}

}  // namespace

ConvPlan<CpuStream> plan_conv_winograd(const CpuStream& stream, ConvDirection direction, const ConvShape& s,
                                       const ConvEpilogue& epilogue) {
  const bool fits = s.r == 4 && s.s == 4 && s.stride_h == 2 && s.stride_w == 2 && s.pad_top == 1 && s.pad_left == 1 &&
                    s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1 && s.h == 2 * s.p && s.w == 2 * s.q &&
                    s.c % winograd_panel == 0 && s.k % winograd_panel == 0;
  ConvPlan<CpuStream> plan;
  if (!fits || s.n < 1 || s.p < 1 || s.q < 1 || s.c < 1 || s.k < 1) return plan;
  const Winograd g = prepare(direction, s, epilogue.act, stream.threads);
  plan.algorithm = "winograd F(" + std::to_string(g.m) + ",2)";
  plan.workspace = static_cast<std::size_t>(g.shared_size + g.threads * g.scratch_size) * sizeof(float);
  plan.run = [g](const CpuStream& on, const ConvArgs& a) {
    pick(on.isa, isa_baseline::winograd, isa_avx2::winograd, isa_avx512::winograd)(on, g, a);
  };
  return plan;
}
#endif

}  // namespace ganforge
