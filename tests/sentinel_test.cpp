// Values that are not finite: found in their step, and traced to where they came from.
#include "tests/devices.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace ganforge {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();

TrainerOptions options() {
  TrainerOptions options;
  options.generator = Sequential{Linear{32}, LeakyReLU{0.2f}, BatchNorm{}, Linear{64}, Tanh{}, Reshape{{8, 8, 1}}};
  options.discriminator = Sequential{Flatten{}, Linear{32}, LeakyReLU{0.2f}, Linear{1}};
  options.latent = 10;
  options.batch = 16;
  return options;
}

/// Puts a number into a parameter.
void inject(Trainer& trainer, Network& network, const std::string& parameter, std::int64_t element, float value) {
  std::vector<float> weights(static_cast<std::size_t>(network.weights().type.shape[0]));
  trainer.store().download(network.weights(), weights.data());
  for (const Network::Parameter& p : network.parameter_list())
    if (p.name == parameter) weights[static_cast<std::size_t>(p.offset + element)] = value;
  trainer.store().upload(network.weights(), weights.data());
}

DivergedError divergence(Trainer& trainer, std::int64_t steps) {
  try {
    trainer.run(steps);
  } catch (const DivergedError& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was found";
  return {0, ""};
}

TEST(Sentinel, NamesAWeightThatIsNotFiniteInItsStep) {
  for (Device& device : devices()) {
    const Dataset data(device, noise_images(64, {8, 8, 1}, 7));
    for (const float value : {nan, inf, -inf}) {
      for (const auto& [of_generator, parameter, element] :
           {std::tuple(true, "generator/3_linear/w", 5), std::tuple(true, "generator/2_batch_norm/gamma", 31),
            std::tuple(false, "discriminator/1_linear/w", 2047), std::tuple(false, "discriminator/3_linear/b", 0)}) {
        Trainer trainer(device, data, options());
        trainer.run(3);
        inject(trainer, of_generator ? trainer.generator() : trainer.discriminator(), parameter, element, value);
        const DivergedError error = divergence(trainer, 10);
        EXPECT_EQ(error.step, 4);
        EXPECT_EQ(error.tensor, std::string("weight ") + parameter);
        EXPECT_STREQ(error.what(),
                     fmt::format("training diverged at step 4: the weight {} is not finite", parameter).c_str());
      }
    }
  }
}

TEST(Sentinel, FindsTheVariable) {
  for (Device& device : devices()) {
    const Dataset data(device, noise_images(64, {8, 8, 1}, 7));
    Trainer trainer(device, data, options());
    trainer.run(1);
    EXPECT_FALSE(trainer.find_bad_value());
    inject(trainer, trainer.discriminator(), "discriminator/3_linear/w", 7, nan);
    const auto bad = trainer.find_bad_value();
    ASSERT_TRUE(bad);
    EXPECT_EQ(bad->variable, "discriminator/3_linear/w");
    EXPECT_EQ(bad->element, 7);
    EXPECT_EQ(bad->type.shape, (Shape{1, 32}));
  }
}

TEST(Sentinel, FindsTheOperationThatOverflows) {
  for (Device& device : devices()) {
    const Dataset data(device, noise_images(64, {8, 8, 1}, 7));
    Trainer trainer(device, data, options());
    trainer.run(1);
    // Finite, but its products are not.
    inject(trainer, trainer.generator(), "generator/3_linear/b", 9, 3e38f);
    inject(trainer, trainer.discriminator(), "discriminator/1_linear/w", 70, 3e38f);
    inject(trainer, trainer.discriminator(), "discriminator/1_linear/w", 71, 3e38f);
    const auto bad = trainer.find_bad_value();
    ASSERT_TRUE(bad);
    EXPECT_EQ(bad->variable, "");
    EXPECT_EQ(bad->scope, "discriminator/1_linear");
    EXPECT_TRUE(bad->op.starts_with("linear")) << bad->op;
  }
}

TEST(Sentinel, AHugeLearningRateDivergesAndACheckpointHeals) {
  for (Device& device : devices()) {
    const Dataset data(device, noise_images(64, {8, 8, 1}, 7));
    TrainerOptions wild = options();
    wild.discriminator_adam.lr = wild.generator_adam.lr = 1e30f;
    Trainer diverging(device, data, wild);
    std::int64_t seen = 0;
    std::int64_t step = 0;
    try {
      diverging.run(
          200, [&](const Stats& stats) { seen = stats.step; }, 1);
    } catch (const DivergedError& error) {
      step = error.step;
    }
    EXPECT_GT(step, 0);
    EXPECT_EQ(seen, step);  // reported up to the step that failed

    // The step before was fine, and the same numbers come again.
    Trainer again(device, data, wild);
    again.run(step - 1);
    const auto bad = again.find_bad_value();
    ASSERT_TRUE(bad);
    EXPECT_EQ(bad->variable, "");
  }
}

TEST(Sentinel, OnlyUnplannedProgramsAreSearched) {
  Device& device = devices()[0];
  Graph graph;
  graph.output("y", log(graph.input("x", {DType::float32, {3}})));
  Program program = compile(device, graph);
  EXPECT_THROW(program.find_bad_value(), Error);

  Program traced = compile(device, graph, {.unplanned = true});
  const float good[] = {1, 2, 3}, bad[] = {1, 2, 0};
  traced.upload("x", good, sizeof(good));
  EXPECT_FALSE(traced.find_bad_value());
  traced.upload("x", bad, sizeof(bad));
  const auto found = traced.find_bad_value();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->element, 2);
  EXPECT_TRUE(found->op.find("log") != std::string::npos) << found->op;
}

}  // namespace
}  // namespace ganforge
