// Trainers with every objective and penalty, on both backends.
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
  options.generator = Sequential{Linear{16}, LeakyReLU{0.2f}, Linear{2}};
  options.discriminator = Sequential{Linear{16}, LeakyReLU{0.2f}, Linear{16}, LeakyReLU{0.2f}, Linear{1}};
  options.latent = 2;
  options.batch = 32;
  return options;
}

HostDataset points() {
  return sample_mixture(*find_mixture("ring8"), 256, 0);
}

const std::vector<Penalty> every_penalty = {{.kind = Penalty::Kind::r1, .weight = 0.1f},
                                            {.kind = Penalty::Kind::r2, .weight = 0.2f},
                                            {.kind = Penalty::Kind::gp, .weight = 0.3f},
                                            {.kind = Penalty::Kind::dragan, .weight = 0.4f}};

struct Setting {
  Objective objective;
  bool fresh;
  std::vector<Penalty> penalties;
};

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = {{Objective::saturating, false, {every_penalty[3]}},
                                           {Objective::non_saturating, false, {every_penalty[0]}},
                                           {Objective::least_squares, true, {every_penalty[1]}},
                                           {Objective::hinge, true, {}},
                                           {Objective::wasserstein, true, {every_penalty[2]}},
                                           {Objective::relativistic_paired, true, {every_penalty[0], every_penalty[1]}},
                                           {Objective::relativistic_paired, false, {}},
                                           {Objective::relativistic_average, true, every_penalty}};
  return all;
}

// Every objective with some penalties is one program, learns what the CPU learns, and reports what can be.
TEST(ObjectiveTrainer, TrainsWithEveryObjectiveAndPenaltyOnBothBackends) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(static_cast<int>(setting.objective));
    TrainerOptions options = small_options();
    options.objective = setting.objective;
    options.fresh_latents = setting.fresh;
    options.penalties = setting.penalties;
    options.d_steps = 2;
    std::vector<std::vector<Stats>> runs;
    for (Device& device : devices()) {
      const Dataset data(device, points());
      Trainer trainer(device, data, options);
      runs.push_back(train(trainer, 20));
    }
    for (const std::vector<Stats>& run : runs) {
      ASSERT_EQ(run.size(), 20u);
      for (std::size_t i = 0; i < run.size(); ++i) {
        const double tolerance = i == 0 ? 1e-5 : 1e-3;  // rounding grows with the steps
        EXPECT_EQ(run[i].images, run[i].step * samples_per_step(options));
        EXPECT_NEAR(run[i].d_loss, runs[0][i].d_loss, tolerance) << i;
        EXPECT_NEAR(run[i].g_loss, runs[0][i].g_loss, tolerance) << i;
        EXPECT_NEAR(run[i].penalty, runs[0][i].penalty, tolerance) << i;
        EXPECT_EQ(run[i].penalty > 0, !setting.penalties.empty());
        EXPECT_TRUE(run[i].d_accuracy >= 0 && run[i].d_accuracy <= 1);
      }
    }
  }
}

TEST(ObjectiveTrainer, ARelativisticGeneratorDrawsRealSamplesOfItsOwn) {
  Device& device = devices()[0];
  const Dataset data(device, points());
  for (const auto& [objective, fresh, batches] :
       {std::tuple(Objective::relativistic_paired, true, 4), std::tuple(Objective::relativistic_paired, false, 3),
        std::tuple(Objective::hinge, true, 3)}) {
    TrainerOptions options = small_options();
    options.objective = objective;
    options.fresh_latents = fresh;
    options.d_steps = 3;
    Trainer trainer(device, data, options);
    trainer.run(5);
    std::int64_t cursor = 0;
    trainer.store().download(*trainer.store().find(cursor_variable), &cursor);
    EXPECT_EQ(cursor, 5 * batches * options.batch);
    EXPECT_EQ(samples_per_step(options), batches * options.batch);
  }
}

// A lazy penalty counts in every 4th step, four times as much; the first step is the same as with an interval of 1 but
// for the factor.
TEST(LazyPenalty, CountsEverySoManySteps) {
  for (Device& device : devices()) {
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.penalties = {every_penalty[0]};
    Trainer eager(device, data, options);
    options.penalties[0].interval = 4;
    Trainer lazy(device, data, options);
    const std::vector<Stats> a = train(eager, 9), b = train(lazy, 9);
    EXPECT_FLOAT_EQ(b[0].penalty, 4 * a[0].penalty);
    for (std::size_t i = 0; i < b.size(); ++i) EXPECT_EQ(b[i].penalty > 0, i % 4 == 0) << i;
    EXPECT_LT(lazy.program().launches(), eager.program().launches());
  }
}

TEST(LazyPenalty, ResumeIsExact) {
  for (Device& device : devices()) {
    const test::TemporaryFolder folder;
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.objective = Objective::relativistic_paired;
    options.fresh_latents = true;
    options.penalties = {every_penalty[0], every_penalty[2]};
    options.penalties[0].interval = 4;
    options.penalties[1].decay = {Schedule::Kind::cosine, 0.01f, 0, 20};
    options.generator_lr_decay = {Schedule::Kind::linear, 1e-4f, 2, 18};
    options.ema_half_life = 500;
    Trainer whole(device, data, options), first(device, data, options), second(device, data, options);
    const std::vector<Stats> all = train(whole, 22);
    train(first, 10);
    first.save(folder.path() / "a.safetensors");
    second.load(folder.path() / "a.safetensors");
    const std::vector<Stats> rest = train(second, 12);
    ASSERT_EQ(rest.size(), 12u);
    for (std::size_t i = 0; i < rest.size(); ++i) {
      EXPECT_EQ(rest[i].d_loss, all[i + 10].d_loss) << i;
      EXPECT_EQ(rest[i].penalty, all[i + 10].penalty) << i;
    }
    EXPECT_EQ(weights(whole, whole.generator()), weights(second, second.generator()));
    EXPECT_EQ(whole.sample(70).values, second.sample(70).values);
  }
}

TEST(WeightClip, KeepsTheWeightsWithin) {
  for (Device& device : devices()) {
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.objective = Objective::wasserstein;
    options.weight_clip = 0.01f;
    Trainer trainer(device, data, options);
    trainer.run(3);
    float largest = 0;
    for (float w : weights(trainer, trainer.discriminator())) largest = std::max(largest, std::abs(w));
    EXPECT_EQ(largest, 0.01f);
    largest = 0;
    for (float w : weights(trainer, trainer.generator())) largest = std::max(largest, std::abs(w));
    EXPECT_GT(largest, 0.01f);
  }
}

// From the step on at which the learning rate is 0 nothing moves: the schedule is read at every run.
TEST(Schedules, MoveTheLearningRateWithTheStep) {
  for (Device& device : devices()) {
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.generator_lr_decay = {Schedule::Kind::step, 0, 5, 0};
    Trainer trainer(device, data, options);
    trainer.run(4);
    const auto before = weights(trainer, trainer.generator());
    trainer.run(1);
    const auto at = weights(trainer, trainer.generator()), d_at = weights(trainer, trainer.discriminator());
    trainer.run(3);
    EXPECT_NE(before, at);
    EXPECT_EQ(at, weights(trainer, trainer.generator()));
    EXPECT_NE(d_at, weights(trainer, trainer.discriminator()));
  }
}

TEST(Schedules, AWeightCanDecay) {
  for (Device& device : devices()) {
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.generator_adam.lr = options.discriminator_adam.lr = 1e-20f;  // nothing else moves
    options.batch = 256;                                                 // nor the batch
    options.penalties = {{.kind = Penalty::Kind::r1, .weight = 1, .decay = {Schedule::Kind::linear, 0.5f, 0, 10}}};
    Trainer trainer(device, data, options);
    const std::vector<Stats> stats = train(trainer, 12);
    EXPECT_NEAR(stats[5].penalty, 0.75f * stats[0].penalty, 1e-5f * stats[0].penalty);
    EXPECT_NEAR(stats[11].penalty, 0.5f * stats[0].penalty, 1e-5f * stats[0].penalty);
  }
}

std::vector<float> stored(Trainer& trainer, const char* name) {
  const Variable& variable = *trainer.store().find(name);
  std::vector<float> values(static_cast<std::size_t>(variable.type.shape.elements()));
  trainer.store().download(variable, values.data());
  return values;
}

// With β₂ → 0⁺ from step 3 on, v is the last gradient squared; before, a mean of all.
TEST(Schedules, MoveBeta2WithTheStep) {
  for (Device& device : devices()) {
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.generator_adam.beta1 = 0;
    options.generator_adam.beta2 = 0.5f;
    Trainer constant(device, data, options);
    options.generator_beta2_decay = {Schedule::Kind::step, 1e-20f, 3, 0};
    Trainer moved(device, data, options);
    constant.run(3), moved.run(3);
    EXPECT_EQ(stored(constant, "generator/adam_v"), stored(moved, "generator/adam_v"));
    moved.run(1);
    const std::vector<float> v = stored(moved, "generator/adam_v"), m = stored(moved, "generator/adam_m");
    for (std::size_t i = 0; i < v.size(); ++i) EXPECT_FLOAT_EQ(v[i], m[i] * m[i]) << i;
  }
}

// A half-life that rises linearly from 0: the average is the weights at first, then moves with ½^(batch / half-life).
TEST(Schedules, MoveTheHalfLifeOfTheAverage) {
  for (Device& device : devices()) {
    const Dataset data(device, points());
    TrainerOptions options = small_options();
    options.ema_half_life_decay = {.kind = Schedule::Kind::linear, .to = 1000, .images = 10 * options.batch};
    Trainer trainer(device, data, options);
    EXPECT_EQ(trainer.options().ema_half_life_decay.end, 10);
    std::vector<float> ema;
    for (int tick = 0; tick < 13; ++tick) {
      trainer.run(1);
      const std::vector<float> w = weights(trainer, trainer.generator()), now = stored(trainer, "generator/ema");
      const double half_life = 1000.0 * std::min(tick, 10) / 10;
      const double decay = half_life > 0 ? std::exp2(-static_cast<double>(options.batch) / half_life) : 0;
      if (tick == 0) ema = w;
      for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(now[i], decay * ema[i] + (1 - decay) * w[i], 1e-6) << tick;
      ema = now;
    }
  }
}

TEST(ObjectiveTrainer, RefusesWhatMakesNoSense) {
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
  expect([](auto& o) { o.penalties = {every_penalty[0], every_penalty[0]}; }, "penalty r1 is there twice");
  expect([](auto& o) { o.penalties = {{.kind = Penalty::Kind::gp, .weight = 0}}; }, "penalty gp.weight must be");
  expect([](auto& o) { o.penalties = {{.interval = 0}}; }, "penalty r1.interval must be 1 or more, got 0");
  expect(
      [](auto& o) {
        o.penalties = every_penalty;
        o.penalties[1].interval = 4;
        o.penalties[3].interval = 16;
      },
      "intervals above 1 must agree");
  expect([](auto& o) { o.generator_lr_decay = {Schedule::Kind::linear, 0, 10, 5}; }, "generator_adam.lr_decay.end");
  expect([](auto& o) { o.objective = Objective::hinge, o.real_target = 0.9f; },
         "real_target must be 1 with the objective hinge");
  expect([](auto& o) { o.ema_decay = 0.9f, o.ema_half_life = 100; }, "ema_half_life must be 0 where ema_decay");
  expect([](auto& o) { o.weight_clip = -1; }, "weight_clip");
  expect(
      [](auto& o) {
        o.generator_beta2_decay = {Schedule::Kind::cosine, 1, 0, 10};
      },
      "generator_adam.beta2_decay.to");
  expect([](auto& o) { o.ema_half_life_decay = {.kind = Schedule::Kind::cosine, .to = 1, .end = 5, .images = 5}; },
         "ema_half_life_decay.images must be absent where end is given");
  expect(
      [](auto& o) {
        o.ema_decay = 0.9f, o.ema_half_life_decay = {Schedule::Kind::cosine, 1, 0, 10};
      },
      "ema_half_life_decay must be absent where ema_decay");
}

TEST(Config, KeepsPenaltiesAndDecays) {
  Config config = preset("toy-2d");
  config.training.penalties = every_penalty;
  config.training.penalties[2].interval = 8;
  config.training.penalties[0].decay = {Schedule::Kind::cosine, 0.01f, 5, 100};
  config.training.weight_clip = 0.5f;
  config.training.ema_decay = 0;
  config.training.ema_half_life_decay = {.kind = Schedule::Kind::cosine, .to = 5e5f, .images = 2'000'000};
  config.training.generator_beta2_decay = {Schedule::Kind::cosine, 0.99f, 0, 100};
  const std::string text = to_toml(config);
  const Config back = parse_config(text, "a.toml");
  EXPECT_EQ(back.training.penalties, config.training.penalties);
  EXPECT_EQ(back.training.generator_lr_decay, config.training.generator_lr_decay);
  EXPECT_EQ(back.training.ema_half_life_decay, config.training.ema_half_life_decay);
  EXPECT_EQ(back.training.generator_beta2_decay, config.training.generator_beta2_decay);
  EXPECT_EQ(back.training.fresh_latents, config.training.fresh_latents);
  EXPECT_EQ(to_toml(back), text);
  // A decay without an end goes on to the last step.
  EXPECT_EQ(trainer_options(config).generator_lr_decay.end, config.steps);
  EXPECT_EQ(trainer_options(config).penalties[0].decay.end, 100);
  EXPECT_EQ(trainer_options(config).ema_half_life_decay.end, 0);
  config.training.penalties.clear();
  EXPECT_TRUE(parse_config(to_toml(config), "a.toml").training.penalties.empty());
  EXPECT_TRUE(parse_config("preset = \"toy-2d\"\npenalty = []\n", "a.toml").training.penalties.empty());

  const auto expect = [](const std::string& toml, const std::string& what) {
    expect_config_error("toy-2d", toml, what);
  };
  expect("[[penalty]]\nweight = 1.0\n", "a.toml:2:1: a penalty has no type");
  expect("[[penalty]]\ntype = \"r3\"\n", "type must be one of r1, r2, gp, dragan");
  expect("[[penalty]]\ntype = \"r1\"\ngamma = 1.0\n", "unknown key 'penalty.gamma'");
  expect("penalty = 1\n", "penalty must be a list");
  expect("[generator_adam]\nlr_decay = 1\n", "lr_decay must be a table");
  expect("[generator_adam]\nlr_decay = { kind = \"square\" }\n", "kind must be one of constant, linear, cosine, step");
  expect("fresh_latents = 1\n", "fresh_latents must be true or false");
}

}  // namespace
}  // namespace ganforge
