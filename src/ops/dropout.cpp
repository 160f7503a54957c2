// Dropout. The mask is a function of the tick: linear in x, and its own adjoint.
#include "kernels/dropout.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

/// x, tick → y
class DropoutOp : public Op {
 public:
  DropoutOp(float rate, std::uint64_t seed, int draw) : rate_(rate), seed_(seed), draw_(draw) {}
  std::string describe() const override { return fmt::format("dropout rate={} seed={} draw={}", rate_, seed_, draw_); }

  Types infer(const Types& in) const override {
    require_float(in[0], "x");
    require(in[1] == Type{DType::int64, {}}, fmt::format("tick must be an int64 scalar, got {}", in[1].str()));
    return {in[0]};
  }
  Values expand(const Values& in) const override {
    const Value u = cast(uniform(in[1], seed_, draw_, in[0].shape()), in[0].type().dtype);
    const Value dropped = less(u, constant_like(u, static_cast<double>(rate_)));
    return {in[0] * affine(dropped, -scale(), scale())};
  }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    return {dout[0].graph().add(*this, {dout[0], in[1]})[0], Value()};
  }
  int in_place(int) const override { return 0; }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    DropoutArgs args{};
    args.n = in[0].shape.elements();
    args.seed = seed_;
    args.draw = static_cast<std::uint32_t>(draw_);
    args.rate = rate_;
    args.scale = static_cast<float>(scale());
    return make_kernel([args](const auto& stream, const Call& call) {
      DropoutArgs a = args;
      a.x = call.template input<float>(0);
      a.tick = call.template input<std::int64_t>(1);
      a.y = call.template output<float>(0);
      dropout(stream, a);
    });
  }

 private:
  double scale() const { return 1 / (1 - static_cast<double>(rate_)); }

  float rate_;
  std::uint64_t seed_;
  int draw_;
};

}  // namespace

Value dropout(Value x, float rate, Value tick, std::uint64_t seed, int draw) {
  require(x.graph(), "dropout", rate >= 0 && rate < 1, fmt::format("rate {} is not in [0, 1)", rate));
  if (rate == 0) return x;
  return x.graph().add(DropoutOp(rate, seed, draw), {x, tick})[0];
}

}  // namespace ganforge
