// The trainer: statistics, sampling, checkpoints, objectives, and the GPU against the CPU.
#include "tests/devices.h"
#include "tests/files.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace ganforge {
namespace {

/// Squares of random size and brightness.
HostDataset squares(std::int64_t count, std::int64_t side) {
  HostDataset data{"squares", {side, side, 1}, count, {}, {}, {}};
  std::vector<std::uint8_t> pixels;
  std::uint32_t state = 12345;
  const auto next = [&](std::uint32_t below) { return (state = state * 1664525u + 1013904223u) / 65536u % below; };
  for (std::int64_t i = 0; i < count; ++i) {
    const auto size = static_cast<std::int64_t>(2 + next(static_cast<std::uint32_t>(side) - 2));
    const auto brightness = static_cast<std::uint8_t>(128 + next(128));
    for (std::int64_t y = 0; y < side; ++y)
      for (std::int64_t x = 0; x < side; ++x) pixels.push_back(y < size && x < size ? brightness : 0);
  }
  data.pixels = std::move(pixels);
  return data;
}

TrainerOptions small_options() {
  TrainerOptions options;
  options.generator = Sequential{Linear{32}, LeakyReLU{0.2f}, BatchNorm{}, Linear{64}, Tanh{}, Reshape{{8, 8, 1}}};
  options.discriminator = Sequential{Flatten{}, Linear{32}, LeakyReLU{0.2f}, Linear{1}};
  options.latent = 10;
  options.batch = 16;
  return options;
}

bool same(const Stats& a, const Stats& b) {
  return a.step == b.step && a.images == b.images && a.d_loss == b.d_loss && a.g_loss == b.g_loss &&
         a.d_real == b.d_real && a.d_fake == b.d_fake && a.d_accuracy == b.d_accuracy;
}

TEST(Trainer, StartsAtTheKnownLossAndReportsEveryStepOnce) {
  for (Device& device : devices()) {
    const Dataset data(device, squares(64, 8));
    Trainer trainer(device, data, small_options());
    const std::vector<Stats> stats = train(trainer, 300, 3);
    ASSERT_EQ(stats.size(), 100u);
    for (std::size_t i = 0; i < stats.size(); ++i) {
      EXPECT_EQ(stats[i].step, static_cast<std::int64_t>(3 * (i + 1)));
      EXPECT_EQ(stats[i].images, stats[i].step * 16);
      EXPECT_TRUE(std::isfinite(stats[i].d_loss) && std::isfinite(stats[i].g_loss));
    }
    // 2·log 2 when D knows nothing yet.
    EXPECT_NEAR(stats[0].d_loss, 1.386, 0.7);
  }
}

TEST(Trainer, LearnsTheMeanImage) {
  Device& device = devices()[0];
  HostDataset host = squares(512, 8);
  std::vector<double> mean(64, 0.0);
  for (std::size_t i = 0; i < host.pixels.size(); ++i) mean[i % 64] += (host.pixels[i] / 127.5 - 1) / 512;
  const Dataset data(device, std::move(host));
  Trainer trainer(device, data, small_options());
  const auto distance = [&] {
    const Samples samples = trainer.sample(256);
    std::vector<double> generated(64, 0.0);
    for (std::size_t i = 0; i < samples.values.size(); ++i) generated[i % 64] += samples.values[i] / 256.0;
    double sum = 0;
    for (std::size_t p = 0; p < 64; ++p) sum += std::abs(generated[p] - mean[p]) / 64;
    return sum;
  };
  const double before = distance();
  trainer.run(1500);
  EXPECT_LT(distance(), 0.35 * before);
}

TEST(Trainer, ResumeIsExact) {
  for (Device& device : devices()) {
    const test::TemporaryFolder folder;
    const Dataset data(device, squares(64, 8));
    TrainerOptions options = small_options();
    options.ema_decay = 0.99f;
    options.d_steps = 2;
    Trainer whole(device, data, options), first(device, data, options), second(device, data, options);
    const std::vector<Stats> all = train(whole, 30);
    train(first, 13);
    first.save(folder.path() / "a.safetensors", {{"note", "half way"}});
    EXPECT_EQ(second.load(folder.path() / "a.safetensors").at("note"), "half way");
    EXPECT_EQ(second.step(), 13);
    const std::vector<Stats> rest = train(second, 17);
    ASSERT_EQ(rest.size(), 17u);
    for (std::size_t i = 0; i < rest.size(); ++i) EXPECT_TRUE(same(rest[i], all[i + 13])) << "step " << rest[i].step;
    EXPECT_EQ(contents(whole), contents(second));
    EXPECT_EQ(whole.sample(70).values, second.sample(70).values);
  }
}

TEST(Trainer, RefusesACheckpointOfAnotherModelAndChangesNothing) {
  Device& device = devices()[0];
  const test::TemporaryFolder folder;
  const Dataset data(device, squares(64, 8));
  TrainerOptions wider = small_options();
  wider.discriminator = Sequential{Flatten{}, Linear{48}, LeakyReLU{0.2f}, Linear{1}};
  Trainer trainer(device, data, small_options()), other(device, data, wider);
  other.save(folder.path() / "b.safetensors");
  const auto before = contents(trainer);
  EXPECT_THROW(trainer.load(folder.path() / "b.safetensors"), FormatError);
  EXPECT_EQ(contents(trainer), before);
}

TEST(Trainer, SamplesDependOnSeedAndNumberAlone) {
  for (Device& device : devices()) {
    const Dataset data(device, squares(64, 8));
    Trainer trainer(device, data, small_options());
    trainer.run(3);
    const std::vector<float> many = trainer.sample(130, 5).values, few = trainer.sample(7, 5).values;
    EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
    EXPECT_NE(trainer.sample(7, 6).values, few);
  }
}

TEST(Trainer, EveryObjectiveTrains) {
  Device& device = devices()[0];
  const Dataset data(device, squares(64, 8));
  for (const Objective objective : {Objective::non_saturating, Objective::saturating, Objective::least_squares}) {
    TrainerOptions options = small_options();
    options.objective = objective;
    options.real_target = 0.9f;
    Trainer trainer(device, data, options);
    const std::vector<Stats> stats = train(trainer, 200);
    // The discriminator tells them apart better than by chance at some time.
    float best = 0;
    for (const Stats& s : stats) best = std::max(best, s.d_accuracy);
    EXPECT_GT(best, 0.7f);
  }
}

TEST(Trainer, RefusesWhatDoesNotFit) {
  Device& device = devices()[0];
  const Dataset data(device, squares(64, 8));
  const auto expect = [&](TrainerOptions options, const std::string& text) {
    try {
      Trainer trainer(device, data, options);
      ADD_FAILURE() << "accepted, though: " << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  TrainerOptions options = small_options();
  options.batch = 65;
  expect(options, "squares has 64");
  options = small_options();
  options.batch = 0;
  expect(options, "batch must be from 1");
  options = small_options();
  options.generator = Sequential{Linear{63}, Tanh{}, Reshape{{8, 8, 1}}};
  expect(options, "generator/2_reshape");
  options.generator = Sequential{Linear{49}, Tanh{}, Reshape{{7, 7, 1}}};
  expect(options, "[7, 7, 1]");
  options = small_options();
  options.discriminator = Sequential{Flatten{}, Linear{2}};
  expect(options, "one number a sample");
}

// The step is one launch of what was counted; nothing is left to copy.
TEST(Trainer, StepOfTheDenseGanHasFewLaunches) {
  for (Device& device : devices()) {
    const Dataset data(device, squares(64, 28));
    TrainerOptions options = trainer_options(preset("seed-dense"));
    options.batch = 16;
    Trainer trainer(device, data, options);
    EXPECT_LE(trainer.program().launches(), device.is_cuda() ? 15 : 23);
    EXPECT_TRUE(trainer.program().report().copies.empty());
  }
}

// Latents and batches are the same bits everywhere; the step before capture leaves no trace.
TEST(Trainer, GpuAgreesWithCpu) {
  if (devices().size() < 2) GTEST_SKIP() << "no GPU";
  Device &cpu = devices()[0], &gpu = devices()[1];
  const auto drawn = [](Device& device) {
    const Dataset data(device, squares(100, 28));
    VariableStore store(device, 3);
    Graph graph;
    Context context(graph, store, Mode::training);
    const Drawn d = draw(
        context, data,
        {.rows = 32, .latents = {LatentSpec(Shape{32, 100}), LatentSpec(Shape{32, 5}, true, -1, 1)}, .schedules = {}});
    graph.output("real", d.real);
    graph.output("z", d.latents[0]);
    graph.output("u", d.latents[1]);
    Program program = compile(device, graph);
    std::vector<std::vector<float>> all;
    for (int i = 0; i < 5; ++i) {
      program.run();
      for (const char* name : {"real", "z", "u"}) all.push_back(program.floats(name));
    }
    return all;
  };
  EXPECT_EQ(drawn(cpu), drawn(gpu));

  const Dataset cpu_data = load_dataset("fashion-mnist", cpu), gpu_data = load_dataset("fashion-mnist", gpu);
  const TrainerOptions options = trainer_options(preset("seed-dense"));
  Trainer on_cpu(cpu, cpu_data, options), on_gpu(gpu, gpu_data, options);
  const auto fresh_cpu = contents(on_cpu), fresh_gpu = contents(on_gpu);
  EXPECT_EQ(fresh_cpu, fresh_gpu);  // weights as initialised, counters at zero
  const std::vector<Stats> a = train(on_cpu, 60), b = train(on_gpu, 60);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float tolerance = i == 0 ? 1e-5f : 1e-3f;
    EXPECT_LE(std::abs(a[i].d_loss - b[i].d_loss), tolerance * std::abs(a[i].d_loss)) << "step " << i + 1;
    EXPECT_LE(std::abs(a[i].g_loss - b[i].g_loss), tolerance * std::abs(a[i].g_loss)) << "step " << i + 1;
  }
}

// Lower precisions round, no more than that, and differently.
TEST(Trainer, LowerPrecisionsAgreeWithFloat32) {
  if (devices().size() < 2) GTEST_SKIP() << "no GPU";
  std::vector<std::vector<Stats>> all;
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    Device device = Device::cuda();
    device.set_precision(precision);
    EXPECT_EQ(device.precision(), precision);
    const Dataset data(device, squares(64, 28));
    TrainerOptions options = trainer_options(preset("seed-dense"));
    options.batch = 16;
    Trainer trainer(device, data, options);
    all.push_back(train(trainer, 3));
  }
  const float tolerance[] = {0, 2e-3f, 2e-2f};
  for (const std::size_t p : {1u, 2u}) {
    for (std::size_t i = 0; i < all[0].size(); ++i) {
      EXPECT_NEAR(all[p][i].d_loss, all[0][i].d_loss, tolerance[p]) << "step " << i + 1;
      EXPECT_NEAR(all[p][i].g_loss, all[0][i].g_loss, tolerance[p]) << "step " << i + 1;
    }
    EXPECT_NE(all[p].back().d_loss, all[0].back().d_loss);
  }
}

}  // namespace
}  // namespace ganforge
