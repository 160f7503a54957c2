// Moves: reshape, transpose, slice, pad, concat, and the identities alias, copy, stop_gradient.
#include "kernels/move.h"
#include "src/graph/plan.h"
#include "src/ops/constant.h"
#include "src/ops/support.h"

#include <numeric>

namespace ganforge {
namespace {

std::array<std::int64_t, Shape::max_rank> dense_strides(const Shape& shape) {
  std::array<std::int64_t, Shape::max_rank> strides{};
  std::int64_t stride = 1;
  for (int a = shape.rank() - 1; a >= 0; --a) {
    strides[static_cast<std::size_t>(a)] = stride;
    stride *= shape[a];
  }
  return strides;
}

CopyPlan dense_copy(const Shape& shape) {
  CopyPlan plan;
  plan.rank = shape.rank();
  plan.elements = shape.elements();
  std::copy(shape.extents().begin(), shape.extents().end(), plan.extent.begin());
  plan.x_stride = plan.y_stride = dense_strides(shape);
  return plan;
}

Kernel copy_kernel(std::vector<CopyPlan> plans, DType dtype) {
  for (CopyPlan& plan : plans) plan = merge(plan);
  return make_kernel([plans = std::move(plans), size = size_of(dtype)](const auto& stream, const Call& call) {
    for (std::size_t i = 0; i < plans.size(); ++i) strided_copy(stream, plans[i], size, call.in[i], call.out[0]);
  });
}

class ReshapeOp : public Op {
 public:
  explicit ReshapeOp(Shape shape) : shape_(std::move(shape)) {}
  std::string describe() const override { return "reshape to=" + shape_.str(); }
  Types infer(const Types& in) const override {
    require(in[0].shape.elements() == shape_.elements(),
            fmt::format("{} has {} elements, {} has {}", in[0].shape.str(), in[0].shape.elements(), shape_.str(),
                        shape_.elements()));
    return {{in[0].dtype, shape_}};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {reshape(dout[0], in[0].shape())};
  }
  std::optional<View> view(const Types&) const override { return View{0, 0}; }
  Kernel prepare(Device&, const Types&) const override { return {}; }

 private:
  Shape shape_;
};

class TransposeOp : public Op {
 public:
  explicit TransposeOp(std::vector<int> permutation) : permutation_(std::move(permutation)) {}
  std::string describe() const override { return fmt::format("transpose [{}]", fmt::join(permutation_, ",")); }
  Types infer(const Types& in) const override {
    const int rank = in[0].shape.rank();
    std::vector<char> seen(static_cast<std::size_t>(rank), 0);
    bool ok = static_cast<int>(permutation_.size()) == rank;
    for (int axis : permutation_) ok = ok && axis >= 0 && axis < rank && !seen[static_cast<std::size_t>(axis)]++;
    require(ok,
            fmt::format("[{}] is no permutation of the axes of {}", fmt::join(permutation_, ","), in[0].shape.str()));
    std::vector<std::int64_t> extents;
    for (int axis : permutation_) extents.push_back(in[0].shape[axis]);
    return {{in[0].dtype, Shape(extents)}};
  }
  Values grad(const Values&, const Values&, const Values& dout) const override {
    std::vector<int> inverse(permutation_.size());
    for (std::size_t i = 0; i < inverse.size(); ++i)
      inverse[static_cast<std::size_t>(permutation_[i])] = static_cast<int>(i);
    return {transpose(dout[0], inverse)};
  }
  Kernel prepare(Device&, const Types& in) const override {
    CopyPlan plan = dense_copy(infer(in)[0].shape);
    const auto strides = dense_strides(in[0].shape);
    for (std::size_t a = 0; a < permutation_.size(); ++a)
      plan.x_stride[a] = strides[static_cast<std::size_t>(permutation_[a])];
    return copy_kernel({plan}, in[0].dtype);
  }

 private:
  std::vector<int> permutation_;
};

class SliceOp : public Op {
 public:
  explicit SliceOp(std::vector<Slice> slices) : slices_(std::move(slices)) {}
  std::string describe() const override {
    std::string text = "slice";
    for (const Slice& s : slices_) text += fmt::format(" {}:{}:{}", s.begin, s.end, s.step);
    return text;
  }
  Types infer(const Types& in) const override {
    const Shape& x = in[0].shape;
    require(static_cast<int>(slices_.size()) == x.rank(), fmt::format("{} slices of {}", slices_.size(), x.str()));
    std::vector<std::int64_t> extents;
    for (int a = 0; a < x.rank(); ++a) {
      const Slice& s = slices_[static_cast<std::size_t>(a)];
      require(s.begin >= 0 && s.begin <= s.end && s.end <= x[a] && s.step >= 1,
              fmt::format("slice {}:{}:{} of axis {} of {}", s.begin, s.end, s.step, a, x.str()));
      extents.push_back((s.end - s.begin + s.step - 1) / s.step);
    }
    return {{in[0].dtype, Shape(extents)}};
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    std::vector<Padding> padding;
    for (std::size_t a = 0; a < slices_.size(); ++a) {
      const Slice& s = slices_[a];
      const std::int64_t n = out[0].shape()[static_cast<int>(a)], extent = in[0].shape()[static_cast<int>(a)];
      const std::int64_t covered = n == 0 ? 0 : (n - 1) * s.step + 1;
      padding.push_back({s.begin, extent - s.begin - covered, s.step - 1});
    }
    return {pad(dout[0], padding)};
  }
  std::optional<View> view(const Types& in) const override {
    // Contiguous: after the first axis that is cut, all are whole; before it, all have extent 1.
    const Shape& x = in[0].shape;
    const auto strides = dense_strides(x);
    std::int64_t offset = 0;
    bool cut = false;
    for (int a = x.rank() - 1; a >= 0; --a) {
      const Slice& s = slices_[static_cast<std::size_t>(a)];
      const std::int64_t n = (s.end - s.begin + s.step - 1) / s.step;
      if (cut && n != 1) return std::nullopt;
      if (n > 1 && s.step != 1) return std::nullopt;
      cut |= n != x[a];
      offset += s.begin * strides[static_cast<std::size_t>(a)];
    }
    const std::size_t bytes = static_cast<std::size_t>(offset) * size_of(in[0].dtype);
    if (bytes % memory_alignment != 0) return std::nullopt;
    return View{0, bytes};
  }
  Kernel prepare(Device&, const Types& in) const override {
    CopyPlan plan = dense_copy(infer(in)[0].shape);
    const auto strides = dense_strides(in[0].shape);
    for (std::size_t a = 0; a < slices_.size(); ++a) {
      plan.x_stride[a] = strides[a] * slices_[a].step;
      plan.x_offset += strides[a] * slices_[a].begin;
    }
    return copy_kernel({plan}, in[0].dtype);
  }

 private:
  std::vector<Slice> slices_;
};

class PadOp : public Op {
 public:
  explicit PadOp(std::vector<Padding> padding) : padding_(std::move(padding)) {}
  std::string describe() const override {
    std::string text = "pad";
    for (const Padding& p : padding_) text += fmt::format(" {}/{}/{}", p.low, p.high, p.interior);
    return text;
  }
  Types infer(const Types& in) const override {
    const Shape& x = in[0].shape;
    require(static_cast<int>(padding_.size()) == x.rank(), fmt::format("{} paddings of {}", padding_.size(), x.str()));
    std::vector<std::int64_t> extents;
    for (int a = 0; a < x.rank(); ++a) {
      const Padding& p = padding_[static_cast<std::size_t>(a)];
      require(p.low >= 0 && p.high >= 0 && p.interior >= 0, fmt::format("negative padding of axis {}", a));
      extents.push_back(p.low + p.high + (x[a] == 0 ? 0 : x[a] + (x[a] - 1) * p.interior));
    }
    return {{in[0].dtype, Shape(extents)}};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    std::vector<Slice> slices;
    for (std::size_t a = 0; a < padding_.size(); ++a) {
      const Padding& p = padding_[a];
      const std::int64_t n = in[0].shape()[static_cast<int>(a)];
      slices.push_back({p.low, n == 0 ? p.low : p.low + (n - 1) * (p.interior + 1) + 1, p.interior + 1});
    }
    return {slice(dout[0], slices)};
  }
  Kernel prepare(Device&, const Types& in) const override {
    PadPlan plan;
    const Shape y = infer(in)[0].shape;
    plan.rank = y.rank();
    for (std::size_t a = 0; a < padding_.size(); ++a) {
      plan.x_extent[a] = in[0].shape[static_cast<int>(a)];
      plan.y_extent[a] = y[static_cast<int>(a)];
      plan.low[a] = padding_[a].low;
      plan.interior[a] = padding_[a].interior;
    }
    return make_kernel([plan, size = size_of(in[0].dtype)](const auto& stream, const Call& call) {
      pad(stream, plan, size, call.in[0], call.out[0]);
    });
  }

 private:
  std::vector<Padding> padding_;
};

class ConcatOp : public Op {
 public:
  ConcatOp(int axis, std::int64_t align = 1, std::int64_t extent = 0, bool zero_gaps = false)
      : axis_(axis), align_(align), extent_(extent), zero_gaps_(zero_gaps) {}
  std::string describe() const override {
    return fmt::format("concat axis={} align={} extent={} zero_gaps={:d}", axis_, align_, extent_, zero_gaps_);
  }
  Types infer(const Types& in) const override {
    require(!in.empty(), "no operands");
    require_same_dtype(in);
    require(align_ == 1 || in[0].shape.rank() == 1, "an aligned concatenation is of tensors with one axis");
    std::int64_t extent = 0;
    for (const Type& type : in) {
      require(type.shape.rank() == in[0].shape.rank() && type.shape.with(axis_, 1) == in[0].shape.with(axis_, 1),
              fmt::format("{} and {} differ beside axis {}", in[0].shape.str(), type.shape.str(), axis_));
      extent += (type.shape[axis_] + align_ - 1) / align_ * align_;
    }
    require(extent_ == 0 || extent_ >= extent, fmt::format("{} elements do not fit into {}", extent, extent_));
    return {{in[0].dtype, in[0].shape.with(axis_, std::max(extent, extent_))}};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    Values result;
    std::int64_t begin = 0;
    for (const Value& value : in) {
      const std::int64_t n = value.shape()[axis_];
      result.push_back(slice(dout[0], axis_, begin, begin + n));
      begin += (n + align_ - 1) / align_ * align_;
    }
    return result;
  }
  std::vector<std::size_t> pieces(const Types& in) const override {
    for (int a = 0; a < axis_; ++a)
      if (in[0].shape[a] != 1) return {};
    std::vector<std::size_t> offsets;
    std::size_t offset = 0;
    for (const Type& type : in) {
      offsets.push_back(offset);
      const std::int64_t n = type.shape[axis_];
      offset += n == 0 ? 0
                       : type.bytes() / static_cast<std::size_t>(n) *
                             static_cast<std::size_t>((n + align_ - 1) / align_ * align_);
    }
    return offsets;
  }
  bool gaps() const override { return zero_gaps_; }
  Kernel prepare(Device&, const Types& in) const override {
    const auto strides = dense_strides(infer(in)[0].shape);
    std::vector<CopyPlan> plans;
    std::int64_t offset = 0;
    for (const Type& type : in) {
      CopyPlan plan = dense_copy(type.shape);
      plan.y_stride = strides;
      plan.y_offset = offset;
      offset += type.shape[axis_] * strides[static_cast<std::size_t>(axis_)];
      plans.push_back(plan);
    }
    return copy_kernel(std::move(plans), in[0].dtype);
  }

 private:
  int axis_;
  std::int64_t align_, extent_;
  bool zero_gaps_;
};

/// y = x. As a copy it has memory of its own; as an alias it is a view with a name of its own, and may stop the
/// gradient.
class IdentityOp : public Op {
 public:
  enum class Kind { alias, copy, stop_gradient };
  IdentityOp(Kind kind, int number) : kind_(kind), number_(number) {}
  std::string describe() const override {
    return fmt::format("{} #{}",
                       kind_ == Kind::alias  ? "alias"
                       : kind_ == Kind::copy ? "copy"
                                             : "stop_gradient",
                       number_);
  }
  Types infer(const Types& in) const override { return in; }
  Values grad(const Values&, const Values&, const Values& dout) const override {
    return kind_ == Kind::stop_gradient ? Values{} : dout;
  }
  std::optional<View> view(const Types&) const override {
    return kind_ == Kind::copy ? std::nullopt : std::optional(View{0, 0});
  }
  Kernel prepare(Device&, const Types& in) const override {
    return kind_ == Kind::copy ? copy_kernel({dense_copy(in[0].shape)}, in[0].dtype) : Kernel{};
  }

 private:
  Kind kind_;
  int number_;
};

}  // namespace

Value reshape(Value x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (const auto c = constant_number(x); c && x.shape().elements() == shape.elements())
    return constant(x.graph(), *c, {x.type().dtype, shape});
  const Graph::Node& producer = x.graph().node(x.node());
  if (dynamic_cast<const ReshapeOp*>(producer.op.get())) return reshape(Value(producer.in[0]), shape);
  return x.graph().add(ReshapeOp(shape), {x})[0];
}
Value reshape(Value x, std::span<const std::int64_t> extents) {
  std::vector<std::int64_t> result(extents.begin(), extents.end());
  std::int64_t known = 1;
  int open = -1;
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i] != -1) {
      known *= result[i];
      continue;
    }
    require(x.graph(), "reshape", open < 0, fmt::format("two extents of [{}] are -1", fmt::join(extents, ", ")));
    open = static_cast<int>(i);
  }
  if (open >= 0) {
    require(x.graph(), "reshape", known > 0 && x.shape().elements() % known == 0,
            fmt::format("{} to [{}]: the sizes do not divide", x.shape().str(), fmt::join(extents, ", ")));
    result[static_cast<std::size_t>(open)] = x.shape().elements() / known;
  }
  return reshape(x, Shape(result));
}
Value reshape(Value x, std::initializer_list<std::int64_t> extents) {
  return reshape(x, std::span(extents.begin(), extents.size()));
}

Value transpose(Value x, std::span<const int> permutation) {
  std::vector<int> identity(permutation.size());
  std::iota(identity.begin(), identity.end(), 0);
  if (std::ranges::equal(permutation, identity)) return x;
  return x.graph().add(TransposeOp({permutation.begin(), permutation.end()}), {x})[0];
}
Value transpose(Value x) {
  const int rank = x.shape().rank();
  require(x.graph(), "transpose", rank >= 2, fmt::format("two axes or more wanted, got {}", x.shape().str()));
  std::vector<int> permutation(static_cast<std::size_t>(rank));
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[static_cast<std::size_t>(rank - 1)], permutation[static_cast<std::size_t>(rank - 2)]);
  return transpose(x, permutation);
}

Value slice(Value x, std::span<const Slice> slices) {
  bool whole = static_cast<int>(slices.size()) == x.shape().rank();
  for (std::size_t a = 0; whole && a < slices.size(); ++a)
    whole = slices[a].begin == 0 && slices[a].end == x.shape()[static_cast<int>(a)] && slices[a].step == 1;
  if (whole) return x;
  return x.graph().add(SliceOp({slices.begin(), slices.end()}), {x})[0];
}
Value slice(Value x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  std::vector<Slice> slices;
  for (std::int64_t extent : x.shape().extents()) slices.push_back({0, extent, 1});
  slices[static_cast<std::size_t>(normal_axis(x.graph(), "slice", axis, x.shape()))] = {begin, end, step};
  return slice(x, slices);
}

Value pad(Value x, std::span<const Padding> padding) {
  bool idle = static_cast<int>(padding.size()) == x.shape().rank();
  for (const Padding& p : padding) idle &= p.low == 0 && p.high == 0 && p.interior == 0;
  if (idle) return x;
  return x.graph().add(PadOp({padding.begin(), padding.end()}), {x})[0];
}

Value concat(const Values& values, int axis) {
  require(!values.empty(), "concat of nothing");
  if (values.size() == 1) return values[0];
  Graph& graph = values[0].graph();
  return graph.add(ConcatOp(normal_axis(graph, "concat", axis, values[0].shape())), values)[0];
}
Value concat_aligned(const Values& values, std::int64_t align, std::int64_t extent, bool zero_gaps) {
  require(!values.empty(), "concat of nothing");
  require(values[0].graph(), "concat_aligned", align > 1, fmt::format("align must be greater than 1, got {}", align));
  return values[0].graph().add(ConcatOp(0, align, extent, zero_gaps), values)[0];
}

Values split(Value x, int parts) {
  require(x.graph(), "split", parts >= 1 && x.shape().rank() >= 1 && x.shape()[0] % parts == 0,
          fmt::format("{} does not split into {} equal parts", x.shape().str(), parts));
  const std::int64_t n = x.shape()[0] / parts;
  Values result;
  for (int i = 0; i < parts; ++i) result.push_back(slice(x, 0, i * n, (i + 1) * n));
  return result;
}

Value alias(Value x) {
  return x.graph().add(IdentityOp(IdentityOp::Kind::alias, x.graph().fresh_number()), {x})[0];
}
Value copy(Value x) {
  return x.graph().add(IdentityOp(IdentityOp::Kind::copy, x.graph().fresh_number()), {x})[0];
}
Value stop_gradient(Value x) {
  return x.graph().add(IdentityOp(IdentityOp::Kind::stop_gradient, 0), {x})[0];
}

}  // namespace ganforge
