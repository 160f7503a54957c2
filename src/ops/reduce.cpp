// Reductions and their adjoint, broadcasting.
#include "kernels/move.h"
#include "kernels/reduce.h"
#include "src/ops/constant.h"
#include "src/ops/support.h"

#include <algorithm>

namespace ganforge {
namespace {

/// Sorted, without doubles, not negative.
std::vector<int> normal_axes(Value x, const char* op, std::span<const int> axes) {
  std::vector<int> result;
  for (int axis : axes) result.push_back(normal_axis(x.graph(), op, axis, x.shape()));
  std::ranges::sort(result);
  require(x.graph(), op, std::ranges::adjacent_find(result) == result.end(), "an axis is reduced twice");
  return result;
}

class ReduceOp : public Op {
 public:
  explicit ReduceOp(std::vector<int> axes) : axes_(std::move(axes)) {}

 protected:
  Shape kept(const Shape& x) const {
    std::vector<std::int64_t> extents;
    for (int a = 0; a < x.rank(); ++a)
      if (!std::ranges::binary_search(axes_, a)) extents.push_back(x[a]);
    return Shape(extents);
  }
  /// x's shape with extent 1 along the reduced axes: what the result broadcasts from.
  Shape stretched(const Shape& x) const {
    Shape shape = x;
    for (int a : axes_) shape = shape.with(a, 1);
    return shape;
  }
  ReducePlan plan(const Shape& x) const {
    std::array<bool, Shape::max_rank> reduce{};
    for (int a : axes_) reduce[static_cast<std::size_t>(a)] = true;
    return reduce_plan(x, std::span(reduce.data(), static_cast<std::size_t>(x.rank())));
  }
  std::string axes() const { return fmt::format("axes=[{}]", fmt::join(axes_, ",")); }

  std::vector<int> axes_;
};

class SumOp : public ReduceOp {
 public:
  using ReduceOp::ReduceOp;
  std::string describe() const override { return "sum " + axes(); }
  Types infer(const Types& in) const override {
    require_float(in[0], "the operand");
    return {{in[0].dtype, kept(in[0].shape)}};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {broadcast(reshape(dout[0], stretched(in[0].shape())), in[0].shape())};
  }
  Kernel prepare(Device& device, const Types& in) const override {
    return make_float_kernel(device, in[0].dtype,
                             [plan = plan(in[0].shape)](const auto& stream, const Call& call, auto t) {
                               using T = decltype(t);
                               sum(stream, plan, call.input<T>(0), call.output<T>(0));
                             });
  }
};

class MaxOp : public ReduceOp {
 public:
  using ReduceOp::ReduceOp;
  std::string describe() const override { return "max " + axes(); }
  Types infer(const Types& in) const override {
    require_float(in[0], "the operand");
    for (int a : axes_) require(in[0].shape[a] > 0, "the maximum of no elements");
    return {{in[0].dtype, kept(in[0].shape)}};
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    const Shape wide = stretched(in[0].shape());
    const Value maxima = equal(in[0], reshape(out[0], wide));
    const Value each = div(dout[0], sum(maxima, axes_));
    return {mul(maxima, reshape(each, wide))};
  }
  Kernel prepare(Device& device, const Types& in) const override {
    return make_float_kernel(device, in[0].dtype,
                             [plan = plan(in[0].shape)](const auto& stream, const Call& call, auto t) {
                               using T = decltype(t);
                               max(stream, plan, call.input<T>(0), call.output<T>(0));
                             });
  }
};

class ArgmaxOp : public ReduceOp {
 public:
  explicit ArgmaxOp(int axis) : ReduceOp({axis}) {}
  std::string describe() const override { return "argmax " + axes(); }
  Types infer(const Types& in) const override {
    require_float(in[0], "the operand");
    require(in[0].shape[axes_[0]] > 0, "the maximum of no elements");
    return {{DType::int32, kept(in[0].shape)}};
  }
  Values grad(const Values&, const Values&, const Values&) const override { return {}; }
  Kernel prepare(Device& device, const Types& in) const override {
    return make_float_kernel(device, in[0].dtype,
                             [plan = plan(in[0].shape)](const auto& stream, const Call& call, auto t) {
                               using T = decltype(t);
                               argmax(stream, plan, call.input<T>(0), call.output<std::int32_t>(0));
                             });
  }
};

class BroadcastOp : public Op {
 public:
  explicit BroadcastOp(Shape shape) : shape_(std::move(shape)) {}
  std::string describe() const override { return "broadcast to=" + shape_.str(); }
  Types infer(const Types& in) const override {
    const Shape& x = in[0].shape;
    bool fits = x.rank() <= shape_.rank();
    for (int i = 1; fits && i <= x.rank(); ++i) fits = x[-i] == shape_[-i] || x[-i] == 1;
    require(fits, fmt::format("{} does not broadcast to {}", x.str(), shape_.str()));
    return {{in[0].dtype, shape_}};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {sum_to(dout[0], in[0].shape())};
  }
  Kernel prepare(Device&, const Types& in) const override {
    const Shape& x = in[0].shape;
    CopyPlan plan;
    plan.rank = shape_.rank();
    plan.elements = shape_.elements();
    std::int64_t x_stride = 1, y_stride = 1;
    for (int a = shape_.rank() - 1; a >= 0; --a) {
      const auto i = static_cast<std::size_t>(a);
      const int x_axis = a - (shape_.rank() - x.rank());
      const std::int64_t x_extent = x_axis >= 0 ? x[x_axis] : 1;
      plan.extent[i] = shape_[a];
      plan.x_stride[i] = x_extent == 1 ? 0 : x_stride;
      plan.y_stride[i] = y_stride;
      x_stride *= x_extent;
      y_stride *= shape_[a];
    }
    return make_kernel([plan = merge(plan), size = size_of(in[0].dtype)](const auto& stream, const Call& call) {
      strided_copy(stream, plan, size, call.in[0], call.out[0]);
    });
  }

 private:
  Shape shape_;
};

std::vector<int> all_axes(Value x) {
  std::vector<int> axes;
  for (int a = 0; a < x.shape().rank(); ++a) axes.push_back(a);
  return axes;
}

std::int64_t extent_of(Value x, std::span<const int> axes) {
  std::int64_t n = 1;
  for (int axis : axes) n *= x.shape()[axis];
  return n;
}

}  // namespace

Value sum(Value x, std::span<const int> axes) {
  if (axes.empty()) return x;
  return x.graph().add(SumOp(normal_axes(x, "sum", axes)), {x})[0];
}
Value sum(Value x, std::initializer_list<int> axes) {
  return sum(x, std::span(axes.begin(), axes.size()));
}
Value sum(Value x) {
  return sum(x, all_axes(x));
}

Value mean(Value x, std::initializer_list<int> axes) {
  const Value total = sum(x, axes);  // looks at the axes first
  return affine(total, 1.0 / static_cast<double>(extent_of(x, std::span(axes.begin(), axes.size()))), 0);
}
Value mean(Value x) {
  return affine(sum(x), 1.0 / static_cast<double>(x.shape().elements()), 0);
}

Value max(Value x, std::initializer_list<int> axes) {
  if (axes.size() == 0) return x;
  return x.graph().add(MaxOp(normal_axes(x, "max", std::span(axes.begin(), axes.size()))), {x})[0];
}
Value argmax(Value x, int axis) {
  return x.graph().add(ArgmaxOp(normal_axis(x.graph(), "argmax", axis, x.shape())), {x})[0];
}

Value broadcast(Value x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (const auto c = constant_number(x)) return constant(x.graph(), *c, {x.type().dtype, shape});
  return x.graph().add(BroadcastOp(shape), {x})[0];
}

Value sum_to(Value x, const Shape& shape) {
  if (x.shape() == shape) return x;
  std::vector<int> axes;
  const int extra = x.shape().rank() - shape.rank();
  for (int a = 0; a < x.shape().rank(); ++a)
    if (a < extra || (shape[a - extra] == 1 && x.shape()[a] != 1)) axes.push_back(a);
  return reshape(sum(x, axes), shape);
}

}  // namespace ganforge
