// Max pooling. kernels/max_pool.h has the formulae. Gradient and its adjoint differentiate into each other; which
// places are the maxima is taken as a mask, without derivative.
#include "kernels/max_pool.h"
#include "src/ops/pooling.h"

namespace ganforge {
namespace {

using Sizes = std::array<std::int64_t, 2>;  // of rows, of columns

/// What the three ops share; windows are known to fit.
class Pooling : public Op {
 public:
  Pooling(Sizes window, Sizes stride) : window_(window), stride_(stride) {}

 protected:
  std::string attributes() const {
    return fmt::format("window=[{}] stride=[{}]", fmt::join(window_, ","), fmt::join(stride_, ","));
  }

  Shape pooled_shape(const Shape& x) const {
    return {x[0], pooled(x[1], window_[0], stride_[0]), pooled(x[2], window_[1], stride_[1]), x[3]};
  }
  void require_pooled(const Types& in, std::size_t large, std::size_t small) const {
    require_same_dtype(in);
    require(in[large].shape.rank() == 4 && in[small].shape == pooled_shape(in[large].shape),
            fmt::format("{} is no pooled {}", in[small].shape.str(), in[large].shape.str()));
  }

  MaxPoolSizes sizes(const Shape& x) const {
    const Shape y = pooled_shape(x);
    const auto n = [](std::int64_t size) { return static_cast<std::int32_t>(size); };
    return {x[0], x[3], n(x[1]), n(x[2]), n(y[1]), n(y[2]), n(window_[0]), n(window_[1]), n(stride_[0]), n(stride_[1])};
  }

  /// f(i, j) for the places of a window.
  void each_place(const std::function<void(std::int64_t, std::int64_t)>& f) const {
    for (std::int64_t i = 0; i < window_[0]; ++i)
      for (std::int64_t j = 0; j < window_[1]; ++j) f(i, j);
  }
  /// x by place: [window area, N, P, Q, C].
  Value by_place(Value x) const {
    const Shape y = pooled_shape(x.shape());
    Values places;
    each_place([&](std::int64_t i, std::int64_t j) {
      const Slice rows{i, i + (y[1] - 1) * stride_[0] + 1, stride_[0]};
      const Slice columns{j, j + (y[2] - 1) * stride_[1] + 1, stride_[1]};
      const Value place = slice(x, std::array{Slice{0, y[0], 1}, rows, columns, Slice{0, y[3], 1}});
      places.push_back(reshape(place, {1, y[0], y[1], y[2], y[3]}));
    });
    return concat(places, 0);
  }
  /// Adjoint of by_place.
  Value from_places(Value places, const Shape& x) const {
    const Shape y = pooled_shape(x);
    Value sum;
    std::int64_t k = 0;
    each_place([&](std::int64_t i, std::int64_t j) {
      const Value place = reshape(slice(places, 0, k, k + 1), y);
      ++k;
      const Padding rows{i, x[1] - i - ((y[1] - 1) * stride_[0] + 1), stride_[0] - 1};
      const Padding columns{j, x[2] - j - ((y[2] - 1) * stride_[1] + 1), stride_[1] - 1};
      const Value padded = pad(place, std::array{Padding{}, rows, columns, Padding{}});
      sum = sum ? add(sum, padded) : padded;
    });
    return sum;
  }

  Sizes window_, stride_;
};

/// x → y
class MaxPoolOp : public Pooling {
 public:
  using Pooling::Pooling;
  std::string describe() const override { return "max_pool2d " + attributes(); }
  Types infer(const Types& in) const override {
    require_float(in[0], "x");
    return {{in[0].dtype, pooled_shape(in[0].shape)}};
  }
  Values expand(const Values& in) const override { return {max(by_place(in[0]), {0})}; }
  Values grad(const Values& in, const Values& out, const Values& dout) const override;

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([sizes = sizes(in[0].shape)](const auto& stream, const Call& call) {
      max_pool(stream, MaxPoolArgs{call.template input<float>(0), call.template output<float>(0), sizes});
    });
  }
};

/// dy, x, y → dx
class MaxPoolGradOp : public Pooling {
 public:
  using Pooling::Pooling;
  std::string describe() const override { return "max_pool2d_grad " + attributes(); }
  Types infer(const Types& in) const override {
    require_float(in[0], "dy");
    require_pooled(in, 1, 0);
    require_pooled(in, 1, 2);
    return {in[1]};
  }
  Values expand(const Values& in) const override {
    const Value maxima = equal(by_place(in[1]), in[2]);
    return {from_places(maxima * (in[0] / sum(maxima, {0})), in[1].shape())};
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override;

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([sizes = sizes(in[1].shape)](const auto& stream, const Call& call) {
      max_pool_grad(stream, MaxPoolGradArgs{call.template input<float>(0), call.template input<float>(1),
                                            call.template input<float>(2), call.template output<float>(0), sizes});
    });
  }
};

/// v, x, y → z
class MaxPoolPickOp : public Pooling {
 public:
  using Pooling::Pooling;
  std::string describe() const override { return "max_pool2d_pick " + attributes(); }
  Types infer(const Types& in) const override {
    require_float(in[0], "v");
    require(in[0] == in[1], fmt::format("v is {}, x is {}", in[0].str(), in[1].str()));
    require_pooled(in, 1, 2);
    return {in[2]};
  }
  Values expand(const Values& in) const override {
    const Value maxima = equal(by_place(in[1]), in[2]);
    return {sum(maxima * by_place(in[0]), {0}) / sum(maxima, {0})};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {dout[0].graph().add(MaxPoolGradOp(window_, stride_), {dout[0], in[1], in[2]})[0], Value(), Value()};
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([sizes = sizes(in[0].shape)](const auto& stream, const Call& call) {
      max_pool_pick(stream, MaxPoolPickArgs{call.template input<float>(0), call.template input<float>(1),
                                            call.template input<float>(2), call.template output<float>(0), sizes});
    });
  }
};

Values MaxPoolOp::grad(const Values& in, const Values& out, const Values& dout) const {
  return dout[0].graph().add(MaxPoolGradOp(window_, stride_), {dout[0], in[0], out[0]});
}

Values MaxPoolGradOp::grad(const Values& in, const Values&, const Values& dout) const {
  return {dout[0].graph().add(MaxPoolPickOp(window_, stride_), {dout[0], in[1], in[2]})[0], Value(), Value()};
}

}  // namespace

Value max_pool2d(Value x, Sizes window, Sizes stride) {
  require_pooling(x, "max_pool2d", window, stride);
  return x.graph().add(MaxPoolOp(window, stride), {x})[0];
}

}  // namespace ganforge
