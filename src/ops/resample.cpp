// Average pooling and upsampling. kernels/resample.h has the formulae; forward and adjoint differentiate into each
// other.
#include "kernels/resample.h"
#include "src/ops/pooling.h"
#include "src/ops/support.h"

#include <ganforge/downsample.h>

namespace ganforge {
namespace {

using Sizes = std::array<std::int64_t, 2>;  // of rows, of columns

/// A box (or, with hat, a bilinear factor, which is the stride), or its adjoint.
struct Spec {
  bool hat = false, adjoint = false;
  Sizes window = {1, 1}, stride = {1, 1};
  Sizes size = {};  // of the adjoint's output
  double scale = 1;
};

class ResampleOp : public Op {
 public:
  explicit ResampleOp(const Spec& spec) : s_(spec) {}
  std::string describe() const override {
    return fmt::format("resample {}{} window=[{}] stride=[{}] scale={}{}", s_.hat ? "hat" : "box",
                       s_.adjoint ? "_adjoint" : "", fmt::join(s_.window, ","), fmt::join(s_.stride, ","), s_.scale,
                       s_.adjoint ? fmt::format(" to=[{}]", fmt::join(s_.size, ",")) : "");
  }

  Types infer(const Types& in) const override {
    require_float(in[0], "x");
    const Shape& x = in[0].shape;
    require(x.rank() == 4, fmt::format("images [N, H, W, C] wanted, got {}", x.str()));
    Shape y = x;
    for (const int axis : {0, 1}) {
      const auto a = static_cast<std::size_t>(axis);
      const std::int64_t to = s_.adjoint ? s_.size[a] : small(a, x[1 + axis]);
      require(to > 0 && (!s_.adjoint || small(a, to) == x[1 + axis]),
              fmt::format("{} by {} of {} to {}", s_.hat ? "hat" : "window", s_.window[a], x[1 + axis], to));
      y = y.with(1 + axis, to);
    }
    for (const std::int64_t extent : {x[1], x[2], y[1], y[2]})
      require(extent <= max_pixels, fmt::format("{} pixels along an axis", extent));
    return {{in[0].dtype, y}};
  }

  // Rows of pixels are multiplied by the one matrix, then columns by the other.
  Values expand(const Values& in) const override {
    const Shape &x = in[0].shape(), y = infer({in[0].type()})[0].shape;
    const Value rows = reshape(in[0], {x[0], x[1], x[2] * x[3]});
    const Value shorter = matmul(matrix(in[0], 0, x[1], y[1]), rows, s_.adjoint);
    const Value columns = reshape(shorter, {x[0] * y[1], x[2], x[3]});
    return {reshape(matmul(matrix(in[0], 1, x[2], y[2]), columns, s_.adjoint), y) * total_scale()};
  }

  Values grad(const Values& in, const Values&, const Values& dout) const override {
    Spec other = s_;
    other.adjoint = !s_.adjoint;
    other.size = {in[0].shape()[1], in[0].shape()[2]};
    if (s_.adjoint) other.size = {};
    return dout[0].graph().add(ResampleOp(other), {dout[0]});
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const Shape &x = in[0].shape, y = infer(in)[0].shape;
    ResampleArgs args{};
    args.images = x[0];
    args.channels = x[3];
    args.vertical = axis(0, x[1], y[1]);
    args.horizontal = axis(1, x[2], y[2]);
    args.kind = s_.hat       ? s_.adjoint ? Resampling::hat_adjoint : Resampling::hat
                : s_.adjoint ? Resampling::box_adjoint
                             : Resampling::box;
    args.scale = static_cast<float>(total_scale());
    return make_kernel([args](const auto& stream, const Call& call) {
      ResampleArgs a = args;
      a.x = call.template input<float>(0);
      a.y = call.template output<float>(0);
      resample(stream, a);
    });
  }

 private:
  /// Extent of the forward map's output, from that of its input; 0 if nothing fits.
  std::int64_t small(std::size_t axis, std::int64_t from) const {
    if (s_.hat) return from * s_.stride[axis];
    return pooled(from, s_.window[axis], s_.stride[axis]);
  }
  ResampleAxis axis(std::size_t axis, std::int64_t from, std::int64_t to) const {
    return {static_cast<std::int32_t>(from), static_cast<std::int32_t>(to), static_cast<std::int32_t>(s_.window[axis]),
            static_cast<std::int32_t>(s_.stride[axis])};
  }
  /// A hat's weights are whole numbers (resample_taps.h).
  double total_scale() const {
    return s_.hat ? s_.scale / (4.0 * static_cast<double>(s_.stride[0] * s_.stride[1])) : s_.scale;
  }
  /// The forward map's matrix [its outputs, its inputs] along an axis.
  Value matrix(Value like, std::size_t axis, std::int64_t from, std::int64_t to) const {
    if (s_.adjoint) std::swap(from, to);
    const Type type{like.type().dtype, {to, from}};
    const Value o = iota(like.graph(), type, 0), i = iota(like.graph(), type, 1);
    const auto stride = static_cast<double>(s_.stride[axis]), window = static_cast<double>(s_.window[axis]);
    if (!s_.hat) return less(i, o * stride + window) - less(i, o * stride);
    const Value place = clamp(o * 2.0 + (1 - stride), 0, 2 * stride * static_cast<double>(from - 1));
    return relu(affine(abs(place - i * (2 * stride)), -1, 2 * stride));
  }

  Spec s_;
};

void require_images(const char* op, Value x) {
  const Shape& s = x.shape();
  require(x.graph(), op, s.rank() == 4, fmt::format("images [N, H, W, C] wanted, got {}", s.str()));
  require(x.graph(), op, s[1] > 0 && s[2] > 0, fmt::format("no pixels in {}", s.str()));
}

Value upsample(const char* op, Value x, std::int64_t factor, bool hat) {
  require_images(op, x);
  require(x.graph(), op, factor >= 1 && factor <= 1024, fmt::format("factor {}", factor));
  if (factor == 1) return x;
  const Sizes factors = {factor, factor};
  if (hat) return x.graph().add(ResampleOp({.hat = true, .window = factors, .stride = factors}), {x})[0];
  return x.graph().add(ResampleOp({.adjoint = true,
                                   .window = factors,
                                   .stride = factors,
                                   .size = {x.shape()[1] * factor, x.shape()[2] * factor}}),
                       {x})[0];
}

}  // namespace

Value avg_pool2d(Value x, Sizes window, Sizes stride) {
  require_pooling(x, "avg_pool2d", window, stride);
  const double scale = 1.0 / static_cast<double>(window[0] * window[1]);
  return x.graph().add(ResampleOp({.window = window, .stride = stride, .scale = scale}), {x})[0];
}

Value upsample_nearest(Value x, std::int64_t factor) {
  return upsample("upsample_nearest", x, factor, false);
}

Value upsample_bilinear(Value x, std::int64_t factor) {
  return upsample("upsample_bilinear", x, factor, true);
}

Value downsample_bilinear(Value x, std::int64_t factor) {
  constexpr auto op = "downsample_bilinear";
  require_images(op, x);
  const Shape& s = x.shape();
  require(x.graph(), op, factor >= 1 && factor <= 1024, fmt::format("factor {}", factor));
  require(x.graph(), op, s[1] % factor == 0 && s[2] % factor == 0,
          fmt::format("{}×{} pixels do not divide by {}", s[1], s[2], factor));
  if (factor == 1) return x;
  const Sizes factors = {factor, factor};
  return x.graph().add(ResampleOp({.hat = true,
                                   .adjoint = true,
                                   .window = factors,
                                   .stride = factors,
                                   .size = {s[1] / factor, s[2] / factor},
                                   .scale = 1.0 / static_cast<double>(factor * factor)}),
                       {x})[0];
}

Value global_avg_pool(Value x) {
  require_images("global_avg_pool", x);
  return mean(x, {1, 2});
}

Value pixel_shuffle(Value x, std::int64_t factor) {
  require_images("pixel_shuffle", x);
  const Shape& s = x.shape();
  require(x.graph(), "pixel_shuffle", factor >= 1 && s[3] % (factor * factor) == 0,
          fmt::format("{} channels do not divide into {}×{} pixels", s[3], factor, factor));
  const std::int64_t channels = s[3] / (factor * factor);
  const Value parts = reshape(x, {s[0] * s[1], s[2], channels, factor, factor});  // [N·H, W, C, i, j]
  return reshape(transpose(parts, std::array{0, 3, 1, 4, 2}), {s[0], s[1] * factor, s[2] * factor, channels});
}

}  // namespace ganforge
