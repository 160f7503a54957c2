// The scale that clips a gradient. kernels/gradient_norm.h has the formula.
#include "kernels/gradient_norm.h"
#include "src/ops/support.h"

#include <ganforge/gradient_norm.h>

namespace ganforge {
namespace {

/// g → scale
class ClipScaleOp : public Op {
 public:
  ClipScaleOp(float max_norm, float factor) : max_norm_(max_norm), factor_(factor) {}
  std::string describe() const override { return fmt::format("clip_scale max_norm={} factor={}", max_norm_, factor_); }

  Types infer(const Types& in) const override {
    require_float(in[0], "g");
    require(in[0].shape.rank() == 1, fmt::format("a flat buffer wanted, got {}", in[0].shape.str()));
    return {{in[0].dtype, {}}};
  }
  Values expand(const Values& in) const override {
    const double max_norm = static_cast<double>(max_norm_), factor = static_cast<double>(factor_);
    const Value norm = sqrt(sum(square(in[0]))) * factor + 1e-6;
    return {minimum(recip(norm) * max_norm, constant_like(norm, 1)) * factor};
  }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const std::int64_t n = in[0].shape[0];
    Kernel kernel = make_kernel([n, max_norm = max_norm_, factor = factor_](const auto& stream, const Call& call) {
      gradient_norm(stream, GradientNormArgs{call.template input<float>(0), call.template output<float>(0), n, max_norm,
                                             factor, call.workspace, static_cast<unsigned*>(call.persistent)});
    });
    kernel.workspace = gradient_norm_workspace(n);
    kernel.persistent = sizeof(unsigned);
    return kernel;
  }
  Cost cost(const Types& in) const override {
    const double n = static_cast<double>(in[0].shape[0]);
    return {2 * n, 4 * n};
  }

 private:
  float max_norm_, factor_;
};

}  // namespace

Value clip_scale(Value g, float max_norm, float factor) {
  require(g.graph(), "clip_scale", max_norm > 0 && factor > 0, fmt::format("max_norm {}, factor {}", max_norm, factor));
  return g.graph().add(ClipScaleOp(max_norm, factor), {g})[0];
}

}  // namespace ganforge
