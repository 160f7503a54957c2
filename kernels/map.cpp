#include "kernels/map.h"

#include "kernels/parallel.h"

#include <ganforge/error.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

namespace ganforge {
namespace {

// An operand along the innermost axis: a pointer to consecutive elements, or one value for all.
template <class X>
X at(const X* x, std::int64_t i) {
  return x[i];
}
template <class X>
X at(X x, std::int64_t) {
  return x;
}

template <bool consecutive, class X>
auto operand(const X* x) {
  if constexpr (consecutive) {
    return x;
  } else {
    return *x;
  }
}

/// z may be one of the operands: element i is read before it is written, which is all that `simd` asks for.
template <class F, class Z, class... X>
void map_row(F f, std::int64_t n, Z* z, X... x) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) z[i] = static_cast<Z>(f(at(x, i)...));
}

template <class F, class X, class Z, bool... consecutive>
void map_rows(const CpuStream& stream, F f, const BroadcastPlan& plan,
              const std::array<const X*, sizeof...(consecutive)>& x, Z* z, std::bool_constant<consecutive>...) {
  constexpr int operands = sizeof...(consecutive);
  const int outer_rank = std::max(plan.rank - 1, 0);
  const std::int64_t inner = plan.rank == 0 ? 1 : plan.extent[outer_rank];
  typename Walker<operands>::Strides stride;
  for (int k = 0; k < operands; ++k) stride[k] = plan.stride[k].data();

  parallel_ranges(stream, plan.elements, plan.elements, [&](std::int64_t begin, std::int64_t end) {
    Walker<operands> row(outer_rank, plan.extent.data(), stride, begin / inner);
    std::int64_t column = begin % inner;
    for (std::int64_t i = begin; i < end; row.next()) {
      const std::int64_t count = std::min(inner - column, end - i);
      [&]<std::size_t... k>(std::index_sequence<k...>) {
        map_row(f, count, z + i, operand<consecutive>(x[k] + row.offset(k) + (consecutive ? column : 0))...);
      }
      (std::make_index_sequence<operands>{});
      i += count;
      column = 0;
    }
  });
}

using Flag = std::variant<std::false_type, std::true_type>;

/// Whether an operand moves along the innermost axis; dense operands do so by one element or not at all.
Flag consecutive(const BroadcastPlan& plan, int operand) {
  if (plan.rank > 0 && plan.stride[operand][plan.rank - 1] == 1) return std::true_type{};
  return std::false_type{};
}

}  // namespace

BroadcastPlan broadcast_plan(const Shape& out, std::span<const Shape> operands) {
  if (operands.size() > 3) throw ShapeError("broadcast_plan: at most 3 operands");
  BroadcastPlan plan;
  plan.elements = out.elements();
  std::array<std::int64_t, 3> dense = {1, 1, 1};  // stride of the operands' axis at hand
  for (const Shape& shape : operands) {
    if (shape.rank() > out.rank()) throw ShapeError(shape.str() + " does not broadcast to " + out.str());
  }
  for (int axis = out.rank() - 1; axis >= 0; --axis) {  // the plan is made innermost first, then turned round
    const std::int64_t extent = out[axis];
    std::array<std::int64_t, 3> stride{};
    for (std::size_t k = 0; k < operands.size(); ++k) {
      const int own_axis = axis - (out.rank() - operands[k].rank());
      const std::int64_t own = own_axis < 0 ? 1 : operands[k][own_axis];
      if (own != extent && own != 1) throw ShapeError(operands[k].str() + " does not broadcast to " + out.str());
      stride[k] = own == 1 ? 0 : dense[k];
      dense[k] *= own;
    }
    if (extent == 1) continue;
    const int inner = plan.rank - 1;
    bool alike = plan.rank > 0;
    for (int k = 0; k < 3 && alike; ++k) alike = stride[k] == plan.stride[k][inner] * plan.extent[inner];
    if (alike) {
      plan.extent[inner] *= extent;
      continue;
    }
    for (int k = 0; k < 3; ++k) plan.stride[k][plan.rank] = stride[k];
    plan.extent[plan.rank++] = extent;
  }
  std::reverse(plan.extent.begin(), plan.extent.begin() + plan.rank);
  for (auto& stride : plan.stride) std::reverse(stride.begin(), stride.begin() + plan.rank);
  return plan;
}

template <class T>
void map(const CpuStream& stream, const Unary& f, const T* x, T* y, std::int64_t n) {
  std::visit(
      [&](auto function) {
        parallel_ranges(stream, n, n, [&](std::int64_t begin, std::int64_t end) {
          map_row(function, end - begin, y + begin, x + begin);
        });
      },
      f);
}

template <class T>
void map(const CpuStream& stream, const Binary& f, const BroadcastPlan& plan, const T* x, const T* y, T* z) {
  std::visit(
      [&](auto function, auto... flags) {
        map_rows(stream, function, plan, std::array<const T*, 2>{x, y}, z, flags...);
      },
      f, consecutive(plan, 0), consecutive(plan, 1));
}

template <class T>
void select(const CpuStream& stream, const BroadcastPlan& plan, const T* c, const T* x, const T* y, T* z) {
  std::visit(
      [&](auto... flags) {
        map_rows(stream, Select{}, plan, std::array<const T*, 3>{c, x, y}, z, flags...);
      },
      consecutive(plan, 0), consecutive(plan, 1), consecutive(plan, 2));
}

void equal(const CpuStream& stream, const BroadcastPlan& plan, const std::int32_t* x, const std::int32_t* y, float* z) {
  std::visit(
      [&](auto... flags) {
        map_rows(stream, Equal{}, plan, std::array<const std::int32_t*, 2>{x, y}, z, flags...);
      },
      consecutive(plan, 0), consecutive(plan, 1));
}

template void map(const CpuStream&, const Unary&, const float*, float*, std::int64_t);
template void map(const CpuStream&, const Unary&, const double*, double*, std::int64_t);
template void map(const CpuStream&, const Binary&, const BroadcastPlan&, const float*, const float*, float*);
template void map(const CpuStream&, const Binary&, const BroadcastPlan&, const double*, const double*, double*);
template void select(const CpuStream&, const BroadcastPlan&, const float*, const float*, const float*, float*);
template void select(const CpuStream&, const BroadcastPlan&, const double*, const double*, const double*, double*);

}  // namespace ganforge
