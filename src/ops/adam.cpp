// Adam and the moving average of the weights, in one pass over a flat buffer. kernels/adam.h has the formulae.
#include "kernels/adam.h"
#include "src/ops/support.h"

#include <algorithm>
#include <cmath>

namespace ganforge {
namespace {

/// w, g, m, v, t, lr[, ema] → w, m, v, t, bad_w, bad_g[, ema]
class AdamOp : public Op {
 public:
  explicit AdamOp(AdamOptions options) : o_(options) {}
  std::string describe() const override {
    std::string text =
        fmt::format("adam beta1={} beta2={} eps={} ema_decay={}", o_.beta1, o_.beta2, o_.eps, o_.ema_decay);
    for (const AdamSegment& s : o_.segments) text += fmt::format(" to {}: lr×{} decay={}", s.end, s.lr_scale, s.decay);
    return text;
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "w");
    require(in[0].shape.rank() == 1, fmt::format("a flat buffer wanted, got {}", in[0].shape.str()));
    for (std::size_t i : {1u, 2u, 3u})
      require(in[i] == in[0], fmt::format("w is {}, another buffer {}", in[0].str(), in[i].str()));
    require(in[4].shape.rank() == 0 && in[5].shape.rank() == 0, "t and lr must be scalars");
    require(o_.segments.size() <= max_adam_segments,
            fmt::format("at most {} segments, got {}", max_adam_segments, o_.segments.size()));
    std::int64_t end = 0;
    for (const AdamSegment& s : o_.segments) {
      require(s.end > end && s.end <= in[0].shape[0] && s.end % 16 == 0,
              fmt::format("segment ends must rise by multiples of 16 up to {}, got {} after {}", in[0].shape[0], s.end,
                          end));
      end = s.end;
    }
    Types out = {in[0], in[0], in[0], in[4], in[4], in[4]};
    if (in.size() > 6) {
      require(in[6] == in[0], fmt::format("w is {}, ema {}", in[0].str(), in[6].str()));
      out.push_back(in[0]);
    }
    return out;
  }

  Values expand(const Values& in) const override {
    const Value w = in[0], g = in[1], lr = in[5], t = in[4] + 1.0;
    const double beta1 = static_cast<double>(o_.beta1), beta2 = static_cast<double>(o_.beta2);
    const Value m = in[2] * beta1 + g * (1 - beta1);
    const Value v = in[3] * beta2 + square(g) * (1 - beta2);
    const auto correction = [&](double beta) { return affine(exp(t * std::log(beta)), -1, 1); };  // 1 − βᵗ
    Value step =
        div(beta1 > 0 ? div(m, correction(beta1)) : m, sqrt(div(v, correction(beta2))) + static_cast<double>(o_.eps));
    if (!o_.segments.empty())
      step = by_segment(w, &AdamSegment::lr_scale, 1) * (step + by_segment(w, &AdamSegment::decay, 0) * w);
    const Value new_w = w - lr * step;
    Values out = {new_w, m, v, t, first_bad_line(w), first_bad_line(g)};
    if (in.size() > 6) {
      const double decay = static_cast<double>(o_.ema_decay);
      out.push_back(in[6] * decay + new_w * (1 - decay));
    }
    return out;
  }

  int in_place(int output) const override {
    constexpr int inputs[] = {0, 2, 3, 4, -1, -1, 6};
    return inputs[output];
  }

  Kernel prepare(Device&, const Types& in) const override {
    // The flat kernel walks whole cache lines; other sizes are expanded.
    if (in[0].dtype != DType::float32 || in[0].shape[0] % 16 != 0) return {};
    const bool ema = in.size() > 6;
    Kernel kernel = make_kernel([o = o_, n = in[0].shape[0], ema](const auto& stream, const Call& call) {
      AdamArgs a{};
      a.w = call.template input<float>(0);
      a.g = call.template input<float>(1);
      a.m = call.template input<float>(2);
      a.v = call.template input<float>(3);
      a.t = call.template input<float>(4);
      a.lr = call.template input<float>(5);
      a.new_w = call.template output<float>(0);
      a.new_m = call.template output<float>(1);
      a.new_v = call.template output<float>(2);
      a.new_t = call.template output<float>(3);
      a.bad_w = call.template output<float>(4);
      a.bad_g = call.template output<float>(5);
      if (ema) {
        a.ema = call.template input<float>(6);
        a.new_ema = call.template output<float>(6);
      }
      a.beta1 = o.beta1;
      a.beta2 = o.beta2;
      a.eps = o.eps;
      a.ema_decay = o.ema_decay;
      a.n = n;
      a.segments = static_cast<int>(o.segments.size());
      std::ranges::copy(o.segments, a.segment);
      a.ticket = static_cast<unsigned*>(call.persistent);
      adam(stream, a);
    });
    kernel.persistent = adam_tickets * sizeof(unsigned);
    return kernel;
  }

  Cost cost(const Types& in) const override {
    const double n = static_cast<double>(in[0].shape[0]);
    return {15 * n, (in.size() > 6 ? 36 : 28) * n};
  }

 private:
  static Value first_bad_line(Value x) {
    const std::int64_t n = x.shape()[0], lines = (n + bad_line - 1) / bad_line;
    const Value line = floor(iota(x.graph(), x.type(), 0) * (1.0 / bad_line));
    const Value distance = affine(line, -1, static_cast<double>(lines));
    return max(distance * affine(is_finite(x), -1, 1), {0});
  }

  /// One setting of the segments, spread over the elements.
  Value by_segment(Value w, float AdamSegment::*member, double behind) const {
    Values pieces;
    std::int64_t begin = 0;
    const auto piece = [&](std::int64_t end, double value) {
      if (end > begin) pieces.push_back(constant(w.graph(), value, {w.type().dtype, {end - begin}}));
      begin = end;
    };
    for (const AdamSegment& s : o_.segments) piece(s.end, static_cast<double>(s.*member));
    piece(w.shape()[0], behind);
    return concat(pieces, 0);
  }

  AdamOptions o_;
};

}  // namespace

AdamResult adam_step(const AdamState& state, Value g, Value lr, const AdamOptions& options) {
  Values in = {state.w, g, state.m, state.v, state.t, lr};
  if (state.ema) in.push_back(state.ema);
  const Values out = state.w.graph().add(AdamOp(options), in);
  return {{out[0], out[1], out[2], out[3], state.ema ? out[6] : Value()}, out[4], out[5]};
}

}  // namespace ganforge
