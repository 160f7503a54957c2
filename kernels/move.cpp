#include "kernels/move.h"

#include "kernels/parallel.h"

#include <algorithm>

namespace ganforge {
namespace {

template <class Word>
void copy_row(const Word* x, std::int64_t x_stride, Word* y, std::int64_t y_stride, std::int64_t n) {
  if (y_stride == 1 && x_stride == 1) {
    std::copy_n(x, n, y);
  } else if (y_stride == 1 && x_stride == 0) {
    std::fill_n(y, n, *x);
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i * y_stride] = x[i * x_stride];
  }
}

template <class Word>
void copy_rows(const CpuStream& stream, const CopyPlan& plan, const Word* x, Word* y) {
  const int last = plan.rank - 1, outer_rank = std::max(last, 0);
  const std::int64_t inner = plan.rank == 0 ? 1 : plan.extent[last];
  const std::int64_t x_stride = plan.rank == 0 ? 1 : plan.x_stride[last];
  const std::int64_t y_stride = plan.rank == 0 ? 1 : plan.y_stride[last];
  parallel_ranges(stream, plan.elements, plan.elements, [&](std::int64_t begin, std::int64_t end) {
    Walker<2> row(outer_rank, plan.extent.data(), {plan.x_stride.data(), plan.y_stride.data()}, begin / inner);
    std::int64_t column = begin % inner;
    for (std::int64_t i = begin; i < end; row.next()) {
      const std::int64_t count = std::min(inner - column, end - i);
      copy_row(x + row.offset(0) + column * x_stride, x_stride, y + row.offset(1) + column * y_stride, y_stride, count);
      i += count;
      column = 0;
    }
  });
}

/// Tiles of 16 elements along x by 8 along y: 8 cache lines of x are used up while they are in L1, even where the
/// stride is a power of two and they all fall into one set.
template <class Word>
void transpose(const CpuStream& stream, const CopyPlan& plan, int axis, const Word* x, Word* y) {
  constexpr std::int64_t tile_rows = 16, tile_columns = 8;
  const int last = plan.rank - 1;
  const std::int64_t rows = plan.extent[axis], columns = plan.extent[last];
  const std::int64_t x_stride = plan.x_stride[last], y_stride = plan.y_stride[axis];
  CopyPlan outer = plan;
  outer.rank = last - 1;
  for (int a = axis; a < last - 1; ++a) {
    outer.extent[a] = plan.extent[a + 1];
    outer.x_stride[a] = plan.x_stride[a + 1];
    outer.y_stride[a] = plan.y_stride[a + 1];
  }
  const std::int64_t bands = (rows + tile_rows - 1) / tile_rows;
  const std::int64_t matrices = plan.elements / (rows * columns);
  parallel_ranges(stream, matrices * bands, plan.elements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t band = begin; band < end; ++band) {
      const Walker<2> matrix(outer.rank, outer.extent.data(), {outer.x_stride.data(), outer.y_stride.data()},
                             band / bands);
      const std::int64_t r0 = band % bands * tile_rows, r1 = std::min(r0 + tile_rows, rows);
      for (std::int64_t c0 = 0; c0 < columns; c0 += tile_columns) {
        const std::int64_t c1 = std::min(c0 + tile_columns, columns);
        for (std::int64_t r = r0; r < r1; ++r) {
          Word* to = y + matrix.offset(1) + r * y_stride;
          const Word* from = x + matrix.offset(0) + r;
          for (std::int64_t c = c0; c < c1; ++c) to[c] = from[c * x_stride];
        }
      }
    }
  });
}

/// Elements [begin, end) of a padded row of `extent` elements, `low` behind its start and `step` apart.
template <class Word>
void pad_row(const Word* x, std::int64_t extent, std::int64_t low, std::int64_t step, Word* y, std::int64_t begin,
             std::int64_t end) {
  if (step == 1) {
    const std::int64_t first = std::clamp(low, begin, end), last = std::clamp(low + extent, begin, end);
    std::fill(y + begin, y + first, Word(0));
    if (first < last) std::copy(x + (first - low), x + (last - low), y + first);
    std::fill(y + last, y + end, Word(0));
    return;
  }
  std::fill(y + begin, y + end, Word(0));
  std::int64_t i = begin <= low ? 0 : (begin - low + step - 1) / step;
  for (; i < extent && low + i * step < end; ++i) y[low + i * step] = x[i];
}

template <class Word>
void pad_rows(const CpuStream& stream, const PadPlan& plan, const Word* x, Word* y) {
  const int last = plan.rank - 1;
  const std::int64_t inner = plan.y_extent[last];
  std::array<std::int64_t, Shape::max_rank> x_stride{};
  std::int64_t x_elements = 1, y_elements = 1;
  for (int axis = last; axis >= 0; --axis) {
    x_stride[axis] = x_elements;
    x_elements *= plan.x_extent[axis];
    y_elements *= plan.y_extent[axis];
  }
  parallel_ranges(stream, y_elements, y_elements, [&](std::int64_t begin, std::int64_t end) {
    Walker<0> row(last, plan.y_extent.data(), {}, begin / inner);
    std::int64_t column = begin % inner;
    for (std::int64_t i = begin; i < end; row.next()) {
      const std::int64_t count = std::min(inner - column, end - i);
      std::int64_t offset = 0;
      bool inside = true;
      for (int axis = 0; axis < last && inside; ++axis) {
        const std::int64_t behind = row.index(axis) - plan.low[axis], step = plan.interior[axis] + 1;
        inside = behind >= 0 && behind % step == 0 && behind / step < plan.x_extent[axis];
        offset += behind / step * x_stride[axis];
      }
      if (inside) {
        pad_row(x + offset, plan.x_extent[last], plan.low[last], plan.interior[last] + 1, y + i - column, column,
                column + count);
      } else {
        std::fill_n(y + i, count, Word(0));
      }
      i += count;
      column = 0;
    }
  });
}

template <class Word>
void copy_words(const CpuStream& stream, const CopyPlan& plan, const void* x, void* y) {
  const auto* from = static_cast<const Word*>(x) + plan.x_offset;
  auto* to = static_cast<Word*>(y) + plan.y_offset;
  const int axis = transposed_axis(plan);
  if (axis >= 0) {
    transpose(stream, plan, axis, from, to);
  } else {
    copy_rows(stream, plan, from, to);
  }
}

}  // namespace

CopyPlan merge(const CopyPlan& plan) {
  CopyPlan merged = plan;
  merged.rank = 0;
  for (int axis = 0; axis < plan.rank; ++axis) {
    const std::int64_t extent = plan.extent[axis], x_stride = plan.x_stride[axis], y_stride = plan.y_stride[axis];
    if (extent == 1) continue;
    const int outer = merged.rank - 1;
    if (outer >= 0 && merged.x_stride[outer] == x_stride * extent && merged.y_stride[outer] == y_stride * extent) {
      merged.extent[outer] *= extent;
    } else {
      merged.extent[merged.rank++] = extent;
    }
    merged.x_stride[merged.rank - 1] = x_stride;
    merged.y_stride[merged.rank - 1] = y_stride;
  }
  return merged;
}

int transposed_axis(const CopyPlan& plan) {
  constexpr std::int64_t least = 8;
  const int last = plan.rank - 1;
  if (plan.rank < 2 || plan.y_stride[last] != 1 || plan.x_stride[last] == 1 || plan.extent[last] < least) return -1;
  for (int axis = 0; axis < last; ++axis) {
    if (plan.x_stride[axis] == 1 && plan.extent[axis] >= least) return axis;
  }
  return -1;
}

PadPlan merge(const PadPlan& plan) {
  PadPlan merged = plan;
  merged.rank = 0;
  for (int axis = 0; axis < plan.rank; ++axis) {
    const std::int64_t x_extent = plan.x_extent[axis], y_extent = plan.y_extent[axis];
    const bool padded = plan.low[axis] != 0 || plan.interior[axis] != 0 || x_extent != y_extent;
    const int outer = merged.rank - 1;
    if (!padded && outer >= 0 && merged.interior[outer] == 0) {
      merged.x_extent[outer] *= x_extent;
      merged.y_extent[outer] *= x_extent;
      merged.low[outer] *= x_extent;
    } else {
      merged.x_extent[merged.rank] = x_extent;
      merged.y_extent[merged.rank] = y_extent;
      merged.low[merged.rank] = plan.low[axis];
      merged.interior[merged.rank++] = plan.interior[axis];
    }
  }
  if (merged.rank == 0) {  // a scalar
    merged.x_extent[0] = merged.y_extent[0] = merged.rank = 1;
    merged.low[0] = merged.interior[0] = 0;
  }
  return merged;
}

void strided_copy(const CpuStream& stream, const CopyPlan& plan, std::size_t element_bytes, const void* x, void* y) {
  switch (element_bytes) {
    case 1:
      return copy_words<std::uint8_t>(stream, plan, x, y);
    case 4:
      return copy_words<std::uint32_t>(stream, plan, x, y);
    default:
      return copy_words<std::uint64_t>(stream, plan, x, y);
  }
}

void pad(const CpuStream& stream, const PadPlan& plan, std::size_t element_bytes, const void* x, void* y) {
  const PadPlan merged = merge(plan);
  switch (element_bytes) {
    case 1:
      return pad_rows(stream, merged, static_cast<const std::uint8_t*>(x), static_cast<std::uint8_t*>(y));
    case 4:
      return pad_rows(stream, merged, static_cast<const std::uint32_t*>(x), static_cast<std::uint32_t*>(y));
    default:
      return pad_rows(stream, merged, static_cast<const std::uint64_t*>(x), static_cast<std::uint64_t*>(y));
  }
}

}  // namespace ganforge
