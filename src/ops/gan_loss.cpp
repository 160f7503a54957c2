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
    case Objective::hinge:
      return "hinge";
    case Objective::wasserstein:
      return "wasserstein";
    case Objective::relativistic_paired:
      return "relativistic_paired";
    case Objective::relativistic_average:
      return "relativistic_average";
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
    const Value r = halves[0], f = halves[1];
    const double n = static_cast<double>(r.shape()[0]), t = static_cast<double>(target_);
    const auto share_above = [&](Value x, Value border) { return mean(less(border, x)); };
    // Share of both halves on their side of a border that the generated half may touch.
    const auto correct = [&](Value border_of_r, Value border_of_f) {
      return (share_above(r, border_of_r) + affine(share_above(f, border_of_f), -1, 1)) * 0.5;
    };
    const auto correct_at = [&](double border) {
      const Value line = constant_like(r, border);
      return correct(line, line);
    };
    switch (objective_) {
      case Objective::non_saturating:
      case Objective::saturating: {
        const Value p_real = sigmoid(r), p_fake = sigmoid(f);
        return {mean(softplus(-r) + r * (1 - t)) + mean(softplus(f)), concat({p_real - t, p_fake}, 0) / n, mean(p_real),
                mean(p_fake), correct_at(0)};
      }
      case Objective::least_squares: {
        const Value distance = r - t;
        return {(mean(square(distance)) + mean(square(f))) * 0.5, concat({distance, f}, 0) / n, mean(r), mean(f),
                correct_at(0.5)};
      }
      case Objective::hinge: {
        const Value on_real = affine(r, -1, 1), on_fake = f + 1.0;
        return {mean(relu(on_real)) + mean(relu(on_fake)),
                concat({-leaky_slope(on_real, 0), leaky_slope(on_fake, 0)}, 0) / n, mean(r), mean(f), correct_at(0)};
      }
      case Objective::wasserstein:
        return {mean(f) - mean(r), concat({constant_like(r, -1 / n), constant_like(f, 1 / n)}, 0), mean(r), mean(f),
                share_above(r, f)};
      case Objective::relativistic_paired: {
        const Value lead = r - f, p = sigmoid(-lead) / n;
        return {mean(softplus(-lead)), concat({-p, p}, 0), mean(sigmoid(lead)), mean(sigmoid(-lead)),
                share_above(r, f)};
      }
      case Objective::relativistic_average: {
        const Value mean_r = mean(r), mean_f = mean(f), lead = r - mean_f, lag = f - mean_r;
        const Value p = sigmoid(-lead), q = sigmoid(lag);
        return {mean(softplus(-lead)) + mean(softplus(lag)), concat({-p - mean(q), q + mean(p)}, 0) / n,
                mean(sigmoid(lead)), mean(q), correct(mean_f, mean_r)};
      }
    }
    return {};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (!dout[0] || dout[1] || dout[2] || dout[3] || dout[4]) return Op::grad(in, out, dout);
    return {scaled(out[1], dout[0])};
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32 || objective_ == Objective::relativistic_average) return {};
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

/// logits [n][, logits on real samples [n]] → loss, dlogits
class GeneratorLossOp : public Op {
 public:
  explicit GeneratorLossOp(Objective objective) : objective_(objective) {}
  std::string describe() const override { return fmt::format("generator_loss {}", name(objective_)); }

  Types infer(const Types& in) const override {
    require_float(in[0], "logits");
    require(in[0].shape.rank() == 1 && in[0].shape[0] > 0, fmt::format("logits [n] wanted, got {}", in[0].shape.str()));
    require((in.size() == 2) == is_relativistic(objective_),
            is_relativistic(objective_) ? "logits on real samples are wanted too" : "no logits on real samples wanted");
    if (in.size() == 2)
      require(in[1] == in[0], fmt::format("as many logits on real samples wanted as on generated ones, got {} and {}",
                                          in[1].str(), in[0].str()));
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
      case Objective::hinge:
      case Objective::wasserstein:
        return {-mean(f), constant_like(f, -1 / n)};
      case Objective::relativistic_paired: {
        const Value lag = in[1] - f;
        return {mean(softplus(lag)), -sigmoid(lag) / n};
      }
      case Objective::relativistic_average: {
        const Value r = in[1], lag = mean(r) - f, lead = r - mean(f);
        return {mean(softplus(lag)) + mean(softplus(lead)), (-sigmoid(lag) - mean(sigmoid(lead))) / n};
      }
    }
    return {};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (!dout[0] || dout[1] || objective_ == Objective::relativistic_average) return Op::grad(in, out, dout);
    const Value d = scaled(out[1], dout[0]);
    if (in.size() == 1) return {d};
    return {d, -d};  // a function of the difference
  }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32 || objective_ == Objective::relativistic_average) return {};
    return make_kernel([objective = objective_, n = in[0].shape[0]](const auto& stream, const Call& call) {
      generator_loss(stream,
                     GeneratorLossArgs{call.template input<float>(0),
                                       is_relativistic(objective) ? call.template input<float>(1) : nullptr,
                                       call.template output<float>(0), call.template output<float>(1), n, objective});
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

Value generator_loss(Value logits, Objective objective, Value on_real) {
  if (!on_real) return loss_of(logits, {.discriminator = false, .objective = objective})[0];
  return logits.graph().add(GeneratorLossOp(objective), {reshape(logits, {-1}), reshape(on_real, {-1})})[0];
}

}  // namespace ganforge
