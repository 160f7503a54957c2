// Fully connected layer and its two gradients. They differentiate into each other, so penalties of any order run on the
// same three kernels.
#include "kernels/linear.h"
#include "kernels/weight_product.h"
#include "src/ops/act_grad.h"
#include "src/ops/head.h"
#include "src/ops/linear_norm.h"
#include "src/ops/support.h"
#include "src/ops/weight_grads.h"

namespace ganforge {
namespace {

bool has_kernel(const Types& in) {
  return in[0].dtype == DType::float32;
}

double gemm_flops(std::int64_t m, std::int64_t n, std::int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

class LinearOp : public Op, public BatchNormAbsorber, public HeadLayer {
 public:
  LinearOp(bool bias, Activation act) : bias_(bias), act_(act) {}
  std::string describe() const override {
    return fmt::format("linear bias={:d} act={}", bias_, ganforge::describe(act_));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    const Shape &x = in[0].shape, &w = in[1].shape;
    require(x.rank() == 2 && w.rank() == 2,
            fmt::format("x [rows, in] and w [out, in] wanted, got {} and {}", x.str(), w.str()));
    require(x[1] == w[1], fmt::format("x has {} features, w takes {}", x[1], w[1]));
    if (bias_) require(in[2].shape == Shape{w[0]}, fmt::format("b must be [{}], got {}", w[0], in[2].shape.str()));
    return {{in[0].dtype, {x[0], w[0]}}};
  }

  Values expand(const Values& in) const override {
    Value y = matmul(in[0], in[1], false, true);
    if (bias_) y = add(y, in[2]);
    return {activate(y, act_)};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    const Value dz = act_grad(dout[0], out[0], act_);
    const auto [dw, db] = linear_weight_grad(dz, in[0]);
    Values result = {linear_input_grad(dz, in[1]), dw};
    if (bias_) result.push_back(db);
    return result;
  }

  Values operands_of_head(const Values& in) const override { return in[1].shape()[0] == 1 && !act_ ? in : Values{}; }
  Activation activation_of_result() const override { return act_; }

  Values absorb_batch_norm(const Values& in, const Values& norm, const BatchNormOptions& options) const override {
    Values operands = in;
    operands.insert(operands.end(), norm.begin(), norm.end());
    const Values out = linear_norm(operands, bias_, act_, options);
    return {out.begin() + 1, out.end()};
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (!has_kernel(in)) return {};
    return make_kernel([bias = bias_, act = act_, rows = in[0].shape[0], features = in[0].shape[1],
                        out = in[1].shape[0]](const auto& stream, const Call& call) {
      linear(stream, LinearArgs{call.template input<float>(0), call.template input<float>(1),
                                bias ? call.template input<float>(2) : nullptr, call.template output<float>(0), rows,
                                features, out, act});
    });
  }

  Cost cost(const Types& in) const override {
    return {gemm_flops(in[0].shape[0], in[1].shape[0], in[1].shape[1]), Op::cost(in).bytes};
  }

 private:
  bool bias_;
  Activation act_;
};

/// Without a mask: dz, w. With one: dz, w, y.
class LinearInputGradOp : public Op, public ActGradAbsorber, public BatchNormGradAbsorber {
 public:
  explicit LinearInputGradOp(Activation act) : act_(act) {}
  std::string describe() const override { return fmt::format("linear_input_grad act={}", ganforge::describe(act_)); }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "dz");
    const Shape &dz = in[0].shape, &w = in[1].shape;
    require(dz.rank() == 2 && w.rank() == 2,
            fmt::format("dz [rows, out] and w [out, in] wanted, got {} and {}", dz.str(), w.str()));
    require(dz[1] == w[0], fmt::format("dz has {} features, w makes {}", dz[1], w[0]));
    const Shape dx{dz[0], w[1]};
    if (act_) require(in.size() == 3 && in[2].shape == dx, fmt::format("y must be {}", dx.str()));
    return {{in[0].dtype, dx}};
  }

  Values expand(const Values& in) const override {
    const Value dx = matmul(in[0], in[1]);
    return {act_ ? plain_act_grad(dx, in[2], act_) : dx};
  }

  // With cotangent c and c' = c ⊙ act′(y): to dz goes c'·wᵀ, to w goes dzᵀ·c'.
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (!act_.piecewise_linear()) return Op::grad(in, out, dout);  // y has a gradient too
    const Value c = act_ ? act_grad(dout[0], in[2], act_) : dout[0];
    return {linear(c, in[1], {}), linear_weight_grad(in[0], c).first};
  }

  Value absorb(Value dx, Value y, const Activation& act) const override {
    if (act_) return {};
    const Values& in = dx.graph().node(dx.node()).in;
    return linear_input_grad(in[0], in[1], y, act);
  }

  Values absorb_batch_norm_grad(const Values& in, const Values& norm, const BatchNormOptions& options,
                                const Activation& input_act) const override {
    if (act_) return {};
    Values operands = {in[0], in[1]};
    operands.insert(operands.end(), norm.begin(), norm.end());
    return linear_norm_grad(operands, options, input_act);
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (!has_kernel(in)) return {};
    return make_kernel([act = act_, rows = in[0].shape[0], features = in[1].shape[1], out = in[1].shape[0]](
                           const auto& stream, const Call& call) {
      linear_input_grad(stream, LinearInputGradArgs{call.template input<float>(0), call.template input<float>(1),
                                                    act ? call.template input<float>(2) : nullptr,
                                                    call.template output<float>(0), rows, features, out, act});
    });
  }

  Cost cost(const Types& in) const override {
    return {gemm_flops(in[0].shape[0], in[1].shape[0], in[1].shape[1]), Op::cost(in).bytes};
  }

 private:
  Activation act_;
};

/// dz, x → dw, db
class LinearWeightGradOp : public Op {
 public:
  std::string describe() const override { return "linear_weight_grad"; }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "dz");
    const Shape &dz = in[0].shape, &x = in[1].shape;
    require(dz.rank() == 2 && x.rank() == 2 && dz[0] == x[0],
            fmt::format("dz [rows, out] and x [rows, in] wanted, got {} and {}", dz.str(), x.str()));
    return {{in[0].dtype, {dz[1], x[1]}}, {in[0].dtype, {dz[1]}}};
  }

  Values expand(const Values& in) const override { return {matmul(in[0], in[1], true, false), sum(in[0], {0})}; }

  // With cotangents c of dw and c_b of db: to dz goes x·cᵀ + c_b, to x goes dz·c.
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    const Value c = dout[0], c_b = dout[1];
    if (!c) return {broadcast(c_b, in[0].shape()), Value()};
    return {linear(in[1], c, c_b), linear_input_grad(in[0], c)};
  }

  Kernel prepare([[maybe_unused]] Device& device, const Types& in) const override {
    if (!has_kernel(in)) return {};
#if GANFORGE_CUDA
    // With the convolutions of the network, if it has any.
    if (const auto* stream = std::get_if<CudaStream>(&device.stream())) {
      const auto plan = plan_weight_product(*stream, in[0].shape[0], in[1].shape[1], in[0].shape[1]);
      if (Kernel kernel = weight_grad_kernel(plan, {.x = 1, .y = 0})) return kernel;
    }
#endif
    struct Sizes {
      std::int64_t rows, in, out;
    };
    Kernel kernel;
    kernel.plan = std::make_shared<const Sizes>(Sizes{in[0].shape[0], in[1].shape[1], in[0].shape[1]});
    kernel.max_group = max_linear_group;
    kernel.run = [](Stream& stream, std::span<const Call> calls) {
      LinearWeightGradArgs layers[max_linear_group];
      std::size_t n = 0;
      for (const Call& call : calls) {
        const Sizes& sizes = *static_cast<const Sizes*>(call.plan);
        layers[n++] = {call.input<float>(0),
                       call.input<float>(1),
                       call.output<float>(0),
                       call.output<float>(1),
                       sizes.rows,
                       sizes.in,
                       sizes.out};
      }
      std::visit([&](const auto& s) { linear_weight_grad(s, std::span<const LinearWeightGradArgs>(layers, n)); },
                 stream);
    };
    return kernel;
  }

  Cost cost(const Types& in) const override {
    return {gemm_flops(in[0].shape[0], in[0].shape[1], in[1].shape[1]), Op::cost(in).bytes};
  }
};

}  // namespace

Value linear(Value x, Value w, Value b, const Activation& activation) {
  Values in = {x, w};
  if (b) in.push_back(b);
  return x.graph().add(LinearOp(static_cast<bool>(b), activation), in)[0];
}

Value linear_input_grad(Value dz, Value w, Value y, const Activation& activation) {
  Values in = {dz, w};
  if (activation) in.push_back(y);
  return dz.graph().add(LinearInputGradOp(activation), in)[0];
}

std::pair<Value, Value> linear_weight_grad(Value dz, Value x) {
  const Values out = dz.graph().add(LinearWeightGradOp(), {dz, x});
  return {out[0], out[1]};
}

}  // namespace ganforge
