// DiffAugment: one op for an image and for a cotangent. kernels/augment.h has the formulae.
#include "kernels/augment.h"
#include "src/ops/support.h"

#include <ganforge/augment.h>

#include <limits>

namespace ganforge {
namespace {

static_assert(augment_numbers == numbers_per_sample);

/// x, numbers, probability → y. `adjoint`: of the linear part.
class AugmentOp : public Op {
 public:
  AugmentOp(Augmentation options, bool linear, bool adjoint) : o_(options), linear_(linear), adjoint_(adjoint) {}
  std::string describe() const override {
    return fmt::format("augment{}{}{}{}{} from {} to {}", o_.color ? " color" : "",
                       o_.translation ? " translation" : "", o_.cutout ? " cutout" : "", adjoint_ ? " adjoint" : "",
                       linear_ ? " linear" : "", o_.low, o_.high);
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    const Shape& x = in[0].shape;
    require(x.rank() == 4, fmt::format("images [N, H, W, C] wanted, got {}", x.str()));
    constexpr std::int64_t most = std::numeric_limits<int>::max();
    require(x[1] >= 1 && x[2] >= 1 && x[3] >= 1 && x[1] * x[2] * x[3] <= most, fmt::format("images are {}", x.str()));
    require(in[1].shape == Shape{x[0], augment_numbers},
            fmt::format("numbers must be [{}, {}], got {}", x[0], augment_numbers, in[1].shape.str()));
    require(in[2].shape.rank() == 0, fmt::format("the probability must be a scalar, got {}", in[2].shape.str()));
    return {in[0]};
  }

  Values expand(const Values& in) const override {
    if (!adjoint_) return {forward(in[0], in[1], in[2])};
    // Linear: the gradient is the same everywhere.
    const Value x = alias(constant_like(in[0], 0));
    return {ganforge::grad({AugmentOp(o_, true, false).forward(x, in[1], in[2])}, {in[0]}, {x})[0]};
  }

  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {dout[0].graph().add(AugmentOp(o_, true, !adjoint_), {dout[0], in[1], in[2]})[0], Value(), Value()};
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const Shape& x = in[0].shape;
    AugmentArgs args{};
    args.n = x[0], args.h = x[1], args.w = x[2], args.channels = x[3];
    args.color = o_.color, args.translation = o_.translation, args.cutout = o_.cutout, args.adjoint = adjoint_;
    args.half_range = static_cast<float>(half_range());
    args.middle = static_cast<float>(middle());
    return make_kernel([args](const auto& stream, const Call& call) {
      AugmentArgs a = args;
      a.x = call.template input<float>(0);
      a.numbers = call.template input<float>(1);
      a.probability = call.template input<float>(2);
      a.y = call.template output<float>(0);
      augment(stream, a);
    });
  }

  Cost cost(const Types& in) const override {
    const double elements = static_cast<double>(in[0].shape.elements());
    return {(o_.color ? 5 : 0) * elements, 8 * elements};
  }

 private:
  double half_range() const { return linear_ ? 0 : (static_cast<double>(o_.high) - static_cast<double>(o_.low)) / 2; }
  double middle() const { return linear_ ? 0 : (static_cast<double>(o_.high) + static_cast<double>(o_.low)) / 2; }

  Value forward(Value x, Value numbers, Value probability) const {
    const Shape shape = x.shape();
    const std::int64_t n = shape[0], h = shape[1], w = shape[2], channels = shape[3];
    const Value u = stop_gradient(numbers), p = stop_gradient(probability);
    const auto number = [&](std::int64_t i) { return reshape(slice(u, 1, i, i + 1), {n, 1, 1, 1}); };
    const auto happens = [&](std::int64_t i) { return less(number(i), p); };
    if (o_.color) {
      const Value on = happens(0), brightness = on * (number(1) - 0.5) * half_range();
      const Value saturation = on * affine(number(2), 2, -1) + 1.0, contrast = on * (number(3) - 0.5) + 1.0;
      const Value pixel = reshape(mean(x, {3}), {n, h, w, 1}), all = reshape(mean(x, {1, 2, 3}), {n, 1, 1, 1});
      x = contrast * (saturation * (x - pixel) + pixel - all) + all + brightness;
    }
    x = x - middle();
    const DType type = x.type().dtype;
    Graph& graph = x.graph();
    // Whole number 0 … count − 1 from number i, count ≥ 1.
    const auto whole = [&](std::int64_t i, std::int64_t count) {
      return minimum(floor(number(i) * static_cast<double>(count)),
                     constant(graph, static_cast<double>(count - 1), {type, {}}));
    };
    if (o_.translation) {
      // out[i] = Σₖ (k = i + shift)·in[k], along rows, then along columns.
      const auto moves = [&](std::int64_t i, std::int64_t extent) {
        const std::int64_t reach = (extent + 4) / 8;
        const Value shift = happens(4) * (whole(i, 2 * reach + 1) - static_cast<double>(reach));
        const Type square{type, {extent, extent}};
        return equal(iota(graph, square, 1), iota(graph, square, 0) + reshape(shift, {n, 1, 1}));
      };
      x = reshape(matmul(moves(5, h), reshape(x, {n, h, w * channels})), {n, h, w, channels});
      x = transpose(x, std::array{0, 2, 1, 3});
      x = reshape(matmul(moves(6, w), reshape(x, {n, w, h * channels})), {n, w, h, channels});
      x = transpose(x, std::array{0, 2, 1, 3});
    }
    if (o_.cutout) {
      const auto within = [&](std::int64_t i, std::int64_t extent, const Shape& along, int axis) {
        const std::int64_t size = (extent + 1) / 2;
        const Value begin = whole(i, extent + 1 - size % 2) - static_cast<double>(size / 2);
        const Value at = iota(graph, {type, along}, axis);
        return less(begin - 0.5, at) * less(at, begin + (static_cast<double>(size) - 0.5));
      };
      const Value cut = happens(7) * within(8, h, {1, h, 1, 1}, 1) * within(9, w, {1, 1, w, 1}, 2);
      x = x * affine(cut, -1, 1);
    }
    return x + middle();
  }

  Augmentation o_;
  bool linear_, adjoint_;
};

}  // namespace

Value augment(Value x, Value numbers, Value probability, const Augmentation& options) {
  if (!options) return x;
  return x.graph().add(AugmentOp(options, false, false), {x, numbers, probability})[0];
}

}  // namespace ganforge
