// Plans of convolutions on CUDA: their choice, weight gradients in one launch, capture.
#include <ganforge/config.h>

#if GANFORGE_CUDA

#include "tests/conv_cuda.h"

namespace ganforge::conv_test {
namespace {

// In a group every layer gets the bits that it has alone, and its bias the sum of y's channels.
TEST_F(ConvCuda, WeightGroup) {
  for (const Precision each : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    precision = each;
    const ConvDirection direction = ConvDirection::weight;
    const std::vector<ConvShape> shapes = {halving(33, 8, 8, 3, 20), halving(32, 4, 4, 64, 132),
                                           halving(3, 4, 6, 12, 8)};
    ConvPolicy own;
    own.mode = ConvMode::own;
    std::vector<ConvPlan<CudaStream>> plans;
    std::vector<Operands> all;
    std::vector<std::vector<Array<float>>> arrays;
    std::vector<Array<char>> workspaces;
    std::vector<Array<unsigned>> tickets;
    std::vector<ConvGroupMember> members;
    for (const ConvShape& c : shapes) {
      plans.push_back(plan_conv2d(stream(), direction, c, {}, own));
      const ConvPlan<CudaStream>& plan = plans.back();
      ASSERT_TRUE(plan.group);
      EXPECT_EQ(plan.run_group, plans[0].run_group);
      all.push_back(operands(direction, c));
      std::vector<Array<float>>& a = arrays.emplace_back();
      a.emplace_back(*device, all.back().x), a.emplace_back(*device, all.back().y);
      a.emplace_back(*device, c.w_size()), a.emplace_back(*device, c.k);
      workspaces.emplace_back(*device, static_cast<std::int64_t>(plan.workspace));
      tickets.emplace_back(*device, std::vector<unsigned>(plan.tickets));
      members.push_back({plan.group.get(),
                         {a[0].data(), nullptr, a[1].data(), a[2].data(), nullptr, nullptr, workspaces.back().data(),
                          tickets.back().data(), a[3].data()}});
    }
    plans[0].run_group(stream(), members);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const ConvShape& c = shapes[i];
      EXPECT_EQ(arrays[i][2].values(), run(plans[i], direction, c, all[i]));
      workspaces[i].values();
      const Values got = arrays[i][3].values();
      std::vector<double> sum(c.k), magnitude(c.k);
      for (std::size_t j = 0; j < all[i].y.size(); ++j) {
        sum[j % c.k] += all[i].y[j];
        magnitude[j % c.k] += std::abs(all[i].y[j]);
      }
      for (std::int64_t k = 0; k < c.k; ++k) EXPECT_NEAR(got[k], sum[k], 1e-6 * magnitude[k]) << k;
    }
  }
}

TEST_F(ConvCuda, NoImages) {
  for (ConvDirection direction : directions) check(direction, halving(0, 4, 4, 8, 8));
}

TEST_F(ConvCuda, Modes) {
  const ConvShape c = halving(4, 4, 4, 8, 8);
  const auto algorithm = [&](ConvMode mode, const std::string& chosen = "", const std::string& name = "") {
    ConvPolicy policy;
    policy.mode = mode;
    if (!chosen.empty()) policy.chosen[chosen] = name;
    return plan_conv2d(stream(), ConvDirection::forward, c, {}, policy).algorithm;
  };
  EXPECT_EQ(algorithm(ConvMode::library), "cuDNN");
  EXPECT_EQ(algorithm(ConvMode::own), "sub-pixel");
  EXPECT_EQ(algorithm(ConvMode::direct), "direct");
  EXPECT_EQ(algorithm(ConvMode::automatic), "sub-pixel");
  EXPECT_EQ(algorithm(ConvMode::automatic, describe(ConvDirection::forward, c), "direct"), "direct");
  EXPECT_EQ(algorithm(ConvMode::automatic, describe(ConvDirection::input, c), "direct"), "sub-pixel");
  EXPECT_EQ(plan_conv2d(stream(), ConvDirection::input, halving(4, 4, 4, 3, 8), {}, {}).algorithm, "few channels");
}

TEST_F(ConvCuda, ReplayIsTheSame) {
  const ConvShape c = halving(6, 8, 8, 16, 24);
  for (int i = 0; i < 6; ++i) {
    const ConvDirection direction = directions[i % 3];
    precision = i < 3 ? Precision::fp32 : Precision::tf32;
    const ConvEpilogue epilogue = {.bias = direction != ConvDirection::weight};
    for (const ConvPlan<CudaStream>& plan : plans(direction, c, epilogue)) {
      Array<float> x(*device, random(c.x_size())), w(*device, random(c.w_size())), y(*device, random(c.y_size())),
          bias(*device, random(24)), out(*device, size(direction, c));
      Array<char> workspace(*device, static_cast<std::int64_t>(plan.workspace));
      Array<unsigned> tickets(*device, std::vector<unsigned>(plan.tickets));
      const auto work = [&] {
        plan.run(stream(),
                 {x.data(), w.data(), y.data(), out.data(), bias.data(), nullptr, workspace.data(), tickets.data()});
      };
      work();
      const Values eager = out.values();
      auto captured = device->capture(work);
      device->clear(out.data(), eager.size() * sizeof(float));
      captured->launch();
      EXPECT_EQ(out.values(), eager) << plan.algorithm;
    }
  }
}

}  // namespace
}  // namespace ganforge::conv_test

#endif
