// Every pass is one matrix product of gemm_tile.h in at most one job of the team. Each thread owns whole columns or
// rows of the result and copies the parts of w that it needs itself, so there is no barrier inside. Layers of few rows
// or outputs are bound by reading w or x once and have paths of their own.
#include "kernels/linear.h"

#include "kernels/gemm_tile.h"
#include "kernels/isa.h"
#include "kernels/team.h"

namespace ganforge {
namespace {

// A job of the team costs microseconds: fewer multiply-adds than this are done by the calling thread.
constexpr std::int64_t parallel_work = 1 << 17;

template <class Function>
void on_threads(const CpuStream& stream, std::int64_t work, const Function& f) {
  on_team(stream, work >= parallel_work, f);
}

// Forward of few rows or few outputs: dot products of the rows of x and w, both contiguous. Nothing is transposed.
constexpr int dot_tile = 4;
constexpr int few = 8;  // up to so many rows or outputs

/// y[r, o] = x[r]·w[o] + b[o] for a tile. One vector of partial sums per element of y.
template <int rows, int outs>
void dot_products(const LinearArgs& p, std::int64_t r, std::int64_t o) {
  const float *x = p.x + r * p.in, *w = p.w + o * p.in;
  Floats sums[rows][outs] = {};
  const auto accumulate = [&](const auto& read) {
    Floats columns[outs];
#pragma GCC unroll 4
    for (int j = 0; j < outs; ++j) columns[j] = read(w + j * p.in);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const Floats value = read(x + i * p.in);
#pragma GCC unroll 4
      for (int j = 0; j < outs; ++j) sums[i][j] += value * columns[j];
    }
    x += lanes;
    w += lanes;
  };
  std::int64_t k = p.in;
  for (; k >= lanes; k -= lanes) accumulate([](const float* source) { return load(source); });
  if (k > 0) accumulate([k](const float* source) { return load_part(source, k); });
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < outs; ++j) p.y[(r + i) * p.out + o + j] = sum(sums[i][j]) + (p.b ? p.b[o + j] : 0.0f);
  }
}

void dot_products(const LinearArgs& p, Range rows, Range outs) {
  const auto row_tile = [&]<int count>(std::int64_t r) {
    std::int64_t o = outs.begin;
    for (; o + dot_tile <= outs.end; o += dot_tile) dot_products<count, dot_tile>(p, r, o);
    for (; o < outs.end; ++o) dot_products<count, 1>(p, r, o);
  };
  std::int64_t r = rows.begin;
  for (; r + dot_tile <= rows.end; r += dot_tile) row_tile.operator()<dot_tile>(r);
  for (; r < rows.end; ++r) row_tile.operator()<1>(r);
  float* y = p.y + rows.begin * p.out + outs.begin;
  const bool contiguous = outs.size() == p.out;
  finish(p.act, y, nullptr, p.out, contiguous ? 1 : rows.size(), contiguous ? rows.size() * p.out : outs.size());
}

/// dx of a layer with one output: an outer product, row by row.
void outer_product(const LinearInputGradArgs& p, Range rows) {
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    const Floats d = broadcast(p.dz[r]);
    float* dx = p.dx + r * p.in;
    std::int64_t i = 0;
    for (; i + lanes <= p.in; i += lanes) store(dx + i, d * load(p.w + i));
    for (; i < p.in; ++i) dx[i] = p.dz[r] * p.w[i];
  }
  const std::int64_t first = rows.begin * p.in;
  if (p.y) finish(p.act, p.dx + first, p.y + first, 0, 1, rows.size() * p.in);
}

/// db[o] = Σ_rows dz[rows, o] for a range of o: `vectors` columns of vectors at once.
template <int vectors>
void column_sums(const LinearWeightGradArgs& p, std::int64_t o) {
  Floats sums[vectors] = {};
  for (std::int64_t r = 0; r < p.rows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) sums[j] += load(p.dz + r * p.out + o + j * lanes);
  }
  for (int j = 0; j < vectors; ++j) store(p.db + o + j * lanes, sums[j]);
}

void column_sums(const LinearWeightGradArgs& p, Range outs) {
  std::int64_t o = outs.begin;
  for (; o + 4 * lanes <= outs.end; o += 4 * lanes) column_sums<4>(p, o);
  for (; o + lanes <= outs.end; o += lanes) column_sums<1>(p, o);
  for (; o < outs.end; ++o) {
    float total = 0.0f;
    for (std::int64_t r = 0; r < p.rows; ++r) total += p.dz[r * p.out + o];
    p.db[o] = total;
  }
}

}  // namespace

namespace GANFORGE_ISA {

void linear(const CpuStream& stream, const LinearArgs& p) {
  const std::int64_t work = p.rows * p.in * p.out;
  if (p.rows <= few || p.out <= few) {
    on_threads(stream, work, [&](std::int64_t parts, std::int64_t part) {
      const bool by_rows = p.rows > p.out;
      dot_products(p, by_rows ? share(p.rows, parts, part) : Range{0, p.rows},
                   by_rows ? Range{0, p.out} : share(p.out, parts, part));
    });
    return;
  }
  const Gemm gemm{.a = p.x,
                  .a_row = p.in,
                  .a_k = 1,
                  .b = p.w,
                  .b_k = 1,
                  .b_column = p.in,
                  .bias = p.b,
                  .c = p.y,
                  .m = p.rows,
                  .n = p.out,
                  .k = p.in,
                  .act = p.act,
                  .y = nullptr};
  on_threads(stream, work, [&](std::int64_t parts, std::int64_t part) { gemm_part<false>(gemm, parts, part); });
}

void linear_input_grad(const CpuStream& stream, const LinearInputGradArgs& p) {
  const Gemm gemm{.a = p.dz,
                  .a_row = p.out,
                  .a_k = 1,
                  .b = p.w,
                  .b_k = p.in,
                  .b_column = 1,
                  .bias = nullptr,
                  .c = p.dx,
                  .m = p.rows,
                  .n = p.in,
                  .k = p.out,
                  .act = p.y ? p.act : Activation{},
                  .y = p.y};
  on_threads(stream, p.rows * p.in * p.out, [&](std::int64_t parts, std::int64_t part) {
    if (p.out == 1) {
      outer_product(p, share(p.rows, parts, part));
    } else {
      gemm_part<false>(gemm, parts, part);
    }
  });
}

void linear_weight_grad(const CpuStream& stream, const LinearWeightGradArgs* layers, std::int64_t count) {
  std::int64_t work = 0;
  for (std::int64_t i = 0; i < count; ++i) work += layers[i].rows * layers[i].in * layers[i].out;
  on_threads(stream, work, [&](std::int64_t parts, std::int64_t part) {
    for (std::int64_t i = 0; i < count; ++i) {
      const LinearWeightGradArgs& p = layers[i];
      gemm_part<true>({.a = p.dz,
                       .a_row = 1,
                       .a_k = p.out,
                       .b = p.x,
                       .b_k = p.in,
                       .b_column = 1,
                       .bias = nullptr,
                       .c = p.dw,
                       .m = p.out,
                       .n = p.in,
                       .k = p.rows,
                       .act = {},
                       .y = nullptr},
                      parts, part);
      if (p.db) column_sums(p, share(p.out, parts, part));
    }
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void linear(const CpuStream&, const LinearArgs&);
void linear_input_grad(const CpuStream&, const LinearInputGradArgs&);
void linear_weight_grad(const CpuStream&, const LinearWeightGradArgs*, std::int64_t);
}  // namespace isa_avx2
namespace isa_avx512 {
void linear(const CpuStream&, const LinearArgs&);
void linear_input_grad(const CpuStream&, const LinearInputGradArgs&);
void linear_weight_grad(const CpuStream&, const LinearWeightGradArgs*, std::int64_t);
}  // namespace isa_avx512

void linear(const CpuStream& stream, const LinearArgs& args) {
  pick(stream.isa, isa_baseline::linear, isa_avx2::linear, isa_avx512::linear)(stream, args);
}
void linear_input_grad(const CpuStream& stream, const LinearInputGradArgs& args) {
  pick(stream.isa, isa_baseline::linear_input_grad, isa_avx2::linear_input_grad, isa_avx512::linear_input_grad)(stream,
                                                                                                                args);
}
void linear_weight_grad(const CpuStream& stream, std::span<const LinearWeightGradArgs> layers) {
  const auto count = static_cast<std::int64_t>(layers.size());
  pick(stream.isa, isa_baseline::linear_weight_grad, isa_avx2::linear_weight_grad, isa_avx512::linear_weight_grad)(
      stream, layers.data(), count);
}
#endif

}  // namespace ganforge
