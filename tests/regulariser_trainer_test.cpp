// Trainers with augmentation, spectral norm, noise, packing, accumulation and clipping, on both backends.
#include "tests/devices.h"
#include "tests/files.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ganforge {
namespace {

TrainerOptions small_options() {
  TrainerOptions options;
  options.generator = Sequential{Linear{8 * 8 * 3}, Tanh{}, Reshape{{8, 8, 3}}};
  options.discriminator =
      Sequential{Conv2d{.out_channels = 4, .stride = {2}, .padding = {1}, .spectral_norm = true}, LeakyReLU{0.2f},
                 MinibatchStddev{}, Flatten{}, Linear{.out_features = 1, .spectral_norm = true}};
  options.latent = 4;
  options.batch = 8;
  return options;
}

TrainerOptions plain_options() {
  TrainerOptions options = small_options();
  options.discriminator =
      Sequential{Conv2d{.out_channels = 4, .stride = {2}, .padding = {1}}, LeakyReLU{0.2f}, Flatten{}, Linear{1}};
  return options;
}

struct Setting {
  const char* name;
  std::function<void(TrainerOptions&)> change;
};

const Augmentation everything{true, true, true};

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = {
      {"augmentation",
       [](TrainerOptions& o) {
         o.augment = everything;
         o.augment_probability = 0;
         o.augment_probability_decay = {Schedule::Kind::linear, 0.8f, 0, 10};
       }},
      {"augmentation, R1 and R2",
       [](TrainerOptions& o) {
         o.augment = everything;
         o.objective = Objective::relativistic_paired;
         o.fresh_latents = true;
         o.penalties = {{.kind = Penalty::Kind::r1, .weight = 0.1f}, {.kind = Penalty::Kind::r2, .weight = 0.1f}};
       }},
      {"augmentation, R1 alone", [](TrainerOptions& o) { o.augment = everything, o.penalties = {{.weight = 0.5f}}; }},
      {"augmentation, WGAN-GP and DRAGAN",
       [](TrainerOptions& o) {
         o.augment = everything;
         o.objective = Objective::wasserstein;
         o.d_steps = 2;
         o.penalties = {{.kind = Penalty::Kind::gp, .weight = 0.1f}, {.kind = Penalty::Kind::dragan, .weight = 0.1f}};
       }},
      {"consistency",
       [](TrainerOptions& o) {
         o.augment = {.translation = true};
         o.penalties = {{.kind = Penalty::Kind::consistency, .weight = 10}};
       }},
      {"instance noise",
       [](TrainerOptions& o) {
         o.instance_noise = 0.3f;
         o.instance_noise_decay = {Schedule::Kind::cosine, 0, 0, 10};
       }},
      {"packs", [](TrainerOptions& o) { o.pack = 2, o.penalties = {{.kind = Penalty::Kind::gp, .weight = 0.1f}}; }},
      {"accumulation and clipping",
       [](TrainerOptions& o) {
         o.accumulate = 2;
         o.d_steps = 2;
         o.generator_max_norm = 0.1f;
         o.discriminator_max_norm = 0.2f;
       }},
  };
  return all;
}

TEST(Regularisers, TrainOnBothBackends) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    TrainerOptions options = small_options();
    setting.change(options);
    std::vector<std::vector<Stats>> runs;
    for (Device& device : devices()) {
      const Dataset data(device, noise_images(96, {8, 8, 3}, 7));
      Trainer trainer(device, data, options);
      if (&setting == &settings()[0])  // what a step draws is read where it lies
        for (const std::string& copy : trainer.program().report().copies) ADD_FAILURE() << copy;
      runs.push_back(train(trainer, 12));
    }
    for (const std::vector<Stats>& run : runs) {
      ASSERT_EQ(run.size(), 12u);
      for (std::size_t i = 0; i < run.size(); ++i) {
        const double tolerance = i == 0 ? 2e-5 : 2e-3;  // rounding grows with the steps
        EXPECT_EQ(run[i].images, run[i].step * samples_per_step(options));
        EXPECT_NEAR(run[i].d_loss, runs[0][i].d_loss, tolerance) << i;
        EXPECT_NEAR(run[i].g_loss, runs[0][i].g_loss, tolerance) << i;
        EXPECT_NEAR(run[i].penalty, runs[0][i].penalty, tolerance) << i;
        EXPECT_EQ(run[i].penalty > 0, !options.penalties.empty()) << i;
      }
    }
  }
}

TEST(Regularisers, ResumeIsExact) {
  for (Device& device : devices()) {
    const test::TemporaryFolder folder;
    const Dataset data(device, noise_images(96, {8, 8, 3}, 7));
    TrainerOptions options = small_options();
    options.augment = everything;
    options.augment_probability_decay = {Schedule::Kind::linear, 0.2f, 0, 10};
    options.instance_noise = 0.1f;
    Trainer whole(device, data, options), first(device, data, options), second(device, data, options);
    const std::vector<Stats> all = train(whole, 8);
    train(first, 4);
    first.save(folder.path() / "a.safetensors");
    second.load(folder.path() / "a.safetensors");
    EXPECT_EQ(train(second, 4)[3].d_loss, all[7].d_loss);
    EXPECT_EQ(weights(whole, whole.discriminator()), weights(second, second.discriminator()));
  }
}

// A probability of 0 changes nothing, and the consistency penalty is then 0.
TEST(Augmentation, NeverIsNone) {
  for (Device& device : devices()) {
    const Dataset data(device, noise_images(96, {8, 8, 3}, 7));
    TrainerOptions options = plain_options();
    Trainer without(device, data, options);
    options.augment = everything;
    options.augment_probability = 0;
    options.penalties = {{.kind = Penalty::Kind::consistency, .weight = 1}};
    Trainer with(device, data, options);
    const std::vector<Stats> a = train(without, 5), b = train(with, 5);
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i].d_loss, b[i].d_loss, 1e-5);
      EXPECT_NEAR(b[i].penalty, 0, 1e-10);
    }
  }
}

// k micro-batches of n are a batch of k·n, for nets that do not mix samples.
TEST(Accumulation, IsTheLargerBatch) {
  for (Device& device : devices()) {
    for (const bool fresh : {false, true}) {
      SCOPED_TRACE(fresh);
      const Dataset data(device, noise_images(96, {8, 8, 3}, 7));
      TrainerOptions options = plain_options();
      options.objective = fresh ? Objective::relativistic_paired : Objective::non_saturating;
      options.fresh_latents = fresh;
      options.d_steps = 2;
      options.penalties = {{.kind = Penalty::Kind::r1, .weight = 0.3f}, {.kind = Penalty::Kind::gp, .weight = 0.1f}};
      options.generator_max_norm = 0.05f;
      options.ema_half_life = 100;
      options.batch = 24;
      Trainer large(device, data, options);
      options.batch = 8;
      options.accumulate = 3;
      Trainer small(device, data, options);
      const auto before = weights(large, large.generator());
      EXPECT_EQ(before, weights(small, small.generator()));
      large.run(1), small.run(1);
      // Adam's first step is the sign of the gradient: compare the moments, which are the gradients.
      for (const char* name : {"generator/adam_m", "discriminator/adam_m"}) {
        const Variable &a = *large.store().find(name), &b = *small.store().find(name);
        std::vector<float> x(static_cast<std::size_t>(a.type.shape.elements())), y(x.size());
        large.store().download(a, x.data());
        small.store().download(b, y.data());
        double most = 0;
        for (float value : x) most = std::max(most, std::abs(static_cast<double>(value)));
        EXPECT_GT(most, 1e-4);
        EXPECT_LT(distance(x, y), 1e-4 * most + 1e-7) << name;
      }
      EXPECT_NE(before, weights(large, large.generator()));
      EXPECT_EQ(samples_per_step(options), fresh ? 72 : 48);
    }
  }
}

// With β₁ = 0 the first moment is the gradient that Adam was given.
TEST(Clipping, KeepsTheGradientWithin) {
  for (Device& device : devices()) {
    const Dataset data(device, noise_images(96, {8, 8, 3}, 7));
    TrainerOptions options = plain_options();
    options.generator_adam.beta1 = options.discriminator_adam.beta1 = 0;
    const auto norms = [&] {
      Trainer trainer(device, data, options);
      trainer.run(1);
      std::vector<double> norms;
      for (const char* name : {"generator/adam_m", "discriminator/adam_m"}) {
        const Variable& m = *trainer.store().find(name);
        std::vector<float> values(static_cast<std::size_t>(m.type.shape.elements()));
        trainer.store().download(m, values.data());
        double square = 0;
        for (float value : values) square += static_cast<double>(value) * static_cast<double>(value);
        norms.push_back(std::sqrt(square));
      }
      return norms;
    };
    const std::vector<double> free = norms();
    options.discriminator_max_norm = static_cast<float>(free[1] / 2);
    const std::vector<double> clipped = norms();
    EXPECT_NEAR(clipped[1], free[1] / 2, 1e-4 * free[1]);
    options.discriminator_max_norm = static_cast<float>(2 * free[1]);
    EXPECT_NEAR(norms()[1], free[1], 1e-6 * free[1]);
  }
}

TEST(Packs, AreNeighboursSideBySide) {
  Device& device = devices()[0];
  const Dataset data(device, noise_images(96, {8, 8, 3}, 7));
  TrainerOptions options = plain_options();
  options.pack = 4;
  Trainer trainer(device, data, options);
  EXPECT_EQ(trainer.discriminator().output_shape(), (Shape{2, 1}));
  EXPECT_EQ(trainer.discriminator().parameter_list()[0].shape, (Shape{4, 3, 3, 12}));
  trainer.run(2);
  const Dataset points(device, sample_mixture(*find_mixture("ring8"), 256, 0));
  options.generator = Sequential{Linear{2}};
  options.discriminator = Sequential{Linear{8}, LeakyReLU{0.2f}, Linear{1}};
  Trainer of_points(device, points, options);
  EXPECT_EQ(of_points.discriminator().parameter_list()[0].shape, (Shape{8, 8}));
  of_points.run(2);
}

TEST(Regularisers, RefuseWhatMakesNoSense) {
  const auto expect = [](const std::function<void(TrainerOptions&)>& change, const std::string& text) {
    TrainerOptions options = small_options();
    change(options);
    try {
      validate(options);
      ADD_FAILURE() << "accepted, though: " << text;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  expect([](auto& o) { o.augment_probability = 1.5f; }, "augment_probability must be from 0 to 1, got 1.5");
  expect(
      [](auto& o) {
        o.augment_probability_decay = {Schedule::Kind::linear, 2, 0, 5};
      },
      "augment_probability_decay.to must be from 0 to 1");
  expect([](auto& o) { o.instance_noise = -1; }, "instance_noise must be 0 (none) or more");
  expect([](auto& o) { o.pack = 3; }, "pack must be a divisor of the batch, 8, got 3");
  expect([](auto& o) { o.accumulate = 0; }, "accumulate must be from 1");
  expect([](auto& o) { o.generator_max_norm = -1; }, "generator_adam.max_norm must be 0 (none) or more");
  expect([](auto& o) { o.penalties = {{.kind = Penalty::Kind::consistency}}; }, "consistency wants an augmentation");

  Device& device = devices()[0];
  const Dataset points(device, sample_mixture(*find_mixture("ring8"), 256, 0));
  TrainerOptions options = small_options();
  options.augment = everything;
  EXPECT_THROW(Trainer(device, points, options), ConfigError);
}

TEST(Config, KeepsRegularisers) {
  Config config = preset("dcgan-28");
  TrainerOptions& t = config.training;
  t.augment = {.color = true, .cutout = true};
  t.augment_probability = 0.25f;
  t.augment_probability_decay = {.kind = Schedule::Kind::cosine, .to = 0.5f, .images = 1000};
  t.instance_noise = 0.1f;
  t.instance_noise_decay = {Schedule::Kind::linear, 0, 0, 100};
  t.pack = 2;
  t.accumulate = 3;
  t.generator_max_norm = 1.5f;
  const std::string text = to_toml(config);
  const Config back = parse_config(text, "a.toml");
  EXPECT_EQ(to_toml(back), text);
  EXPECT_EQ(back.training.augment, t.augment);
  EXPECT_EQ(back.training.augment_probability_decay, t.augment_probability_decay);
  EXPECT_EQ(back.training.instance_noise_decay, t.instance_noise_decay);
  EXPECT_EQ(back.training.pack, 2);
  EXPECT_EQ(back.training.accumulate, 3);
  EXPECT_EQ(back.training.generator_max_norm, 1.5f);

  const auto expect = [](const std::string& toml, const std::string& what) {
    expect_config_error("dcgan-28", toml, what);
  };
  expect("augment = [\"colour\"]\n", "a.toml:2:12: augment must be one of color, translation, cutout");
  expect("augment = \"color\"\n", "augment must be a list");
  expect("augment_probability = 2.0\n", "a.toml:2:23: augment_probability must be from 0 to 1, got 2");
  expect("pack = 5\n", "pack must be a divisor of the batch, 64, got 5");
  expect("[generator_adam]\nmax_norm = -1.0\n", "a.toml:3:12: generator_adam.max_norm must be 0 (none) or more");
}

}  // namespace
}  // namespace ganforge
