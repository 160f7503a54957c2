// Adversarial losses. kernels/gan_loss.h has the formulae.
#include "kernels/gan_loss.h"
#include "src/ops/head.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

const char* name(Objective objective) {
  switch (objective) {
    case Objective::non_saturating:
      return "non_saturating";
    case Objective::saturating:
      return "saturating";
    case Objective::least_squares:
      return "least_squares";
  }
  return "?";
}

/// The gradient with respect to the logits is an output; the loss's cotangent scales it.
Value scaled(Value dlogits, Value dloss) {
  return mul(dlogits, broadcast(dloss, dlogits.shape()));
}

/// logits [2n] → loss, dlogits, d_real, d_fake, accuracy
class DiscriminatorLossOp : public Op {
 public:
  DiscriminatorLossOp(Objective objective, float real_target) : objective_(objective), target_(real_target) {}
  std::string describe() const override {
    return fmt::format("discriminator_loss {} real_target={}", name(objective_), target_);
  }

  Types infer(const Types& in) const override {
    require_float(in[0], "logits");
    require(in[0].shape.rank() == 1 && in[0].shape[0] > 0 && in[0].shape[0] % 2 == 0,
            fmt::format("logits must have two equal halves, got {}", in[0].shape.str()));
    const Type scalar{in[0].dtype, {}};
    return {scalar, in[0], scalar, scalar, scalar};
  }

  Values expand(const Values& in) const override {
    const Values halves = split(in[0], 2);
    const Value real = halves[0], fake = halves[1];
    const double n = static_cast<double>(real.shape()[0]), t = static_cast<double>(target_);
    const auto correct = [&](double border) {
      const Value line = constant_like(real, border);
      return (sum(less(line, real)) + sum(affine(less(line, fake), -1, 1))) / (2 * n);
    };
    if (objective_ == Objective::least_squares) {
      const Value r = real - t;
      return {(mean(square(r)) + mean(square(fake))) * 0.5, concat({r, fake}, 0) / n, mean(real), mean(fake),
              correct(0.5)};
    }
    const Value p_real = sigmoid(real), p_fake = sigmoid(fake);
    return {mean(softplus(-real) + real * (1 - t)) + mean(softplus(fake)), concat({p_real - t, p_fake}, 0) / n,
            mean(p_real), mean(p_fake), correct(0)};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (!dout[0] || dout[1] || dout[2] || dout[3] || dout[4]) return Op::grad(in, out, dout);
    return {scaled(out[1], dout[0])};
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([objective = objective_, target = target_, n = in[0].shape[0] / 2](const auto& stream,
                                                                                          const Call& call) {
      discriminator_loss(stream, DiscriminatorLossArgs{call.template input<float>(0), call.template output<float>(0),
                                                       call.template output<float>(1), call.template output<float>(2),
                                                       call.template output<float>(3), call.template output<float>(4),
                                                       n, objective, target});
    });
  }

 private:
  Objective objective_;
  float target_;
};

/// logits [n] → loss, dlogits
class GeneratorLossOp : public Op {
 public:
  explicit GeneratorLossOp(Objective objective) : objective_(objective) {}
  std::string describe() const override { return fmt::format("generator_loss {}", name(objective_)); }

  Types infer(const Types& in) const override {
    require_float(in[0], "logits");
    require(in[0].shape.rank() == 1 && in[0].shape[0] > 0, fmt::format("logits [n] wanted, got {}", in[0].shape.str()));
    return {{in[0].dtype, {}}, in[0]};
  }

  Values expand(const Values& in) const override {
    const Value f = in[0];
    const double n = static_cast<double>(f.shape()[0]);
    switch (objective_) {
      case Objective::non_saturating:
        return {mean(softplus(-f)), (sigmoid(f) - 1.0) / n};
      case Objective::saturating:
        return {-mean(softplus(f)), -sigmoid(f) / n};
      case Objective::least_squares:
        return {mean(square(f - 1.0)) * 0.5, (f - 1.0) / n};
    }
    return {};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (!dout[0] || dout[1]) return Op::grad(in, out, dout);
    return {scaled(out[1], dout[0])};
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([objective = objective_, n = in[0].shape[0]](const auto& stream, const Call& call) {
      generator_loss(stream, GeneratorLossArgs{call.template input<float>(0), call.template output<float>(0),
                                               call.template output<float>(1), n, objective});
    });
  }

 private:
  Objective objective_;
};

}  // namespace

Values plain_loss(Value logits, const HeadLoss& loss) {
  if (!loss.discriminator) return logits.graph().add(GeneratorLossOp(loss.objective), {logits});
  return logits.graph().add(DiscriminatorLossOp(loss.objective, loss.real_target), {logits});
}

DiscriminatorLoss discriminator_loss(Value logits, Objective objective, float real_target) {
  const Values out = loss_of(logits, {.discriminator = true, .objective = objective, .real_target = real_target});
  return {out[0], out[2], out[3], out[4]};
}

Value generator_loss(Value logits, Objective objective) {
  return loss_of(logits, {.discriminator = false, .objective = objective})[0];
}

}  // namespace ganforge
