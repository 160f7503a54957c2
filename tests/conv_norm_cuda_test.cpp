// Batch norm in the launch of a convolution, against the two kernels; weight gradients of several kinds in one launch.
#include <ganforge/config.h>

#if GANFORGE_CUDA

#include "kernels/conv_norm.h"
#include "kernels/weight_product.h"
#include "tests/conv_cuda.h"

#include <algorithm>

namespace ganforge::conv_test {
namespace {

constexpr Precision precisions[] = {Precision::fp32, Precision::tf32, Precision::bf16};
const Activation leaky{Activation::Kind::leaky_relu, 0.2f};

void expect_close(const Values& got, const Values& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  float largest = 0;
  for (const float v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= 1e-5f * largest)
        << what << " [" << i << "]: " << got[i] << " instead of " << want[i];
}

class ConvNormCuda : public ConvCuda {
 protected:
  struct Layer {
    ConvDirection direction;
    ConvShape c;
    ConvEpilogue epilogue = {};
    int groups = 1;

    std::int64_t channels() const { return direction == ConvDirection::input ? c.c : c.k; }
    std::int64_t size() const { return direction == ConvDirection::input ? c.x_size() : c.y_size(); }
    std::int64_t rows() const { return size() / channels() / groups; }
  };
  static ConvPolicy policy(ConvMode mode) {
    ConvPolicy result;
    result.mode = mode;
    return result;
  }
  ConvPolicy own_ = policy(ConvMode::own);

  template <class Norm>
  void fill(Norm& norm, const Layer& l, const Array<float>& gamma, const Array<float>& beta) {
    norm.gamma = gamma.data();
    norm.beta = beta.data();
    norm.rows = l.rows();
    norm.channels = l.channels();
    norm.groups = l.groups;
    norm.eps = 1e-3f;
    norm.act = leaky;
  }

  void check(const Layer& l) {
    const std::string what = describe(l.direction, l.c) + " " + name_of(precision) + " on " +
                             std::to_string(multiprocessors) + " multiprocessors, groups " + std::to_string(l.groups);
    const auto plain = plan_conv2d(stream(), l.direction, l.c, l.epilogue, own_);
    const auto fused = plan_conv_norm(stream(), l.direction, l.c, l.epilogue, l.groups, own_);
    const auto fused_grad = plan_conv_norm_grad(stream(), l.direction, l.c, l.groups, own_);
    ASSERT_EQ(plain.algorithm, "sub-pixel");
    ASSERT_TRUE(fused && fused_grad) << what;

    const bool image = l.direction == ConvDirection::input;
    Array<float> in(*device, random(image ? l.c.y_size() : l.c.x_size())), w(*device, random(l.c.w_size())),
        bias(*device, random(l.channels())), gamma(*device, random(l.channels())), beta(*device, random(l.channels())),
        running(*device, random(l.channels()));
    const auto memory = [&](const auto& plan) {
      return std::pair{Array<char>(*device, static_cast<std::int64_t>(plan.workspace)),
                       Array<unsigned>(*device, std::vector<unsigned>(plan.tickets))};
    };
    const auto arguments = [&](auto& mine, float* out, bool with_bias) {
      ConvArgs a{};
      (image ? a.y : a.x) = in.data();
      a.w = w.data();
      a.out = out;
      a.bias = with_bias ? bias.data() : nullptr;
      a.workspace = mine.first.data();
      a.tickets = mine.second.data();
      return a;
    };

    struct Results {
      Array<float> h, y, mean, var, running_mean, running_var;
    };
    const auto results = [&] {
      const std::int64_t of_groups = l.groups * l.channels();
      return Results{Array<float>(*device, l.size()),     Array<float>(*device, l.size()),
                     Array<float>(*device, of_groups),    Array<float>(*device, of_groups),
                     Array<float>(*device, l.channels()), Array<float>(*device, l.channels())};
    };
    const auto norm_of = [&](Results& r) {
      BatchNormArgs norm{};
      fill(norm, l, gamma, beta);
      norm.x = r.h.data(), norm.y = r.y.data(), norm.mean = r.mean.data(), norm.var = r.var.data();
      norm.running_mean = norm.running_var = running.data();
      norm.new_running_mean = r.running_mean.data(), norm.new_running_var = r.running_var.data();
      norm.momentum = 0.9f;
      return norm;
    };
    Results got = results(), want = results();
    auto one = memory(fused), two = memory(plain);
    fused.run(stream(), arguments(one, got.h.data(), l.epilogue.bias), norm_of(got));
    plain.run(stream(), arguments(two, want.h.data(), l.epilogue.bias));
    BatchNormArgs pair = norm_of(want);
    Array<char> scratch(*device,
                        static_cast<std::int64_t>(batch_norm_workspace(stream(), l.rows(), l.channels(), l.groups)));
    pair.workspace = scratch.data();
    batch_norm(stream(), pair);
    EXPECT_EQ(got.h.values(), want.h.values()) << what;
    expect_close(got.y.values(), want.y.values(), what + ": y");
    expect_close(got.mean.values(), want.mean.values(), what + ": mean");
    expect_close(got.var.values(), want.var.values(), what + ": var");
    expect_close(got.running_mean.values(), want.running_mean.values(), what + ": running mean");
    expect_close(got.running_var.values(), want.running_var.values(), what + ": running var");
    one.first.values();  // nothing beyond it
    EXPECT_EQ(one.second.values(), std::vector<unsigned>(fused.tickets));
    const Values y = got.y.values();
    fused.run(stream(), arguments(one, got.h.data(), l.epilogue.bias), norm_of(got));
    EXPECT_EQ(got.y.values(), y) << what << ", again";

    // The gradient: dy is what the convolution makes, of a batch norm of any h.
    Array<float> h(*device, random(l.size())), mean(*device, random(l.groups * l.channels())), dy(*device, l.size());
    Values positive = random(l.groups * l.channels());
    for (float& v : positive) v = 0.5f + std::abs(v);
    Array<float> var(*device, positive);
    struct Gradients {
      Array<float> dx, dgamma, dbeta;
    };
    const auto gradients = [&] {
      return Gradients{Array<float>(*device, l.size()), Array<float>(*device, l.channels()),
                       Array<float>(*device, l.channels())};
    };
    const auto grad_of = [&](Gradients& r) {
      BatchNormGradArgs norm{};
      fill(norm, l, gamma, beta);
      norm.x = h.data(), norm.mean = mean.data(), norm.var = var.data();
      norm.dx = r.dx.data(), norm.dgamma = r.dgamma.data(), norm.dbeta = r.dbeta.data();
      norm.input_act = leaky;
      return norm;
    };
    Gradients mine = gradients(), theirs = gradients();
    const auto no_epilogue = plan_conv2d(stream(), l.direction, l.c, {}, own_);
    auto three = memory(fused_grad), four = memory(no_epilogue);
    fused_grad.run(stream(), arguments(three, nullptr, false), grad_of(mine));
    no_epilogue.run(stream(), arguments(four, dy.data(), false));
    BatchNormGradArgs alone = grad_of(theirs);
    alone.dy = dy.data();
    alone.workspace = scratch.data();
    batch_norm_grad(stream(), alone);
    expect_close(mine.dx.values(), theirs.dx.values(), what + ": dx");
    expect_close(mine.dgamma.values(), theirs.dgamma.values(), what + ": dγ");
    expect_close(mine.dbeta.values(), theirs.dbeta.values(), what + ": dβ");
    three.first.values();
    EXPECT_EQ(three.second.values(), std::vector<unsigned>(fused_grad.tickets));
  }
};

// Few multiprocessors: several tiles for each block.
TEST_F(ConvNormCuda, IsThePair) {
  for (const ConvDirection direction : {ConvDirection::forward, ConvDirection::input}) {
    for (const Precision each : precisions) {
      precision = each;
      for (const int count : {1, 3, 132}) {
        multiprocessors = count;
        check({direction, halving(34, 8, 8, 36, 68), {}, 2});
      }
      check({direction, halving(5, 4, 6, 12, 8)});
    }
  }
}

TEST_F(ConvNormCuda, BiasAndActivationBefore) {
  check({ConvDirection::forward, halving(4, 8, 8, 5, 8), {.bias = true, .act = leaky}, 2});
  check({ConvDirection::input, halving(4, 8, 8, 8, 5), {.bias = true, .act = {Activation::Kind::tanh}}});
}

TEST_F(ConvNormCuda, IsNotForAll) {
  const ConvDirection forward = ConvDirection::forward;
  EXPECT_FALSE(plan_conv_norm(stream(), forward, halving(4, 8, 8, 8, 5), {}, 1, own_));
  EXPECT_FALSE(plan_conv_norm(stream(), forward, halving(3, 8, 8, 8, 8), {}, 2, own_));
  EXPECT_FALSE(plan_conv_norm(stream(), forward, halving(4, 8, 8, 3, 8), {}, 1, own_));
  EXPECT_FALSE(plan_conv_norm(stream(), forward, halving(4, 8, 8, 8, 8), {}, 1, policy(ConvMode::library)));
  EXPECT_FALSE(plan_conv_norm_grad(
      stream(), forward,
      conv({.n = 4, .h = 8, .w = 8, .c = 8, .k = 8, .r = 3, .s = 3, .p = 0, .q = 0, .pad_top = 1, .pad_left = 1}, 1, 1),
      1, own_));
}

// Convolutions and a fully connected layer.
TEST_F(ConvNormCuda, WeightGradientsOfAllKinds) {
  for (const Precision each : precisions) {
    precision = each;
    const ConvShape few = halving(33, 8, 8, 1, 20), many = halving(16, 4, 4, 12, 8);
    constexpr std::int64_t rows = 33, in = 72, out = 5;
    struct Member {
      ConvPlan<CudaStream> plan;
      Values x, y;
      std::int64_t results, sums;
    };
    std::vector<Member> members;
    const ConvDirection weight = ConvDirection::weight;
    members.push_back({plan_conv2d(stream(), weight, few, {}, own_), random(few.x_size()), random(few.y_size()),
                       few.w_size(), few.k});
    members.push_back({plan_conv2d(stream(), weight, many, {}, own_), random(many.x_size()), random(many.y_size()),
                       many.w_size(), many.k});
    members.push_back(
        {plan_weight_product(stream(), rows, in, out), random(rows * in), random(rows * out), in * out, out});
    std::vector<std::vector<Array<float>>> arrays;
    std::vector<Array<char>> workspaces;
    std::vector<Array<unsigned>> tickets;
    std::vector<ConvGroupMember> launch;
    for (std::size_t i = 0; i < 3; ++i) {
      const Member& m = members[i];
      ASSERT_EQ(m.plan.run_group, members[0].plan.run_group);
      std::vector<Array<float>>& a = arrays.emplace_back();
      a.emplace_back(*device, m.x), a.emplace_back(*device, m.y);
      a.emplace_back(*device, m.results), a.emplace_back(*device, m.sums);
      workspaces.emplace_back(*device, static_cast<std::int64_t>(m.plan.workspace));
      tickets.emplace_back(*device, std::vector<unsigned>(m.plan.tickets));
      ConvArgs args{};
      args.x = a[0].data(), args.y = a[1].data(), args.out = a[2].data();
      args.bias_grad = a[3].data();
      args.workspace = workspaces.back().data(), args.tickets = tickets.back().data();
      launch.push_back({m.plan.group.get(), args});
    }
    members[0].plan.run_group(stream(), launch);

    for (std::size_t i = 0; i < 3; ++i) {
      const Values& of = members[i].y;
      const auto channels = static_cast<std::size_t>(members[i].sums);
      std::vector<double> sum(channels), magnitude(channels);
      for (std::size_t j = 0; j < of.size(); ++j)
        sum[j % channels] += of[j], magnitude[j % channels] += std::abs(of[j]);
      const Values got = arrays[i][3].values();
      for (std::size_t c = 0; c < channels; ++c) EXPECT_NEAR(got[c], sum[c], 1e-6 * magnitude[c]) << i;
      workspaces[i].values();
    }
    const Values dw = arrays[2][2].values();
    const double rounding = precision == Precision::fp32 ? 1e-5 : precision == Precision::tf32 ? 0x1p-9 : 0x1p-7;
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t f = 0; f < in; ++f) {
        double want = 0, magnitude = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
          const double term = double(members[2].y[r * out + o]) * double(members[2].x[r * in + f]);
          want += term, magnitude += std::abs(term);
        }
        EXPECT_NEAR(dw[o * in + f], want, rounding * magnitude);
      }
  }
}

}  // namespace
}  // namespace ganforge::conv_test

#endif
