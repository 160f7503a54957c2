#include "kernels/reduce.h"

#include "kernels/parallel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace ganforge {
namespace {

// x is a number of contiguous blocks [rows, columns]: the innermost kept axis, if it is the innermost of x, gives the
// columns (else there is one), and the innermost reduced axis the rows.
//
// `lanes` partial results stand side by side, each of every lanes-th element (few columns: several rows make one wide
// row, many: a tile of them). Sixteen wide rows are summed in order, and these sums in a binary tree that is filled
// like a binary counter, so that the rounding error grows with the logarithm of the number of terms.
constexpr int max_lanes = 64;
constexpr int rows_in_order = 16;
constexpr std::int64_t max_tasks = 64;  // that share outputs
constexpr std::int64_t elements_per_part = 1 << 15;

struct Sum {
  template <class T>
  static constexpr T identity = T(0);
  template <class T>
  static T combine(T a, T b) {
    return a + b;
  }
};

struct Max {
  template <class T>
  static constexpr T identity = -std::numeric_limits<T>::infinity();
  template <class T>
  static T combine(T a, T b) {
    return (b > a) | (b != b) ? b : a;
  }
};

template <class Op, class T>
void combine(T* a, const T* b, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) a[i] = Op::combine(a[i], b[i]);
}

template <class Op, class T>
class Tree {
 public:
  explicit Tree(int lanes) : lanes_(lanes) { clear(); }

  /// The next wide row, which may be short.
  void add(const T* row, std::int64_t n) {
    combine<Op>(sum_, row, n);
    if (++rows_ < rows_in_order) return;
    int level = 0;
    for (; blocks_ >> level & 1; ++level) combine<Op>(sum_, level_[level], lanes_);
    std::copy_n(sum_, lanes_, level_[level]);
    ++blocks_;
    clear();
  }

  const T* total() {
    for (int level = 0; blocks_ >> level; ++level) {
      if (blocks_ >> level & 1) combine<Op>(sum_, level_[level], lanes_);
    }
    return sum_;
  }

 private:
  void clear() {
    std::fill_n(sum_, lanes_, Op::template identity<T>);
    rows_ = 0;
  }

  int lanes_, rows_ = 0;
  std::uint64_t blocks_ = 0;
  T sum_[max_lanes];
  T level_[48][max_lanes];
};

struct Layout {
  std::int64_t columns = 1, rows = 1;
  int kept_outer = 0, reduced_outer = 0;  // ranks without the axes that columns and rows come from

  explicit Layout(const ReducePlan& plan)
      : kept_outer(plan.kept.rank), reduced_outer(std::max(plan.reduced.rank - 1, 0)) {
    if (kept_outer > 0 && plan.kept.stride[kept_outer - 1] == 1) columns = plan.kept.extent[--kept_outer];
    if (plan.reduced.rank > 0) rows = plan.reduced.extent[reduced_outer];
  }
};

/// Reduces the rows [first, last) of all blocks to y [span]; x points to the first of `span` columns.
template <class Op, class T>
void reduce_rows(const ReducePlan& plan, const Layout& layout, const T* x, int span, std::int64_t first,
                 std::int64_t last, T* y) {
  const std::int64_t columns = layout.columns, rows = layout.rows;
  const auto fold = static_cast<int>(std::clamp<std::int64_t>(max_lanes / columns, 1, rows));  // rows in a wide row
  Tree<Op, T> tree(fold * span);
  Walker<1> block(layout.reduced_outer, plan.reduced.extent.data(), {plan.reduced.stride.data()}, first / rows);
  std::int64_t row = first % rows;
  for (std::int64_t i = first; i < last; block.next()) {
    const std::int64_t count = std::min(rows - row, last - i);
    const T* from = x + block.offset(0) + row * columns;
    for (std::int64_t r = 0; r < count; r += fold) {
      tree.add(from + r * columns, std::min<std::int64_t>(fold, count - r) * span);
    }
    i += count;
    row = 0;
  }
  T lane[max_lanes];
  std::copy_n(tree.total(), fold * span, lane);
  for (int half = static_cast<int>(std::bit_ceil(static_cast<unsigned>(fold))) / 2; half > 0; half /= 2) {
    const int pairs = std::min(half, fold - half);
    if (pairs > 0) combine<Op>(lane, lane + half * span, pairs * span);
  }
  std::copy_n(lane, span, y);
}

/// Few terms for many outputs, in order: what reduce_rows sets up would cost more than the terms.
template <class Op, class T>
void reduce_few(const CpuStream& stream, const ReducePlan& plan, const T* x, T* y) {
  std::array<std::int64_t, rows_in_order> offset;
  const auto terms = static_cast<int>(plan.reduced.elements);
  Walker<1> term(plan.reduced.rank, plan.reduced.extent.data(), {plan.reduced.stride.data()}, 0);
  for (int i = 0; i < terms; ++i, term.next()) offset[i] = term.offset(0);
  parallel_ranges(stream, plan.kept.elements, plan.kept.elements * terms, [&](std::int64_t begin, std::int64_t end) {
    Walker<1> kept(plan.kept.rank, plan.kept.extent.data(), {plan.kept.stride.data()}, begin);
    for (std::int64_t i = begin; i < end; ++i, kept.next()) {
      const T* from = x + kept.offset(0);
      T result = from[offset[0]];
      for (int k = 1; k < terms; ++k) result = Op::combine(result, from[offset[k]]);
      y[i] = result;
    }
  });
}

template <class Op, class T>
void reduce(const CpuStream& stream, const ReducePlan& plan, const T* x, T* y) {
  if (plan.kept.elements == 0) return;
  if (plan.reduced.elements == 0) {
    std::fill_n(y, plan.kept.elements, Op::template identity<T>);
    return;
  }
  const Layout layout(plan);
  if (plan.reduced.elements <= rows_in_order && layout.columns < max_lanes / 4)
    return reduce_few<Op>(stream, plan, x, y);
  const std::int64_t tiles_per_block = (layout.columns + max_lanes - 1) / max_lanes;
  const std::int64_t tiles = plan.kept.elements / layout.columns * tiles_per_block;
  const std::int64_t elements = plan.kept.elements * plan.reduced.elements;
  const std::int64_t parts =
      std::max<std::int64_t>(std::min({max_tasks / tiles, elements / elements_per_part, plan.reduced.elements}), 1);

  T partial[max_tasks][max_lanes];
  const auto output = [&](std::int64_t tile) {
    return y + tile / tiles_per_block * layout.columns + tile % tiles_per_block * max_lanes;
  };
  const auto span = [&](std::int64_t tile) {
    return static_cast<int>(std::min<std::int64_t>(max_lanes, layout.columns - tile % tiles_per_block * max_lanes));
  };
  parallel_ranges(stream, tiles * parts, elements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t tile = task / parts, part = task % parts;
      const Walker<1> kept(layout.kept_outer, plan.kept.extent.data(), {plan.kept.stride.data()},
                           tile / tiles_per_block);
      reduce_rows<Op>(plan, layout, x + kept.offset(0) + tile % tiles_per_block * max_lanes, span(tile),
                      plan.reduced.elements * part / parts, plan.reduced.elements * (part + 1) / parts,
                      parts == 1 ? output(tile) : partial[task]);
    }
  });
  if (parts == 1) return;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    T(*part)[max_lanes] = partial + tile * parts;
    for (std::int64_t step = 1; step < parts; step *= 2) {
      for (std::int64_t p = 0; p + step < parts; p += 2 * step) combine<Op>(part[p], part[p + step], span(tile));
    }
    std::copy_n(part[0], span(tile), output(tile));
  }
}

void append_outer(ReducePlan::Axes& axes, std::int64_t extent, std::int64_t stride) {
  axes.elements *= extent;
  if (extent == 1) return;
  const int inner = axes.rank - 1;
  if (inner >= 0 && stride == axes.stride[inner] * axes.extent[inner]) {
    axes.extent[inner] *= extent;
  } else {
    axes.extent[axes.rank] = extent;
    axes.stride[axes.rank++] = stride;
  }
}

}  // namespace

ReducePlan reduce_plan(const Shape& x, std::span<const bool> reduce) {
  ReducePlan plan;
  std::int64_t stride = 1;
  for (int axis = x.rank() - 1; axis >= 0; --axis) {  // made innermost first, then turned round
    append_outer(reduce[axis] ? plan.reduced : plan.kept, x[axis], stride);
    stride *= x[axis];
  }
  for (ReducePlan::Axes* axes : {&plan.kept, &plan.reduced}) {
    std::reverse(axes->extent.begin(), axes->extent.begin() + axes->rank);
    std::reverse(axes->stride.begin(), axes->stride.begin() + axes->rank);
  }
  return plan;
}

template <class T>
void sum(const CpuStream& stream, const ReducePlan& plan, const T* x, T* y) {
  reduce<Sum>(stream, plan, x, y);
}

template <class T>
void max(const CpuStream& stream, const ReducePlan& plan, const T* x, T* y) {
  reduce<Max>(stream, plan, x, y);
}

template <class T>
void argmax(const CpuStream& stream, const ReducePlan& plan, const T* x, std::int32_t* y) {
  if (plan.kept.elements == 0) return;
  const Layout layout(plan);
  const std::int64_t columns = layout.columns, tiles_per_block = (columns + max_lanes - 1) / max_lanes;
  const std::int64_t tiles = plan.kept.elements / columns * tiles_per_block;
  parallel_ranges(stream, tiles, plan.kept.elements * plan.reduced.elements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const std::int64_t block = tile / tiles_per_block, column = tile % tiles_per_block * max_lanes;
      const Walker<1> kept(layout.kept_outer, plan.kept.extent.data(), {plan.kept.stride.data()}, block);
      const std::int64_t span = std::min<std::int64_t>(max_lanes, columns - column);
      T best[max_lanes];
      std::int32_t* index = y + block * columns + column;
      std::fill_n(best, span, -std::numeric_limits<T>::infinity());
      std::fill_n(index, span, 0);
      for (std::int64_t r = 0; r < plan.reduced.elements; ++r) {
        const T* row = x + kept.offset(0) + r * columns + column;
        for (std::int64_t c = 0; c < span; ++c) {
          const bool better = (row[c] > best[c]) | ((row[c] != row[c]) & (best[c] == best[c]));
          best[c] = better ? row[c] : best[c];
          index[c] = better ? static_cast<std::int32_t>(r) : index[c];
        }
      }
    }
  });
}

template void sum(const CpuStream&, const ReducePlan&, const float*, float*);
template void sum(const CpuStream&, const ReducePlan&, const double*, double*);
template void max(const CpuStream&, const ReducePlan&, const float*, float*);
template void max(const CpuStream&, const ReducePlan&, const double*, double*);
template void argmax(const CpuStream&, const ReducePlan&, const float*, std::int32_t*);
template void argmax(const CpuStream&, const ReducePlan&, const double*, std::int32_t*);

}  // namespace ganforge
